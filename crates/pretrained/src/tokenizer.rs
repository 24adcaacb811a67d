//! [`TextTokenizer`]: from a text to the numbers that an encoder reads.

use std::fmt;

use gxn_base::{Error, Result};
use serde_json::Value;
use tokenizers::{Tokenizer, TruncationDirection, TruncationParams};

use crate::tokenizer_files::{description, special_token};
use crate::{EncoderFolder, Family};

/// Texts of an encoder to tokens: as transformers makes them from the same folder, cut to the encoder's length.
pub struct TextTokenizer {
    engine: Tokenizer,
    max_tokens: usize,
    /// The side at which longer texts are cut.
    direction: TruncationDirection,
    pad_id: u32,
}

/// The tokens of one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// With start and end tokens, without padding; at most [`TextTokenizer::max_tokens`].
    pub ids: Vec<u32>,
    /// Whether the text was longer than the encoder reads.
    pub cut: bool,
}

impl TextTokenizer {
    /// The tokenizer of a folder: tokenizer.json, or the older vocab.json with merges.txt (CLIP) and vocab.txt (BERT).
    ///
    /// # Errors
    /// When the encoder reads no texts, and when a file is missing, damaged or of another kind.
    pub fn read(folder: &EncoderFolder) -> Result<Self> {
        let mut settings = folder.json("special_tokens_map.json")?.unwrap_or_else(|| Value::Object(Default::default()));
        if let (Some(all), Some(Value::Object(own))) = (settings.as_object_mut(), folder.json("tokenizer_config.json")?)
        {
            all.extend(own);
        }
        let (file, mut description) = description(folder, &settings)?;
        let file = folder.path().join(file).display().to_string();
        // Cutting is set below; padding is the reader's matter.
        description["truncation"] = Value::Null;
        description["padding"] = Value::Null;
        let wrong = |error: tokenizers::Error| Error::invalid(&file, error.to_string(), "a tokenizer");
        let mut engine = Tokenizer::from_bytes(description.to_string()).map_err(wrong)?;
        let max_tokens = max_tokens(folder, &settings)?;
        // The engine subtracts start and end from the length without a check.
        let frame = engine.encode_fast("", true).map_err(wrong)?.len();
        if max_tokens <= frame {
            let found = format!("{max_tokens} tokens at most");
            return Err(Error::invalid(file, found, format!("room for more than the {frame} of an empty text")));
        }
        let direction = match settings["truncation_side"].as_str() {
            Some("left") => TruncationDirection::Left,
            _ => TruncationDirection::Right,
        };
        // Without start and end the engine stops at the last token that it may keep: one more tells whether there was another.
        let max_length = max_tokens + usize::from(frame == 0);
        let truncation = TruncationParams { max_length, direction, ..TruncationParams::default() };
        engine.with_truncation(Some(truncation)).map_err(wrong)?;
        let pad_id = pad_id(folder, &settings, &engine);
        Ok(Self { engine, max_tokens, direction, pad_id })
    }

    /// The tokens of `text`.
    ///
    /// # Errors
    /// When the vocabulary has no token for a part of the text, nor one for what is unknown.
    pub fn encode(&self, text: &str) -> Result<Tokens> {
        let encoding = self.engine.encode_fast(text, true).map_err(|error| {
            let start: String = text.chars().take(40).collect();
            Error::invalid(format!("the text {start:?}"), error.to_string(), "a text that the tokenizer reads")
        })?;
        let (mut ids, most) = (encoding.get_ids().to_vec(), self.max_tokens);
        let cut = !encoding.get_overflowing().is_empty() || ids.len() > most;
        match self.direction {
            TruncationDirection::Left => drop(ids.drain(..ids.len().saturating_sub(most))),
            TruncationDirection::Right => ids.truncate(most),
        }
        Ok(Tokens { ids, cut })
    }

    /// The tokens of texts, and how many texts were cut.
    ///
    /// # Errors
    /// As [`TextTokenizer::encode`].
    pub(crate) fn encode_all(&self, texts: &[&str]) -> Result<(Vec<Vec<u32>>, usize)> {
        let tokens = texts.iter().map(|text| self.encode(text)).collect::<Result<Vec<_>>>()?;
        let cut = tokens.iter().filter(|tokens| tokens.cut).count();
        Ok((tokens.into_iter().map(|tokens| tokens.ids).collect(), cut))
    }

    /// The most tokens of a text, start and end included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// What fills shorter texts of a batch up.
    pub fn pad_id(&self) -> u32 {
        self.pad_id
    }
}

impl fmt::Debug for TextTokenizer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = self.engine.get_vocab_size(true);
        write!(out, "TextTokenizer {{ tokens: {tokens}, max_tokens: {}, pad_id: {} }}", self.max_tokens, self.pad_id)
    }
}

/// The most tokens of a text: what a sentence encoder's own file says, else the tokenizer's, but never more than the
/// network has positions for. transformers writes a huge number where there is no limit.
fn max_tokens(folder: &EncoderFolder, settings: &Value) -> Result<usize> {
    let config = folder.config();
    let positions = [&config["text_config"]["max_position_embeddings"], &config["max_position_embeddings"]]
        .into_iter()
        .find_map(Value::as_u64)
        .unwrap_or(match folder.family() {
            Family::Clip => 77,
            Family::Siglip => 64,
            Family::Bert | Family::Dinov2 | Family::Other => 512,
        });
    let sentence = folder.json("sentence_bert_config.json")?.and_then(|json| json["max_seq_length"].as_u64());
    let own = sentence.or_else(|| settings["model_max_length"].as_u64());
    Ok(own.unwrap_or(positions).min(positions).min(1 << 20) as usize)
}

/// CLIP's and SigLIP's first tokenizer pad with the end token.
fn pad_id(folder: &EncoderFolder, settings: &Value, engine: &Tokenizer) -> u32 {
    let usual: &[&str] = match folder.family() {
        Family::Clip => &["<|endoftext|>"],
        Family::Siglip => &["<pad>", "</s>"],
        Family::Bert | Family::Dinov2 => &["[PAD]"],
        Family::Other => &["[PAD]", "<pad>"],
    };
    let named = special_token(settings, "pad_token").and_then(|token| engine.token_to_id(&token));
    let config = folder.config();
    let configured = || {
        let ids = [&config["text_config"]["pad_token_id"], &config["pad_token_id"]];
        ids.into_iter().find_map(Value::as_u64).and_then(|id| u32::try_from(id).ok())
    };
    named.or_else(|| usual.iter().find_map(|token| engine.token_to_id(token))).or_else(configured).unwrap_or(0)
}

#[cfg(test)]
#[path = "tokenizer_tests.rs"]
mod tests;
