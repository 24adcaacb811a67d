//! [`Candidates`]: the files of a folder that may be its table, and why those that look like one are none.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::account::{Account, Dropped};
use super::folder::walk;
use super::format::Format;
use super::image_source::has_image_extension;
use super::options::SourceOptions;
use gxn_base::{Error, Kind, Result};

/// How names of tables end. Only for finding files: the content tells the format.
const ENDINGS: [&str; 13] = [
    ".jsonl",
    ".ndjson",
    ".json",
    ".csv",
    ".tsv",
    ".token",
    ".token.txt",
    ".jsonl.gz",
    ".csv.gz",
    ".tsv.gz",
    ".xlsx",
    ".xls",
    ".ods",
];

/// Files of a folder, by what they may be.
#[derive(Default)]
pub(super) struct Candidates {
    /// Those that are tables.
    tables: Vec<(PathBuf, Format)>,
    /// Those that look like tables and cannot be read as one.
    failed: Vec<(PathBuf, Error)>,
    /// JSON for another purpose.
    foreign: Vec<(PathBuf, Error)>,
}

impl Candidates {
    /// Those among the `files` of a folder.
    pub fn among(files: &[PathBuf], options: &SourceOptions) -> Self {
        let images: HashSet<&Path> =
            files.iter().map(PathBuf::as_path).filter(|path| has_image_extension(path)).collect();
        // By its name or by its stem: `a.jpg.json` and `a.json` both go with `a.jpg`.
        let stems: HashSet<PathBuf> = images.iter().map(|path| path.with_extension("")).collect();
        let goes_with_image = |path: &Path| {
            let stem = path.with_extension("");
            stems.contains(&stem) || images.contains(stem.as_path())
        };
        let mut found = Self::default();
        for path in files.iter().filter(|path| may_be_table(path) && !goes_with_image(path)) {
            match Format::of(path, options) {
                Ok(Format::Foreign(error)) => found.foreign.push((path.clone(), error)),
                Ok(format) => found.tables.push((path.clone(), format)),
                Err(error) => found.failed.push((path.clone(), error)),
            }
        }
        found
    }

    /// The table, if there is one.
    ///
    /// # Errors
    /// Several are there.
    pub fn take_table(&mut self, folder: &Path) -> Result<Option<(PathBuf, Format)>> {
        if self.tables.len() > 1 {
            let names = self.tables.iter().take(5).map(|(path, _)| below(path, folder)).collect::<Vec<_>>().join(", ");
            return Err(Error::invalid(folder.display().to_string(), format!("several tables: {names}"), "one")
                .with_hint("name the file itself, or several joined by `::`"));
        }
        Ok(self.tables.pop())
    }

    /// Adds what lies in the folders below `folder`: tables there are not read, but known.
    pub fn look_below(&mut self, folder: &Path, options: &SourceOptions) -> Result<()> {
        let files: Vec<PathBuf> = walk(folder)?.files.into_iter().map(|(_, path)| path).collect();
        let (_, below): (Vec<_>, Vec<_>) = files.into_iter().partition(|path| path.parent() == Some(folder));
        let Self { tables, failed, .. } = Self::among(&below, options);
        for (path, _) in tables {
            let error =
                Error::new(Kind::Unsupported, path.display().to_string(), "a table in a folder below", "one beside it")
                    .with_hint("name the file itself");
            self.failed.push((path, error));
        }
        // Whatever JSON there may be is no attempt at a table of the whole.
        self.failed.extend(failed.into_iter().filter(|(path, _)| path.extension().is_none_or(|end| end != "json")));
        Ok(())
    }

    /// Why the folder has no table, if something in it looks like one: the message that it gets when it is opened alone.
    pub fn into_error(mut self, folder: &Path) -> Option<Error> {
        if self.failed.len() < 2 {
            return self.failed.pop().map(|(_, error)| error);
        }
        let reasons = self.failed.iter().take(3).map(|(_, error)| error.in_full()).collect::<Vec<_>>().join("; ");
        let found = format!("{} files that look like tables and cannot be read: {reasons}", self.failed.len());
        Some(
            Error::invalid(folder.display().to_string(), found, "a table")
                .with_hint("name the file itself for its fault"),
        )
    }

    pub fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Enters in `account` what looks like a table and was not read, before all else that may follow from it. It may name
    /// any image.
    pub fn report(&self, account: &mut Account) {
        let entry =
            |(path, error): &(PathBuf, Error)| Dropped { what: path.display().to_string(), reason: error.in_full() };
        account.dropped.splice(0..0, self.failed.iter().map(entry));
        account.excluded.extend(self.foreign.iter().map(entry));
        if self.has_failed() {
            account.unread.push(String::new());
        }
    }
}

fn below(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

/// Whether the name promises a table of the whole dataset.
fn may_be_table(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    ENDINGS.iter().any(|end| name.ends_with(end)) || ["captions.txt", "results.txt"].contains(&name.as_str())
}
