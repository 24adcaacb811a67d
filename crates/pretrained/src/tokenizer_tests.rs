//! Tests against transformers (`reference/pretrained_inputs.py golden`).

use std::fs;
use std::path::{Path, PathBuf};

use gxn_base::Kind;
use proptest::prelude::*;

use super::*;

/// Families in the order of the columns of tokens.json.
const FOLDERS: [&str; 4] = ["clip", "bert", "siglip", "siglip2"];

fn inputs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/inputs")
}

fn tokenizer(name: &str) -> TextTokenizer {
    TextTokenizer::read(&EncoderFolder::open(&inputs().join(name)).unwrap()).unwrap()
}

/// A copy of a golden folder with one file changed, or without it.
fn changed(name: &str, file: &str, content: Option<&str>) -> Result<TextTokenizer> {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(inputs().join(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    match content {
        Some(content) => fs::write(copy.path().join(file), content).unwrap(),
        None => fs::remove_file(copy.path().join(file)).unwrap(),
    }
    TextTokenizer::read(&EncoderFolder::open(copy.path())?)
}

#[test]
fn hostile_texts_have_the_tokens_of_transformers() {
    let golden: Vec<Vec<Value>> = serde_json::from_slice(&fs::read(inputs().join("tokens.json")).unwrap()).unwrap();
    assert!(golden.len() >= 30);
    let mut wrong = Vec::new();
    let mut cut = 0;
    for (column, name) in FOLDERS.into_iter().enumerate() {
        let tokenizer = tokenizer(name);
        for row in &golden {
            let want: Vec<u32> = serde_json::from_value(row[column + 1].clone()).unwrap();
            let found = tokenizer.encode(row[0].as_str().unwrap()).unwrap();
            assert!(!found.cut || found.ids.len() == tokenizer.max_tokens());
            cut += usize::from(found.cut);
            if found.ids != want {
                wrong.push(format!("{name}, {}: {:?}, transformers {want:?}", row[0], found.ids));
            }
        }
    }
    assert!(cut > 10, "only {cut} texts were long enough to be cut");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn lengths_and_padding_are_those_of_the_family() {
    let ends = FOLDERS.map(|name| {
        let tokenizer = tokenizer(name);
        (tokenizer.max_tokens(), tokenizer.pad_id(), *tokenizer.encode("a dog").unwrap().ids.last().unwrap())
    });
    // CLIP and the first SigLIP pad with their end token; a sentence encoder's own length beats its tokenizer's.
    assert_eq!(ends, [(77, 813, 813), (256, 0, 3), (64, 1, 1), (64, 0, 1)]);
}

/// A text of exactly the most tokens is whole; one token more is cut, and the end token stays.
#[test]
fn a_text_is_cut_before_its_end_token() {
    let tokenizer = tokenizer("bert");
    let [fits, over] = [254, 255].map(|words| tokenizer.encode(&vec!["a"; words].join(" ")).unwrap());
    assert_eq!((fits.ids.len(), fits.cut, over.ids.len(), over.cut), (256, false, 256, true));
    assert_eq!(fits.ids, over.ids);
    let left = r#"{"truncation_side": "left", "pad_token": {"content": "[SEP]"}, "model_max_length": 1000000000000000000000000000000}"#;
    let left = changed("bert", "tokenizer_config.json", Some(left)).unwrap();
    assert_eq!(left.pad_id(), 3);
    let last = left.encode(&format!("{}dogs", "a ".repeat(300))).unwrap().ids;
    assert_eq!(last[254..], left.encode("dogs").unwrap().ids[1..]);
}

/// Both files of BERT give the same tokens; where they contradict each other, tokenizer_config.json counts.
#[test]
fn a_setting_beats_the_normalizer_of_tokenizer_json() {
    let from_words = tokenizer("bert");
    let saved = from_words.engine.to_string(false).unwrap();
    let texts = ["A Dog RÉSUMÉ", "中文 dogs", "a dog"].map(|text| (text, from_words.encode(text).unwrap()));
    let both = changed("bert", "tokenizer.json", Some(&saved)).unwrap();
    let other = saved.replace(r#""lowercase":true"#, r#""lowercase":false"#);
    assert_ne!(other, saved);
    let corrected = changed("bert", "tokenizer.json", Some(&other)).unwrap();
    for (text, tokens) in texts {
        assert_eq!(both.encode(text).unwrap(), tokens);
        assert_eq!(corrected.encode(text).unwrap(), tokens);
    }
}

/// A cased tokenizer keeps capitals, unless the sentence encoder above it does not.
#[test]
fn a_sentence_encoder_may_lower_its_texts() {
    let cased = Some(r#"{"do_lower_case": false}"#);
    let cased = changed("bert", "tokenizer_config.json", cased).unwrap();
    assert_ne!(cased.encode("A DOG").unwrap(), cased.encode("a dog").unwrap());
    let saved = cased.engine.to_string(false).unwrap();
    let copy = tempfile::tempdir().unwrap();
    fs::write(copy.path().join("config.json"), r#"{"model_type": "bert"}"#).unwrap();
    fs::write(copy.path().join("tokenizer.json"), saved).unwrap();
    fs::write(copy.path().join("sentence_bert_config.json"), r#"{"do_lower_case": true}"#).unwrap();
    let lowered = TextTokenizer::read(&EncoderFolder::open(copy.path()).unwrap()).unwrap();
    assert_eq!(lowered.encode("A DOG").unwrap(), cased.encode("a dog").unwrap());
    assert_eq!(lowered.max_tokens(), 512);
}

#[test]
fn long_texts_end_soon() {
    for name in FOLDERS {
        let tokenizer = tokenizer(name);
        for text in
            ["x".repeat(100_000), "dog ".repeat(25_000), " ".repeat(100_000), "中".repeat(33_000), "'".repeat(100_000)]
        {
            assert!(tokenizer.encode(&text).unwrap().ids.len() <= tokenizer.max_tokens());
        }
    }
}

#[test]
fn what_is_missing_or_damaged_is_named() {
    let refused = |name: &str, file: &str, content: Option<&str>| {
        let error = changed(name, file, content).unwrap_err();
        (error.kind(), error.to_string())
    };
    let cases = [
        ("clip", "merges.txt", None, Kind::NotFound, "merges.txt beside vocab.json"),
        ("clip", "vocab.json", None, Kind::NotFound, "tokenizer.json, or vocab.json and merges.txt"),
        ("clip", "vocab.json", Some(r#"{"a": 0}"#), Kind::Invalid, "no token <|startoftext|>"),
        ("clip", "merges.txt", Some("#version: 0.2\nno_such thing\n"), Kind::Invalid, "expected a tokenizer"),
        ("clip", "config.json", Some(r#"{"model_type": "dinov2"}"#), Kind::Unsupported, "images only"),
        ("bert", "vocab.txt", None, Kind::NotFound, "tokenizer.json or vocab.txt"),
        ("bert", "vocab.txt", Some("a\nb\n"), Kind::Invalid, "no token [UNK]"),
        ("bert", "sentence_bert_config.json", Some(r#"{"max_seq_length": 2}"#), Kind::Invalid, "2 tokens at most"),
        ("siglip", "tokenizer.json", None, Kind::NotFound, "tokenizer.json"),
        ("siglip", "tokenizer.json", Some("{}"), Kind::Invalid, "expected a tokenizer"),
        ("siglip", "tokenizer.json", Some("version https://git-lfs.github.com/spec/v1\n"), Kind::Invalid, "Git LFS"),
    ];
    for (name, file, content, kind, words) in cases {
        let (found, text) = refused(name, file, content);
        assert_eq!(found, kind, "{text}");
        assert!(text.contains(words), "{text} lacks {words}");
    }
}

proptest! {
    /// No text panics, exceeds the length, loses start or end, or has a token outside the vocabulary.
    #[test]
    fn every_text_has_tokens(text in any::<String>(), name in proptest::sample::select(&FOLDERS[..])) {
        let tokenizer = tokenizer(name);
        let tokens = tokenizer.encode(&text).unwrap().ids;
        let empty = tokenizer.encode("").unwrap().ids;
        prop_assert!(tokens.len() >= empty.len() && tokens.len() <= tokenizer.max_tokens());
        prop_assert_eq!(tokens.last(), empty.last());
        if empty.len() == 2 {
            prop_assert_eq!(tokens.first(), empty.first());
        }
        let count = tokenizer.engine.get_vocab_size(true) as u32;
        prop_assert!(tokens.iter().all(|&token| token < count));
    }
}
