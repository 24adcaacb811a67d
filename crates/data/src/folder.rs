//! Folders: `x.jpg` beside `x.txt` with one caption a line, or two folders with equal stems.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Map;
use unicode_normalization::UnicodeNormalization;
use walkdir::WalkDir;

use super::account::Account;
use super::image_source::ImageSource;
use super::parsed_source::{ParsedCaption, ParsedSource, Record, no_pairs};
use super::source::name_of;
use super::split::Split;
use super::undecoded::has_any_image_extension;
use gxn_base::{Error, Kind, Result};

/// Names of a folder of caption files that lies beside `images/`.
const TEXT_FOLDERS: [&str; 5] = ["captions", "texts", "text", "txt", "labels"];

/// `images/` and a folder of caption files inside `folder`, if both are there.
pub(super) fn two_inside(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let images = folder.join("images");
    let texts = TEXT_FOLDERS.iter().map(|name| folder.join(name)).find(|texts| texts.is_dir())?;
    let holds_texts = walk(&texts).ok()?.files.iter().any(|(name, _)| name.ends_with(".txt"));
    (images.is_dir() && holds_texts).then_some((images, texts))
}

/// Pairs by equal paths without extension below `images` and `texts` (which may be the same folder). An image's id is
/// its path below `images`. Folders called train, val or test at the top give the splits, if every image is in one.
///
/// Hidden files, `__MACOSX`, `Thumbs.db` and `desktop.ini` are skipped.
///
/// # Errors
/// A folder that cannot be read; [`Kind::NotFound`] where there is no text at all: a plain folder of photos.
pub(super) fn read(images: &Path, texts: &Path) -> Result<ParsedSource> {
    let mut parsed = ParsedSource::new(if images == texts { "folder of pairs" } else { "two folders" });
    let mut by_stem: BTreeMap<String, Vec<(String, PathBuf)>> = BTreeMap::new();
    let of_images = walk(images)?;
    for (name, path) in of_images.files {
        if has_any_image_extension(&name) {
            by_stem.entry(stem(&name)).or_default().push((name, path));
        }
    }
    let of_texts = walk(texts)?;
    let of_others = of_texts.unread.iter().filter(|_| images != texts).cloned();
    for (name, reason) in of_images.unread.into_iter().chain(of_others) {
        parsed.account.drop(images.join(&name).display().to_string(), reason);
        parsed.account.unread.push(name);
    }
    // A text that cannot be read, or lies in a folder that cannot, may be there.
    let may_have_text = |of: &str| {
        let lies_in = |name: &str| of.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        of_texts.unread.iter().any(|(name, _)| stem(name) == of || lies_in(name))
    };
    let mut captions = texts_by_stem(of_texts.files, &mut parsed.account);
    let count: usize = by_stem.values().map(Vec::len).sum();
    parsed.account.found.push(format!("{count} image files and {} text files", captions.len()));
    let no_text = captions.is_empty() && of_texts.unread.is_empty();
    for (stem, found) in by_stem {
        let text = captions.remove(&stem);
        for (name, path) in found {
            let Some(text) = &text else {
                if may_have_text(&stem) {
                    parsed.account.unread.push(name.clone());
                }
                parsed.account.drop(name, format!("an image without caption: no {stem}.txt"));
                continue;
            };
            match read_captions(text) {
                Ok(captions) => {
                    let split = name.split_once('/').and_then(|(top, _)| top.parse::<Split>().ok());
                    let source = ImageSource::File(path);
                    parsed.records.push(Record { id: name, source, split, captions, meta: Map::new() });
                }
                Err(reason) => {
                    parsed.account.unread.push(name);
                    parsed.account.drop(text.display().to_string(), reason);
                }
            }
        }
    }
    if no_text {
        // A plain folder of photos.
        return Err(no_pairs(&name_of(images), &parsed.format, &parsed.account, Kind::NotFound));
    }
    for (stem, _) in captions {
        parsed.account.drop(format!("{stem}.txt"), "captions without image");
    }
    parsed.keep_folder_splits();
    Ok(parsed)
}

fn texts_by_stem(files: Vec<(String, PathBuf)>, account: &mut Account) -> BTreeMap<String, PathBuf> {
    let mut texts = BTreeMap::new();
    for (name, path) in files.into_iter().filter(|(name, _)| name.to_ascii_lowercase().ends_with(".txt")) {
        if let Some(other) = texts.insert(stem(&name), path) {
            account.drop(other.display().to_string(), format!("{name} has the same name"));
        }
    }
    texts
}

fn read_captions(path: &Path) -> std::result::Result<Vec<ParsedCaption>, String> {
    let text = gxn_base::text::read_text(path).map_err(|error| match error.found() {
        Some(found) => found.to_owned(),
        None => error.in_full(),
    })?;
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(ParsedCaption::new).collect())
}

/// `a/b.jpg` → `a/b`, with accents composed: a text may come from another system than its image.
fn stem(name: &str) -> String {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).nfc().collect()
}

/// Every visible file below a folder in a fixed order, by its path from there with `/`.
pub(super) struct Walk {
    pub files: Vec<(String, PathBuf)>,
    /// What could not be read, and why.
    pub unread: Vec<(String, String)>,
}

pub(super) fn walk(folder: &Path) -> Result<Walk> {
    let below = |path: &Path| -> String {
        let parts: Vec<_> =
            path.strip_prefix(folder).unwrap_or(path).iter().map(|part| part.to_string_lossy()).collect();
        parts.join("/")
    };
    let junk = |name: &str| name.starts_with('.') || ["__MACOSX", "Thumbs.db", "desktop.ini"].contains(&name);
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    let mut found = Walk { files: Vec::new(), unread: Vec::new() };
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || !junk(&entry.file_name().to_string_lossy())) {
        match entry {
            Ok(entry) if entry.file_type().is_file() => {
                let name = entry.path().strip_prefix(folder).unwrap_or(entry.path());
                if name.to_str().is_some() {
                    found.files.push((below(entry.path()), entry.into_path()));
                } else if has_any_image_extension(&name.to_string_lossy())
                    || name.extension().is_some_and(|end| end == "txt")
                {
                    // Shown as what it is not, the name would lead nowhere.
                    found.unread.push((below(entry.path()), format!("{name:?}: its name is not UTF-8; rename it")));
                }
            }
            Ok(_) => {}
            Err(error) if error.depth() == 0 => {
                let cause = error.into_io_error().unwrap_or_else(|| std::io::ErrorKind::InvalidInput.into());
                return Err(Error::io("cannot read", folder, cause));
            }
            Err(error) => {
                let name = error.path().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
                if let (Some(path), Some(reason)) = (error.path(), unread_reason(&error))
                    && !junk(&name)
                {
                    found.unread.push((below(path), reason));
                }
            }
        }
    }
    Ok(found)
}

/// Why something in a folder could not be read although images may be behind it. `None` for a loop, which was visited
/// under its first name, and for what has been deleted meanwhile.
pub fn unread_reason(error: &walkdir::Error) -> Option<String> {
    let is_missing = error.io_error().is_some_and(|cause| cause.kind() == std::io::ErrorKind::NotFound);
    let is_link = || error.path().is_some_and(|path| path.symlink_metadata().is_ok_and(|found| found.is_symlink()));
    if error.loop_ancestor().is_some() || is_missing && !is_link() {
        return None;
    }
    // The disk that it leads to may be away for a while.
    let link = || "a link to something that is not there".to_string();
    let cause = || error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
    Some(if is_missing { link() } else { cause() })
}
