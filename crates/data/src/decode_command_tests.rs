//! Commands that decode: limits, faults, the cache, and sources that are read through them.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::testing::png;
use crate::{Dataset, ImageSource, Kind, Remedy, SourceOptions, Undecoded, decode_image, load_image};

/// What a file of a telephone begins with.
const HEIC: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0";

/// A command that runs `script` with the paths of input and output as `$1` and `$2`.
fn command(folder: &TempDir, script: &str) -> DecodeCommand {
    let path = folder.path().join("decode it.sh");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    format!("'{}' {{in}} {{out}}", path.display()).parse().unwrap()
}

/// A command that writes `image` and counts its runs in `runs`.
fn counting(folder: &TempDir, image: &[u8]) -> DecodeCommand {
    fs::write(folder.path().join("image"), image).unwrap();
    let at = folder.path().display();
    command(folder, &format!("echo run >> '{at}/runs'; cp '{at}/image' \"$2.png\""))
}

#[test]
fn templates_are_checked() {
    for (text, part) in [
        ("", "found nothing"),
        ("convert '{in} {out}", "an open quote"),
        ("convert {in} x.png", "expected {out}"),
        ("convert x {out}.png", "expected {in}"),
        ("{in} {out}", "expected {in}"),
        ("no-such-program-anywhere {in} {out}.png", "no program \"no-such-program-anywhere\""),
    ] {
        let error = text.parse::<DecodeCommand>().unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert_eq!("cp {in} {out}.png".parse::<DecodeCommand>().unwrap().to_string(), "cp {in} {out}.png");
}

/// No shell reads the paths, and the result is the first of several pages.
#[test]
fn the_result_is_the_first_page() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("one"), png(3)).unwrap();
    let at = folder.path().display();
    let several =
        command(&folder, &format!("cp '{at}/one' \"$2-1.png\"; echo x > \"$2-10.png\"; echo x > \"$2-2.png\""));
    assert_eq!(several.run(HEIC, "a; rm -rf $HOME `x`.heic").unwrap(), png(3));
}

#[test]
fn faults_name_image_and_cause() {
    let folder = tempfile::tempdir().unwrap();
    for (script, parts) in [
        ("echo 'no such codec' >&2; exit 3", &["b.heic", "exit code: 3", "(no such codec)"][..]),
        ("exit 0", &["b.heic", "no file `{out}` with an ending"]),
        ("echo text > \"$2.png\"", &["a file that is no JPEG, PNG"]),
        ("head -c 1000000 /dev/zero >&2; exit 1", &["exit code: 1"]),
    ] {
        let error = command(&folder, script).run(HEIC, "b.heic").unwrap_err().to_string();
        parts.iter().for_each(|part| assert!(error.contains(part), "{script}: {error}"));
        assert!(error.len() < 1000, "{}", error.len());
    }
}

#[test]
fn results_are_kept_by_content_and_command() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let decode = counting(&folder, &png(4));
    for _ in 0..3 {
        assert_eq!(decode.run_cached(HEIC, "a.heic", Some(cache.path())).unwrap(), png(4));
    }
    let runs = || fs::read_to_string(folder.path().join("runs")).unwrap().lines().count();
    assert_eq!(runs(), 1);
    decode.run_cached(b"other bytes", "a.heic", Some(cache.path())).unwrap();
    assert_eq!(runs(), 2);
    let nowhere = folder.path().join("runs/below a file");
    assert_eq!(decode.run_cached(HEIC, "a.heic", Some(&nowhere)).unwrap(), png(4));
}

/// The content says what is a JPEG or a PNG, not the ending; other formats are counted, or decoded by the command.
#[test]
fn a_folder_with_images_of_other_formats() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join("data").join(name);
    fs::create_dir(folder.path().join("data")).unwrap();
    for (name, bytes) in
        [("a.heic", HEIC), ("b.HEIC", HEIC), ("c.avif", HEIC), ("d.heic", &png(1)), ("e.jfif", &png(2))]
    {
        fs::write(at(name), bytes).unwrap();
        fs::write(at(name).with_extension("txt"), format!("text of {name}")).unwrap();
    }
    let tiff = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/data/rgb.tif")).unwrap();
    fs::write(at("f.dng"), &tiff).unwrap();
    fs::write(at("f.txt"), "the preview of a raw image is no image").unwrap();
    let open = |options: &SourceOptions| Dataset::open(&folder.path().join("data"), options);
    let ids = |data: &Dataset| data.images.iter().map(|image| image.id.clone()).collect::<Vec<_>>();
    let data = open(&SourceOptions::default()).unwrap();
    assert_eq!(ids(&data), ["d.heic", "e.jfif"]);
    let dropped: Vec<_> = data.account.dropped.iter().map(|dropped| dropped.what.as_str()).collect();
    assert_eq!((dropped, data.account.undecoded), (vec!["1 .avif image", "1 .dng image", "2 .heic images"], 4));
    assert_eq!(data.account.unread, ["a.heic", "b.HEIC", "c.avif", "f.dng"], "an index must not delete them");

    let options = SourceOptions { decode_cmd: Some(counting(&folder, &png(9))), ..SourceOptions::default() };
    let data = open(&options).unwrap();
    assert_eq!(ids(&data), ["a.heic", "b.HEIC", "c.avif", "d.heic", "e.jfif", "f.dng"]);
    let width = |at: usize| load_image(&data.images[at].source, &Default::default()).unwrap().width();
    assert_eq!([0, 1, 2, 3, 4, 5].map(width), [10, 10, 10, 2, 3, 10]);
    assert!(data.images[3].source.to_string().ends_with("d.heic"));

    ["d.heic", "e.jfif"].iter().for_each(|name| fs::remove_file(at(name)).unwrap());
    let error = open(&SourceOptions::default()).unwrap_err();
    assert_eq!(error.remedy(), Some(&Remedy::GiveDecodeCommand), "{error}");
}

#[test]
fn a_decoder_names_what_it_does_not_decode() {
    let error = decode_image(HEIC, "photo.jpg", &Default::default()).unwrap_err();
    assert!(error.to_string().contains("photo.jpg: found a HEIC image"), "{error}");
    assert_eq!((error.kind(), error.remedy()), (Kind::Unsupported, Some(&Remedy::GiveDecodeCommand)));
}

#[test]
fn names_alone_never_refuse() {
    let mut undecoded = Undecoded::default();
    let absent = ImageSource::File("absent.heic".into());
    assert_eq!(undecoded.admit(absent.clone(), None), Some(absent), "reading it gives the reason");
    assert_eq!(undecoded.count(), 0);
}

#[test]
#[ignore = "takes a minute: the limit of time"]
fn a_command_that_hangs_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let error = command(&folder, "exec sleep 600").run(HEIC, "a.heic").unwrap_err().to_string();
    assert!(error.contains("none after 60 seconds"), "{error}");
}
