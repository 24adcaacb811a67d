//! `gxn caption`, and captions in training and evaluation.

use crate::fixture::{data, gxn, paper, speaking, text, train_args, works};
use crate::snapshots::{refusal, refused, seen};

#[test]
fn a_stage_that_makes_captions_says_how_good_they_are() {
    let ran = &speaking().trained;
    seen!(ran.stderr);
    let log = std::fs::read_to_string(speaking().folder.join("log.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert!(last["val"]["caption_cider"].is_number() && last["val"]["caption_commonest"].is_number(), "{last}");
}

#[test]
fn a_dry_run_of_the_reward_stage_tells_what_the_reward_costs() {
    let folder = tempfile::tempdir().unwrap();
    let start = text(&speaking().folder);
    let stage = ["--dry-run", "--stage", "i2t_mix", "--init-from", start];
    let ran = works(train_args(folder.path(), "dry", &stage));
    let line = ran.stdout.lines().find(|line| line.starts_with("rewards: ")).expect(&ran.stdout);
    let share: f64 = line.split(['(', '%']).nth(1).unwrap().trim().parse().unwrap();
    // On a busy machine the rewards are less than a thousandth of a step.
    assert!((0.0..100.0).contains(&share), "{line}");
    assert!(!works(train_args(folder.path(), "dry", &["--dry-run"])).stdout.contains("rewards"));
}

#[test]
fn images_are_described() {
    let image = |name: &str| data().parent().unwrap().join("images").join(name);
    let (red, blue) = (image("red_0.png"), image("blue_1.png"));
    let model = text(&speaking().folder);
    let plain = works(["caption", model, text(&red), text(&blue)]);
    let lines = plain.lines();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with(&format!("{}\t", red.display())) && lines[1].starts_with(text(&blue)), "{lines:?}");
    let json = works(["caption", model, text(&red), "--format", "jsonl", "--beam", "4", "-n", "3"]).json_lines();
    assert_eq!(json.len(), 3);
    let ln_p: Vec<f64> = json.iter().map(|line| line["log_probability"].as_f64().unwrap()).collect();
    assert!(ln_p.is_sorted_by(|a, b| a >= b) && ln_p[0] < 0.0, "{ln_p:?}");
    assert!(json.iter().all(|line| line["imagined"] == true && line["path"] == text(&red)));
}

#[test]
fn an_image_that_cannot_be_read_is_named_and_the_others_are_described() {
    let image = data().parent().unwrap().join("images/red_0.png");
    let ran = gxn(["caption", text(&speaking().folder), "no-such.png", text(&image)]);
    assert_eq!((ran.code, ran.lines().len()), (1, 1), "{ran:?}");
    seen!(ran.stderr);
}

#[test]
fn a_model_without_decoder_is_refused_with_what_to_do() {
    let image = data().parent().unwrap().join("images/red_0.png");
    refused!(["caption", text(&paper().folder), text(&image)]);
    let ran = gxn(["evaluate", text(&paper().folder), text(data()), "--captions", "never-made"]);
    refusal!(&ran);
    assert!(!std::path::Path::new("never-made").exists());
    let logs = tempfile::tempdir().unwrap();
    let args = train_args(logs.path(), "mix", &["--stage", "i2t_mix", "--init-from", text(&paper().folder)]);
    refused!(args);
}

#[test]
fn evaluation_writes_captions_that_score_captions_scores_alike() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("captions");
    let model = &speaking().folder;
    let ran =
        works(["evaluate", text(model), text(data()), "--split", "test", "--captions", text(&out), "--beam", "2"]);
    seen!(ran.stdout);
    let name = |end: &str| out.join(format!("captions_test_speaking{end}"));
    let page = std::fs::read_to_string(name(".html")).unwrap();
    assert_eq!(page.matches("<figure>").count(), 4);
    assert!(page.contains("data:image/jpeg;base64,"));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(name("_report.json")).unwrap()).unwrap();
    let references = ["--references", text(data()), "--format", "json"];
    let scored = works([&["score-captions", text(&name("_results.json"))][..], &references].concat()).json();
    for key in ["bleu_1", "rouge_l", "cider"] {
        assert_eq!(report[key], scored[key], "{key}");
    }
    // A caption retrieved at rank 1 is worth more when the image's own captions may be found.
    let retrieved = &report["retrieved"];
    let cider = |gallery: &str| retrieved[gallery][0]["cider"].as_f64().unwrap();
    assert!(cider("own_captions_in_gallery") >= cider("captions_of_other_images_only"), "{retrieved}");
}

#[test]
fn a_started_run_takes_over_the_tables_of_its_start() {
    let logs = tempfile::tempdir().unwrap();
    let start = ["--init-from", text(&paper().folder), "--print-config"];
    let printed = works([&["train", "--logs", text(logs.path())][..], &start].concat()).stdout;
    assert!(printed.contains("embed_dim = 16") && printed.contains("hidden = 12"), "{printed}");
    assert!(printed.contains("epochs = 30"), "the train table is not taken over: {printed}");
    refused!(["train", "--init-from", "no-such-run"]);
}

#[test]
fn a_beam_finds_no_more_captions_than_it_is_wide() {
    let (model, image) = (text(&speaking().folder), data().parent().unwrap().join("images/red_0.png"));
    refused!(["caption", model, text(&image), "-n", "3", "--beam", "2"]);
    // Left out, it is as wide as needed.
    assert_eq!(works(["caption", model, text(&image), "-n", "4"]).lines().len(), 4);
    for count in ["0", "101"] {
        let ran = gxn(["caption", model, text(&image), "-n", count]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        seen!(ran.stderr);
    }
}

#[cfg(unix)]
#[test]
fn names_are_escaped_and_other_formats_decoded() {
    let image = data().parent().unwrap().join("images/red_0.png");
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("a\u{1b}[31m.png");
    std::fs::copy(&image, &odd).unwrap();
    let model = text(&speaking().folder);
    let ran = works(["caption", model, text(&odd)]);
    assert!(ran.stdout.contains("a\\u{1b}[31m.png\t") && !ran.stdout.contains('\u{1b}'), "{:?}", ran.stdout);
    let heic = folder.path().join("a.heic");
    std::fs::write(&heic, b"\0\0\0\x18ftypheic").unwrap();
    assert_eq!(gxn(["caption", model, text(&heic)]).code, 1);
    let script = folder.path().join("decode.sh");
    std::fs::write(&script, format!("test -f \"$1\" && cp {} \"$2\"\n", text(&image))).unwrap();
    let decode = format!("sh {} {{in}} {{out}}.png", text(&script));
    let decoded = works(["caption", model, text(&heic), "--decode-cmd", &decode]);
    let plain = works(["caption", model, text(&image)]);
    let caption = |text: &str| text.split_once('\t').unwrap().1.to_owned();
    assert_eq!(caption(&decoded.stdout), caption(&plain.stdout));
}

#[test]
fn the_decoder_ranks_the_best_images_once_more() {
    let (model, data) = (text(&speaking().folder), text(data()));
    let evaluate = |more: &[&str]| works([&["evaluate", model, data, "--format", "json"], more].concat()).json();
    let (plain, none) = (evaluate(&[]), evaluate(&["--rerank", "3", "--rerank-weight", "0"]));
    assert_eq!((&none["metrics"], &none["ranks"]), (&plain["metrics"], &plain["ranks"]));
    assert_eq!(plain.get("reranked"), None);
    let strong = ["--rerank", "100", "--rerank-weight", "100"];
    for captions in [false, true] {
        let found = evaluate(&[&strong[..], if captions { &["--rerank-captions"] } else { &[] }].concat());
        let expected =
            serde_json::json!({"candidates": 100, "weight": 100.0, "chosen_here": false, "image_to_text": captions});
        assert_eq!(found["reranked"], expected);
        assert_eq!(found["ranks"]["i2t"] != plain["ranks"]["i2t"], captions);
        assert_ne!(found["ranks"]["t2i"], plain["ranks"]["t2i"]);
    }
    let chosen = works(["evaluate", model, data, "--rerank", "3"]).stdout;
    assert!(chosen.contains("re-ranked: the 3 best images of a caption, weight") && chosen.contains("chosen on these"));
    refused!(["evaluate", text(&paper().folder), data, "--rerank", "3"]);
    refused!(["evaluate", model, data, "--rerank", "3", "--relevance", "verbatim"]);
    let no_number = gxn(["evaluate", model, data, "--rerank", "3", "--rerank-weight", "NaN"]).stderr;
    assert!(no_number.contains("from 0 to") && !no_number.contains("encoded"), "{no_number}");
    // They themselves tell how likely captions are.
    refused!(["evaluate", model, data, "--split", "train", "--rerank", "3", "--rerank-captions"]);
}

#[test]
fn a_search_can_be_ordered_by_the_decoder() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index");
    works(["index", text(data()), "--model", text(&speaking().folder), "--index", text(&index)]);
    let search = |query: &str, more: &[&str]| {
        let args = ["search", "--index", text(&index), query, "--format", "jsonl"];
        works([&args[..], more].concat()).json_lines()
    };
    let plain = search("a red patch", &["--top", "24"]);
    assert_eq!(search("a red patch", &["--top", "24", "--rerank", "24", "--rerank-weight", "0"]), plain);
    let ordered = search("a red patch", &["--top", "24", "--rerank", "24", "--rerank-weight", "10"]);
    let scores: Vec<f64> = ordered.iter().map(|hit| hit["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b) && ordered != plain, "{scores:?}");
    // ln p of a caption is far below zero, and pages are parts of one list; what is behind the five best stays.
    assert!(scores[0] < -10.0, "{scores:?}");
    let paged = search("a red patch", &["--top", "4", "--offset", "3", "--rerank", "5", "--rerank-weight", "10"]);
    let ids = |hits: &[serde_json::Value]| hits.iter().map(|hit| hit["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&paged)[2..], ids(&plain)[5..7]);
    assert_eq!(paged.iter().map(|hit| hit["rank"].as_u64().unwrap()).collect::<Vec<_>>(), [4, 5, 6, 7]);
    refused!(["search", "--index", text(&index), "red", "--rerank", "5", "--target", "text"]);
    refused!(["search", "--index", text(&index), "a", "+", "b", "--rerank", "5"]);
}
