//! Hugging Face's `imagefolder`: tables called `metadata` in folders of images, whose `file_name` is a path from there.

use std::path::{Path, PathBuf};

use super::folder::walk;
use super::format::Format;
use super::image_source::ImageSource;
use super::options::SourceOptions;
use super::parsed_source::ParsedSource;
use super::split::Split;
use gxn_base::Result;

/// Names of the tables. [`Format`] reads each as it reads any other.
const NAMES: [&str; 3] = ["metadata.jsonl", "metadata.csv", "metadata.parquet"];

/// Whether a file is called as such a table.
pub(super) fn is_metadata(path: &Path) -> bool {
    path.file_name().is_some_and(|name| NAMES.iter().any(|known| name == *known))
}

/// The tables in the folders below `folder`, in order.
pub(super) fn find(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = walk(folder)?.files.into_iter().map(|(_, path)| path);
    Ok(files.filter(|path| is_metadata(path) && path.parent() != Some(folder)).collect())
}

/// Reads `tables`, which lie in `folder` or below. An image's id is its path from `folder`. Folders called train, val
/// (validation) or test on the way give the splits where the tables give none, if every image is in one.
///
/// # Errors
/// No table can be read. Where some can, the others are in the account.
pub(super) fn read(folder: &Path, tables: &[PathBuf], options: &SourceOptions) -> Result<ParsedSource> {
    let mut whole = ParsedSource::new("Hugging Face imagefolder");
    let mut failed = None;
    for table in tables {
        let inside = folders_between(folder, table);
        let below = |name: &str| if inside.is_empty() { name.to_owned() } else { format!("{inside}/{name}") };
        match Format::of(table, options).and_then(|format| format.read(table, options)) {
            Ok(mut part) => {
                for record in &mut part.records {
                    record.id = below(&record.id);
                }
                part.account.unread.iter_mut().for_each(|name| *name = below(name));
                whole.account.append(part.account);
                whole.records.append(&mut part.records);
            }
            Err(error) => {
                whole.account.drop(table.display().to_string(), error.in_full());
                whole.account.unread.push(inside);
                failed = failed.or(Some(error));
            }
        }
    }
    if let Some(error) = failed.filter(|_| whole.records.is_empty()) {
        return Err(error);
    }
    if whole.records.iter().all(|record| record.split.is_none()) {
        for record in &mut whole.records {
            let ImageSource::File(path) = &record.source else { continue };
            record.split = folders_between(folder, path).split('/').find_map(|name| name.parse::<Split>().ok());
        }
        whole.keep_folder_splits();
    }
    Ok(whole)
}

/// The folders on the way from `folder` to the file at `path`, with `/` between them.
fn folders_between(folder: &Path, path: &Path) -> String {
    let below = path.strip_prefix(folder).unwrap_or(path).parent().unwrap_or(Path::new(""));
    below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}
