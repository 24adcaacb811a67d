//! Tests: whatever a file holds, it is read or refused, and what is read is a valid dataset. `PROPTEST_CASES` makes them longer.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use crate::testing::folder;
use crate::{Dataset, SourceOptions, Split, SplitBy};

fn options() -> SourceOptions {
    SourceOptions { split_by: Some(SplitBy::All(Split::Train)), ..SourceOptions::default() }
}

fn images() -> TempDir {
    folder(&[("0.png", ""), ("1.png", "")])
}

/// Reads a file of this name and content, alone and by its folder.
fn read(name: &str, content: &[u8]) -> Result<(), TestCaseError> {
    let folder = images();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    for source in [path.as_path(), folder.path()] {
        match Dataset::open(source, &options()) {
            Ok(data) => {
                prop_assert!(data.validate().is_ok() && !data.images.is_empty());
                prop_assert!(!data.account.found.is_empty());
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
    Ok(())
}

/// Pieces of which formats are made, and what breaks them.
fn pieces(of: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(of), 0..most).prop_map(|pieces| pieces.concat())
}

const TABLE: &[&str] = &[
    "image", "caption", ",", ",", "\t", ";", "\n", "\n", "\r\n", "0.png", "1.png", "\"", "\"\"", "split", "train",
    "a dog", "[\"a\"]", " ", "é", "\u{feff}", "sep=;\n", "#0", "\0", "NaN", "restval",
];
const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\n",
    "\"images\":",
    "\"annotations\":",
    "\"image\":",
    "\"0.png\"",
    "\"caption\":",
    "\"a\"",
    "\"captions\":",
    "\"sentences\":",
    "\"raw\":",
    "\"filename\":",
    "\"file_name\":",
    "\"id\":",
    "\"image_id\":",
    "1",
    "null",
    "\"split\":",
    "\"train\"",
    "1e999",
    "\"\\ud800\"",
];

/// Objects as the formats have them, with values of any kind.
fn value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Value, json};
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..3).prop_map(Value::from),
        proptest::sample::select(&["0.png", "1.png", "a dog", "", "train", "val", "restval", "../x"][..])
            .prop_map(Value::from),
    ];
    let keys = &[
        "images",
        "annotations",
        "image",
        "captions",
        "caption",
        "sentences",
        "raw",
        "tokens",
        "filename",
        "filepath",
        "file_name",
        "id",
        "image_id",
        "split",
        "cocoid",
        "meta",
        "caption_ids",
        "sentid",
    ][..];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((proptest::sample::select(keys), inner), 0..6).prop_map(|pairs| pairs
                .into_iter()
                .fold(json!({}), |mut object, (key, value)| {
                    object[key] = value;
                    object
                })),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(48), ..ProptestConfig::default() })]

    #[test]
    fn any_table(header in proptest::sample::select(&["", "image,caption\n", "image\tcaption\tsplit\n", "image;caption\n"][..]), text in pieces(TABLE, 30)) {
        read("t.csv", format!("{header}{text}").as_bytes())?;
    }

    #[test]
    fn any_token_file(text in pieces(TABLE, 30)) {
        read("t.token", format!("0.png#0\t{text}").as_bytes())?;
    }

    /// Captions and files in either order, without a header.
    #[test]
    fn any_headerless_table(rows in proptest::collection::vec((pieces(TABLE, 6), 0u8..3, any::<bool>()), 1..12)) {
        let row = |(text, image, swapped): &(String, u8, bool)| {
            if *swapped { format!("{image}.png\t{text}\n") } else { format!("{text}\t{image}.png\n") }
        };
        read("t.tsv", rows.iter().map(row).collect::<String>().as_bytes())?;
    }

    #[test]
    fn any_json_pieces(text in pieces(JSON, 30)) {
        read("t.json", text.as_bytes())?;
    }

    #[test]
    fn any_json(value in value()) {
        read("t.json", value.to_string().as_bytes())?;
        read("t.jsonl", format!("{{\"image\":\"0.png\"}}\n{value}\n").as_bytes())?;
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200), wide: bool) {
        let mark: &[u8] = if wide { &[0xff, 0xfe] } else { b"image,caption\n" };
        read("t.csv", &[mark, &bytes].concat())?;
    }

    /// Every row is a caption that is used, or one that the account names.
    #[test]
    fn every_row_is_accounted_for(rows in proptest::collection::vec(("[01x]\\.png", "(a dog|  |NaN|\"a\"\"b\")"), 1..12)) {
        let folder = images();
        let text: String = rows.iter().map(|(image, caption)| format!("{image},{caption}\n")).collect();
        fs::write(folder.path().join("t.csv"), format!("image,caption\n{text}")).unwrap();
        let Ok(data) = Dataset::open(folder.path(), &options()) else { return Ok(()) };
        let is_used = |(image, caption): &&(String, String)| !image.starts_with('x') && !caption.trim().is_empty();
        prop_assert_eq!(data.captions.len(), rows.iter().filter(is_used).count());
        let lines = data.account.lines(usize::MAX).join("\n");
        for (image, caption) in rows.iter().filter(|row| !is_used(row)) {
            prop_assert!(lines.contains(image.as_str()), "{} {} not in {}", image, caption, lines);
        }
    }
}
