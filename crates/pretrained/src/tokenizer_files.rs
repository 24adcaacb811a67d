//! Tokenizers as publishers lay them out, brought to one form: what a `tokenizer.json` describes.

use gxn_base::{Error, Result};
use serde_json::{Map, Value, json};

use crate::{EncoderFolder, Family};

/// How CLIP's texts fall into words; what lies between the matches is dropped.
const CLIP_WORDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
/// Python's white space: what the regex engine means by it, and four control characters.
const SPACES: &str = r"[\s\x1c-\x1f]+";
/// Python's `string.punctuation`.
const PUNCTUATION: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"##;

/// The description of a folder's tokenizer with the name of the file that it came from.
pub(crate) fn description(folder: &EncoderFolder, settings: &Value) -> Result<(&'static str, Value)> {
    let family = folder.family();
    if family == Family::Dinov2 {
        let name = folder.path().display().to_string();
        return Err(Error::unsupported(name, "an encoder of images only (DINOv2)", "one that reads texts"));
    }
    let (file, mut description) = match folder.json("tokenizer.json")? {
        Some(description) => ("tokenizer.json", description),
        None => match family {
            Family::Clip => ("vocab.json", clip(folder, settings)?),
            Family::Bert => ("vocab.txt", bert(folder, settings)?),
            _ => return Err(missing(folder, "tokenizer.json")),
        },
    };
    match family {
        Family::Siglip => normalise_as_siglip(&mut description),
        Family::Bert => normalise_as_bert(&mut description, settings),
        _ => {}
    }
    // A sentence encoder may put its texts in lower case before its tokenizer sees them.
    if folder.json("sentence_bert_config.json")?.is_some_and(|json| json["do_lower_case"] == true) {
        surround(&mut description, &[json!({"type": "Lowercase"})], &[]);
    }
    Ok((file, description))
}

fn missing(folder: &EncoderFolder, expected: &str) -> Error {
    let path = folder.path().display().to_string();
    let alone = ["spiece.model", "tokenizer.model", "vocab.json", "vocab.txt", "merges.txt"]
        .iter()
        .find(|name| folder.path().join(name).exists());
    let found = alone.map_or("no tokenizer".to_owned(), |name| format!("{name} alone"));
    Error::not_found(path, found, expected).with_hint(
        "download it from the encoder's page; or load the tokenizer with transformers and save it with save_pretrained",
    )
}

/// The content of a special token: a setting may hold it as a text or as an object.
pub(crate) fn special_token(settings: &Value, name: &str) -> Option<String> {
    let value = &settings[name];
    value.as_str().or_else(|| value["content"].as_str()).map(str::to_owned)
}

/// SigLIP was trained on texts in lower case, the first one also without punctuation and further spaces; not every
/// publisher's file says so. All steps leave a text alone that has been through them before.
fn normalise_as_siglip(description: &mut Value) {
    let lower = json!({"type": "Lowercase"});
    if description["model"]["type"] != "Unigram" {
        return surround(description, &[lower], &[]);
    }
    // SentencePiece joins letters and marks and trims after its own map of characters; the engine does not.
    let strip = json!({"type": "Strip", "strip_left": true, "strip_right": true});
    let before = [lower, replace(PUNCTUATION, ""), replace(SPACES, " "), json!({"type": "NFC"})];
    surround(description, &before, &[replace(" {2,}", " "), strip]);
}

/// Where tokenizer_config.json and tokenizer.json contradict each other, transformers believes the former.
fn normalise_as_bert(description: &mut Value, settings: &Value) {
    let normalizer = &mut description["normalizer"];
    if normalizer["type"] != "BertNormalizer" {
        return;
    }
    for (ours, theirs) in [("lowercase", "do_lower_case"), ("handle_chinese_chars", "tokenize_chinese_chars")] {
        if settings[theirs].is_boolean() {
            normalizer[ours] = settings[theirs].clone();
        }
    }
    if let Some(strip) = settings.get("strip_accents") {
        normalizer["strip_accents"] = strip.clone();
    }
}

/// Puts `steps` before and after a description's own normalizer.
fn surround(description: &mut Value, before: &[Value], after: &[Value]) {
    let own = match description["normalizer"].take() {
        Value::Null => vec![],
        own => vec![own],
    };
    let steps = [before, &own, after].concat();
    description["normalizer"] = json!({"type": "Sequence", "normalizers": steps});
}

fn replace(pattern: &str, content: &str) -> Value {
    json!({"type": "Replace", "pattern": {"Regex": pattern}, "content": content})
}

/// CLIP's byte-pair encoding from vocab.json and merges.txt.
fn clip(folder: &EncoderFolder, settings: &Value) -> Result<Value> {
    let vocab =
        folder.json("vocab.json")?.ok_or_else(|| missing(folder, "tokenizer.json, or vocab.json and merges.txt"))?;
    let merges = folder.text("merges.txt")?.ok_or_else(|| missing(folder, "merges.txt beside vocab.json"))?;
    let start = special_token(settings, "bos_token").unwrap_or_else(|| "<|startoftext|>".to_owned());
    let end = special_token(settings, "eos_token").unwrap_or_else(|| "<|endoftext|>".to_owned());
    let unknown = special_token(settings, "unk_token").unwrap_or_else(|| end.clone());
    let file = folder.path().join("vocab.json").display().to_string();
    let id = |token: &str| id_in(&vocab, token, &file);
    let (start_id, end_id) = (id(&start)?, id(&end)?);
    let merges: Vec<&str> = merges.lines().filter(|line| !line.is_empty() && !line.starts_with("#version")).collect();
    Ok(json!({
        "version": "1.0",
        "added_tokens": [special(&start, start_id), special(&end, end_id)],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, replace(r"\s+", " "), {"type": "Lowercase"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": CLIP_WORDS}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        ]},
        "post_processor": {"type": "RobertaProcessing", "sep": [end, end_id], "cls": [start, start_id],
            "trim_offsets": false, "add_prefix_space": false},
        "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "vocab": vocab, "merges": merges},
    }))
}

/// BERT's WordPiece from vocab.txt: a token's number is its line.
fn bert(folder: &EncoderFolder, settings: &Value) -> Result<Value> {
    let text = folder.text("vocab.txt")?.ok_or_else(|| missing(folder, "tokenizer.json or vocab.txt"))?;
    let vocab: Map<String, Value> = text.lines().enumerate().map(|(id, token)| (token.to_owned(), json!(id))).collect();
    let vocab = Value::Object(vocab);
    let file = folder.path().join("vocab.txt").display().to_string();
    let token = |name: &str, usual: &str| special_token(settings, name).unwrap_or_else(|| usual.to_owned());
    let [unknown, start, end, pad] =
        [("unk_token", "[UNK]"), ("cls_token", "[CLS]"), ("sep_token", "[SEP]"), ("pad_token", "[PAD]")]
            .map(|(name, usual)| token(name, usual));
    let mask = token("mask_token", "[MASK]");
    let mut added = Vec::new();
    for token in [&unknown, &start, &end, &pad] {
        added.push(special(token, id_in(&vocab, token, &file)?));
    }
    if let Ok(id) = id_in(&vocab, &mask, &file) {
        added.push(special(&mask, id));
    }
    let flag = |name: &str, usual: bool| settings[name].as_bool().unwrap_or(usual);
    Ok(json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "lowercase": flag("do_lower_case", true),
            "handle_chinese_chars": flag("tokenize_chinese_chars", true), "strip_accents": settings["strip_accents"]},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": [end, id_in(&vocab, &end, &file)?],
            "cls": [start, id_in(&vocab, &start, &file)?]},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab},
    }))
}

fn id_in(vocab: &Value, token: &str, file: &str) -> Result<u64> {
    vocab[token].as_u64().ok_or_else(|| Error::invalid(file, format!("no token {token}"), "a vocabulary that holds it"))
}

fn special(token: &str, id: u64) -> Value {
    json!({"id": id, "content": token, "special": true, "normalized": false,
        "single_word": false, "lstrip": false, "rstrip": false})
}
