//! What computes: the flag, its environment variable and its configuration key.

use crate::fixture::{Ran, command, data, gxn, paper, text, works};
use crate::snapshots::{refused, seen};

/// The `train.device` that the program makes of arguments and `GXN_DEVICE`.
fn resolved(args: &[&str], environment: Option<&str>) -> String {
    let mut command = command([&["train", "--print-config"], args].concat());
    environment.map(|device| command.env("GXN_DEVICE", device));
    let printed = Ran::of(command.output().unwrap()).stdout;
    let line = printed.lines().find_map(|line| line.strip_prefix("device = ")).unwrap_or_else(|| panic!("{printed}"));
    line.trim_matches('"').to_owned()
}

#[test]
fn the_flag_goes_before_the_environment_and_that_before_the_key() {
    assert_eq!(resolved(&[], None), "cpu");
    assert_eq!(resolved(&[], Some("cuda:1")), "cuda:1");
    assert_eq!(resolved(&["--device", "wgpu"], Some("cuda:1")), "wgpu");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    std::fs::write(&file, "[train]\ndevice = \"vulkan:2\"\n").unwrap();
    assert_eq!(resolved(&[text(&file)], None), "vulkan:2");
    assert_eq!(resolved(&[text(&file)], Some("metal")), "metal");
    std::fs::write(&file, "[train]\ndevice = \"gpu\"\n").unwrap();
    refused!(["train", text(&file)]);
}

#[test]
fn a_word_that_is_no_device_is_wrong_usage() {
    let ran = gxn(["search", "red", "--device", "gpu"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    seen!(ran.stderr);
}

/// Every command that computes has the flag, and refuses a device that the build lacks before it does anything.
#[cfg(not(any(feature = "cuda", feature = "wgpu", feature = "vulkan", feature = "metal")))]
#[test]
fn a_device_that_is_not_built_in_is_refused_by_every_command() {
    let (model, folder) = (text(&paper().folder), tempfile::tempdir().unwrap());
    let (out, image) = (folder.path().join("out"), data().parent().unwrap().join("images/red_0.png"));
    let commands: [&[&str]; 9] = [
        &["train", "own", "--train-data", text(data())],
        &["train", "--resume", model],
        &["evaluate", model, text(data())],
        &["encode", model, text(data()), "-o", text(&out)],
        &["calibrate", model, text(data())],
        &["index", text(data()), "--model", model, "--index", text(&out)],
        &["caption", model, text(&image)],
        &["imagine", model, "a", "-o", text(&out)],
        &["explain", "a", text(&image), "--model", model],
    ];
    for args in commands {
        let ran = gxn([args, &["--device", "wgpu"]].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
        let expected = "the device wgpu: found a build without wgpu, expected one with the feature wgpu";
        assert!(ran.stderr.contains(expected) && ran.stderr.contains("--features wgpu"), "{args:?}: {}", ran.stderr);
        assert!(!out.exists(), "{args:?}");
    }
    refused!(["ablate", "flickr8k-ablation", "--set", "data.source=x", "--device", "cuda:3"]);
}

#[test]
fn the_cpu_can_be_named() {
    let environment = |args: &[&str]| Ran::of(command(args).env("GXN_DEVICE", "cpu").output().unwrap());
    let plain = works(["evaluate", text(&paper().folder), text(data()), "--split", "val"]);
    for named in [
        works(["evaluate", text(&paper().folder), text(data()), "--split", "val", "--device", "cpu"]),
        environment(&["evaluate", text(&paper().folder), text(data()), "--split", "val"]),
    ] {
        assert_eq!(named.stdout, plain.stdout);
    }
    // Commands that do not compute pass the variable over, also where they are parts of one that does.
    let listed = environment(&["config", "list"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    let help = environment(&["index", "info", "nowhere"]);
    assert!(help.code == 1 && help.stderr.contains("error: the index in nowhere"), "{help:?}");
}
