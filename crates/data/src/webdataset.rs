//! Webdataset: tar shards in which consecutive members of one stem make a sample (`000.jpg`, `000.txt`, `000.json`).

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::image_resolver::check_relative;
use super::image_source::{ImageSource, is_image_extension};
use super::jsonl::take_captions;
use super::parsed_source::{ParsedCaption, ParsedSource, Record, plain};
use gxn_base::{Error, Result};

/// Caption and JSON members larger than this are not captions.
const LARGEST_TEXT: u64 = 4 << 20;

/// Whether the file's first 512 bytes are a tar header.
pub(super) fn is_tar(path: &Path, start: &[u8]) -> bool {
    start.get(257..262) == Some(b"ustar") || (start.len() >= 512 && path.extension().is_some_and(|end| end == "tar"))
}

/// `a-{000..012}.tar` → the thirteen names; the numbers keep their width. Without braces the name itself.
///
/// # Errors
/// Braces that are no range of numbers.
pub(super) fn expand(pattern: &str) -> Result<Vec<PathBuf>> {
    let Some((before, rest)) = pattern.split_once('{') else { return Ok(vec![PathBuf::from(pattern)]) };
    let wrong = || Error::invalid(pattern, "braces", "a range such as {0000..0042}");
    let (range, after) = rest.split_once('}').ok_or_else(wrong)?;
    let (from, to) = range.split_once("..").ok_or_else(wrong)?;
    let (first, last): (u32, u32) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
    if first > last || last - first > 1_000_000 {
        return Err(wrong());
    }
    let mut names = Vec::new();
    for number in first..=last {
        names.extend(expand(&format!("{before}{number:0width$}{after}", width = from.len()))?);
    }
    Ok(names)
}

/// What a sample's members gave.
#[derive(Default)]
struct Sample {
    key: String,
    image: Option<ImageSource>,
    text: Option<Vec<ParsedCaption>>,
    json: Option<Map<String, Value>>,
    endings: Vec<String>,
}

/// Reads the shards in order. Captions come from the JSON's `captions`, else from the `txt` member (one a line), else
/// from the JSON's `caption` or `text`.
///
/// # Errors
/// A shard that cannot be read or breaks off.
pub(super) fn read(shards: &[PathBuf]) -> Result<ParsedSource> {
    let mut reader = Reader { parsed: ParsedSource::new("webdataset"), ids: HashSet::new(), layouts: BTreeMap::new() };
    for shard in shards {
        reader.read_shard(shard)?;
    }
    let layouts = reader.layouts.iter().map(|(endings, count)| format!("{count} samples with members {endings}"));
    let mut seen = layouts.take(4).collect::<Vec<_>>();
    if seen.is_empty() {
        seen.push(format!("{} archives without samples", shards.len()));
    }
    if !reader.layouts.keys().any(|endings| endings.split(", ").any(|ending| ending == "txt")) {
        seen.push("no txt".into());
    }
    reader.parsed.account.found.push(seen.join("; "));
    Ok(reader.parsed)
}

struct Reader {
    parsed: ParsedSource,
    ids: HashSet<String>,
    /// "jpg, json" → samples.
    layouts: BTreeMap<String, usize>,
}

impl Reader {
    fn read_shard(&mut self, shard: &Path) -> Result<()> {
        let fail = |error| Error::io("cannot read", shard, error);
        let file = File::open(shard).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        let mut archive = tar::Archive::new(file);
        let mut sample = Sample::default();
        for entry in archive.entries_with_seek().map_err(fail)? {
            let mut entry = entry.map_err(fail)?;
            let name = match std::str::from_utf8(&entry.path_bytes()) {
                Ok(name) => name.trim_start_matches("./").to_owned(),
                Err(_) => {
                    let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                    self.drop(shard, &name, "a name that is not UTF-8");
                    continue;
                }
            };
            let kind = entry.header().entry_type();
            if kind.is_dir() || kind.is_pax_global_extensions() || name.is_empty() {
                continue;
            }
            if let Err(reason) = check_relative(&name) {
                self.drop(shard, &name, &reason);
                continue;
            }
            if !kind.is_file() {
                let reason = if kind.is_symlink() || kind.is_hard_link() { "a link" } else { "not a plain file" };
                self.drop(shard, &name, &format!("{reason}; only plain members are read"));
                continue;
            }
            let base = name.rfind('/').map_or(0, |slash| slash + 1);
            let Some(dot) = name[base..].find('.').map(|dot| base + dot).filter(|&dot| dot > base) else {
                self.drop(shard, &name, "no ending to tell its kind by");
                continue;
            };
            let (key, ending) = (&name[..dot], name[dot + 1..].to_ascii_lowercase());
            if key.split('/').any(|part| part.starts_with('.') || part == "__MACOSX") {
                continue;
            }
            if key != sample.key {
                self.finish(shard, std::mem::take(&mut sample));
                key.clone_into(&mut sample.key);
            }
            let (offset, size) = (entry.raw_file_position(), entry.size());
            match ending.as_str() {
                image if is_image_extension(image) => {
                    if offset + size > length {
                        self.drop(shard, &name, "the archive breaks off inside it");
                        continue;
                    }
                    let (archive, member) = (shard.to_path_buf(), name.clone());
                    sample.image = Some(ImageSource::TarMember { archive, member, offset, length: size });
                }
                "txt" | "json" => match read_text(&mut entry, size) {
                    Ok(text) if ending == "txt" => {
                        let lines = text.lines().filter(|line| !line.trim().is_empty());
                        sample.text = Some(lines.map(ParsedCaption::new).collect());
                    }
                    Ok(text) => match serde_json::from_str(&text) {
                        Ok(Value::Object(object)) => sample.json = Some(object),
                        Ok(_) => self.drop(shard, &name, "not a JSON object"),
                        Err(error) => self.drop(shard, &name, &error.to_string()),
                    },
                    Err(reason) => self.drop(shard, &name, &reason),
                },
                _ => {}
            }
            sample.endings.push(ending);
        }
        self.finish(shard, sample);
        Ok(())
    }

    fn drop(&mut self, shard: &Path, name: &str, reason: &str) {
        self.parsed.account.drop(format!("{}!{name}", shard.display()), reason);
    }

    fn finish(&mut self, shard: &Path, sample: Sample) {
        let Sample { key, image, text, json, mut endings } = sample;
        if endings.is_empty() {
            return;
        }
        endings.sort();
        *self.layouts.entry(endings.join(", ")).or_default() += 1;
        let mut json = json.unwrap_or_default();
        let ids = json.remove("caption_ids");
        let listed = json.get("captions").is_some_and(Value::is_array);
        let captions = match text {
            Some(text) if !listed => text,
            _ => take_captions(&mut json, ids.as_ref()),
        };
        let Some(source) = image else {
            return self.drop(shard, &key, &format!("captions without image; its members are {}", endings.join(", ")));
        };
        if captions.is_empty() {
            let keys = json.keys().cloned().collect::<Vec<_>>().join(", ");
            let json = if json.is_empty() { String::new() } else { format!(", and its JSON has the keys {keys}") };
            let reason = format!("an image without caption; its members are {}{json}", endings.join(", "));
            return self.drop(shard, &key, &reason);
        }
        let split = json.remove("split").as_ref().map(plain);
        let split = match split.as_deref().filter(|split| !split.is_empty()).map(str::parse) {
            None => None,
            Some(Ok(split)) => Some(split),
            Some(Err(_)) => {
                let reason = format!("its split is {:?}, not train, val or test", split.unwrap_or_default());
                return self.drop(shard, &key, &reason);
            }
        };
        let mut id = json.remove("id").as_ref().map_or(key, plain);
        if self.ids.contains(&id) {
            // Shards are often numbered from zero each.
            let shard = shard.file_stem().unwrap_or_default().to_string_lossy();
            id = format!("{shard}/{id}");
        }
        self.ids.insert(id.clone());
        let meta = match json.remove("meta") {
            Some(Value::Object(mut meta)) => {
                meta.extend(json);
                meta
            }
            _ => json,
        };
        self.parsed.records.push(Record { id, source, split, captions, meta });
    }
}

fn read_text(entry: &mut impl Read, size: u64) -> std::result::Result<String, String> {
    if size > LARGEST_TEXT {
        return Err(format!("{size} bytes of text, at most {LARGEST_TEXT} are read"));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if (bytes.len() as u64) < size {
        return Err("the archive breaks off inside it".into());
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8".into())
}
