//! Folders of `datasets` (Hugging Face): Parquet shards whose names, or folders, tell the split.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::parquet::ParquetShard;
use super::split::Split;
use gxn_base::{Error, Result};

/// How deep shards lie: `CONFIGURATION/train/0000.parquet`.
const DEPTH: usize = 3;

/// The shards in a folder, in `data/` or in folders of splits, in order; none where there are none.
///
/// # Errors
/// Shards of several configurations.
pub(super) fn shards_in(folder: &Path) -> Result<Vec<ParquetShard>> {
    let is_visible = |name: &std::ffi::OsStr| !name.to_string_lossy().starts_with('.');
    let walk = WalkDir::new(folder).max_depth(DEPTH).follow_links(true).sort_by_file_name().into_iter();
    let files = walk.filter_entry(|entry| entry.depth() == 0 || is_visible(entry.file_name())).flatten();
    let files: Vec<PathBuf> = files.map(walkdir::DirEntry::into_path).filter(|path| is_parquet(path)).collect();
    let place = |path: &PathBuf| {
        let parent = path.parent().unwrap_or(folder);
        if split_in(&file_name(parent)).is_some() { parent.parent().unwrap_or(folder) } else { parent }.to_path_buf()
    };
    let places: BTreeSet<PathBuf> = files.iter().map(place).collect();
    if places.len() > 1 {
        let names: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
        let found = format!("Parquet files in {}", gxn_base::words::first_few(&names));
        return Err(Error::invalid(folder.display().to_string(), found, "those of one configuration")
            .with_hint("name the folder of one"));
    }
    Ok(shards(files, folder))
}

/// Shards of these files, with names from `folder` where the file names alone are not distinct.
pub(super) fn shards(files: Vec<PathBuf>, folder: &Path) -> Vec<ParquetShard> {
    let is_distinct = files.iter().map(|path| file_name(path)).collect::<BTreeSet<_>>().len() == files.len();
    let is_table = |path: &Path| file_name(path).eq_ignore_ascii_case("metadata.parquet");
    let name = |path: &Path| match path.strip_prefix(folder) {
        // A table's folder is a part of its images' ids.
        Ok(below) if !is_distinct || is_table(path) => {
            below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
        }
        _ => file_name(path),
    };
    let shard = |path: PathBuf| ParquetShard { name: name(&path), split: split_of(&path), path };
    files.into_iter().map(shard).collect()
}

/// Whether a file's name ends in `.parquet`.
pub(super) fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet")) && path.is_file()
}

/// `train-00000-of-00003.parquet` and `train/0000.parquet` → `train`.
fn split_of(path: &Path) -> Option<String> {
    let name = file_name(path);
    let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
    split_in(stem).or_else(|| split_in(&file_name(path.parent()?)))
}

/// The first word of a name that is a split.
fn split_in(name: &str) -> Option<String> {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let is_split = |word: &&str| word.parse::<Split>().is_ok() || word.eq_ignore_ascii_case("restval");
    words.into_iter().find(is_split).map(str::to_ascii_lowercase)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
