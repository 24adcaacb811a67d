//! COCO's files side by side: `captions_train2017.json` and `captions_val2017.json`, whose names give the splits.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::coco;
use super::options::SourceOptions;
use super::parsed_source::ParsedSource;
use super::split::Split;
use gxn_base::Result;
use gxn_base::text::read_text;

/// The caption files in a folder or in its `annotations/`, with their splits; none unless there are several, or one in
/// `annotations/`.
pub(super) fn parts_in(folder: &Path) -> Vec<(PathBuf, Split)> {
    let found = [folder.join("annotations"), folder.to_path_buf()].map(|folder| captions_files(&folder));
    let [inside, beside] = found;
    if beside.len() > 1 || inside.is_empty() && !beside.is_empty() {
        return if beside.len() > 1 { beside } else { Vec::new() };
    }
    inside
}

fn captions_files(folder: &Path) -> Vec<(PathBuf, Split)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let part = |path: PathBuf| {
        let name = path.file_name()?.to_str()?;
        let part = name.strip_prefix("captions_")?.strip_suffix(".json")?;
        let split = part.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_').parse().ok()?;
        Some((path, split))
    };
    let mut parts: Vec<_> = entries.flatten().filter_map(|entry| part(entry.path())).collect();
    parts.sort_by(|a, b| a.0.cmp(&b.0));
    parts
}

/// Reads the files as one dataset. An id that a later file gives again is qualified by the file's name.
///
/// # Errors
/// As reading each of them.
pub(super) fn read(parts: &[(PathBuf, Split)], options: &SourceOptions) -> Result<ParsedSource> {
    let mut whole = ParsedSource::new("COCO captions JSON");
    let mut ids = HashSet::new();
    for (path, split) in parts {
        let part = coco::read(path, &read_text(path)?, options)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let earlier = ids.clone();
        for mut record in part.records {
            // One file alone is the whole dataset: its name splits nothing.
            record.split = (parts.len() > 1).then_some(*split);
            if earlier.contains(&record.id) {
                record.id = format!("{stem}:{}", record.id);
            }
            ids.insert(record.id.clone());
            whole.records.push(record);
        }
        whole.account.append(part.account);
    }
    Ok(whole)
}
