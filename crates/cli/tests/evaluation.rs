//! check → train → evaluate → compare → encode → external embeddings.

use serde_json::Value;

use crate::fixture::{cosine, data, gxn, other_seed, paper, patch, text, train_args, works};
use crate::snapshots::{refused, seen};

#[test]
fn a_good_data_set_passes_its_check() {
    let checked = works(["data", "check", text(data())]);
    for part in ["Karpathy", "train", "every pixel was decoded", "ready to train\n"] {
        assert!(checked.stdout.contains(part) != (part == "every pixel was decoded"), "{part}: {}", checked.stdout);
    }
    let full = works(["data", "check", text(data()), "--full", "--format", "json"]).json();
    let images: u64 = full["splits"].as_array().unwrap().iter().map(|split| split["images"].as_u64().unwrap()).sum();
    assert_eq!((images, full["fatal"].as_array().unwrap().len()), (24, 0));
    assert_eq!(full["decoded_pixels"], true);
}

#[test]
fn samples_and_conversions_can_be_read_back() {
    let samples = works(["data", "init"]).stdout;
    for format in ["jsonl", "captions.csv", "sentences", "two-folders", ".tar"] {
        assert!(samples.contains(format), "{format}");
    }
    let folder = tempfile::tempdir().unwrap();
    let hash = |source: &str| {
        let report = works(["data", "check", source, "--format", "json"]).json();
        (report["splits"].clone(), report["captions_per_image"].clone())
    };
    let before = hash(text(data()));
    for format in ["jsonl", "karpathy", "csv", "wds"] {
        let out = folder.path().join(format);
        let written = works(["data", "convert", text(data()), text(&out), "--to", format, "--copy-images"]);
        assert_eq!(hash(written.stdout.trim()), before, "{format}");
        refused!(["data", "convert", text(data()), text(&out), "--to", format, "--copy-images"]);
    }
}

#[test]
fn training_prints_the_best_checkpoint_and_nothing_else() {
    let run = paper();
    assert_eq!(run.trained.stdout, format!("{}\n", run.folder.join("best").display()));
    let stderr = &run.trained.stderr;
    assert!(stderr.starts_with("gxn 0."), "the first line says what computes: {stderr}");
    seen!(stderr);
}

#[test]
fn the_json_of_an_evaluation_has_the_documented_keys() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.json");
    let model = text(&paper().folder);
    let ran = works(["evaluate", model, text(data()), "--split", "test", "--format", "json", "-o", text(&file)]);
    let report = ran.json();
    for key in ["dataset", "split", "protocol", "model", "metrics", "ci95", "n_images", "n_captions", "positives_rule"]
    {
        assert!(!report[key].is_null(), "{key}");
    }
    for key in ["tie_rule", "seed", "data_sha", "created"] {
        assert!(!report[key].is_null(), "{key}");
    }
    let number = |key: &str| report["metrics"][key].as_f64().unwrap_or_else(|| panic!("{key}"));
    let recalls = ["i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10"].map(number);
    assert!(recalls.iter().all(|recall| (0.0..=100.0).contains(recall)), "{recalls:?}");
    // Four images: the fifth place is never needed, which is 100 in percent and 1 as a share.
    assert_eq!(number("t2i_r5"), 100.0);
    assert!((number("rsum") - recalls.iter().sum::<f64>()).abs() < 1e-9);
    assert!(number("i2t_medr") >= 1.0 && number("t2i_meanr") >= 1.0);
    assert_eq!(number("image_retrieval_recall@1"), number("t2i_r1"));
    let count = |value: &Value| value.as_array().unwrap().len();
    let (images, captions) =
        (report["n_images"].as_u64().unwrap() as usize, report["n_captions"].as_u64().unwrap() as usize);
    assert_eq!((count(&report["ranks"]["i2t"]), count(&report["ranks"]["t2i"])), (images, captions));
    assert_eq!(captions, 2 * images);
    assert_eq!(serde_json::from_str::<Value>(&std::fs::read_to_string(&file).unwrap()).unwrap(), report);
    seen!(ran.stderr);

    let table = works(["evaluate", model, text(data()), "--split", "test"]).stdout;
    seen!(table);
    refused!(["evaluate", model, text(data()), "--protocol", "flickr8k1k"]);
    refused!(["evaluate", text(&cosine().folder), text(data()), "--lambda", "0.5"]);
}

/// Rules other than the default are stated, refused where they cannot apply, and not compared with others.
#[test]
fn what_counts_as_right_is_chosen_and_stated() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let model = text(&cosine().folder);
    let evaluate = |options: &[&str]| {
        let args = ["evaluate", model, text(data()), "--split", "val", "--format", "json"];
        works(args.into_iter().chain(options.iter().copied())).json()
    };
    let (own, page) = (file("own.json"), file("own.html"));
    let strict = evaluate(&["-o", text(&own), "--html", text(&page)]);
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("<svg") && html.contains("mean recall (mR)") && !html.contains("<script"), "{html}");

    let kind = file("best.json");
    let best = evaluate(&["--ties", "best", "-o", text(&kind)]);
    assert!(best["tie_rule"].as_str().unwrap().starts_with("optimistic"), "{best}");
    assert!(best["metrics"]["rsum"].as_f64() >= strict["metrics"]["rsum"].as_f64());
    refused!(["compare", text(&own), text(&kind)]);

    let verbatim = evaluate(&["--relevance", "verbatim"]);
    assert!(verbatim["positives_rule"].as_str().unwrap().contains("verbatim"), "{verbatim}");

    // Every caption is right for every image: all are found first.
    let encoded = file("encoded");
    works(["encode", model, text(data()), "--split", "val", "-o", text(&encoded)]);
    let ids = serde_json::from_str::<Value>(&std::fs::read_to_string(encoded.join("metadata.json")).unwrap()).unwrap();
    let list =
        |key: &str| ids[key].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let (images, captions) = (list("image_ids"), list("caption_ids"));
    let pairs: String = images.iter().flat_map(|i| captions.iter().map(move |c| format!("{i}\t{c}\n"))).collect();
    let relevance = file("relevance.tsv");
    std::fs::write(&relevance, pairs).unwrap();
    let judged = evaluate(&["--relevance", text(&relevance)]);
    assert_eq!(judged["metrics"]["rsum"], 600.0);
    std::fs::write(&relevance, "no such image\t0\n").unwrap();
    refused!(["evaluate", model, text(data()), "--split", "val", "--relevance", text(&relevance)]);
    refused!(["evaluate", model, text(data()), "--split", "val", "--relevance", text(&file("none.tsv"))]);

    // An image without a caption: a distractor, unless it is dropped.
    let npy = |name: &str| encoded.join(name).display().to_string();
    let owner = images[images.len() - 1].as_str();
    let owners = vec![owner; captions.len()].join("\n");
    std::fs::write(encoded.join("owners.txt"), owners).unwrap();
    let external = |option: Option<&str>| {
        let (images, captions, ids, owners) =
            (npy("img_emb.npy"), npy("text_emb.npy"), npy("image_ids.txt"), npy("owners.txt"));
        let args = ["--image-embeddings", &images, "--caption-embeddings", &captions, "--image-ids", &ids];
        let more = ["--caption-image-ids", &owners, "--format", "json"];
        works(["evaluate"].into_iter().chain(args).chain(more).chain(option)).json()
    };
    let (kept, dropped) = (external(None), external(Some("--drop-unpaired")));
    let count = |report: &Value, key: &str| report[key].as_array().unwrap().len();
    assert_eq!((count(&kept, "distractors"), count(&kept, "left_out")), (images.len() - 1, 0));
    assert_eq!((count(&dropped, "distractors"), count(&dropped, "left_out")), (0, images.len() - 1));
    assert_eq!(dropped["metrics"]["t2i_r1"], 100.0);
    let mean_rank = |report: &Value| report["metrics"]["t2i_meanr"].as_f64().unwrap();
    assert!(mean_rank(&kept) > mean_rank(&dropped), "{} and {}", mean_rank(&kept), mean_rank(&dropped));
    let (images, captions) = (npy("img_emb.npy"), npy("text_emb.npy"));
    refused!(["evaluate", "--image-embeddings", &images, "--caption-embeddings", &captions, "--relevance", "verbatim"]);
}

#[test]
fn two_results_are_compared_query_by_query() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["a.json", "b.json"].map(|name| folder.path().join(name));
    for (run, file) in [cosine(), other_seed()].into_iter().zip(&files) {
        works(["evaluate", text(&run.folder), text(data()), "--split", "val", "-o", text(file)]);
    }
    let [a, b] = files.each_ref().map(|file| text(file));
    let table = works(["compare", a, b]).stdout;
    seen!(table);
    let json = works(["compare", a, b, "--format", "json"]).json();
    let rows = json["metrics"].as_array().unwrap();
    let rsum = rows.iter().find(|row| row["metric"] == "rsum").unwrap();
    let difference = rsum["differences"][0]["difference"].as_f64().unwrap();
    let [first, second] = [0, 1].map(|at| rsum["values"][at].as_f64().unwrap());
    assert!((difference - (second - first)).abs() < 1e-9, "{rsum}");
    // Both runs as one setting, against the first: half of the difference, the other way.
    let both = works(["compare", &format!("{a},{b}"), a, "--format", "json"]).json();
    let rows = both["metrics"].as_array().unwrap();
    let grouped = rows.iter().find(|row| row["metric"] == "rsum").unwrap();
    assert!((grouped["differences"][0]["difference"].as_f64().unwrap() + difference / 2.0).abs() < 1e-9, "{grouped}");
    let same = works(["compare", a, a, "--format", "json"]).json();
    assert!(same["metrics"].as_array().unwrap().iter().all(|row| row["differences"][0]["difference"] == 0.0));

    let test = folder.path().join("test.json");
    works(["evaluate", text(&cosine().folder), text(data()), "--split", "test", "-o", text(&test)]);
    refused!(["compare", a, text(&test)]);
    refused!(["compare", a, text(data())]);
}

/// A cosine model with one level is all in its embeddings: scored as external ones they give the model's own numbers.
#[test]
fn encoded_embeddings_give_the_models_own_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("encoded");
    let model = text(&cosine().folder);
    let encoded = works(["encode", model, text(data()), "-o", text(&out)]);
    assert_eq!(encoded.stdout.trim(), text(&out));
    let split = folder.path().join("val");
    works(["encode", model, text(data()), "--split", "val", "-o", text(&split)]);
    let file = |name: &str| split.join(name).display().to_string();
    let external = works([
        "evaluate",
        "--image-embeddings",
        &file("img_emb.npy"),
        "--caption-embeddings",
        &file("text_emb.npy"),
        "--image-ids",
        &file("image_ids.txt"),
        "--caption-image-ids",
        &file("caption_image_ids.txt"),
        "--similarity",
        "cosine",
        "--format",
        "json",
    ])
    .json();
    let own = works(["evaluate", model, text(data()), "--split", "val", "--format", "json"]).json();
    for key in ["metrics", "ranks", "n_images", "n_captions", "image_ids", "ci95"] {
        assert_eq!(external[key], own[key], "{key}");
    }
    // Without ids: equal numbers of captions in order, which is what the dataset has.
    let in_order = gxn([
        "evaluate",
        "--image-embeddings",
        &file("img_emb.npy"),
        "--caption-embeddings",
        &file("text_emb.npy"),
        "--format",
        "json",
    ]);
    assert_eq!(in_order.json()["ranks"], own["ranks"]);
    seen!(in_order.stderr);
    refused!(["encode", model, text(data()), "-o", text(&out)]);
    let metadata: Value = serde_json::from_slice(&std::fs::read(out.join("metadata.json")).unwrap()).unwrap();
    assert_eq!((metadata["dim"].as_u64(), metadata["levels"].as_u64()), (Some(16), Some(1)));
    assert_eq!(std::fs::metadata(out.join("img_emb.npy")).unwrap().len() % 64, (24 * 16 * 4) % 64);
}

#[test]
fn a_model_is_evaluated_on_the_split_it_was_trained_with() {
    let folder = tempfile::tempdir().unwrap();
    let rule = "hash:0.6/0.2/0.2";
    works(train_args(folder.path(), "split", &["--split-by", rule]));
    let run = folder.path().join("split");
    let ids = |more: &[&str]| {
        let report =
            works([&["evaluate", text(&run), text(data()), "--split", "test", "--format", "json"], more].concat());
        report.json()["image_ids"].clone()
    };
    let as_trained = ids(&[]);
    assert_eq!(as_trained, ids(&["--split-by", rule]));
    assert_ne!(as_trained, ids(&["--split-by", "test"]));
    // Other data keep the splits that they give.
    let other = folder.path().join("other.jsonl");
    let line = |(at, name): (usize, &str)| {
        patch([90, 10, 10 + at as u8], at).save(folder.path().join(name)).unwrap();
        format!("{{\"image\": \"{name}\", \"captions\": [\"red {at}\"], \"split\": \"test\"}}\n")
    };
    std::fs::write(&other, ["a.png", "b.png", "c.png"].into_iter().enumerate().map(line).collect::<String>()).unwrap();
    let report = works(["evaluate", text(&run), text(&other), "--split", "test", "--format", "json"]).json();
    assert_eq!(report["image_ids"], serde_json::json!(["a.png", "b.png", "c.png"]));
}

#[test]
fn scores_are_compared_with_judgements_of_people() {
    let folder = tempfile::tempdir().unwrap();
    let data_set: Value = serde_json::from_str(&std::fs::read_to_string(data()).unwrap()).unwrap();
    let of_split = |split: &str| -> Vec<&str> {
        let images = data_set["images"].as_array().unwrap().iter().filter(|image| image["split"] == split);
        images.map(|image| image["filename"].as_str().unwrap()).collect()
    };
    let (test, train) = (of_split("test"), of_split("train"));
    let agreement = |name: &str, value: &dyn Fn(usize) -> usize| {
        let pairs = test.iter().flat_map(|image| test.iter().map(move |of| (image, of)));
        let mut lines: String = pairs
            .enumerate()
            .map(|(at, (image, of))| format!("{image}\t{of}#1\t{}\t{}\n", value(at), at % 2))
            .collect();
        lines += &format!("{}\t{}#0\t1\t1\nno-such.png\t{}#0\t1\t1\n", train[0], test[0], test[0]);
        let (file, out) = (folder.path().join(name), folder.path().join(format!("{name}.json")));
        std::fs::write(&file, lines).unwrap();
        let args = ["evaluate", text(&paper().folder), text(data()), "--judgements", text(&file), "-o", text(&out)];
        let ran = works(args);
        assert!(ran.stdout.contains("over 12 pairs of 18 with 24 judgements\n"), "{}", ran.stdout);
        serde_json::from_str::<Value>(&std::fs::read_to_string(out).unwrap()).unwrap()
    };
    let plain = agreement("plain", &|at| at % 4);
    let left_out = serde_json::json!({
        "the caption is the image's own": 4, "the image is in the split train": 1, "the image is not in the data": 1
    });
    assert_eq!(
        (&plain["left_out"], &plain["kind"], &plain["judged_pairs"]),
        (&left_out, &"ratings".into(), &18.into())
    );
    let tau = |report: &Value| report["tau_b"].as_f64().unwrap();
    assert!((-1.0..=1.0).contains(&tau(&plain)));
    refused!(["evaluate", text(&paper().folder), text(data()), "--judgements", "no-such-file"]);
}

#[test]
fn strict_training_refuses_captions_that_are_cut() {
    let logs = tempfile::tempdir().unwrap();
    let cut = ["--dry-run", "--set", "data.max_tokens=3"];
    assert!(
        works(train_args(logs.path(), "cut", &cut))
            .stderr
            .contains("with more than 3 words (data.max_tokens): only these are read")
    );
    let ran = gxn(train_args(logs.path(), "cut", &[&cut[..], &["--strict"]].concat()));
    assert!(
        ran.code == 1 && ran.stderr.contains("with more than 3 words (data.max_tokens), expected none in strict mode"),
        "{ran:?}"
    );
}

/// Twice the same model is that model; with another one, the mean of the scores ranks otherwise.
#[test]
fn several_models_are_an_ensemble() {
    let evaluate = |model: &str| works(["evaluate", model, text(data()), "--format", "json"]).json();
    let (one, other) = (text(&cosine().folder), text(&other_seed().folder));
    let [alone, twice, mixed] =
        [one.to_owned(), format!("{one},{one}"), format!("{one},{other}")].map(|m| evaluate(&m));
    assert_eq!((&twice["metrics"], &twice["ranks"]), (&alone["metrics"], &alone["ranks"]));
    assert_eq!(mixed["model"], format!("the mean score of {one},{other}"));
    assert_ne!(mixed["ranks"], alone["ranks"]);
    // Order similarity and cosine have no mean, and captions are one model's.
    refused!(["evaluate", &format!("{one},{}", text(&paper().folder)), text(data())]);
    refused!(["evaluate", &format!("{one},{other}"), text(data()), "--rerank", "3"]);
}

/// The split train shows the hubs; the report says so, and other models' corrected scores have a mean, too.
#[test]
fn hubs_are_corrected_by_the_train_split() {
    let one = text(&cosine().folder);
    let evaluate =
        |model: &str, more: &[&str]| works([&["evaluate", model, text(data()), "--format", "json"], more].concat());
    let (plain, corrected) = (evaluate(one, &[]).json(), evaluate(one, &["--correct-hubs"]).json());
    assert_eq!(plain.get("hubness_bank"), None);
    let bank = &corrected["hubness_bank"];
    assert!(bank["images"].as_u64() >= Some(10) && bank["captions"].as_u64() >= bank["images"].as_u64(), "{bank}");
    let shown = works(["evaluate", one, text(data()), "--correct-hubs"]).stdout;
    assert!(
        shown.contains(&format!("hubs corrected: by {} images and {} captions", bank["images"], bank["captions"])),
        "{shown}"
    );
    let twice = evaluate(&format!("{one},{one}"), &["--correct-hubs"]).json();
    assert_eq!((&twice["metrics"], bank), (&corrected["metrics"], &twice["hubness_bank"]));
    // Its own pairs would be in the bank; embeddings from elsewhere have no bank.
    refused!(["evaluate", one, text(data()), "--correct-hubs", "--split", "train"]);
}

/// Encoding may take hours: what cannot be measured or written is refused before.
#[test]
fn nothing_is_encoded_for_what_cannot_be_measured_or_written() {
    let folder = tempfile::tempdir().unwrap();
    let (one, here) = (text(&cosine().folder), text(folder.path()));
    let file = folder.path().join("a.json");
    std::fs::write(&file, "{}").unwrap();
    let (file, absent) = (text(&file), format!("{here}/absent/a.json"));
    for (more, named) in [
        (&["-o", here][..], "the name of a file to write"),
        (&["--html", &absent], "the folder of"),
        (&["-o", file, "--html", file], "give each its own"),
        (&["--captions", file], "expected a folder to write into"),
        (&["--relevance", &absent], "expected own, verbatim or a file of pairs"),
        (&["--protocol", "coco5k"], "5000"),
        (&["--imagine", here], "no image generator"),
        (&["--judgements", file, "-o", here], "the name of a file to write"),
    ] {
        let ran = gxn([&["evaluate", one, text(data())], more].concat());
        assert!(ran.code == 1 && ran.stderr.contains(named) && !ran.stderr.contains("encoded"), "{more:?}: {ran:?}");
    }
    for (models, more, named) in [
        (format!("{one},nowhere"), &[][..], "found nothing at \"nowhere\""),
        (format!("{one},"), &[], "found nothing at \"\""),
        (format!("{one},{one}"), &["--judgements", file], "needs one model"),
    ] {
        let ran = gxn([&["evaluate", &models, text(data())], more].concat());
        assert!(ran.code == 1 && ran.stderr.contains(named) && !ran.stderr.contains("encoded"), "{models}: {ran:?}");
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), "{}");
}
