//! `gxn score-captions`: the coco-caption files in and out, and what it says about bad ones.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::fixture::{gxn, text, works};
use crate::snapshots::{refusal, refused, seen};

const SCORES: [&str; 6] = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"];
const PACKAGE: [&str; 6] = ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr"];

fn write(folder: &Path, name: &str, value: &Value) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, value.to_string()).unwrap();
    path
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Three images of two captions each as COCO lists them.
fn coco(folder: &Path) -> PathBuf {
    let texts = [
        (1, ["A black dog runs on the grass.", "The dog is running through a field."]),
        (2, ["Two men play chess in a park.", "Two people are at a chess board."]),
        (3, ["A child eats an apple.", "The little girl bites into a red apple."]),
    ];
    let annotations: Vec<Value> = (texts.iter())
        .flat_map(|(id, captions)| captions.map(|caption| json!({"image_id": id, "caption": caption})))
        .collect();
    let images: Vec<Value> = texts.iter().map(|(id, _)| json!({"id": id, "file_name": format!("{id}.jpg")})).collect();
    write(folder, "captions.json", &json!({"images": images, "annotations": annotations}))
}

fn result(id: impl Into<Value>, caption: &str) -> Value {
    json!({"image_id": id.into(), "caption": caption})
}

/// What the package (pycocoevalcap 1.2) makes of the files below, as `reference/caption_metrics.py --files` prints it.
const PACKAGE_SCORES: [f64; 6] = [
    0.8367150732218224,
    0.7289169416024076,
    0.5987975017397262,
    0.39301952001800927,
    0.6232528779620905,
    2.7456325993767607,
];

#[test]
fn scores_equal_the_packages_and_are_written_as_it_writes_them() {
    let folder = tempfile::tempdir().unwrap();
    let references = coco(folder.path());
    let list = [
        result(1, "a black dog is running"),
        result("2", "two men at a chess board"),
        result(3, "a girl eats a red apple"),
    ];
    let results = write(folder.path(), "captions_val_toy_results.json", &json!(list));
    let out = folder.path().join("scores");
    let ran = works([
        "score-captions",
        text(&results),
        "--references",
        text(&references),
        "--output",
        text(&out),
        "--format",
        "json",
    ]);
    let found = ran.json();
    for (key, expected) in SCORES.iter().zip(PACKAGE_SCORES) {
        let score = found[*key].as_f64().unwrap();
        assert!((score - expected).abs() < 1e-9, "{key} {score} {expected}");
    }
    assert_eq!((&found["n_images"], &found["n_references"]), (&json!(3), &json!(6)));
    assert_eq!((&found["missing"], &found["notes"]), (&json!([]), &json!([])));
    assert!(found["tokenise_s"].is_f64() && found["score_s"].is_f64() && found.get("cider_d").is_none());

    let (scores, images) = (out.join("captions_val_toy_eval.json"), out.join("captions_val_toy_evalImgs.json"));
    assert_eq!(ran.stderr.lines().filter(|line| line.starts_with("wrote ")).count(), 2);
    let written = read(&scores);
    assert_eq!(written.as_object().unwrap().keys().collect::<Vec<_>>(), PACKAGE);
    for (ours, theirs) in SCORES.iter().zip(PACKAGE) {
        assert_eq!(written[theirs], found[*ours]);
    }
    let images = read(&images);
    assert_eq!(images.as_array().unwrap().len(), 3);
    assert_eq!((&images[0]["image_id"], &images[1]["image_id"]), (&json!(1), &json!("2")));
    let mean = images.as_array().unwrap().iter().map(|image| image["CIDEr"].as_f64().unwrap()).sum::<f64>() / 3.0;
    assert!((mean - found["cider"].as_f64().unwrap()).abs() < 1e-12);
}

/// The table for people; a corpus adds one score and changes no other; what is not scored is counted and named.
#[test]
fn a_corpus_adds_cider_d_and_missing_captions_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let references = coco(folder.path());
    let results = write(folder.path(), "mine.json", &json!([result(1, "a dog"), result(3, "...")]));
    let corpus = write(
        folder.path(),
        "karpathy.json",
        &json!({"images": [
            {"filename": "a", "split": "train", "sentences": [{"raw": "A dog."}, {"raw": "A black dog"}]},
            {"filename": "b", "split": "restval", "sentences": [{"raw": "A cat."}]},
            {"filename": "c", "split": "test", "sentences": [{"raw": "A horse."}]}
        ]}),
    );
    let args = ["score-captions", text(&results), "--references", text(&references)];
    let plain = works(args);
    assert!(plain.stdout.starts_with("2 captions against 4 references\nbleu_1 "), "{}", plain.stdout);
    assert!(!plain.stdout.contains("cider_d"));
    for note in [
        "note: no caption for 1 image with references: 2\n",
        "note: 1 caption without a word, score 0: 3\n",
        "tokens in ",
    ] {
        assert!(plain.stderr.contains(note), "{note:?} not in {}", plain.stderr);
    }
    let with = works(args.into_iter().chain(["--df", text(&corpus)]));
    assert!(with.stdout.starts_with(&plain.stdout), "{}", with.stdout);
    let last = with.lines().last().unwrap().to_owned();
    assert!(last.starts_with("cider_d ") && last.ends_with("frequencies of 2 images of the corpus"), "{last}");
}

/// Too few images for document frequencies: said with what to do; what is no text is counted.
#[test]
fn cider_of_few_images_is_noted_and_references_without_text_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let annotations =
        json!([{"image_id": 1, "caption": "A dog."}, {"image_id": 1, "caption": null}, {"image_id": 1, "caption": 7}]);
    let references = json!({"images": [{"id": 1}], "annotations": annotations});
    let references = write(folder.path(), "captions.json", &references);
    let results = write(folder.path(), "r.json", &json!([result(1, "a dog")]));
    let ran = works(["score-captions", text(&results), "--references", text(&references)]);
    let notes: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("note: ")).collect();
    seen!(notes.join("\n"));
    let corpus = ["--df", text(&references)];
    let with = works(["score-captions", text(&results), "--references", text(&references)].into_iter().chain(corpus));
    assert!(!with.stderr.contains("cider is 0"), "{}", with.stderr);
}

/// Karpathy's file as references: file names, `cocoid` or `imgid`; only the split in play is expected whole.
#[test]
fn karpathy_references_know_three_names_of_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let image = |number: usize, split: &str, caption: &str| {
        json!({"filename": format!("{number}.jpg"), "imgid": number, "cocoid": 100 + number, "split": split,
            "sentences": [{"raw": caption}]})
    };
    let images = [
        image(0, "train", "a dog"),
        image(1, "test", "a black cat"),
        image(2, "test", "two men"),
        image(3, "val", "x"),
    ];
    let references = write(folder.path(), "karpathy.json", &json!({"images": images}));
    let mut scores = Vec::new();
    for ids in [[json!(101), json!("102")], [json!("1.jpg"), json!("2.jpg")], [json!(1), json!(2)]] {
        let list: Vec<Value> = ids.into_iter().zip(["a cat", "two men"]).map(|(id, c)| result(id, c)).collect();
        let results = write(folder.path(), "r.json", &json!(list));
        let found =
            works(["score-captions", text(&results), "--references", text(&references), "--format", "json"]).json();
        assert_eq!((&found["n_images"], &found["missing"]), (&json!(2), &json!([])));
        scores.push(SCORES.map(|key| found[key].clone()));
    }
    assert_eq!(scores[0], scores[1]);
    assert_eq!(scores[0], scores[2]);
}

#[test]
fn bad_files_are_refused_with_what_is_wrong_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let references = coco(folder.path());
    let score = |list: &Value| {
        let results = write(folder.path(), "r.json", list);
        refused!(["score-captions", text(&results), "--references", text(&references)]);
    };
    score(&json!([]));
    score(&json!([result(1, "a"), result("1", "b")]));
    score(&json!([result(1, "a"), result("1.jpg", "b")]));
    score(&json!([{"image_id": true, "caption": "a"}]));
    score(&json!([{"image_id": 1}]));
    score(&read(&references));

    let results = write(folder.path(), "r.json", &json!([result(1, "a")]));
    let with = |references: &Path| {
        refused!(["score-captions", text(&results), "--references", text(references)]);
    };
    with(&results);
    with(&folder.path().join("none.json"));
    let bare = write(folder.path(), "bare.json", &json!({"images": [{"id": 1}], "annotations": []}));
    with(&bare);
    let instances = json!({"images": [{"id": 1}], "annotations": [{"image_id": 1, "category_id": 2}]});
    with(&write(folder.path(), "instances.json", &instances));
    let tested = json!({"images": [{"filename": "a", "split": "test", "sentences": [{"raw": "a"}]}]});
    let corpus = write(folder.path(), "tested.json", &tested);
    refused!(["score-captions", text(&results), "--references", text(&references), "--df", text(&corpus)]);
    std::fs::write(folder.path().join("latin.json"), b"[{\"image_id\": 1, \"caption\": \"caf\xe9\"}]").unwrap();
    let latin = folder.path().join("latin.json");
    let ran = gxn(["score-captions", text(&latin), "--references", text(&references)]);
    refusal!(&ran);
}

#[test]
fn the_help_says_what_is_not_computed() {
    let help = works(["score-captions", "--help"]).stdout;
    for part in ["BLEU-1 to 4", "METEOR is not computed", "--df", "evalImgs"] {
        assert!(help.split_whitespace().collect::<Vec<_>>().join(" ").contains(part), "{part:?} not in {help}");
    }
    let missing = gxn(["score-captions", "r.json"]);
    assert_eq!(missing.code, 2);
    seen!(missing.stderr);
}
