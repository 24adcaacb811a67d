//! What there is to index: the pictures of a folder or of a data set, or one share of them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use gxn_index::ImageItem;
use sha2::{Digest, Sha256};

use super::retriever::INDEX_FOLDER;
use crate::data::{Dataset, Dropped, ImageSource};
use crate::{Error, Result};

/// Names of picture files end like this.
const PICTURE_EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "jpe", "png", "gif", "webp", "bmp", "tif", "tiff"];

/// A picture to be indexed.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Its id in the index: of a folder's pictures the path in it, of a data set's their id.
    pub id: String,
    /// Its path as the index shows it: relative to the folder, or absolute.
    pub path: String,
    /// Where its bytes are.
    pub source: ImageSource,
    /// Further columns of the data set.
    pub meta: serde_json::Map<String, serde_json::Value>,
}

impl Picture {
    /// The index's item for it.
    pub(super) fn item(&self, sha256: String, (width, height): (u32, u32), (size, changed): (u64, i64)) -> ImageItem {
        ImageItem {
            id: self.id.clone(),
            path: self.path.clone(),
            sha256,
            size,
            mtime_unix_ms: changed,
            width,
            height,
            meta: self.meta.clone(),
        }
    }
}

/// What a source holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// The pictures, sorted by id in a folder, in the order of a data set.
    pub pictures: Vec<Picture>,
    /// What could not be looked at.
    pub dropped: Vec<Dropped>,
    /// Folders below the source that could not be read, relative to it: what lies there is not known to be gone.
    pub(super) unread: Vec<String>,
}

/// What is passed over in a folder.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FolderOptions {
    /// Look into hidden files and folders too.
    pub hidden: bool,
    /// Names of folders to skip.
    pub excluded: Vec<String>,
}

impl Listing {
    /// The picture files below `root`, by their names. Hidden files and folders (macOS's `._` files and the index itself
    /// among them) are passed over unless asked for; links are followed, loops are not.
    ///
    /// # Errors
    /// When `root` is no folder that can be read, or holds no picture.
    pub fn of_folder(root: &Path, options: &FolderOptions) -> Result<Self> {
        if !root.is_dir() {
            return Err(Error::unexpected(root.display().to_string(), "no folder", "a folder of pictures"));
        }
        let looked_into = |entry: &walkdir::DirEntry| {
            let name = entry.file_name().to_string_lossy();
            let is_hidden = name.starts_with('.') && !options.hidden;
            let is_excluded = entry.file_type().is_dir() && options.excluded.iter().any(|e| *e == name);
            entry.depth() == 0 || !(is_hidden || is_excluded || name.starts_with(INDEX_FOLDER))
        };
        let mut listing = Self::default();
        let mut others = 0;
        for entry in walkdir::WalkDir::new(root).follow_links(true).into_iter().filter_entry(looked_into) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    listing.note_unread(root, &error);
                    continue;
                }
            };
            if !entry.file_type().is_file() {
                continue;
            }
            let extension = entry.path().extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
            if !PICTURE_EXTENSIONS.contains(&extension.as_str()) {
                others += 1;
                continue;
            }
            let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
            let id = relative.to_string_lossy().into_owned();
            let source = ImageSource::File(entry.path().to_path_buf());
            listing.pictures.push(Picture { path: id.clone(), id, source, meta: Default::default() });
        }
        if listing.pictures.is_empty() {
            let what = format!("the pictures in {}", root.display());
            let error = Error::unexpected(what, format!("none among {others} files"), "files such as photo.jpg");
            return Err(match listing.dropped.first() {
                Some(Dropped { what, reason }) => error.with_hint(format!("{what}: {reason}")),
                None => error.with_hint("hidden files and folders are passed over; --include-hidden looks into them"),
            });
        }
        listing.pictures.sort_by(|a, b| a.id.cmp(&b.id));
        let mut last = None;
        let dropped = &mut listing.dropped;
        listing.pictures.retain(|picture| {
            let is_new = last.as_ref() != Some(&picture.id);
            if !is_new {
                let reason = "its name is not UTF-8 and looks like that of another picture: rename it".to_string();
                dropped.push(Dropped { what: picture.id.clone(), reason });
            }
            last = Some(picture.id.clone());
            is_new
        });
        Ok(listing)
    }

    /// The pictures of a data set.
    pub fn of_dataset(data: &Dataset) -> Self {
        let pictures = data.images.iter().map(|image| Picture {
            id: image.id.clone(),
            path: lasting_path(&image.source),
            source: image.source.clone(),
            meta: image.meta.clone(),
        });
        Self { pictures: pictures.collect(), ..Self::default() }
    }

    /// Keeps the pictures of one share.
    #[must_use]
    pub fn of_shard(mut self, shard: Shard) -> Self {
        self.pictures.retain(|picture| shard.has(&picture.id));
        self
    }

    /// Whether the item `id` of the index is gone from the source.
    pub(super) fn lacks(&self, id: &str, present: &HashSet<&str>) -> bool {
        let lies_in = |folder: &String| {
            folder.is_empty() || id.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with(['/', '\\']))
        };
        !present.contains(id) && !self.unread.iter().any(lies_in)
    }

    fn note_unread(&mut self, root: &Path, error: &walkdir::Error) {
        let place = error.path().unwrap_or(root);
        let relative = place.strip_prefix(root).unwrap_or(place);
        // A loop was seen under its first name; a link to nothing holds nothing.
        let is_dangling = error.io_error().is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound);
        if error.loop_ancestor().is_some() || is_dangling {
            return;
        }
        let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
        self.dropped.push(Dropped { what: place.display().to_string(), reason });
        self.unread.push(relative.to_string_lossy().into_owned());
    }
}

/// One of several equal shares of a source, so that several machines can work on it. A picture's share follows from its
/// id alone: it stays when others come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    pub number: u64,
    /// Of how many.
    pub of: u64,
}

impl Shard {
    /// Whether a picture belongs to it.
    pub fn has(self, id: &str) -> bool {
        let digest = Sha256::digest(id.as_bytes());
        let first: [u8; 8] = digest[..8].try_into().expect("a digest has 32 bytes");
        u64::from_be_bytes(first) % self.of == self.number - 1
    }
}

impl FromStr for Shard {
    type Err = Error;

    /// `i/n` with 1 ≤ i ≤ n.
    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.trim().parse().ok()?, n.trim().parse().ok()?)));
        match numbers {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err(Error::unexpected("a shard", format!("{text:?}"), "i/n with i from 1 to n, such as 2/8")),
        }
    }
}

/// Where the picture is, whatever the working folder will be.
fn lasting_path(source: &ImageSource) -> String {
    let absolute = |path: &Path| -> PathBuf { std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()) };
    match source {
        ImageSource::File(path) => ImageSource::File(absolute(path)).to_string(),
        ImageSource::TarMember { archive, member, .. } => format!("{}!{member}", absolute(archive).display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_is_in_one_shard_and_shards_are_about_equal() {
        let shards: Vec<Shard> = ["1/3", "2/3", "3/3"].map(|text| text.parse().unwrap()).to_vec();
        let mut counts = [0; 3];
        for picture in 0..3000 {
            let id = format!("{picture}.jpg");
            let of: Vec<usize> = (0..3).filter(|&at| shards[at].has(&id)).collect();
            assert_eq!(of.len(), 1, "{id}");
            counts[of[0]] += 1;
        }
        assert!(counts.iter().all(|&count| (900..1100).contains(&count)), "{counts:?}");
        for wrong in ["0/3", "4/3", "1/0", "2", "a/b", ""] {
            assert!(wrong.parse::<Shard>().unwrap_err().to_string().contains("i/n"), "{wrong}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn loops_hidden_files_and_indexes_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in
            ["a.jpg", "sub/B.JPEG", ".hidden/c.jpg", "._a.jpg", ".gxn/x.jpg", ".gxn-shard-1-of-2/x.jpg", "n.txt"]
        {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), "x").unwrap();
        }
        std::os::unix::fs::symlink(root, root.join("sub/loop")).unwrap();
        std::os::unix::fs::symlink(root.join("gone.jpg"), root.join("dangling.jpg")).unwrap();
        let ids = |options: &FolderOptions| -> Vec<String> {
            let listing = Listing::of_folder(root, options).unwrap();
            assert_eq!((listing.dropped, listing.unread), (vec![], Vec::<String>::new()));
            listing.pictures.into_iter().map(|picture| picture.id).collect()
        };
        assert_eq!(ids(&FolderOptions::default()), ["a.jpg", "sub/B.JPEG"]);
        let hidden = FolderOptions { hidden: true, excluded: vec!["sub".into()] };
        assert_eq!(ids(&hidden), ["._a.jpg", ".hidden/c.jpg", "a.jpg"]);
    }

    #[test]
    fn what_lies_in_an_unreadable_folder_is_not_gone() {
        let listing = Listing { unread: vec!["locked".into()], ..Listing::default() };
        let present = HashSet::from(["here.jpg"]);
        assert!(!listing.lacks("here.jpg", &present) && !listing.lacks("locked/a.jpg", &present));
        assert!(listing.lacks("gone.jpg", &present) && listing.lacks("locked.jpg", &present));
        let nothing_read = Listing { unread: vec![String::new()], ..Listing::default() };
        assert!(!nothing_read.lacks("gone.jpg", &present));
    }
}
