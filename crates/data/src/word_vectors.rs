//! [`WordVectors`]: ready-made vectors (GloVe, word2vec, safetensors) for the words of a vocabulary.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use super::vocabulary::Vocabulary;
use gxn_base::{Error, Result};

/// Vectors found for a vocabulary.
#[derive(Debug, Clone, PartialEq)]
pub struct WordVectors {
    /// Length `E` of a vector.
    pub dimension: usize,
    /// Vocabulary numbers that have a vector, ascending.
    pub numbers: Vec<u32>,
    /// Their vectors, row after row: `[numbers.len(), E]`.
    pub values: Vec<f32>,
    /// Words of the vocabulary without a vector, most frequent first; the specials are not counted.
    pub missing: Vec<String>,
}

impl WordVectors {
    /// Share of the vocabulary's words that have a vector, in `0..=1`; 1 for a vocabulary of no words.
    pub fn coverage(&self) -> f64 {
        let words = self.numbers.len() + self.missing.len();
        if words == 0 { 1.0 } else { self.numbers.len() as f64 / words as f64 }
    }

    /// Reads the vectors of the vocabulary's words. The layout is recognised by its content: GloVe text (`word v1 … vE`), word2vec text
    /// (the same after a line `count E`), word2vec binary, safetensors with one matrix and a list of its words (one a
    /// line) in a `.txt` of the same stem, or a folder with one such safetensors file.
    ///
    /// A word of the file in another case is used only where the vocabulary's own spelling is absent.
    ///
    /// # Errors
    /// Names the file, and the line or word: unreadable, wrong number of values, a value that is no finite number.
    pub fn load(path: &Path, vocabulary: &Vocabulary) -> Result<Self> {
        let path = &if path.is_dir() { matrix_in(path)? } else { path.to_path_buf() };
        let mut start = Vec::new();
        let open = || File::open(path).map_err(|error| Error::io("cannot open", path, error));
        open()?.take(4096).read_to_end(&mut start).map_err(|error| Error::io("cannot read", path, error))?;
        let mut collector = Collector::new(path, vocabulary);
        match Layout::of(path, &start)? {
            Layout::SafeTensors => read_safetensors(path, &mut collector)?,
            Layout::Text { header } => read_text(path, BufReader::new(open()?), header, &mut collector)?,
            Layout::Binary { count, dimension } => {
                read_binary(path, BufReader::with_capacity(1 << 20, open()?), count, dimension, &mut collector)?;
            }
        }
        collector.finish()
    }
}

enum Layout {
    SafeTensors,
    Text { header: bool },
    Binary { count: usize, dimension: usize },
}

impl Layout {
    fn of(path: &Path, start: &[u8]) -> Result<Self> {
        if start.len() > 8 && start[8] == b'{' && start[4..8] == [0; 4] {
            return Ok(Self::SafeTensors);
        }
        let unknown = || {
            let found = if start.is_empty() { "an empty file" } else { "neither numbers nor a header" };
            Error::invalid(path.display().to_string(), found, "GloVe or word2vec text, word2vec binary, safetensors")
        };
        let end = start.iter().position(|&byte| byte == b'\n').ok_or_else(unknown)?;
        let first = String::from_utf8_lossy(&start[..end]);
        let fields: Vec<&str> = first.split_whitespace().collect();
        if let [count, dimension] = fields[..]
            && let (Ok(count), Ok(dimension)) = (count.parse(), dimension.parse())
        {
            // The values after the first word are decimal digits in text and any bytes in binary.
            let rest = &start[end + 1..];
            let values = rest.iter().position(|&byte| byte == b' ').map_or(&[][..], |space| &rest[space + 1..]);
            let decimal = |byte: &u8| byte.is_ascii_digit() || b" .-+eE\r\n".contains(byte);
            let text = values.first().is_some_and(|&byte| byte != b'\n')
                && values.iter().take(64).take_while(|&&byte| byte != b'\n').all(decimal);
            return Ok(if text { Self::Text { header: true } } else { Self::Binary { count, dimension } });
        }
        match fields.last().map(|value| value.parse::<f32>()) {
            Some(Ok(_)) if fields.len() > 1 => Ok(Self::Text { header: false }),
            _ => Err(unknown()),
        }
    }
}

/// Keeps the best row for each wanted word.
struct Collector<'a> {
    name: String,
    vocabulary: &'a Vocabulary,
    dimension: Option<usize>,
    /// Vocabulary number → (spelled exactly so, vector).
    rows: HashMap<u32, (bool, Vec<f32>)>,
}

impl<'a> Collector<'a> {
    fn new(path: &Path, vocabulary: &'a Vocabulary) -> Self {
        Self { name: path.display().to_string(), vocabulary, dimension: None, rows: HashMap::new() }
    }

    /// The vocabulary number a file's word stands for, and whether it is spelled exactly so.
    fn wanted(&self, word: &str) -> Option<(u32, bool)> {
        let exact = self.vocabulary.number(word);
        if exact > super::vocabulary::UNKNOWN {
            return Some((exact, true));
        }
        let lower = self.vocabulary.number(&word.to_lowercase());
        (lower > super::vocabulary::UNKNOWN && !self.rows.contains_key(&lower)).then_some((lower, false))
    }

    fn add(&mut self, word: &str, number: u32, exact: bool, vector: Vec<f32>) -> Result<()> {
        if let Some(bad) = vector.iter().find(|value| !value.is_finite()) {
            return Err(Error::invalid(format!("{}: the vector of {word:?}", self.name), bad.to_string(), "numbers"));
        }
        match self.rows.get(&number) {
            Some((true, _)) => {} // the first exact spelling stands
            _ => drop(self.rows.insert(number, (exact, vector))),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<WordVectors> {
        let mut result = WordVectors {
            dimension: self.dimension.unwrap_or(0),
            numbers: Vec::with_capacity(self.rows.len()),
            values: Vec::with_capacity(self.rows.len() * self.dimension.unwrap_or(0)),
            missing: Vec::new(),
        };
        for (number, word) in self.vocabulary.tokens().iter().enumerate().skip(super::vocabulary::UNKNOWN as usize + 1)
        {
            match self.rows.remove(&(number as u32)) {
                Some((_, vector)) => {
                    result.numbers.push(number as u32);
                    result.values.extend(vector);
                }
                None => result.missing.push(word.clone()),
            }
        }
        if result.numbers.is_empty() && !result.missing.is_empty() {
            return Err(Error::conflict(self.name, "none of the vocabulary's words", "some of them")
                .with_hint("are the vectors of the captions' language?"));
        }
        Ok(result)
    }
}

fn read_text(path: &Path, lines: impl BufRead, header: bool, collector: &mut Collector<'_>) -> Result<()> {
    for (at, line) in lines.split(b'\n').enumerate().skip(usize::from(header)) {
        let line = line.map_err(|error| Error::io("cannot read", path, error))?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        let place = || format!("{}, line {}", path.display(), at + 1);
        let dimension = *collector.dimension.get_or_insert_with(|| line.split(' ').count() - 1);
        // Some words of GloVe 840B hold spaces: the values are counted from the right.
        let mut fields = line.rsplitn(dimension + 1, ' ');
        let values: Vec<&str> = fields.by_ref().take(dimension).collect();
        let (Some(word), true) = (fields.next(), values.len() == dimension) else {
            let found = format!("{} values", line.split(' ').count() - 1);
            return Err(Error::invalid(place(), found, format!("{dimension} values")));
        };
        let Some((number, exact)) = collector.wanted(word) else { continue };
        let vector: std::result::Result<Vec<f32>, _> = values.iter().rev().map(|value| value.parse()).collect();
        let vector = vector.map_err(|_| Error::invalid(place(), format!("{line:.40?}…"), "a word and numbers"))?;
        collector.add(word, number, exact, vector)?;
    }
    Ok(())
}

fn read_binary(
    path: &Path,
    mut file: impl BufRead,
    count: usize,
    dimension: usize,
    collector: &mut Collector<'_>,
) -> Result<()> {
    let fail = |error: std::io::Error| Error::io("cannot read", path, error);
    file.read_until(b'\n', &mut Vec::new()).map_err(fail)?;
    if dimension == 0 || dimension > 100_000 {
        return Err(Error::invalid(path.display().to_string(), format!("vectors of {dimension} values"), "1–100000"));
    }
    collector.dimension = Some(dimension);
    let mut bytes = vec![0; dimension * 4];
    for row in 0..count {
        let mut word = Vec::new();
        file.by_ref().take(4096).read_until(b' ', &mut word).map_err(fail)?;
        if word.pop() != Some(b' ') {
            let found = format!("{row} words, then the end of the file or no word");
            return Err(Error::invalid(path.display().to_string(), found, format!("{count} words")));
        }
        file.read_exact(&mut bytes).map_err(|_| {
            let found = format!("the end of the file in vector {}", row + 1);
            Error::invalid(path.display().to_string(), found, format!("{count} vectors"))
        })?;
        let word = String::from_utf8_lossy(&word);
        let word = word.trim_start_matches('\n'); // the original tool ends each row with a line feed
        if let Some((number, exact)) = collector.wanted(word) {
            let vector = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            collector.add(word, number, exact, vector)?;
        }
    }
    Ok(())
}

fn read_safetensors(path: &Path, collector: &mut Collector<'_>) -> Result<()> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| Error::io("cannot read", path, error))?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|error| Error::invalid(&name, error.to_string(), "a safetensors file"))?;
    let found = tensors.tensors();
    let [(key, matrix)] = &found[..] else {
        return Err(Error::invalid(name, format!("{} tensors", found.len()), "one matrix of word vectors"));
    };
    let &[rows, dimension] = matrix.shape() else {
        return Err(Error::invalid(name, format!("{key} of shape {:?}", matrix.shape()), "a matrix"));
    };
    let decode: fn(&[u8]) -> f32 = match matrix.dtype() {
        Dtype::F16 => |b| half::f16::from_le_bytes([b[0], b[1]]).to_f32(),
        Dtype::BF16 => |b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32(),
        Dtype::F32 => |b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
        other => return Err(Error::unsupported(name, format!("{other:?} values"), "F16, BF16 or F32")),
    };
    let size = if matrix.dtype() == Dtype::F32 { 4 } else { 2 };
    let list = path.with_extension("txt");
    let words = std::fs::read_to_string(&list).map_err(|error| Error::io("cannot read the word list", &list, error))?;
    let words: Vec<&str> = words.lines().collect();
    if words.len() != rows {
        let found = format!("{} words", words.len());
        return Err(Error::conflict(list.display().to_string(), found, format!("{rows}, as {key} has rows")));
    }
    collector.dimension = Some(dimension);
    for (row, word) in words.iter().enumerate() {
        if let Some((number, exact)) = collector.wanted(word) {
            let row = &matrix.data()[row * dimension * size..][..dimension * size];
            collector.add(word, number, exact, row.chunks_exact(size).map(decode).collect())?;
        }
    }
    Ok(())
}

/// The folder's only safetensors file.
fn matrix_in(folder: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io("cannot read", folder, error))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "safetensors"));
    match &files[..] {
        [only] => Ok(only.clone()),
        _ => Err(Error::invalid(
            folder.display().to_string(),
            format!("{} .safetensors files", files.len()),
            "one, with its word list",
        )
        .with_hint("name the file itself")),
    }
}

#[cfg(test)]
#[path = "word_vectors_tests.rs"]
mod tests;
