//! [`EventFile`]: the numbers of `log.jsonl` as TensorBoard reads them.
//!
//! A file is a sequence of records: the length (u64), its masked CRC-32C, the record, its masked CRC-32C, all little-endian. A record
//! is a protocol buffer `Event`, of which five fields are needed, so they are written by hand.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use gxn_base::{Error, Result};

/// How the names of such files begin; the time of the first record follows.
const PREFIX: &str = "events.out.tfevents.";
/// Keys of a line that say where it stands.
const PLACES: [&str; 3] = ["step", "epoch", "finished_epoch"];

/// Where the curves of a run go beside its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReportTo {
    /// Into event files where the run already has some, else nowhere.
    #[default]
    AsBefore,
    /// Into event files for TensorBoard.
    Tensorboard,
    /// Nowhere.
    Nothing,
}

/// A file of events that grows.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// A new file in the folder of a run that goes on after `step` steps, if it is to have one. Readers leave out what earlier files
    /// have of later steps, of a run that was killed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(run: &Path, step: u64, report_to: ReportTo) -> Result<Option<Self>> {
        let earlier = event_files(run);
        let is_wanted = report_to == ReportTo::Tensorboard || (report_to == ReportTo::AsBefore && !earlier.is_empty());
        if !is_wanted {
            return Ok(None);
        }
        // Readers take files in the order of their names.
        let last = earlier.iter().filter_map(|path| time_of(path)).max();
        let time = (seconds() as u64).max(last.map_or(0, |last| last + 1));
        let path = run.join(format!("{PREFIX}{time:010}.gxn"));
        let file = OpenOptions::new().create_new(true).append(true).open(&path);
        let mut events = Self { file: file.map_err(|error| Error::io("cannot write", &path, error))?, path };
        events.record(&event(0, |out| bytes(out, 3, b"brain.Event:2")))?;
        if !earlier.is_empty() {
            const START: u64 = 1;
            events.record(&event(step + 1, |out| bytes(out, 7, &message(|log| varint(log, 1, START)))))?;
        }
        Ok(Some(events))
    }

    /// Adds the numbers of a line of the log: `loss` as `train/loss`, `loss` in the object `caption` as `caption/loss`.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn line(&mut self, line: &Map<String, Value>) -> Result<()> {
        let step = line.get("step").and_then(Value::as_u64).unwrap_or(0);
        let summary = message(|out| numbers(line).iter().for_each(|(tag, number)| bytes(out, 1, &value(tag, *number))));
        if summary.is_empty() {
            return Ok(());
        }
        self.record(&event(step, |out| bytes(out, 5, &summary)))
    }

    fn record(&mut self, data: &[u8]) -> Result<()> {
        self.file.write_all(&framed(data)).map_err(|error| Error::io("cannot write", &self.path, error))
    }
}

/// Removes the event files of a run that is begun once more.
///
/// # Errors
/// When one cannot be removed.
pub(super) fn remove_event_files(run: &Path) -> Result<()> {
    let remove = |path: &PathBuf| std::fs::remove_file(path).map_err(|error| Error::io("cannot replace", path, error));
    event_files(run).iter().try_for_each(remove)
}

fn event_files(run: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(run).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)).map(|entry| entry.path()).collect()
}

/// The time in a file's name.
fn time_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix(PREFIX)?.split('.').next()?.parse().ok()
}

/// Seconds since 1970.
fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// The numbers of a line under their tags; those that are not finite are `null` there and have no place here.
fn numbers(line: &Map<String, Value>) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    for (name, value) in line.iter().filter(|(name, _)| !PLACES.contains(&name.as_str())) {
        match value {
            Value::Object(group) => {
                let inner = group.iter().filter_map(|(own, value)| Some((format!("{name}/{own}"), value.as_f64()?)));
                found.extend(inner);
            }
            other => found.extend(other.as_f64().map(|number| (format!("train/{name}"), number))),
        }
    }
    found
}

/// An `Event`: the time now, the step, and what `fill` adds.
fn event(step: u64, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    message(|out| {
        key(out, 1, 1);
        out.extend(seconds().to_le_bytes());
        varint(out, 2, step);
        fill(out);
    })
}

/// A `Summary.Value`.
fn value(tag: &str, number: f64) -> Vec<u8> {
    message(|out| {
        bytes(out, 1, tag.as_bytes());
        key(out, 2, 5);
        out.extend((number as f32).to_le_bytes());
    })
}

fn message(fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut out);
    out
}

/// What stands before a field: its number and how it is written.
fn key(out: &mut Vec<u8>, field: u64, wire: u64) {
    plain_varint(out, field << 3 | wire);
}

fn varint(out: &mut Vec<u8>, field: u64, value: u64) {
    key(out, field, 0);
    plain_varint(out, value);
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    key(out, field, 2);
    plain_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn plain_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A record with its length and checksums.
fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let checksum = |of: &[u8]| masked(crc32c(of)).to_le_bytes();
    [&length[..], &checksum(&length), data, &checksum(data)].concat()
}

/// Checksums of data that hold checksums would be weak: TensorBoard's are turned and moved.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: the files are small.
fn crc32c(data: &[u8]) -> u32 {
    let of_byte = |crc: u32, &byte: &u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    };
    !data.iter().fold(!0, of_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the algorithm's catalogue, and two examples of RFC 3720, B.4.
    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b""), 0);
    }

    /// The first record of every file of TensorFlow but for its time: 24 bytes, or 0x18.
    #[test]
    fn a_record_is_framed_by_length_and_checksums() {
        let mut version = vec![0x09];
        version.extend(0f64.to_le_bytes());
        version.extend(b"\x1a\x0dbrain.Event:2");
        assert_eq!(version.len(), 0x18);
        let framed = framed(&version);
        assert_eq!(framed[..12], [0x18, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22]);
        assert_eq!(framed[12..36], version);
        assert_eq!(framed.len(), 40);
    }

    #[test]
    fn numbers_have_the_tags_of_their_groups() {
        let line = r#"{"step":300,"epoch":1,"loss":0.5,"lr":null,"caption":{"loss":2.0,"note":"x"},"val":{"rsum":9}}"#;
        let line: Map<String, Value> = serde_json::from_str(line).unwrap();
        let expected = [("train/loss", 0.5), ("caption/loss", 2.0), ("val/rsum", 9.0)];
        assert_eq!(numbers(&line), expected.map(|(tag, number)| (tag.to_owned(), number)));
        assert_eq!(value("a", 0.5), [0x0a, 1, b'a', 0x15, 0, 0, 0, 0x3f]);
        // 300 is two bytes of seven bits each.
        assert_eq!(event(300, |_| {})[9..], [0x10, 0xac, 0x02]);
    }

    #[test]
    fn a_run_goes_on_in_a_file_behind_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let begin = |report_to| EventFile::begin(folder.path(), 3, report_to).unwrap();
        assert!(begin(ReportTo::AsBefore).is_none() && begin(ReportTo::Nothing).is_none());
        let first = begin(ReportTo::Tensorboard).unwrap().path;
        let second = begin(ReportTo::AsBefore).unwrap().path;
        assert!(first < second, "{first:?} {second:?}");
        // The second also says where it goes on: 0x3a is the field, 8 and 1 its status.
        let has_start = |path: &Path| std::fs::read(path).unwrap().windows(4).any(|bytes| bytes == [0x3a, 2, 8, 1]);
        assert!(!has_start(&first) && has_start(&second));
        assert!(begin(ReportTo::Nothing).is_none());
        remove_event_files(folder.path()).unwrap();
        assert!(event_files(folder.path()).is_empty());
    }
}
