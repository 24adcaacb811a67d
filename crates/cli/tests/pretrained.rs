//! Pretrained encoders in the place of a model, and beside the GRUs of one. They are small, with random weights
//! (`reference/pretrained_golden.py`); their tokens are made here.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::fixture::{copy, data, gxn, paper, text, train_args, works};
use crate::snapshots::{refused, seen};

/// Letters that the small CLIP knows; other signs are unknown to it.
const LETTERS: &str = "abdeghilnoprst";

/// One of the small encoders of gxn-pretrained, in `folder`.
fn small(name: &str, folder: &Path) -> PathBuf {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pretrained/tests/golden").join(name);
    copy(&golden, &folder.join(name));
    folder.join(name)
}

/// A CLIP of images of 8×8 pixels and of texts of at most 12 tokens, each a letter.
fn small_clip(folder: &Path) -> PathBuf {
    let clip = small("clip", folder);
    let letters = LETTERS.chars().flat_map(|letter| [letter.to_string(), format!("{letter}</w>")]);
    let tokens = letters.chain(["<|startoftext|>".into(), "<|endoftext|>".into()]);
    let vocabulary: serde_json::Map<_, _> = tokens.zip(0..).map(|(token, id)| (token, json!(id))).collect();
    let write = |name: &str, content: String| std::fs::write(clip.join(name), content).unwrap();
    write("vocab.json", json!(vocabulary).to_string());
    write("merges.txt", "#version: 0.2\n".into());
    let [mean, std] = [[0.5; 3], [0.25; 3]];
    let settings = json!({"size": 8, "crop_size": 8, "do_resize": true, "do_center_crop": true, "do_normalize": true,
        "resample": 3, "image_mean": mean, "image_std": std});
    write("preprocessor_config.json", settings.to_string());
    clip
}

/// A sentence encoder of at most 12 tokens that knows some words of the tiny dataset.
fn small_bert(folder: &Path) -> PathBuf {
    let bert = small("bert", folder);
    let words = "[PAD] [UNK] [CLS] [SEP] [MASK] a the is at patch red green blue top bottom left right";
    let mut lines: Vec<String> = words.split(' ').map(str::to_owned).collect();
    lines.extend((lines.len()..30).map(|unused| format!("[unused{unused}]")));
    std::fs::write(bert.join("vocab.txt"), lines.join("\n") + "\n").unwrap();
    bert
}

#[test]
fn an_encoder_stands_for_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let clip = small_clip(folder.path());
    let checked = works(["encoder", "check", text(&clip)]);
    seen!(checked.stdout);
    let report = works(["evaluate", text(&clip), text(data()), "--split", "train", "--format", "json"]);
    assert!(report.stderr.contains("with more than 12 tokens: only these are read"), "{report:?}");
    assert!(report.json()["metrics"]["rsum"].as_f64().unwrap() > 0.0, "{report:?}");
    let strict = gxn(["evaluate", text(&clip), text(data()), "--split", "train", "--strict"]);
    assert!(strict.code == 1 && strict.stderr.contains("expected none in strict mode"), "{strict:?}");

    let photos = folder.path().join("photos");
    copy(&data().parent().unwrap().join("images"), &photos);
    works(["index", text(&photos), "--model", text(&clip)]);
    let hits = |query: &str| works(["search", query, text(&photos), "--format", "jsonl", "--top", "24"]).json_lines();
    assert_eq!(hits("a red dog").len(), 24);
    let like = photos.join("red_0.png");
    let found = hits(text(&like));
    assert!(found[0]["path"].as_str().unwrap().ends_with("red_0.png"), "{found:?}");
    assert_eq!(works(["index", text(&photos)]).stderr.matches("encoded").count(), 0, "nothing is new");

    // One template that adds nothing changes nothing; a run knows no templates.
    let rsum = |prompts: &[&str]| {
        let args = [&["evaluate", text(&clip), text(data()), "--split", "train", "--format", "json"], prompts].concat();
        works(args).json()["metrics"]["rsum"].as_f64().unwrap()
    };
    assert_eq!(rsum(&["--prompt", "{}"]), rsum(&[]));
    assert_ne!(rsum(&["--prompt", "a dog {}", "--prompt", "{} at the side"]), rsum(&[]));
    let best = |query: &[&str]| works([&["search", "-C", text(&photos), "-f"], query].concat()).stdout;
    assert_eq!(best(&["red", "--prompt", "a dog {}"]), best(&["a dog red"]));
    refused!(["search", "red", text(&photos), "--prompt", "a dog"]);

    let out = folder.path().join("out");
    works(["encode", text(&clip), text(data()), "--output", text(&out)]);
    let described: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("metadata.json")).unwrap()).unwrap();
    assert_eq!((&described["dim"], &described["levels"]), (&json!(10), &json!(1)));
    refused!(["caption", text(&clip), text(&like)]);
}

#[test]
fn encoders_that_cannot_do_it_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bert = small_bert(folder.path());
    seen!(works(["info", text(&bert)]).stdout);
    refused!(["evaluate", text(&bert), text(data())]);
    std::fs::remove_file(bert.join("model.safetensors")).unwrap();
    refused!(["encoder", "check", text(&bert)]);
}

#[test]
fn a_text_encoder_stands_beside_the_grus() {
    let folder = tempfile::tempdir().unwrap();
    let (bert, other) = (small_bert(folder.path()), small_bert(&folder.path().join("other")));
    let encoder = format!("look.sentence.encoder.path={}", text(&bert));
    let rsum = |name: &str, more: &[&str]| {
        let run = folder.path().join(name);
        works(train_args(folder.path(), name, &[&["--set", &encoder, "--seed", "3"], more].concat()));
        let report = works(["evaluate", text(&run), text(data()), "--split", "train", "--format", "json"]).json();
        report["metrics"]["rsum"].as_f64().unwrap()
    };
    let beside = rsum("beside", &[]);
    let alone = rsum("alone", &["--set", "look.sentence.encoder.alone=true"]);
    assert_ne!(beside, alone);
    let run = folder.path().join("beside");
    let metrics = || works(["evaluate", text(&run), text(data()), "--format", "json"]).json()["metrics"].clone();
    let before = metrics();

    // Stages on top go on with it.
    let speaking = ["--stage", "i2t_xe", "--init-from", text(&run), "--set", "imagine.caption.hidden=8"];
    works(train_args(folder.path(), "speaking", &[&speaking[..], &["--set", "imagine.caption.min_count=1"]].concat()));

    // Another encoder is refused, with both fingerprints; and so is none.
    let weights = bert.join("model.safetensors");
    let own = std::fs::read(&weights).unwrap();
    let mut changed = own.clone();
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, changed).unwrap();
    refused!(["evaluate", text(&run), text(data())]);
    std::fs::rename(&bert, folder.path().join("away")).unwrap();
    refused!(["evaluate", text(&run), text(data())]);
    std::fs::rename(other, &bert).unwrap();
    assert_eq!(metrics(), before);
}

/// Settings of a run that begins as its encoder scores.
const PRIOR: [&str; 4] =
    ["matching.prior=true", "matching.similarity=cosine", "matching.absolute=false", "matching.loss=info_nce"];

/// Settings under which the small CNN of the tiny configuration gives way to an encoder.
fn on_encoder(folder: &Path) -> Vec<String> {
    let pairs = [
        format!("look.encoder.path={}", text(folder)),
        "look.finetune=false".into(),
        "look.weights=''".into(),
        "look.side_px=0".into(),
    ];
    pairs.into_iter().flat_map(|pair| ["--set".to_owned(), pair]).collect()
}

fn trained_on(logs: &Path, name: &str, encoder: &Path, more: &[&str]) -> PathBuf {
    let pairs = on_encoder(encoder);
    let pairs: Vec<&str> = pairs.iter().map(String::as_str).chain(more.iter().copied()).collect();
    works(train_args(logs, name, &pairs));
    logs.join(name)
}

#[test]
fn an_image_encoder_stands_in_the_place_of_the_cnn() {
    let folder = tempfile::tempdir().unwrap();
    let (clip, other) = (small_clip(folder.path()), small_clip(&folder.path().join("other")));
    let run = trained_on(folder.path(), "images", &clip, &["--seed", "3"]);
    assert!(!run.join("best/backbone.safetensors").exists(), "the encoder stays where it is");
    let info = works(["info", text(&run), "--format", "json"]).json();
    assert_eq!((&info["image_encoder"]["width"], &info["backbone"]), (&json!(10), &serde_json::Value::Null));

    // Cached features are those that are computed: a copy outside the folder of runs has no cache.
    let copied = folder.path().join("copied");
    copy(&run.join("best"), &copied);
    let metrics =
        |model: &Path| works(["evaluate", text(model), text(data()), "--format", "json"]).json()["metrics"].clone();
    assert_eq!(metrics(&run), metrics(&copied));
    let photos = folder.path().join("photos");
    copy(&data().parent().unwrap().join("images"), &photos);
    works(["index", text(&photos), "--model", text(&run)]);
    let like = photos.join("red_0.png");
    let hits = works(["search", text(&like), text(&photos), "--format", "jsonl", "--top", "1"]).json_lines();
    assert!(hits[0]["path"].as_str().unwrap().ends_with("red_0.png"), "{hits:?}");

    // A finished run is resumed to its end, also with the configuration that it was given; later stages go on with it.
    works(["train", "--resume", text(&run)]);
    assert!(!Path::new("runs/features").exists(), "features lie beside the run");
    let speaking = ["--stage", "i2t_xe", "--init-from", text(&run), "--set", "imagine.caption.hidden=8"];
    works(train_args(
        folder.path(),
        "speaking",
        &[
            &speaking[..],
            &[
                "--set",
                "imagine.caption.min_count=1",
                "--set",
                "look.finetune=false",
                "--set",
                "look.weights=''",
                "--set",
                "look.side_px=0",
            ],
        ]
        .concat(),
    ));

    let before = metrics(&run);
    let weights = clip.join("model-00001-of-00002.safetensors");
    let mut changed = std::fs::read(&weights).unwrap();
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, changed).unwrap();
    refused!(["evaluate", text(&run), text(data())]);
    refused!(["train", "--resume", text(&run)]);
    std::fs::remove_dir_all(&clip).unwrap();
    refused!(["search", "red", text(&photos)]);
    std::fs::rename(other, &clip).unwrap();
    assert_eq!(metrics(&run), before);
    refused!(train_args(
        folder.path(),
        "bert",
        &[&on_encoder(&small_bert(folder.path())).iter().map(String::as_str).collect::<Vec<_>>()[..], &[]].concat()
    ));
}

/// The first line of the log is the encoder's own result; what the run keeps is no worse.
#[test]
fn a_run_begins_as_the_encoder_scores() {
    let folder = tempfile::tempdir().unwrap();
    let clip = small_clip(folder.path());
    let texts = format!("look.sentence.encoder.path={}", text(&clip));
    let mut more = vec!["--set", texts.as_str()];
    PRIOR.iter().for_each(|pair| more.extend(["--set", pair]));
    let run = trained_on(folder.path(), "prior", &clip, &more);
    let log = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    let rsum = |model: &Path| {
        works(["evaluate", text(model), text(data()), "--format", "json"]).json()["metrics"]["rsum"].as_f64().unwrap()
    };
    let own = rsum(&clip);
    assert!((first["val"]["rsum"].as_f64().unwrap() - own).abs() < 1e-6, "{first} {own}");
    assert!(rsum(&run) >= own);
    let cut = "with more than 12 tokens (look.sentence.encoder): only these are read";
    let ran = works(["evaluate", text(&run), text(data())]);
    assert!(ran.stderr.contains(cut), "{ran:?}");
    let ran = gxn(["evaluate", text(&run), text(data()), "--strict"]);
    assert!(ran.code == 1 && ran.stderr.contains("expected none in strict mode"), "{ran:?}");
    seen!(
        works(["info", text(&run)])
            .stdout
            .lines()
            .take_while(|line| !line.starts_with("card"))
            .collect::<Vec<_>>()
            .join("\n")
    );

    // The encoder's files are asked for by every command, and two encoders have no common scores.
    let bert = small_bert(folder.path());
    let texts = format!("look.sentence.encoder.path={}", text(&bert));
    let pairs = on_encoder(&clip);
    let mut args: Vec<&str> = pairs.iter().map(String::as_str).chain(["--set", &texts]).collect();
    PRIOR.iter().for_each(|pair| args.extend(["--set", pair]));
    refused!(train_args(folder.path(), "two", &args));
}

/// Embeddings that `gxn encode`, or any other program, wrote stand for the encoder, for what they are of.
#[test]
fn a_run_begins_as_embeddings_in_files_score() {
    let folder = tempfile::tempdir().unwrap();
    let clip = small_clip(folder.path());
    let files = folder.path().join("files");
    works(["encode", text(&clip), text(data()), "--output", text(&files)]);
    let texts = format!("look.sentence.encoder.path={}", text(&files));
    let mut more = vec!["--set", texts.as_str()];
    PRIOR.iter().for_each(|pair| more.extend(["--set", pair]));
    let run = trained_on(folder.path(), "files", &files, &more);
    let metrics = |model: &Path| works(["evaluate", text(model), text(data()), "--format", "json"]).json();
    let log = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(first["val"]["rsum"], metrics(&clip)["metrics"]["rsum"]);
    let report = metrics(&run);
    assert!(report["model"].as_str().is_some_and(|model| model.ends_with("on embeddings from files")), "{report}");
    works(["train", "--resume", text(&run)]);

    // There is no network for anything else.
    let photos = folder.path().join("photos");
    copy(&data().parent().unwrap().join("images"), &photos);
    refused!(["index", text(&photos), "--model", text(&run)]);
    let gan: Vec<&str> = more.iter().copied().chain(["--stage", "t2i_pretrain", "--init-from", text(&run)]).collect();
    refused!(train_args(
        folder.path(),
        "gan",
        &[&gan[..], &["--set", "look.finetune=false", "--set", "look.weights=''", "--set", "look.side_px=0"]].concat()
    ));
    let ids = files.join("image_ids.txt");
    let changed = std::fs::read_to_string(&ids).unwrap().replacen('0', "zero", 1);
    std::fs::write(&ids, changed).unwrap();
    let ran = gxn(["evaluate", text(&run), text(data())]);
    assert_eq!(ran.code, 1, "{ran:?}");
}

/// The tiny dataset's model reads 60 words.
#[test]
fn an_index_counts_captions_that_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    copy(&data().parent().unwrap().join("images"), &folder.path().join("images"));
    let table = folder.path().join("captions.csv");
    std::fs::write(&table, format!("image,caption\nimages/red_0.png,{}\nimages/red_1.png,red\n", "red ".repeat(61)))
        .unwrap();
    let args = ["index", text(&table), "--model", text(&paper().folder)];
    let ran = works([&args[..], &["--index", text(&folder.path().join("index"))]].concat());
    assert!(ran.stderr.contains("1 caption with more than 60 words (data.max_tokens): only these are read"), "{ran:?}");
    let ran = gxn([&args[..], &["--index", text(&folder.path().join("strict")), "--strict"]].concat());
    assert!(ran.code == 1 && ran.stderr.contains("expected none in strict mode"), "{ran:?}");
}

/// A checkpoint that holds its encoder needs nothing else; one folder on both sides is held once.
#[test]
fn a_checkpoint_holds_its_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let clip = small_clip(folder.path());
    let texts = format!("look.sentence.encoder.path={}", text(&clip));
    let more = ["--set", &texts, "--set", "look.embed_encoders=true", "--seed", "3"];
    let run = trained_on(folder.path(), "whole", &clip, &more);
    let metrics =
        |model: &Path| works(["evaluate", text(model), text(data()), "--format", "json"]).json()["metrics"].clone();
    let before = metrics(&run);
    std::fs::remove_dir_all(&clip).unwrap();
    let copied = folder.path().join("elsewhere");
    copy(&run.join("best"), &copied);
    works(["train", "--resume", text(&run)]);
    std::fs::rename(&run, folder.path().join("moved")).unwrap();
    assert_eq!(metrics(&copied), before);
    assert_eq!(metrics(&folder.path().join("moved")), before);
    let held: Vec<_> = std::fs::read_dir(copied.join("encoders")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(held, ["images"]);
    let shard = copied.join("encoders/images/model-00001-of-00002.safetensors");
    let mut changed = std::fs::read(&shard).unwrap();
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(&shard, changed).unwrap();
    refused!(["evaluate", text(&copied), text(data())]);
}
