//! Tests of opening every format, good and bad.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::testing::{folder, png, published_data};
use crate::{CsvColumns, Remedy, Split, SplitBy, load_image};

fn open(folder: &TempDir, name: &str) -> Dataset {
    open_with(folder, name, &SourceOptions::default()).unwrap_or_else(|error| panic!("{error} {:?}", error.hint()))
}

fn open_with(folder: &TempDir, name: &str, options: &SourceOptions) -> Result<Dataset> {
    Dataset::open(&if name.is_empty() { folder.path().to_path_buf() } else { folder.path().join(name) }, options)
}

fn refused(folder: &TempDir, name: &str) -> String {
    let error = open_with(folder, name, &SourceOptions::default()).expect_err("should be refused");
    format!("{error} / {}", error.hint().unwrap_or_default())
}

/// `id split: caption | caption` for every image.
fn summary(data: &Dataset) -> Vec<String> {
    data.validate().unwrap();
    let line = |at: usize| {
        let texts: Vec<_> = data.captions[data.captions_of(at)].iter().map(|c| c.text.as_str()).collect();
        format!("{} {}: {}", data.images[at].id, data.images[at].split, texts.join(" | "))
    };
    data.images.iter().for_each(|image| drop(load_image(&image.source, &Default::default()).unwrap()));
    (0..data.images.len()).map(line).collect()
}

fn dropped(data: &Dataset) -> Vec<String> {
    data.account.left_out().iter().map(|dropped| format!("{}: {}", dropped.what, dropped.reason)).collect()
}

const KARPATHY: &str = r#"{"images":[
 {"filename":"a.jpg","split":"train","imgid":0,"sentences":[{"raw":"A dog .","tokens":["a","dog"],"sentid":0},{"tokens":["two","dogs"],"sentid":1}]},
 {"filename":"b.jpg","filepath":"val2014","split":"val","cocoid":7,"sentences":[{"raw":"A cat"}]},
 {"filename":"c.jpg","filepath":"","split":"restval","sentences":[{"raw":"A cow"}]},
 {"filename":"d.jpg","split":"test","sentences":[{"raw":"gone"},{"raw":"gone too"}]}],"dataset":"x"}"#;

#[test]
fn karpathy() {
    let folder =
        folder(&[("data.json", KARPATHY), ("images/a.jpg", ""), ("images/val2014/b.jpg", ""), ("images/c.jpg", "")]);
    let data = open(&folder, "data.json");
    assert_eq!(data.format, "Karpathy JSON");
    assert_eq!(data.name, "data");
    assert_eq!(summary(&data), ["a.jpg train: A dog . | two dogs", "7 val: A cat", "c.jpg train: A cow"]);
    assert_eq!(dropped(&data).len(), 1);
    assert_eq!(data.images[1].meta["filename"], "b.jpg");

    let options = SourceOptions { use_restval: false, ..SourceOptions::default() };
    let without = open_with(&folder, "data.json", &options).unwrap();
    assert_eq!(summary(&without), ["a.jpg train: A dog . | two dogs", "7 val: A cat"]);
    let left = dropped(&without);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].starts_with("d.jpg: no such image file in ") && left[0].ends_with("(2 captions)"), "{left:?}");
    assert!(left[1].starts_with("1 image of the split restval"), "{left:?}");
    let strict = SourceOptions { strict: true, ..SourceOptions::default() };
    assert!(open_with(&folder, "data.json", &strict).unwrap_err().to_string().contains("d.jpg"));
    // The folder is enough.
    assert_eq!(summary(&open(&folder, "")), summary(&data));
    // Another image folder.
    let elsewhere = SourceOptions { images: Some(folder.path().join("images/val2014")), ..SourceOptions::default() };
    assert_eq!(summary(&open_with(&folder, "data.json", &elsewhere).unwrap()), ["7 val: A cat"]);
}

#[test]
fn coco() {
    let json = r#"{"info":{},"images":[{"id":9,"file_name":"9.jpg"},{"id":8,"file_name":"8.jpg"},{"id":7,"file_name":"7.jpg"}],
     "annotations":[{"id":1,"image_id":8,"caption":"A bus.\n"},{"id":2,"image_id":9,"caption":"A sheep"},
     {"id":3,"image_id":8,"caption":"A red bus"},{"id":4,"image_id":5,"caption":"orphan"}]}"#;
    let folder = folder(&[
        ("annotations/captions_val2017.json", json),
        ("val2017/9.jpg", ""),
        ("val2017/8.jpg", ""),
        ("val2017/7.jpg", ""),
    ]);
    let options = SourceOptions { split_by: Some(SplitBy::All(Split::Test)), ..SourceOptions::default() };
    let data = open_with(&folder, "annotations/captions_val2017.json", &options).unwrap();
    assert_eq!(summary(&data), ["9 test: A sheep", "8 test: A bus. | A red bus"]);
    assert_eq!(data.captions.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["2", "1", "3"]);
    let left = dropped(&data);
    assert!(left.contains(&"7: an image without caption".to_owned()), "{left:?}");
    assert!(left.contains(&"1 caption of image_id 5: no image has this id".to_owned()), "{left:?}");

    let boxes = r#"{"images":[{"id":1,"file_name":"a"}],"annotations":[{"image_id":1,"bbox":[0,0,1,1]}]}"#;
    let folder = self::folder(&[("instances.json", boxes)]);
    assert!(refused(&folder, "instances.json").contains("take captions_*.json"));
}

#[test]
fn flickr_token_with_official_splits() {
    let token = "a.jpg#0\tA dog\na.jpg#1\tThe dog\nb.jpg#0\tA cat\nc.jpg#0\tA cow\nno tab\n\nd.jpg#0\tmissing\n";
    let folder = folder(&[
        ("text/Flickr8k.token.txt", token),
        ("text/Flickr_8k.trainImages.txt", "a.jpg\n"),
        ("text/Flickr_8k.devImages.txt", "b.jpg\nd.jpg\n"),
        ("text/Flickr_8k.testImages.txt", "x.jpg\n"),
        ("images/a.jpg", ""),
        ("images/b.jpg", ""),
        ("images/c.jpg", ""),
    ]);
    let data = open(&folder, "text/Flickr8k.token.txt");
    assert_eq!(data.format, "Flickr token file");
    assert_eq!(summary(&data), ["a.jpg train: A dog | The dog", "b.jpg val: A cat"]);
    assert_eq!(data.captions[1].id, "a.jpg#1");
    let left = dropped(&data);
    assert!(left[0].starts_with("line 5: not `name.jpg#0"), "{left:?}");
    assert!(left[1].starts_with("d.jpg: no such image file"), "{left:?}");
    assert_eq!(left[2], "c.jpg: no split, though other images have one");
    // The folder of texts is enough too.
    assert_eq!(summary(&open(&folder, "text")), summary(&data));
}

#[test]
fn tables_with_headers() {
    for (name, text) in [
        ("t.csv", "filepath,title\na.jpg,\"A dog, running\"\na.jpg,Two dogs\nsub/b.png,\"A \"\"cat\"\"\"\n"),
        ("t.tsv", "filepath\ttitle\na.jpg\tA dog, running\na.jpg\tTwo dogs\nsub/b.png\t\"A \"\"cat\"\"\"\n"),
        ("captions.txt", "image,caption\na.jpg,A dog, running\na.jpg,Two dogs\nsub/b.png,\"A \"\"cat\"\"\"\n"),
        (
            "results.csv",
            "image_name| comment_number| comment\na.jpg| 0| A dog, running\na.jpg| 1| Two dogs\nsub/b.png| 0| A \"cat\"\n",
        ),
        (
            "bom.csv",
            "\u{feff}image_path,text\r\na.jpg,\"A dog, running\"\r\na.jpg,Two dogs\r\nsub/b.png,\"A \"\"cat\"\"\"\r\n",
        ),
    ] {
        let folder = folder(&[(name, text), ("images/a.jpg", ""), ("images/sub/b.png", "")]);
        let options = SourceOptions { split_by: Some(SplitBy::All(Split::Train)), ..SourceOptions::default() };
        let data = open_with(&folder, name, &options).unwrap();
        assert_eq!(summary(&data), ["a.jpg train: A dog, running | Two dogs", "sub/b.png train: A \"cat\""], "{name}");
        assert_eq!(data.captions[1].id, "a.jpg#1", "{name}");
        assert!(data.account.dropped.is_empty(), "{name}: {:?}", data.account.dropped);
    }
}

#[test]
fn table_columns() {
    let text = "photo;words;split;id;place\na.jpg;A dog;train;17;Rome\na.jpg;Two dogs;train;17;\nb.jpg;x;train;1;\nb.jpg;y;test;1;\nc.jpg;z;dev;3;\nd.jpg;z;someday;4;\nshort\n";
    let folder = folder(&[("t.csv", text), ("a.jpg", ""), ("b.jpg", ""), ("c.jpg", ""), ("d.jpg", "")]);
    assert!(refused(&folder, "t.csv").contains("text beginning"));
    let named = CsvColumns { image: Some("photo".into()), caption: Some("words".into()), separator: None };
    let options = SourceOptions { csv: named, ..SourceOptions::default() };
    let data = open_with(&folder, "t.csv", &options).unwrap();
    assert_eq!(summary(&data), ["17 train: A dog | Two dogs", "3 val: z"]);
    assert_eq!(data.images[0].meta["place"], "Rome");
    let left = dropped(&data);
    assert!(left.iter().any(|l| l.starts_with("line 8 (short): 1 column where the header has 5")), "{left:?}");
    assert!(left.iter().any(|l| l.starts_with("b.jpg: its rows disagree about the split")), "{left:?}");
    assert!(left.iter().any(|l| l.starts_with("d.jpg: its split is \"someday\"")), "{left:?}");
    let wrong = CsvColumns { image: Some("image".into()), ..CsvColumns::default() };
    let error = open_with(&folder, "t.csv", &SourceOptions { csv: wrong, ..SourceOptions::default() }).unwrap_err();
    assert!(
        error.to_string().contains("columns photo, words, split, id, place, expected the columns image"),
        "{error}"
    );
    assert_eq!(error.remedy(), Some(&Remedy::NameColumns));

    let urls = self::folder(&[("u.csv", "url,caption\nhttp://x/a.jpg,A dog\n")]);
    assert!(refused(&urls, "u.csv").contains("nothing is downloaded"));
    let half = self::folder(&[("h.csv", "image,words\na.jpg,A dog\n")]);
    assert!(refused(&half, "h.csv").contains("one for captions"));
}

#[test]
fn json_lines_and_lists() {
    let lines = r#"{"image":"a.jpg","captions":["A dog","Two dogs"],"split":"train","id":5,"meta":{"place":"Rome"},"year":1999}
{"image":"b.jpg","caption":"A cat","split":"val","caption_ids":["k"]}

{"captions":["nobody"]}
{"image":"c.jpg","split":"test"}
[1]
"#;
    let folder = folder(&[("d.jsonl", lines), ("a.jpg", ""), ("b.jpg", ""), ("c.jpg", "")]);
    let data = open(&folder, "d.jsonl");
    assert_eq!(data.format, "JSONL");
    assert_eq!(summary(&data), ["5 train: A dog | Two dogs", "b.jpg val: A cat"]);
    assert_eq!(data.images[0].meta["place"], "Rome");
    assert_eq!(data.images[0].meta["year"], 1999);
    let left = dropped(&data);
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left[0].starts_with("line 4: no image file under `image`; its keys are captions"), "{left:?}");
    assert!(left[1].starts_with("line 5 (c.jpg): no caption; its further keys are split"), "{left:?}");

    let list = r#"[{"image":"a.jpg","caption":"A dog","image_id":"x_1"},{"image":"a.jpg","caption":["Two","Three"],"image_id":"x_1"}]"#;
    let folder = self::folder(&[("blip.json", list), ("a.jpg", "")]);
    let data = open(&folder, "");
    assert_eq!(data.images[0].id, "x_1");
    assert_eq!(data.captions.len(), 3);

    let broken = self::folder(&[("d.jsonl", "{\"image\":\"a.jpg\",\"caption\":\"A\"}\n{\"image\":\n"), ("a.jpg", "")]);
    assert!(refused(&broken, "d.jsonl").contains("d.jsonl, line 2: found EOF"), "{}", refused(&broken, "d.jsonl"));
}

#[test]
fn folders_of_pairs() {
    let folder = folder(&[
        ("a.jpg", ""),
        ("a.txt", "A dog\n\n Two dogs \n"),
        ("sub/b.png", ""),
        ("sub/b.txt", "A cat"),
        ("lonely.jpg", ""),
        ("words.txt", "no image"),
        ("empty.webp", ""),
        ("empty.txt", " \n"),
        (".hidden.jpg", ""),
        ("._a.jpg", ""),
        ("__MACOSX/a.jpg", ""),
    ]);
    let data = open(&folder, "");
    let texts: Vec<String> =
        summary(&data).into_iter().map(|line| line.replace(" val:", " train:").replace(" test:", " train:")).collect();
    assert_eq!(texts, ["a.jpg train: A dog | Two dogs", "sub/b.png train: A cat"]);
    let mut left = dropped(&data);
    left.sort();
    assert_eq!(
        left,
        [
            "empty.webp: an image without caption",
            "lonely.jpg: an image without caption: no lonely.txt",
            "words.txt: captions without image"
        ]
    );
}

#[test]
fn two_folders_and_split_folders() {
    let files = [
        ("images/train/a.jpg", ""),
        ("images/test/b.jpg", ""),
        ("captions/train/a.txt", "A"),
        ("captions/test/b.txt", "B"),
    ];
    let folder = folder(&files);
    let data = open(&folder, "");
    assert_eq!(data.format, "two folders");
    assert_eq!(summary(&data), ["test/b.jpg test: B", "train/a.jpg train: A"]);
    let options = SourceOptions { texts: Some(folder.path().join("captions")), ..SourceOptions::default() };
    assert_eq!(summary(&open_with(&folder, "images", &options).unwrap()), summary(&data));
}

/// A tar of `members`; names that end like an image get an image.
fn tar_of(path: &Path, members: &[(&str, &[u8])]) {
    let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
    for (at, (name, bytes)) in members.iter().enumerate() {
        let bytes = if name.ends_with("jpg") || name.ends_with("png") { png(at as u8) } else { bytes.to_vec() };
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // Written directly: the builder itself refuses `..`.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, &bytes[..]).unwrap();
    }
    tar.finish().unwrap();
}

#[test]
fn webdataset_shards() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    tar_of(
        &path("s-00.tar"),
        &[
            ("000.jpg", b""),
            ("000.txt", b"A dog\nTwo dogs"),
            ("000.json", br#"{"width":3,"split":"train"}"#),
            ("d/001.png", b""),
            ("d/001.json", br#"{"captions":["A cat"],"split":"test","id":"cat"}"#),
            ("002.jpg", b""),
            ("003.txt", b"no image"),
            ("../evil.jpg", b""),
            ("004.jpg", b""),
            ("004.txt", &[b'a', 0xff]),
        ],
    );
    tar_of(&path("s-01.tar"), &[("000.jpg", b""), ("000.json", br#"{"caption":"A cow","split":"val"}"#)]);
    let data = open(&folder, "s-{00..01}.tar");
    assert_eq!(data.format, "webdataset");
    assert_eq!(data.name, "s");
    assert_eq!(summary(&data), ["000 train: A dog | Two dogs", "cat test: A cat", "s-01/000 val: A cow"]);
    assert_eq!(data.images[0].meta["width"], 3);
    let left = dropped(&data);
    for part in [
        "s-00.tar!../evil.jpg: a path with `..`",
        "s-00.tar!002: an image without caption; its members are jpg",
        "s-00.tar!003: captions without image; its members are txt",
        "s-00.tar!004.txt: not UTF-8",
    ] {
        assert!(left.iter().any(|line| line.contains(part)), "{part} not in {left:?}");
    }
    assert_eq!(summary(&open(&folder, "")), summary(&data));
    assert_eq!(open(&folder, "s-01.tar").images.len(), 1);
    assert!(refused(&folder, "s-{00..02}.tar").contains("s-02.tar"));
    assert!(refused(&folder, "s-{0a..02}.tar").contains("a range such as {0000..0042}"));

    tar_of(
        &path("t.tar"),
        &[("0.jpg", b""), ("0.json", br#"{"url":"u","alt":"A dog"}"#), ("1.jpg", b""), ("1.json", b"{}")],
    );
    let error = refused(&folder, "t.tar");
    assert!(error.contains("2 samples with members jpg, json; no txt"), "{error}");
    assert!(error.contains("its JSON has the keys url, alt"), "{error}");

    let whole = fs::read(path("s-00.tar")).unwrap();
    fs::write(path("cut.tar"), &whole[..600]).unwrap();
    assert!(open_with(&folder, "cut.tar", &SourceOptions::default()).is_err());
}

#[cfg(unix)]
#[test]
fn tar_links_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    let mut tar = tar::Builder::new(fs::File::create(&path).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "0.jpg", "/etc/passwd").unwrap();
    tar.finish().unwrap();
    assert!(refused(&folder, "a.tar").contains("0.jpg (a link;"), "{}", refused(&folder, "a.tar"));
}

#[test]
fn several_sources() {
    let line = |split: &str| format!("{{\"image\":\"a.jpg\",\"caption\":\"A dog\",\"split\":\"{split}\"}}\n");
    let folder = folder(&[
        ("x/one.jsonl", &line("train")),
        ("x/a.jpg", ""),
        ("y/one.jsonl", &line("test")),
        ("y/a.jpg", ""),
        ("z/one.jsonl", &line("val")),
        ("z/a.jpg", ""),
    ]);
    let at = |name: &str| folder.path().join(name).join("one.jsonl").display().to_string();
    let source = PathBuf::from(format!("{}::{}::{}", at("x"), at("y"), at("z")));
    let data = Dataset::open(&source, &SourceOptions::default()).unwrap();
    assert_eq!(summary(&data), ["a.jpg train: A dog", "one:a.jpg test: A dog", "one-2:a.jpg val: A dog"]);
    assert_eq!((data.name.as_str(), data.format.as_str()), ("one", "JSONL"));
}

#[test]
fn sources_that_are_none() {
    let folder = folder(&[
        ("empty/.keep", ""),
        ("photos/a.jpg", ""),
        ("latin.csv", ""),
        ("empty.txt", ""),
        ("story.txt", "Once upon a time\n"),
        ("other.json", r#"{"weights":[1]}"#),
        ("half.json", r#"{"images":[{"filename":"#),
        ("two/a.jsonl", "{\"image\":\"a.jpg\",\"caption\":\"x\"}"),
        ("two/b.jsonl", "{\"image\":\"a.jpg\",\"caption\":\"x\"}"),
        ("image.png", ""),
        ("up.jsonl", "{\"image\":\"../a.jpg\",\"caption\":\"x\"}\n{\"image\":\"/a.jpg\",\"caption\":\"x\"}"),
    ]);
    fs::write(folder.path().join("latin.csv"), b"image,caption\na.jpg,caf\xe9\n").unwrap();
    for (name, parts) in [
        ("missing.json", &["missing.json: found nothing there"][..]),
        ("empty", &["0 usable pairs", "0 image files and 0 text files", "samples of the supported formats"]),
        ("photos", &["0 usable pairs", "1 image files and 0 text files", "a.jpg (an image without caption: no a.txt)"]),
        ("latin.csv", &["latin.csv, line 2", "byte e9", "iconv"]),
        ("empty.txt", &["an empty file"]),
        ("story.txt", &["text beginning \"Once upon a time\"", "Karpathy JSON"]),
        ("other.json", &["JSON with the keys weights"]),
        ("half.json", &["damaged JSON (EOF while parsing"]),
        ("two", &["several tables: a.jsonl, b.jsonl", "name the file itself"]),
        ("image.png", &["a binary file"]),
        ("up.jsonl", &["2 lines", "2 dropped", "../a.jpg (a path with `..`", "/a.jpg (no such image file"]),
    ] {
        let error = refused(&folder, name);
        for part in parts {
            assert!(error.contains(part), "{name}: {part:?} not in {error}");
        }
    }
}

#[test]
fn one_caption_file_that_is_not_utf8_is_dropped_by_name() {
    let folder = folder(&[("a.jpg", ""), ("a.txt", "A dog"), ("b.jpg", "")]);
    fs::write(folder.path().join("b.txt"), b"caf\xe9").unwrap();
    let data = open(&folder, "");
    assert_eq!(data.images.len(), 1);
    assert!(dropped(&data)[0].contains("b.txt: the byte e9"), "{:?}", data.account.dropped);
}

/// Copies of an image fall on the same side, whatever they are called.
#[test]
fn copies_share_a_split() {
    let folder = tempfile::tempdir().unwrap();
    for at in 0..60 {
        for copy in ["x", "y"] {
            fs::write(folder.path().join(format!("{copy}{at}.png")), png(at)).unwrap();
            fs::write(folder.path().join(format!("{copy}{at}.txt")), "words").unwrap();
        }
    }
    let options = SourceOptions { split_by: Some("hash:0.5/0.25/0.25".parse().unwrap()), ..SourceOptions::default() };
    let data = Dataset::open(folder.path(), &options).unwrap();
    let split = |id: &str| data.images.iter().find(|image| image.id == id).unwrap().split;
    (0..60).for_each(|at| assert_eq!(split(&format!("x{at}.png")), split(&format!("y{at}.png"))));
    assert!(Split::ALL.iter().all(|&wanted| data.split_indices(wanted).len() > 8));
    assert!(data.images.iter().all(|image| image.content == Some(image.source.content_hash().unwrap())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// The split of an image depends neither on the order of the lines nor on what else is there.
    #[test]
    fn hash_splits_do_not_depend_on_order(mut names in proptest::collection::vec(0u8..40, 1..12), seed: u8) {
        names.sort();
        names.dedup();
        let line = |name: &u8| format!("{{\"image\":\"{name}.png\",\"caption\":\"c\"}}\n");
        let folder = tempfile::tempdir().unwrap();
        names.iter().for_each(|name| fs::write(folder.path().join(format!("{name}.png")), png(name ^ seed)).unwrap());
        let splits = |names: &[u8]| {
            let path = folder.path().join("d.jsonl");
            fs::write(&path, names.iter().map(line).collect::<String>()).unwrap();
            let data = Dataset::open(&path, &SourceOptions::default()).unwrap();
            let mut found: Vec<_> = data.images.into_iter().map(|image| (image.id, image.split)).collect();
            found.sort_by(|a, b| a.0.cmp(&b.0));
            found
        };
        let whole = splits(&names);
        names.reverse();
        prop_assert_eq!(&splits(&names), &whole);
        let part = splits(&names[..names.len().div_ceil(2)]);
        prop_assert!(part.iter().all(|entry| whole.contains(entry)));
    }
}

#[test]
#[ignore = "needs GXN_DATA"]
fn published_datasets_open() {
    let data = published_data();
    let flickr = Dataset::open(&data.join("flickr8k"), &SourceOptions::default()).unwrap();
    let counts = Split::ALL.map(|split| flickr.split_indices(split).len());
    assert_eq!((counts, flickr.captions.len()), ([6000, 1000, 1000], 40_000));
    assert_eq!(flickr.account.dropped, []);
    let token = Dataset::open(&data.join("flickr8k/text/Flickr8k.token.txt"), &SourceOptions::default()).unwrap();
    assert_eq!(Split::ALL.map(|split| token.split_indices(split).len()), [6000, 1000, 1000]);
    let coco = Dataset::open(&data.join("coco_mini"), &SourceOptions::default()).unwrap();
    assert_eq!((coco.images.len(), coco.captions.len()), (172, 861));
}

/// What cannot be read is dropped by name, and its id kept: an index must not take it for gone.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_read_is_not_known_to_be_gone() {
    use std::os::unix::fs::symlink;
    let folder = folder(&[("a.png", ""), ("a.txt", "A"), ("b.txt", "B"), ("c.png", ""), ("d.png", ""), ("e.png", "")]);
    let at = |name: &str| folder.path().join(name);
    symlink("/proc/self/mem", at("b.png")).unwrap();
    symlink(at("away/c.txt"), at("c.txt")).unwrap();
    symlink(at("away"), at("disk")).unwrap();
    symlink(at("away"), at(".#lock")).unwrap();
    fs::write(at("d.txt"), b"\xc3\x28").unwrap();
    let data = open(&folder, "");
    assert_eq!(summary(&data).len(), 1);
    let mut unread = data.account.unread.clone();
    unread.sort();
    assert_eq!(unread, ["b.png", "c.png", "c.txt", "d.png", "disk"]);
    let left = dropped(&data);
    assert!(left.iter().any(|line| line.ends_with("disk: a link to something that is not there")), "{left:?}");
    assert_eq!(left.len(), 6, "e.png, which has no text, among them: {left:?}");

    let table = self::folder(&[("t.csv", "image,caption\na.jpg,A\nx/b.jpg,B\nc.jpg,C\n"), ("images/a.jpg", "")]);
    symlink(table.path().join("away"), table.path().join("images/x")).unwrap();
    assert_eq!(open(&table, "t.csv").account.unread, ["x/b.jpg"]);
    let twice = format!("{0}/t.csv::{0}/t.csv", table.path().display());
    let joined = Dataset::open(Path::new(&twice), &SourceOptions::default()).unwrap();
    assert_eq!(joined.account.unread, ["x/b.jpg", "t:x/b.jpg"]);
}
