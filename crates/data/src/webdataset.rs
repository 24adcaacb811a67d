//! Webdataset: tar shards in which consecutive members of one stem make a sample (`000.jpg`, `000.txt`, `000.json`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::format::compression;
use super::image_resolver::check_relative;
use super::image_source::ImageSource;
use super::jsonl::take_captions;
use super::options::{GivenSplit, SourceOptions};
use super::parsed_source::{ParsedCaption, ParsedSource, Record, plain};
use super::undecoded::has_any_image_extension;
use gxn_base::{Error, Result};

/// Caption and JSON members larger than this are not captions.
const LARGEST_TEXT: u64 = 4 << 20;
/// Members of a tar begin at multiples of this.
const BLOCK: u64 = 512;
const BROKEN: &str = "the archive breaks off inside it";

/// Whether the file's first 512 bytes are a tar header.
pub(super) fn is_tar(path: &Path, start: &[u8]) -> bool {
    let is_named_so = || path.extension().is_some_and(|end| end == "tar") && compression(start).is_none();
    start.get(257..262) == Some(b"ustar") || (start.len() >= 512 && is_named_so())
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
    images: Vec<ImageSource>,
    text: Option<Vec<ParsedCaption>>,
    json: Option<Map<String, Value>>,
    endings: Vec<String>,
}

/// Reads the shards in order. Captions come from the JSON's `captions`, else from the `txt` member (one a line), else
/// from the JSON's `caption` or `text`. A shard that breaks off is dropped by name; its samples before that are used.
///
/// # Errors
/// A shard that cannot be opened.
pub(super) fn read(shards: &[PathBuf], options: &SourceOptions) -> Result<ParsedSource> {
    let parsed = ParsedSource::new("webdataset");
    let mut reader = Reader { parsed, options, ids: HashSet::new(), layouts: BTreeMap::new(), restval: 0 };
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
    reader.parsed.account.exclude_restval(reader.restval);
    Ok(reader.parsed)
}

struct Reader<'a> {
    parsed: ParsedSource,
    options: &'a SourceOptions,
    ids: HashSet<String>,
    /// "jpg, json" → samples.
    layouts: BTreeMap<String, usize>,
    /// Images of the split restval, which the options leave out.
    restval: usize,
}

impl Reader<'_> {
    fn read_shard(&mut self, shard: &Path) -> Result<()> {
        let fail = |error| Error::io("cannot read", shard, error);
        let file = File::open(shard).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        if let Some(packing) = compression_of(&file).map_err(fail)? {
            let reason = format!("{packing} data, and compressed archives are not read: decompress it first");
            self.parsed.account.drop(shard.display().to_string(), reason);
            self.parsed.account.unread.push(String::new());
            return Ok(());
        }
        let mut samples: Vec<Sample> = Vec::new();
        let fault = match self.read_members(shard, &file, length, &mut samples) {
            _ if length == 0 => Some("an empty file: copy or download it again".to_owned()),
            Ok(end) => fault_at_end(&file, end, length).map_err(fail)?,
            Err(error) => Some(format!("damaged ({error}): copy or download it again")),
        };
        let count = samples.len();
        self.finish_all(shard, samples);
        if let Some(fault) = fault {
            let used = if count == 0 { "" } else { "; what comes before is read" };
            self.parsed.account.drop(shard.display().to_string(), fault + used);
            // Which samples are missing is not known: none may be taken for gone.
            self.parsed.account.unread.push(String::new());
        } else if count == 0 {
            self.parsed.account.drop(shard.display().to_string(), "an archive without samples");
        }
        Ok(())
    }

    /// Gathers members of one key that follow each other into samples; returns where the last member ends.
    fn read_members(
        &mut self,
        shard: &Path,
        file: &File,
        length: u64,
        samples: &mut Vec<Sample>,
    ) -> std::io::Result<u64> {
        let mut archive = tar::Archive::new(file);
        let mut end = 0;
        for entry in archive.entries_with_seek()? {
            let mut entry = entry?;
            end = entry.raw_file_position() + entry.size().next_multiple_of(BLOCK);
            let Some((name, dot)) = self.member_name(shard, &entry) else { continue };
            let (key, ending) = (&name[..dot], name[dot + 1..].to_ascii_lowercase());
            if samples.last().is_none_or(|sample| sample.key != key) {
                samples.push(Sample { key: key.to_owned(), ..Sample::default() });
            }
            let Some(sample) = samples.last_mut() else { continue };
            let (offset, size) = (entry.raw_file_position(), entry.size());
            let outcome = if !ending.contains('.') && has_any_image_extension(&name) {
                let (archive, member) = (shard.to_path_buf(), name.clone());
                sample.images.push(ImageSource::TarMember { archive, member, offset, length: size });
                if offset + size > length { Err(BROKEN.to_owned()) } else { Ok(()) }
            } else if ending == "txt" || ending == "json" {
                read_text(&mut entry, size).and_then(|text| sample.add_text(&ending, &text))
            } else {
                Ok(())
            };
            sample.endings.push(ending);
            if let Err(reason) = outcome {
                self.drop(shard, &name, &reason);
                if reason == BROKEN {
                    sample.images.clear();
                }
            }
        }
        Ok(end)
    }

    /// The name of a plain visible member and the place of the dot that ends its key; anything else is counted.
    fn member_name(&mut self, shard: &Path, entry: &tar::Entry<'_, &File>) -> Option<(String, usize)> {
        let name = match std::str::from_utf8(&entry.path_bytes()) {
            Ok(name) => name.trim_start_matches("./").to_owned(),
            Err(_) => {
                let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                self.drop(shard, &name, "a name that is not UTF-8");
                return None;
            }
        };
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() || name.is_empty() {
            return None;
        }
        if let Err(reason) = check_relative(&name) {
            self.drop(shard, &name, &reason);
            return None;
        }
        if !kind.is_file() {
            let reason = if kind.is_symlink() || kind.is_hard_link() { "a link" } else { "not a plain file" };
            self.drop(shard, &name, &format!("{reason}; only plain members are read"));
            return None;
        }
        let base = name.rfind('/').map_or(0, |slash| slash + 1);
        let is_hidden = |part: &str| part.starts_with('.') || part == "__MACOSX";
        if name.split('/').any(is_hidden) {
            return None;
        }
        let dot = name[base..].find('.').map(|dot| base + dot);
        if dot.is_none() {
            self.drop(shard, &name, "no ending to tell its kind by");
        }
        dot.map(|dot| (name, dot))
    }

    /// Makes records of samples, but of none whose members lie apart or stand in the archive more than once.
    fn finish_all(&mut self, shard: &Path, samples: Vec<Sample>) {
        let mut parts: HashMap<String, Vec<String>> = HashMap::new();
        let mut count: HashMap<String, usize> = HashMap::new();
        for sample in &samples {
            parts.entry(sample.key.clone()).or_default().extend(sample.endings.iter().cloned());
            *count.entry(sample.key.clone()).or_default() += 1;
        }
        for sample in samples {
            // Taken out, so that a key with several parts is named once.
            let Some(endings) = parts.remove(&sample.key) else { continue };
            match wrong_members(&endings, count[&sample.key] > 1) {
                Some(reason) => self.drop(shard, &sample.key, &reason),
                None => self.finish(shard, sample),
            }
        }
    }

    fn drop(&mut self, shard: &Path, name: &str, reason: &str) {
        self.parsed.account.drop(format!("{}!{name}", shard.display()), reason);
    }

    fn finish(&mut self, shard: &Path, sample: Sample) {
        let Sample { key, images, text, json, mut endings } = sample;
        endings.sort();
        let members = endings.join(", ");
        *self.layouts.entry(members.clone()).or_default() += 1;
        let mut json = json.unwrap_or_default();
        let ids = json.remove("caption_ids");
        let listed = json.get("captions").is_some_and(Value::is_array);
        let captions = match text {
            Some(text) if !listed => text,
            _ => take_captions(&mut json, ids.as_ref()),
        };
        let Some(source) = images.into_iter().next() else {
            let reason =
                dotted(&endings).unwrap_or_else(|| format!("captions without image; its members are {members}"));
            return self.drop(shard, &key, &reason);
        };
        if captions.is_empty() {
            let keys = json.keys().cloned().collect::<Vec<_>>().join(", ");
            let json = if json.is_empty() { String::new() } else { format!(", and its JSON has the keys {keys}") };
            let reason = format!("an image without caption; its members are {members}{json}");
            return self.drop(shard, &key, &reason);
        }
        let split = json.remove("split").as_ref().map(plain);
        let split = match self.options.given_split(split.as_deref()) {
            Ok(GivenSplit::None) => None,
            Ok(GivenSplit::Of(split)) => Some(split),
            Ok(GivenSplit::LeftOut) => {
                self.restval += 1;
                return;
            }
            Err(reason) => return self.drop(shard, &key, &reason),
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

impl Sample {
    /// Takes the text of a `txt` or `json` member.
    fn add_text(&mut self, ending: &str, text: &str) -> std::result::Result<(), String> {
        if ending == "txt" {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            self.text = Some(lines.map(ParsedCaption::new).collect());
            return Ok(());
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => self.json = Some(object),
            Ok(_) => return Err("not a JSON object".into()),
            Err(error) => return Err(error.to_string()),
        }
        Ok(())
    }
}

/// Why the members of one key make no sample although all are there.
fn wrong_members(endings: &[String], lie_apart: bool) -> Option<String> {
    let is_image = |ending: &&String| !ending.contains('.') && has_any_image_extension(&format!("a.{ending}"));
    let is_read = |ending: &&String| is_image(ending) || ending.as_str() == "txt" || ending.as_str() == "json";
    let mut seen = HashSet::new();
    if let Some(twice) = endings.iter().filter(is_read).find(|ending| !seen.insert(*ending)) {
        return Some(format!(
            "its member .{twice} stands in the archive twice, and which one belongs to the others cannot be known: give \
             every sample its own name"
        ));
    }
    let images: Vec<&str> = endings.iter().filter(is_image).map(String::as_str).collect();
    if images.len() > 1 {
        let images = images.join(", ");
        return Some(format!(
            "several images ({images}), and which one its captions describe cannot be known: keep one"
        ));
    }
    let apart = "its members lie apart in the archive: make it again with sorted names (tar --sort=name)";
    lie_apart.then(|| apart.to_owned())
}

/// Why a sample has no image although one of its members ends like one.
fn dotted(endings: &[String]) -> Option<String> {
    let further = endings.iter().find(|ending| ending.contains('.') && has_any_image_extension(ending))?;
    Some(format!(
        "no image: a sample's name ends at its first dot, so this one has a member `{further}`; replace the other dots, \
         for example by `_`"
    ))
}

/// The compression of the file, which is then at its start again.
fn compression_of(mut file: &File) -> std::io::Result<Option<&'static str>> {
    let mut start = Vec::new();
    file.take(8).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(compression(&start))
}

/// What is wrong behind the last member, which ends at `end`.
fn fault_at_end(mut file: &File, end: u64, length: u64) -> std::io::Result<Option<String>> {
    if end > length {
        return Ok(Some("it breaks off: copy or download it again".into()));
    }
    if length - end < BLOCK {
        return Ok(Some("it has no end mark and was probably cut: copy or download it again".into()));
    }
    file.seek(SeekFrom::Start(end))?;
    let is_zero = std::io::BufReader::new(file.take(length - end))
        .bytes()
        .try_fold(true, |all, byte| Ok::<_, std::io::Error>(all && byte? == 0))?;
    let more = "data after its end mark, as where archives were joined: join them with `tar --concatenate`";
    Ok((!is_zero).then(|| more.to_owned()))
}

fn read_text(entry: &mut impl Read, size: u64) -> std::result::Result<String, String> {
    if size > LARGEST_TEXT {
        return Err(format!("{size} bytes of text, at most {LARGEST_TEXT} are read"));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if (bytes.len() as u64) < size {
        return Err(BROKEN.into());
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8".into())
}

#[cfg(test)]
#[path = "webdataset_tests.rs"]
mod tests;
