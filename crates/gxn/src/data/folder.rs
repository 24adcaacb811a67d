//! Folders: `x.jpg` beside `x.txt` with one caption a line, or two folders with equal stems.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Map;
use walkdir::WalkDir;

use super::dataset::{ImageSource, Split};
use super::image::has_image_extension;
use super::record::{Reading, Record};
use crate::{Error, Result};

/// Names of a folder of caption files that lies beside `images/`.
const TEXT_FOLDERS: [&str; 5] = ["captions", "texts", "text", "txt", "labels"];

/// `images/` and a folder of caption files inside `folder`, if both are there.
pub(super) fn two_inside(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let images = folder.join("images");
    let texts = TEXT_FOLDERS.iter().map(|name| folder.join(name)).find(|texts| texts.is_dir())?;
    let holds_texts = files_below(&texts).ok()?.iter().any(|(name, _)| name.ends_with(".txt"));
    (images.is_dir() && holds_texts).then_some((images, texts))
}

/// Pairs by equal paths without extension below `images` and `texts` (which may be the same folder). An image is called
/// by its path below `images`. Folders called train, val or test at the top give the splits, if every image is in one.
///
/// Hidden files, `__MACOSX`, `Thumbs.db` and `desktop.ini` are passed over.
pub(super) fn read(images: &Path, texts: &Path) -> Result<Reading> {
    let mut reading = Reading::new(if images == texts { "folder of pairs" } else { "two folders" });
    let mut pictures: BTreeMap<String, Vec<(String, PathBuf)>> = BTreeMap::new();
    for (name, path) in files_below(images)? {
        if has_image_extension(&name) {
            pictures.entry(stem(&name)).or_default().push((name, path));
        }
    }
    let mut captions: BTreeMap<String, PathBuf> = files_below(texts)?
        .into_iter()
        .filter(|(name, _)| name.to_ascii_lowercase().ends_with(".txt"))
        .map(|(name, path)| (stem(&name), path))
        .collect();
    let count: usize = pictures.values().map(Vec::len).sum();
    reading.seen = format!("{count} image files and {} text files", captions.len());
    for (stem, found) in pictures {
        let text = captions.remove(&stem);
        for (name, path) in found {
            let Some(text) = &text else {
                reading.drop(name, format!("an image without caption: no {stem}.txt"));
                continue;
            };
            match read_captions(text) {
                Ok(captions) => {
                    let split = name.split_once('/').and_then(|(top, _)| top.parse::<Split>().ok());
                    let source = ImageSource::File(path);
                    reading.records.push(Record { id: name, source, split, captions, meta: Map::new() });
                }
                Err(reason) => reading.drop(text.display().to_string(), reason),
            }
        }
    }
    for (stem, _) in captions {
        reading.drop(format!("{stem}.txt"), "captions without image");
    }
    if reading.records.iter().any(|record| record.split.is_none()) {
        reading.records.iter_mut().for_each(|record| record.split = None);
    }
    Ok(reading)
}

fn read_captions(path: &Path) -> std::result::Result<Vec<(Option<String>, String)>, String> {
    let text = super::text_file::read_text(path).map_err(|error| match error {
        Error::Unexpected { found, .. } => found,
        other => other.to_string(),
    })?;
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(|line| (None, line.to_owned())).collect())
}

/// `a/b.jpg` → `a/b`.
fn stem(name: &str) -> String {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned()
}

/// Every visible file below `folder`, by its path from there with `/`, in a fixed order.
pub(super) fn files_below(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let junk = |name: &str| name.starts_with('.') || ["__MACOSX", "Thumbs.db", "desktop.ini"].contains(&name);
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    let mut files = Vec::new();
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || !junk(&entry.file_name().to_string_lossy())) {
        match entry {
            Ok(entry) if entry.file_type().is_file() => {
                let below = entry.path().strip_prefix(folder).unwrap_or(entry.path());
                let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
                files.push((parts.join("/"), entry.into_path()));
            }
            Ok(_) => {}
            // A broken or circular link inside is passed over; an unreadable root is not.
            Err(error) if error.depth() == 0 => {
                let cause = error.into_io_error().unwrap_or_else(|| std::io::ErrorKind::InvalidInput.into());
                return Err(Error::io("cannot read", folder, cause));
            }
            Err(_) => {}
        }
    }
    Ok(files)
}
