//! Tests: inputs as other programs and people write them are read, or named with what is wrong; nothing is lost silently.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::testing::{folder, png};
use crate::{Dataset, Kind, SourceOptions, Split, SplitBy};

fn options() -> SourceOptions {
    SourceOptions { split_by: Some(SplitBy::All(Split::Train)), ..SourceOptions::default() }
}

fn open(path: &Path) -> Dataset {
    Dataset::open(path, &options()).unwrap_or_else(|error| panic!("{error:?}"))
}

fn refused(path: &Path) -> String {
    let error = Dataset::open(path, &options()).expect_err("should be refused");
    format!("{} / {}", error.in_full(), error.hint().unwrap_or_default())
}

fn refused_when_strict(path: &Path) -> String {
    Dataset::open(path, &SourceOptions { strict: true, ..options() }).expect_err("should be refused").to_string()
}

/// `id: caption | caption` for every image.
fn pairs(data: &Dataset) -> Vec<String> {
    let texts = |at| data.captions[data.captions_of(at)].iter().map(|c| c.text.clone()).collect::<Vec<_>>().join(" | ");
    (0..data.images.len()).map(|at| format!("{}: {}", data.images[at].id, texts(at))).collect()
}

fn dropped(data: &Dataset) -> String {
    data.account.lines(usize::MAX).join("\n")
}

/// Images `0.png` to `3.png` beside a table.
fn table(name: &str, text: impl AsRef<[u8]>) -> TempDir {
    let folder = folder(&[("0.png", ""), ("1.png", ""), ("2.png", ""), ("3.png", "")]);
    fs::write(folder.path().join(name), text).unwrap();
    folder
}

fn read(name: &str, text: impl AsRef<[u8]>) -> Vec<String> {
    let data = open(table(name, text).path());
    assert_eq!(dropped(&data), "", "{name}");
    pairs(&data)
}

#[test]
fn a_quote_that_never_closes_is_an_error_that_names_its_line() {
    let folder = table("captions.csv", "image,caption\n0.png,\"fine one\n1.png,two\n2.png,three\n3.png,four\n");
    for path in [folder.path().to_path_buf(), folder.path().join("captions.csv")] {
        let error = refused(&path);
        assert!(error.contains("captions.csv, line 2: found a quote that opens a cell"), "{error}");
    }
    let folder = table("captions.csv", "image,caption\n0.png,one\n1.png,\"two\n2.png,\"three\"\n3.png,four\n");
    assert!(refused(folder.path()).contains("line 3: found a quote"), "{}", refused(folder.path()));
}

#[test]
fn rows_inside_a_quote_are_a_warning_with_both_lines() {
    let folder = table("captions.csv", "image,caption\n0.png,\"fine one\n1.png,two\n2.png,three\"\n3.png,four\n");
    let data = open(folder.path());
    assert_eq!(pairs(&data), ["0.png: fine one\n1.png,two\n2.png,three", "3.png: four"]);
    let lines =
        "warning: lines 2 to 4: the quote that opens in line 2 closes in line 4, and 2 lines between look like rows";
    assert!(dropped(&data).starts_with(lines), "{}", dropped(&data));
    assert_eq!(data.account.unread, ["1.png", "2.png"]);
    assert!(refused_when_strict(folder.path()).contains("closes in line 4"));
    // A caption of several lines is nothing to warn of.
    let text = "image,caption\n0.png,\"A dog,\nrunning\"\n1.png,two\n";
    assert_eq!(read("captions.csv", text), ["0.png: A dog,\nrunning", "1.png: two"]);
}

#[test]
fn a_caption_may_begin_with_a_quote() {
    let text = "image\tcaption\n0.png\t\"Stop\" says the sign\n1.png\t\"fine one\n2.png\t\"all of it\"\n";
    let data = open(table("captions.tsv", text).path());
    assert_eq!(pairs(&data), ["0.png: \"Stop\" says the sign", "1.png: \"fine one", "2.png: all of it"]);
    assert!(dropped(&data).contains("line 3: a quote opens a cell and does not close"), "{}", dropped(&data));
    let text = "image,caption\n0.png,\"Stop\", says the sign\n1.png,\"Stop\" it says\n";
    assert_eq!(read("captions.csv", text), ["0.png: \"Stop\", says the sign", "1.png: \"Stop\" it says"]);
}

#[test]
fn a_table_that_cannot_be_read_is_the_error_or_in_the_account() {
    let text = b"image,caption\n0.png,one\n1.png,caf\xe9\n";
    let alone = table("captions.csv", text);
    assert!(refused(alone.path()).contains("captions.csv, line 3: found the byte e9"), "{}", refused(alone.path()));
    fs::write(alone.path().join("0.txt"), "one\n").unwrap();
    let data = open(alone.path());
    assert_eq!(pairs(&data), ["0.png: one"]);
    assert!(dropped(&data).contains("captions.csv, line 3: found the byte e9"), "{}", dropped(&data));
    // It may name any image.
    assert!(data.account.unread.contains(&String::new()));
    assert!(refused_when_strict(alone.path()).contains("captions.csv"));

    for (name, text, reason) in [
        ("captions.csv", "0.png,one\n1.png,two\n", "text beginning \"0.png,one\""),
        ("captions.csv", "photo,words\n0.png,one\n", "text beginning \"photo,words\""),
        ("captions.csv", "image,words\n0.png,one\n", "columns image, words"),
        ("d.jsonl", "{\"image\":\"0.png\",\"caption\":\"A\"}\n{\"image\":\n", "d.jsonl, line 2"),
        ("d.json", "{\"images\": [", "damaged JSON"),
        ("captions.csv", "", "an empty file"),
    ] {
        let folder = table(name, text);
        assert!(refused(folder.path()).contains(reason), "{name}: {}", refused(folder.path()));
    }
    let several = table("a.csv", "photo,words\n");
    fs::write(several.path().join("b.csv"), text).unwrap();
    assert!(refused(several.path()).contains("2 files that look like tables"), "{}", refused(several.path()));
}

#[test]
fn a_sound_table_beside_a_broken_one_is_read_and_the_other_named() {
    let folder = table("captions.csv", "image,caption\n0.png,one\n");
    fs::write(folder.path().join("more.csv"), b"image,caption\n1.png,caf\xe9\n").unwrap();
    let data = open(folder.path());
    assert_eq!(pairs(&data), ["0.png: one"]);
    assert!(dropped(&data).contains("more.csv, line 2"), "{}", dropped(&data));
    assert_eq!(data.account.unread, [""]);
}

#[test]
fn tables_below_are_named_and_settings_are_no_table() {
    let below = folder(&[("0.png", ""), ("annotations/captions.csv", "image,caption\n0.png,one\n")]);
    let error = refused(below.path());
    assert!(error.contains("annotations/captions.csv: found a table in a folder below"), "{error}");
    assert!(error.contains("name the file itself"), "{error}");
    let settings =
        folder(&[("0.png", ""), ("0.txt", "one"), ("settings.json", "{\"camera\": 1}"), ("0.png.json", "{\"a\":1}")]);
    let data = open(settings.path());
    assert_eq!((pairs(&data), data.account.dropped.len()), (vec!["0.png: one".to_owned()], 0));
    assert!(dropped(&data).contains("JSON with the keys camera"), "{}", dropped(&data));
    assert!(data.account.unread.is_empty());
    let photos = folder(&[("0.png", ""), ("settings.json", "{\"camera\": 1}")]);
    assert_eq!(Dataset::open(photos.path(), &options()).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn hugging_face_image_folders() {
    let line = |at: usize| format!("{{\"file_name\": \"{at}.png\", \"text\": \"number {at}\"}}\n");
    let default = SourceOptions::default();
    for (name, rows) in [
        ("metadata.jsonl", line(0) + &line(1)),
        ("metadata.csv", "file_name,text\n0.png,number 0\n1.png,number 1\n".to_owned()),
    ] {
        let (train, val) = (format!("train/{name}"), format!("validation/{name}"));
        let files = [
            ("train/0.png", ""),
            ("train/1.png", ""),
            ("validation/0.png", ""),
            ("validation/1.png", ""),
            (&train, &rows),
            (&val, &rows),
        ];
        let data = Dataset::open(folder(&files).path(), &default).unwrap();
        assert_eq!((data.format.as_str(), dropped(&data)), ("Hugging Face imagefolder", String::new()));
        assert_eq!(data.split_sizes(), [2, 2, 0]);
        assert_eq!(pairs(&data)[..2], ["train/0.png: number 0", "train/1.png: number 1"]);
    }
    let whole = folder(&[
        ("metadata.csv", "file_name,text\ntrain/0.png,zero\ntest/1.png,one\n"),
        ("train/0.png", ""),
        ("test/1.png", ""),
    ]);
    assert_eq!(Dataset::open(whole.path(), &default).unwrap().split_sizes(), [1, 0, 1]);
    let half = folder(&[
        ("train/metadata.jsonl", &line(0)),
        ("train/0.png", ""),
        ("test/metadata.csv", "file_name,text\n0.png,\"open\n"),
        ("test/0.png", ""),
    ]);
    let data = Dataset::open(half.path(), &default).unwrap();
    assert!(dropped(&data).contains("test/metadata.csv, line 2: found a quote"), "{}", dropped(&data));
    assert_eq!(data.account.unread, ["test"]);
}

#[test]
fn hugging_face_columns() {
    let listed = "filename,raw,split,img_id\n0.png,\"[\"\"A dog\"\", \"\"Two dogs\"\"]\",train,7\n";
    assert_eq!(read("t.csv", listed), ["0.png: A dog | Two dogs"]);
    assert_eq!(read("t.csv", ",image,caption\n0,0.png,A dog\n1,1.png,A cat\n"), ["0.png: A dog", "1.png: A cat"]);
    assert_eq!(read("t.csv", "image,caption,caption\n0.png,A dog,Two dogs\n"), ["0.png: A dog | Two dogs"]);
    assert_eq!(read("t.jsonl", "{\"file_name\":\"0.png\",\"prompt\":\"A dog\"}\n"), ["0.png: A dog"]);
    assert_eq!(read("t.jsonl", "{\"image\":\"0.png\",\"captions\":null,\"text\":\"A dog\"}\n"), ["0.png: A dog"]);
}

#[test]
fn tables_of_excel() {
    let text = "image;caption\r\n0.png;\"Ein Hund; er rennt\"\r\n1.png;café\r\n;\r\n";
    let expected = ["0.png: Ein Hund; er rennt", "1.png: café"];
    assert_eq!(read("t.csv", text), expected);
    assert_eq!(read("t.csv", format!("\u{feff}{text}")), expected);
    assert_eq!(read("t.csv", format!("sep=;\r\n{text}")), expected);
    let utf16 = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        std::iter::once(0xfeff).chain(text.replace(';', "\t").encode_utf16()).flat_map(unit).collect()
    };
    assert_eq!(read("t.txt.csv", utf16(u16::to_le_bytes))[1], expected[1]);
    assert_eq!(read("t.txt.csv", utf16(u16::to_be_bytes))[1], expected[1]);
    let unmarked = &utf16(u16::to_le_bytes)[2..];
    let folder = table("t.csv", unmarked);
    assert!(refused(folder.path()).contains("UTF-16 without a byte-order mark"), "{}", refused(folder.path()));
    assert_eq!(read("t.csv", "image,caption\r0.png,one\r1.png,two\r"), ["0.png: one", "1.png: two"]);
    assert_eq!(read("t.csv", "image,caption,\n0.png,one,\n1.png,two,\n"), ["0.png: one", "1.png: two"]);
    let windows = table("t.csv", b"image,caption\n0.png,one\n1.png,\x93two\x94\n");
    assert!(refused(windows.path()).contains("line 3: found the byte 93"), "{}", refused(windows.path()));
    assert!(refused(windows.path()).contains("iconv -f cp1252"));
}

#[test]
fn names_as_other_systems_write_them() {
    let folder = folder(&[("images/a/0.png", ""), ("images/cafe\u{301}.png", "")]);
    let inside = folder.path().join("images/a/0.png");
    for name in ["a\\0.png", "caf\u{e9}.png", inside.to_str().unwrap()] {
        fs::write(folder.path().join("t.csv"), format!("image,caption\n{name},one\n")).unwrap();
        let data = open(folder.path());
        assert_eq!((data.images.len(), dropped(&data)), (1, String::new()), "{name}");
        // An id does not tell where the dataset lies.
        assert!(!data.images[0].id.starts_with('/'), "{}", data.images[0].id);
    }
    fs::write(folder.path().join("t.csv"), "image,caption\n/etc/hostname,one\n").unwrap();
    assert!(refused(folder.path()).contains("/etc/hostname (an absolute path"), "{}", refused(folder.path()));
    let pairs = self::folder(&[("cafe\u{301}.png", ""), ("caf\u{e9}.txt", "one")]);
    assert_eq!(open(pairs.path()).images.len(), 1);
}

#[test]
fn packed_tables_spreadsheets_and_other_lists_are_named() {
    for (name, start, reason) in [
        ("captions.csv.gz", &b"\x1f\x8b\x08"[..], "gzip data; decompress it first"),
        ("captions.xlsx", b"PK\x03\x04", "a spreadsheet; save it as CSV"),
    ] {
        assert!(refused(table(name, start).path()).contains(reason), "{}", refused(table(name, start).path()));
    }
    let labels = folder(&[("0.png", ""), ("0.txt", "one"), ("classes.json", "[\"dog\", \"cat\"]")]);
    let data = open(labels.path());
    assert_eq!(pairs(&data), ["0.png: one"]);
    assert!(dropped(&data).contains("a JSON list of 2 entries without an image"), "{}", dropped(&data));
    assert!(refused(&labels.path().join("classes.json")).contains("a JSON list of 2 entries"));
}

/// An index must not take for gone what a faulty row is about.
#[test]
fn rows_that_cannot_be_used_do_not_say_that_their_image_is_gone() {
    for (name, text) in [
        ("t.csv", "image,caption,split\n0.png,one,train\n1.png\n2.png,two,someday\n3.png,x,train\n3.png,x,test\n"),
        (
            "t.jsonl",
            "{\"image\":\"0.png\",\"caption\":\"one\"}\n{\"image\":\"1.png\"}\n{\"image\":\"2.png\",\"caption\":\"x\",\"split\":\"no\"}\n{\"image\":\"3.png\",\"caption\":\"x\",\"split\":\"no\"}",
        ),
    ] {
        let data = open(table(name, text).path());
        assert_eq!(
            (data.images.len(), &data.account.unread[..]),
            (1, &["1.png", "2.png", "3.png"].map(String::from)[..]),
            "{name}"
        );
    }
}

#[test]
fn captions_that_are_no_text_are_counted() {
    let text = "{\"image\":\"0.png\",\"captions\":[\"one\",null,3]}\n{\"image\":\"1.png\",\"captions\":[\"two\",\"\"]}\n{\"image\":\"2.png\",\"captions\":[null]}\n{\"image\":\"3.png\",\"caption\":7}\n";
    let data = open(table("d.jsonl", text).path());
    assert_eq!(pairs(&data), ["0.png: one", "1.png: two"]);
    for part in [
        "2 captions of 0.png: empty, or no text",
        "1 caption of 1.png: empty, or no text",
        "2.png: only captions that are empty or no text",
        "line 4 (3.png): no caption",
    ] {
        assert!(dropped(&data).contains(part), "{part} not in {}", dropped(&data));
    }
    let coco = r#"{"images":[{"id":1,"file_name":"0.png"}],"annotations":[{"image_id":1,"caption":"one"},{"image_id":1,"caption":5}]}"#;
    let data = open(table("c.json", coco).path());
    assert!(dropped(&data).contains("1 caption of 1: empty, or no text"), "{}", dropped(&data));
}

#[test]
fn what_programs_write_for_a_missing_value_is_a_warning() {
    let folder = table("t.csv", "image,caption\n0.png,NaN\n1.png,None of them\n2.png,null\n3.png,N/A\n");
    let data = open(folder.path());
    assert_eq!(data.captions.len(), 4);
    assert_eq!(
        data.account.warnings,
        ["3 captions such as \"NaN\" (0.png#0): what programs write for a missing value"]
    );
    assert!(refused_when_strict(folder.path()).contains("missing value"));
    let data = open(table("t.csv", "image,captions\n0.png,\"['A dog.', 'Two dogs.']\"\n").path());
    assert!(dropped(&data).contains("a list as Python writes it"), "{}", dropped(&data));
}

#[test]
fn an_image_id_of_two_images_gives_neither_its_captions() {
    let coco = r#"{"images":[{"id":1,"file_name":"0.png"},{"id":1,"file_name":"1.png"},{"id":2,"file_name":"2.png"},{"id":2,"file_name":"2.png"}],
        "annotations":[{"id":1,"image_id":1,"caption":"a dog"},{"id":2,"image_id":1,"caption":"two cats"},{"id":3,"image_id":2,"caption":"a cow"}]}"#;
    let folder = table("captions.json", coco);
    let data = open(folder.path());
    assert_eq!(pairs(&data), ["2: a cow"]);
    let expected = "0.png, 1.png: the image id 1 is theirs alike: which of them its 2 captions describe is not known";
    assert!(dropped(&data).contains(expected), "{}", dropped(&data));
    assert_eq!(data.account.unread, ["1"]);
    let only = coco.replace("\"id\":2,\"file", "\"id\":1,\"file").replace("\"image_id\":2", "\"image_id\":1");
    assert!(refused(table("captions.json", only).path()).contains("the image id 1"));
}

#[test]
fn restval_is_train_or_left_out_in_every_format() {
    let without = SourceOptions { use_restval: false, ..SourceOptions::default() };
    for (name, text) in [
        ("t.csv", "image,caption,split\n0.png,one,restval\n1.png,two,val\n0.png,more,restval\n"),
        (
            "k.json",
            r#"{"images":[{"filename":"0.png","split":"restval","sentences":[{"raw":"one"}]},{"filename":"1.png","split":"val","sentences":[{"raw":"two"}]}]}"#,
        ),
    ] {
        let folder = table(name, text);
        let data = Dataset::open(folder.path(), &SourceOptions::default()).unwrap();
        assert_eq!((data.split_sizes(), dropped(&data)), ([1, 1, 0], String::new()), "{name}");
        let data = Dataset::open(folder.path(), &without).unwrap();
        assert_eq!(data.split_sizes(), [0, 1, 0], "{name}");
        assert_eq!(
            dropped(&data),
            "skipped: 1\n  1 image of the split restval: restval is left out, as asked",
            "{name}"
        );
        // What was asked for is no fault.
        Dataset::open(folder.path(), &SourceOptions { strict: true, ..without.clone() }).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf8_are_named_by_their_bytes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = folder(&[("0.png", ""), ("0.txt", "one")]);
    for ending in [&b"caf\xe9.png"[..], b"caf\xe9.txt"] {
        fs::write(folder.path().join(OsStr::from_bytes(ending)), png(7)).unwrap();
    }
    let data = open(folder.path());
    assert_eq!(pairs(&data), ["0.png: one"]);
    assert!(dropped(&data).contains("\"caf\\xE9.png\": its name is not UTF-8; rename it"), "{}", dropped(&data));
    assert_eq!(data.account.unread.len(), 2);
}

#[test]
fn split_folders_that_do_not_hold_every_image_are_said_to_give_none() {
    let folder = folder(&[("train/a.png", ""), ("train/a.txt", "A"), ("more/b.png", ""), ("more/b.txt", "B")]);
    let data = open(folder.path());
    assert!(dropped(&data).contains("1 image lies in no folder called train, val or test"), "{}", dropped(&data));
}

#[test]
fn byte_order_marks_of_lists_are_no_part_of_names() {
    let folder = table("text.token", "\u{feff}0.png#0\tA dog\n1.png#0\tA cat\n");
    fs::write(folder.path().join("x.trainImages.txt"), "\u{feff}0.png\r\n").unwrap();
    fs::write(folder.path().join("x.devImages.txt"), "\u{feff}1.png\r\n").unwrap();
    let data = Dataset::open(folder.path(), &SourceOptions::default()).unwrap();
    assert_eq!((data.split_sizes(), dropped(&data)), ([1, 1, 0], String::new()));
}

#[test]
fn scripts_of_the_world() {
    let text = "image,caption\n0.png,كلب أسود يركض\n1.png,一只黑色的狗在跑\n2.png,הכלב \"רץ\"\n3.png,สุนัขวิ่ง\n";
    let read = read("t.csv", text);
    assert_eq!(read[1], "1.png: 一只黑色的狗在跑");
    assert_eq!(crate::tokenize("一只黑色的狗在跑").len(), 8);
    assert_eq!(crate::tokenize("كلب أسود يركض").len(), 3);
}

#[test]
fn a_missing_source_says_so() {
    let error = Dataset::open(Path::new("no/such.csv"), &options()).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (Kind::NotFound, "the data no/such.csv: found nothing there, expected a file or a folder".into())
    );
}

/// The same data have one identity, wherever they lie and however they are named.
#[test]
fn the_same_data_by_another_path_are_the_same() {
    let folder = table("t.csv", "image,caption\n0.png,one\n1.png,two\n");
    let file = open(&folder.path().join("t.csv"));
    let path = folder.path().join("sub");
    fs::create_dir(&path).unwrap();
    let around = open(&path.join("..").join("t.csv"));
    assert_eq!((around.hash(), &around.name), (file.hash(), &file.name));
    let copy = table("t.csv", "image,caption\n0.png,one\n1.png,two\n");
    assert_eq!(open(&copy.path().join("t.csv")).hash(), file.hash());
    let other = table("t.csv", "image,caption\n0.png,one\n1.png,other\n");
    assert_ne!(open(&other.path().join("t.csv")).hash(), file.hash());
}

/// A few images that the folder above has, too, may be others of the same name; if all are there, that is where they are kept.
#[test]
fn images_of_a_neighbour_are_named() {
    let table = "image,caption\na.png,one\nb.png,two\n";
    let mixed = folder(&[("set/t.csv", table), ("set/a.png", ""), ("photos/b.png", "")]);
    let data = open(&mixed.path().join("set/t.csv"));
    let warning =
        data.account.warnings.iter().find(|text| text.contains("1 image found one folder further up")).unwrap();
    assert!(warning.contains("photos, and not beside the table"), "{warning}");
    let apart = folder(&[("set/t.csv", table), ("photos/a.png", ""), ("photos/b.png", "")]);
    assert!(open(&apart.path().join("set/t.csv")).account.warnings.iter().all(|text| !text.contains("further up")));
}

/// Where several columns could be meant, the account says which one is read.
#[test]
fn the_choice_of_a_column_is_named() {
    let several = folder(&[("t.csv", "image,title,caption\na.png,Product 0,a red shoe\n"), ("a.png", "")]);
    let found = open(&several.path().join("t.csv")).account.found.join("\n");
    assert!(
        found.contains("captions from `title` and not from `caption` (--csv-caption-key takes another)"),
        "{found}"
    );
    let one = folder(&[("t.csv", "image,caption\na.png,a red shoe\n"), ("a.png", "")]);
    assert_eq!(open(&one.path().join("t.csv")).account.found, ["1 row"]);
}
