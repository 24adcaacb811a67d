//! Faults of archives: each is named with its cause, and nothing is paired wrongly.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use crate::testing::png;
use crate::{Dataset, SourceOptions};

/// A tar of `members`; names that end like an image get an image of the shade in their text.
fn tar_of(members: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in members {
        let is_image = [".png", ".jpg", ".webp", ".jpeg"].iter().any(|end| name.ends_with(end));
        let bytes = if is_image { png(text.parse().unwrap_or(0)) } else { text.as_bytes().to_vec() };
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

fn folder_of(shards: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    shards.iter().for_each(|(name, bytes)| fs::write(folder.path().join(name), bytes).unwrap());
    folder
}

/// `id: captions` of every image, and everything dropped.
fn read(folder: &TempDir) -> (Vec<String>, Vec<String>, Vec<String>) {
    let data = Dataset::open(folder.path(), &SourceOptions::default()).unwrap();
    let texts =
        |at| data.captions[data.captions_of(at)].iter().map(|c| c.text.as_str()).collect::<Vec<_>>().join(" | ");
    let pairs = (0..data.images.len()).map(|at| format!("{}: {}", data.images[at].id, texts(at))).collect();
    let name = |what: &str| what.rsplit('/').next().unwrap_or_default().to_owned();
    let dropped = data.account.dropped.iter().map(|d| format!("{}: {}", name(&d.what), d.reason)).collect();
    (pairs, dropped, data.account.unread)
}

const SOUND: [(&str, &str); 2] = [("z.png", "9"), ("z.txt", "sound")];

#[test]
fn members_that_cannot_be_paired() {
    for (members, dropped) in [
        (
            &[("a.png", "1"), ("a.txt", "the first"), ("a.png", "2")][..],
            "s.tar!a: its member .png stands in the archive twice, and which one belongs to the others cannot be known",
        ),
        (
            &[("a.png", "1"), ("a.txt", "one"), ("b.png", "3"), ("b.txt", "b"), ("a.png", "2"), ("a.txt", "two")],
            "s.tar!a: its member .png stands in the archive twice",
        ),
        (&[("a.png", "1"), ("a.txt", "one"), ("a.txt", "two")], "s.tar!a: its member .txt stands in the archive twice"),
        (&[("a.jpg", "1"), ("a.png", "2"), ("a.txt", "one")], "s.tar!a: several images (jpg, png), and which one"),
        (
            &[("a.png", "1"), ("b.txt", "b"), ("a.txt", "a")],
            "s.tar!a: its members lie apart in the archive: make it again with sorted names (tar --sort=name)",
        ),
        (
            &[("my.photo.png", "1"), ("my.photo.txt", "one")],
            "s.tar!my: no image: a sample's name ends at its first dot, so this one has a member `photo.png`",
        ),
    ] {
        let folder = folder_of(&[("s.tar", tar_of(&[members, &SOUND].concat()))]);
        let (pairs, left, unread) = read(&folder);
        assert_eq!(
            (pairs.iter().filter(|pair| *pair != "b: b").count(), unread.len()),
            (1, 0),
            "{pairs:?} {members:?}"
        );
        assert!(pairs.contains(&"z: sound".to_owned()));
        assert!(left[0].starts_with(dropped), "{left:?}");
    }
}

/// The usual file of `tar` in the order of a folder: nothing is paired across, and each sample is named once.
#[test]
fn an_unsorted_archive() {
    let folder = folder_of(&[(
        "s.tar",
        tar_of(&[
            ("0.png", "0"),
            ("1.png", "1"),
            ("0.txt", "zero"),
            ("1.txt", "one"),
            ("z.png", "9"),
            ("z.txt", "sound"),
        ]),
    )]);
    let (pairs, left, _) = read(&folder);
    assert_eq!(pairs, ["z: sound"]);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().all(|line| line.contains("lie apart in the archive")), "{left:?}");
}

#[test]
fn shards_that_are_not_whole() {
    let sound = tar_of(&[("a.png", "1"), ("a.txt", "a"), ("b.png", "2"), ("b.txt", "b")]);
    let end_of_members = sound.len() - 1024;
    for (bytes, cause, count) in [
        (Vec::new(), "an empty file: copy or download it again", 0),
        (tar_of(&[]), "an archive without samples", 0),
        (sound[..end_of_members].to_vec(), "it has no end mark and was probably cut", 2),
        (sound[..end_of_members - 300].to_vec(), "it breaks off", 2),
        (
            sound[..end_of_members - 512].to_vec(),
            "it breaks off: copy or download it again; what comes before is read",
            1,
        ),
        (sound[..700].to_vec(), "it breaks off", 0),
        ([&sound[..1024], &[7; 600]].concat(), "damaged (", 0),
        ([&sound[..], &sound[..]].concat(), "data after its end mark", 2),
        (b"<html>404</html>".repeat(60), "damaged (", 0),
    ] {
        let folder = folder_of(&[("0.tar", bytes), ("1.tar", tar_of(&SOUND))]);
        let (pairs, left, unread) = read(&folder);
        let line = left.iter().find(|line| line.starts_with("0.tar: ")).unwrap_or_else(|| panic!("{cause}: {left:?}"));
        assert!(line.contains(cause), "{cause}: {line}");
        assert_eq!(pairs.len(), count + 1, "{cause}: {pairs:?} {left:?}");
        let is_sound = cause == "an archive without samples";
        assert_eq!(unread.len(), usize::from(!is_sound), "an index must not take its images for gone: {cause}");
    }
}

/// Bytes that begin as gzip, zstd, bzip2 and xz do.
#[test]
fn compressed_archives_are_called_so() {
    for (name, magic) in
        [("gzip", &b"\x1f\x8b\x08"[..]), ("zstd", b"\x28\xb5\x2f\xfd"), ("bzip2", b"BZh9"), ("xz", b"\xfd7zXZ\0")]
    {
        let packed = [magic, &[7; 900]].concat();
        let shards = [("0.tar", packed.clone()), ("1.tar", tar_of(&SOUND)), ("2.tar.gz", packed.clone())];
        let folder = folder_of(&shards);
        let (pairs, left, unread) = read(&folder);
        let reason = format!("{name} data, and compressed archives are not read: decompress it first");
        assert_eq!(pairs, ["z: sound"]);
        assert_eq!(left, [format!("0.tar: {reason}"), format!("2.tar.gz: {reason}")]);
        assert_eq!(unread, ["", ""], "an index must not take their images for gone");
        for one in ["0.tar", "2.tar.gz"] {
            let error = Dataset::open(&folder.path().join(one), &SourceOptions::default()).unwrap_err().to_string();
            assert!(error.contains(&format!("found {name} data; decompress it first")), "{error}");
        }
        let folder = folder_of(&[("0.tar.gz", packed.clone()), ("1.tgz", packed)]);
        let error = Dataset::open(folder.path(), &SourceOptions::default()).unwrap_err();
        assert!(error.to_string().contains("found nothing but 2 compressed archives: 0.tar.gz, 1.tgz"), "{error}");
        assert!(error.hint().unwrap().starts_with("decompress them"), "{error}");
    }
}

/// An archive of a dataset beside what was unpacked from it is nothing to name.
#[test]
fn a_compressed_archive_beside_pairs() {
    let folder = folder_of(&[("all.tar.gz", b"\x1f\x8b".to_vec()), ("a.png", png(1)), ("a.txt", b"one".to_vec())]);
    assert_eq!(read(&folder), (vec!["a.png: one".to_owned()], vec![], vec![]));
}

#[test]
fn restval_is_train_or_left_out() {
    let member = |split: &str| format!(r#"{{"caption":"x","split":"{split}"}}"#);
    let (restval, val, wrong) = (member("Restval"), member("val"), member("other"));
    let tar = tar_of(&[
        ("a.png", "1"),
        ("a.json", &restval),
        ("b.png", "2"),
        ("b.json", &val),
        ("c.png", "3"),
        ("c.json", &wrong),
    ]);
    let folder = folder_of(&[("s.tar", tar)]);
    let open = |use_restval| {
        let data = Dataset::open(folder.path(), &SourceOptions { use_restval, ..SourceOptions::default() }).unwrap();
        let excluded: Vec<String> = data.account.excluded.iter().map(|excluded| excluded.what.clone()).collect();
        (data.split_sizes(), data.account.dropped[0].reason.clone(), excluded)
    };
    let reason = "its split is \"other\", not train, val, test or restval".to_owned();
    assert_eq!(open(true), ([1, 1, 0], reason.clone(), vec![]));
    assert_eq!(open(false), ([0, 1, 0], reason, vec!["1 image of the split restval".to_owned()]));
}

#[test]
fn strict_refuses_each_of_them() {
    let folder = folder_of(&[("0.tar", Vec::new()), ("1.tar", tar_of(&SOUND))]);
    let options = SourceOptions { strict: true, ..SourceOptions::default() };
    let error = Dataset::open(folder.path(), &options).unwrap_err().to_string();
    assert!(error.contains("0.tar (an empty file"), "{error}");
}

#[test]
fn further_endings() {
    let members = [
        ("a.jpeg", "1"),
        ("a.json", r#"{"caption":"from JSON"}"#),
        ("a.seg.png", "3"),
        ("b.webp", "2"),
        ("b.json", r#"{"captions":["one","two"]}"#),
        ("b.cls", "7"),
    ];
    let (pairs, left, _) = read(&folder_of(&[("s.tar", tar_of(&members))]));
    assert_eq!((pairs, left), (vec!["a: from JSON".to_owned(), "b: one | two".to_owned()], Vec::new()));
}

proptest! {
    #![proptest_config(crate::testing::cases())]
    /// Whatever the order of members and wherever the archive is cut: a caption never gets to another image.
    #[test]
    fn nothing_is_paired_wrongly(order in Just((0usize..8).collect::<Vec<_>>()).prop_shuffle(), cut: prop::sample::Index, whole: bool) {
        let members: Vec<(String, String)> = (0..4)
            .flat_map(|n| [(format!("{n}.png"), n.to_string()), (format!("{n}.txt"), format!("text {n}"))])
            .collect();
        let members: Vec<(&str, &str)> = order.iter().map(|&at| (members[at].0.as_str(), members[at].1.as_str())).collect();
        let mut bytes = tar_of(&members);
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        let folder = folder_of(&[("0.tar", bytes), ("1.tar", tar_of(&SOUND))]);
        let data = Dataset::open(folder.path(), &SourceOptions::default()).unwrap();
        let mut used = 0;
        for caption in &data.captions {
            let image = &data.images[caption.image];
            if image.id == "z" { continue; }
            used += 1;
            prop_assert_eq!(&caption.text, &format!("text {}", image.id));
            prop_assert_eq!(image.source.read().unwrap(), png(image.id.parse().unwrap()));
        }
        prop_assert!(used == 4 || !data.account.dropped.is_empty());
    }

    /// Damage gives an error or fewer samples, never a panic.
    #[test]
    fn flipped_bytes(places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = tar_of(&[("a.png", "1"), ("a.txt", "a"), ("b.png", "2"), ("b.json", r#"{"caption":"b"}"#)]);
        for (place, value) in places {
            let at = place.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(data) = Dataset::open(folder_of(&[("0.tar", bytes)]).path(), &SourceOptions::default()) {
            data.validate().unwrap();
            data.images.iter().for_each(|image| drop(image.source.read()));
        }
    }
}
