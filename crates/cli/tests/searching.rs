//! `gxn search`: queries, targets, formats, where the index is found.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use crate::fixture::{Ran, copy, cosine, data, gxn, gxn_in, paper, text, works};
use crate::indexing::indexed_photos;
use crate::snapshots::{refused, seen};

/// An index of the tiny dataset under the cosine model, whose scores can be calculated with.
fn index() -> &'static Path {
    static INDEX: OnceLock<PathBuf> = OnceLock::new();
    INDEX.get_or_init(|| {
        let index = cosine().folder.with_extension("index");
        works(["index", text(data()), "--model", text(&cosine().folder), "--index", text(&index)]);
        index
    })
}

fn search(args: &[&str]) -> Ran {
    works([&["search", "--index", text(index())], args].concat())
}

fn scores(args: &[&str]) -> HashMap<String, f64> {
    let hits = search(&[args, &["--format", "jsonl", "--top", "100"]].concat()).json_lines();
    hits.iter().map(|hit| (hit["id"].to_string(), hit["score"].as_f64().unwrap())).collect()
}

fn image(name: &str) -> String {
    data().parent().unwrap().join("images").join(name).canonicalize().unwrap().display().to_string()
}

#[test]
fn words_find_images_best_first() {
    let hits = search(&["a red patch", "--format", "jsonl", "--top", "100"]).json_lines();
    assert_eq!(hits.len(), 24);
    let scores: Vec<f64> = hits.iter().map(|hit| hit["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    for (at, hit) in hits.iter().enumerate() {
        assert_eq!(hit["rank"], at + 1);
        assert!(Path::new(hit["path"].as_str().unwrap()).is_file(), "{hit}");
        let parts = &hit["parts"];
        let sum = parts["abstract"].as_f64().unwrap() + parts["grounded"].as_f64().unwrap_or(0.0);
        assert!((sum - hit["score"].as_f64().unwrap()).abs() < 1e-5, "the parts make the score: {hit}");
    }
    // Several arguments are one sentence.
    assert_eq!(search(&["a", "red", "patch", "--format", "jsonl", "--top", "100"]).json_lines(), hits);
}

#[test]
fn pages_continue_each_other_and_end_with_exit_code_3() {
    let all = search(&["red", "-f", "--top", "24"]).stdout;
    let pages: String =
        (0..4).map(|page| search(&["red", "-f", "-t", "7", "--offset", &(7 * page).to_string()]).stdout).collect();
    assert_eq!(pages, all);
    assert_eq!(search(&["red"]).lines().len(), 10, "ten hits unless told otherwise");
    let beyond = gxn(["search", "red", "--index", text(index()), "--offset", "24"]);
    assert_eq!((beyond.code, beyond.stdout.as_str()), (3, ""));
    seen!(beyond.stderr);
}

#[test]
fn formats_show_the_same_hits() {
    let jsonl = search(&["red", "--format", "jsonl"]).json_lines();
    let paths = search(&["red", "--format", "paths"]);
    assert_eq!(paths.lines(), jsonl.iter().map(|hit| hit["path"].as_str().unwrap()).collect::<Vec<_>>());
    assert_eq!(search(&["red", "-f"]).stdout, paths.stdout);
    let rows = search(&["red"]).stdout;
    for (at, (row, hit)) in rows.lines().zip(&jsonl).enumerate() {
        let mut cells = row.split_whitespace();
        assert_eq!(cells.next(), Some((at + 1).to_string().as_str()));
        assert_eq!(cells.next(), Some(format!("{:.4}", hit["score"].as_f64().unwrap()).as_str()));
        assert!(row.ends_with(hit["path"].as_str().unwrap()));
    }
}

#[test]
fn a_stored_image_finds_itself_first() {
    for name in ["red_0.png", "black_3.png"] {
        let path = image(name);
        let hits = search(&[&path, "--format", "jsonl"]).json_lines();
        assert_eq!(hits[0]["path"], path.as_str());
        assert!((hits[0]["score"].as_f64().unwrap() - 1.0).abs() < 1e-3, "{}", hits[0]);
        let by_url = search(&[&format!("file://{path}"), "--format", "jsonl"]).json_lines();
        assert_eq!(by_url, hits);
    }
}

/// Σ wᵢ·scoreᵢ(item), for every item.
#[test]
fn parts_of_a_query_add_up() {
    let path = image("white_2.png");
    let [red, blue, white] = ["red", "the top left is blue", &path].map(|query| scores(&[query]));
    let sum = scores(&["2:red", "-", "0.5:the top left is blue", "+", &path]);
    assert_eq!(sum.len(), 24);
    for (id, score) in &sum {
        let expected = 2.0 * red[id] - 0.5 * blue[id] + white[id];
        assert!((score - expected).abs() < 1e-4, "{id}: {score} is not {expected}");
    }
    assert_eq!(scores(&["2:red", "--subtract", "0.5:the top left is blue", "--add", &path]), sum);
    assert_eq!(scores(&["2:red", "-s", "0.5:the top left is blue", "-a", &path]), sum);
}

#[test]
fn captions_are_found_by_images_and_words() {
    let hits = search(&[&image("red_0.png"), "--target", "text", "--format", "jsonl", "--top", "48"]).json_lines();
    assert_eq!(hits.len(), 48);
    assert!(hits.iter().all(|hit| hit["caption"].is_string() && !hit["image_id"].is_null()), "{}", hits[0]);
    let sentence = "the bottom left is yellow";
    let hits = search(&[sentence, "--target", "text"]);
    assert!(hits.lines()[0].ends_with(sentence) && hits.lines()[0].contains("yellow_2.png"), "{}", hits.stdout);
}

#[test]
fn a_folder_index_holds_no_captions_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let photos = indexed_photos(folder.path());
    refused!(["search", "red", text(&photos), "--target", "text"]);
}

#[test]
fn the_index_is_found_from_below_and_moves_with_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let photos = indexed_photos(folder.path()).canonicalize().unwrap();
    let below = photos.join("2024/summer");
    std::fs::create_dir_all(&below).unwrap();
    let top = works(["search", "red", text(&photos), "-f"]).stdout;
    assert!(top.lines().all(|path| Path::new(path).starts_with(&photos) && Path::new(path).is_file()), "{top}");
    assert_eq!(gxn_in(&below, ["search", "red", "-f"]).stdout, top, "from the working folder upwards");
    assert_eq!(gxn_in(&below, ["search", "red", ".", "-f"]).stdout, top);
    assert_eq!(works(["search", "-C", text(&below), "red", "-f"]).stdout, top);
    assert_eq!(
        gxn_in(&photos, ["search", "./red_0.png", "-f", "-t", "1"]).stdout.trim(),
        text(&photos.join("red_0.png"))
    );

    let moved = photos.with_file_name("moved");
    std::fs::rename(&photos, &moved).unwrap();
    let after = works(["search", "red", text(&moved), "-f"]).stdout;
    assert_eq!(after, top.replace(text(&photos), text(&moved)));
}

#[test]
fn a_missing_index_or_model_says_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    refused!(["search", "red", text(folder.path())]);
    refused!(["search", "red", "--index", text(&folder.path().join("gone"))]);
    let run = folder.path().join("run");
    copy(&paper().folder.join("best"), &run);
    let photos = folder.path().join("photos");
    copy(&data().parent().unwrap().join("images"), &photos);
    works(["index", text(&photos), "--model", text(&run)]);
    let moved = folder.path().join("moved-run");
    std::fs::rename(&run, &moved).unwrap();
    refused!(["search", "red", text(&photos)]);
    works(["search", "red", text(&photos), "--model", text(&moved)]);
}

#[test]
fn loose_ends_of_a_query_are_errors() {
    let index = text(index());
    refused!(["search", "--index", index, "red", "+"]);
    refused!(["search", "--index", index, "0:red"]);
    refused!(["search", "--index", index, ""]);
    refused!(["search", "--index", index, "./gone.jpg"]);
    let text_file = data().to_path_buf();
    refused!(["search", "--index", index, text(&text_file)]);
    let images = data().parent().unwrap().join("images");
    let words = gxn_in(&images, ["search", "--index", index, "red_0.png"]);
    seen!(words.stderr);
}

/// `gxn search … | head -n 1`: whoever stops reading gets no error.
#[test]
fn a_closed_pipe_is_no_error() {
    let script = "\"$0\" search red --index \"$1\" -f --top 24 | head -n 1";
    let output = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_gxn"), text(index())])
        .output()
        .unwrap();
    let ran = Ran::of(output);
    assert_eq!((ran.code, ran.lines().len(), ran.stderr.as_str()), (0, 1, ""));
}

#[test]
fn stdout_carries_results_only() {
    let hits: Vec<Value> = search(&["red", "--format", "jsonl"]).json_lines();
    assert_eq!(hits.len(), 10);
    assert_eq!(search(&["red"]).stderr, "", "and a quick search has nothing else to say");
    assert_eq!(search(&["Red zeppelin, xyzzy!"]).stderr, "note: the model has never seen: zeppelin, xyzzy\n");
}

/// An index of the tiny dataset under two levels, whose contributions λ weighs.
fn two_levels() -> &'static Path {
    static INDEX: OnceLock<PathBuf> = OnceLock::new();
    INDEX.get_or_init(|| {
        let index = paper().folder.with_extension("index");
        works(["index", text(data()), "--model", text(&paper().folder), "--index", text(&index)]);
        index
    })
}

#[test]
fn filters_let_pass_what_they_say() {
    let ids = |args: &[&str]| -> Vec<String> {
        let hits = search(&[&["red", "--format", "jsonl", "--top", "99"], args].concat()).json_lines();
        hits.iter().map(|hit| hit["id"].as_str().unwrap().to_string()).collect()
    };
    let all = ids(&[]);
    let red = ids(&["--where", "name=red_*"]);
    assert_eq!(red, all.iter().filter(|id| id.starts_with("red_")).cloned().collect::<Vec<_>>());
    assert_eq!(red.len(), 4);
    assert_eq!(ids(&["--filter", "name=red_*"]), red, "the other name of it");
    // Paths are those below the dataset's folder.
    assert_eq!(ids(&["--where", "folder=images/** and width>=32"]).len(), 24);
    assert_eq!(ids(&["--where", "(name=red_?.png or name=blue_*) and not name=*_0.png and imgid>=0"]).len(), 6);
    let page = search(&["red", "--format", "jsonl", "--where", "name=red_*", "--exact", "-t", "2", "--offset", "1"]);
    let page: Vec<String> = page.json_lines().iter().map(|hit| hit["id"].as_str().unwrap().to_string()).collect();
    assert_eq!(page, red[1..3]);
    let texts = search(&["red", "--target", "text", "--where", "text='* red *' and image.name=red_1.png"]);
    assert!(texts.lines().len() == 1, "{}", texts.stdout);
    seen!(texts.stdout);
    // A field that no image has is reported; nothing equals it.
    let misspelt = gxn(["search", "red", "--index", text(index()), "--where", "widht>=32 or camera=x"]);
    assert_eq!((misspelt.code, misspelt.stdout.as_str()), (3, ""));
    let said = "note: no image of the index has camera, widht; the columns of your data are imgid, split; all images have id path folder name";
    assert!(misspelt.stderr.contains(said), "{}", misspelt.stderr);
    assert_eq!(search(&["red", "--where", "imgid=3"]).stderr, "");
    refused!(["search", "red", "--index", text(index()), "--where", "width>="]);
}

#[test]
fn lambda_weighs_the_levels() {
    let of = |lambda: &[&str]| -> HashMap<String, [f64; 3]> {
        let args = ["search", "a red patch", "--index", text(two_levels()), "--format", "jsonl", "--top", "99"];
        let hits = works([&args[..], lambda].concat()).json_lines();
        let part = |hit: &Value, level: &str| hit["parts"][level].as_f64().unwrap();
        let facts = |hit: &Value| [part(hit, "abstract"), part(hit, "grounded"), hit["score"].as_f64().unwrap()];
        hits.iter().map(|hit| (hit["id"].to_string(), facts(hit))).collect()
    };
    let (one, zero, third) = (of(&["--lambda", "1"]), of(&["--lambda", "0"]), of(&["--lambda", "0.3"]));
    assert_eq!(third.len(), 24);
    for (id, [h, l, score]) in &third {
        let ([h1, l1, _], [h0, l0, _]) = (one[id], zero[id]);
        assert!(l1.abs() < 1e-9 && h0.abs() < 1e-9, "{id}: {l1} {h0}");
        assert!((h - 0.3 * h1).abs() < 1e-5 && (l - 0.7 * l0).abs() < 1e-5, "{id}");
        assert!((score - 0.3 * h1 - 0.7 * l0).abs() < 1e-5, "{id}");
    }
    assert_eq!(of(&["--exact"]), of(&[]), "so few are read in any case");
    refused!(["search", "red", "--index", text(two_levels()), "--lambda", "1.5"]);
}

/// A word that is also a folder's name.
#[test]
fn a_folder_taken_for_a_word_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let photos = indexed_photos(folder.path());
    let ran = gxn_in(folder.path(), ["search", "red", "photos", "-f"]);
    assert_eq!((ran.code, ran.lines().len()), (0, 10));
    seen!(ran.stderr);
    for quiet in [["search", "a red patch", "photos"], ["search", "red", "./photos"], ["search", "red", text(&photos)]]
    {
        assert!(!gxn_in(folder.path(), quiet).stderr.contains("note: searching"), "{quiet:?}");
    }
    let index = photos.join(".gxn");
    let words = gxn_in(folder.path(), ["search", "red", "photos", "--index", text(&index)]);
    assert_eq!(words.stderr, "note: the model has never seen: photos\n", "the index is named already");
}
