//! What there is to index: the pictures of a folder or of a data set, or one share of them.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use gxn_index::ImageItem;
use sha2::{Digest, Sha256};

use super::notes::real;
use super::retriever::INDEX_FOLDER;
use gxn_base::{Error, Result};
use gxn_data::{Dataset, Dropped, ImageSource, has_image_extension, unread_reason};

/// A picture to be indexed.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Its id in the index: of a folder's pictures the path in it, of a data set's their id.
    pub id: String,
    /// Its path as the index keeps it: relative to the source's folder where it lies in it, else absolute.
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
    /// Ids, and folders of ids, of what could not be looked at: what lies there is not known to be gone.
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
            return Err(Error::invalid(root.display().to_string(), "no folder", "a folder of pictures"));
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
                    let name = error.path().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
                    // Editors keep their locks as hidden links to nothing.
                    let is_hidden = name.starts_with('.') && !options.hidden || name.starts_with(INDEX_FOLDER);
                    if error.depth() == 0 || !is_hidden {
                        listing.note_unread(root, &error);
                    }
                    continue;
                }
            };
            if !entry.file_type().is_file() {
                continue;
            }
            if !has_image_extension(entry.path()) {
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
            let error = Error::invalid(what, format!("none among {others} files"), "files such as photo.jpg");
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

    /// The pictures of a data set that was read from `source`.
    pub fn of_dataset(data: &Dataset, source: &Path) -> Self {
        let roots: Vec<PathBuf> = dataset_root(source).iter().flat_map(|root| [absolute(root), real(root)]).collect();
        let pictures = data.images.iter().map(|image| Picture {
            id: image.id.clone(),
            path: lasting_path(&image.source, &roots),
            source: image.source.clone(),
            meta: image.meta.clone(),
        });
        Self { pictures: pictures.collect(), unread: data.account.unread.clone(), ..Self::default() }
    }

    /// Keeps the pictures of one share.
    #[must_use]
    pub fn of_shard(mut self, shard: Shard) -> Self {
        self.pictures.retain(|picture| shard.has(&picture.id));
        self
    }

    /// Whether the source may have an item `id` that was not seen in it.
    pub(super) fn may_hold(&self, id: &str) -> bool {
        let lies_in = |place: &String| {
            let rest = id.strip_prefix(place.as_str());
            place.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '\\']))
        };
        self.unread.iter().any(lies_in)
    }

    fn note_unread(&mut self, root: &Path, error: &walkdir::Error) {
        let place = error.path().unwrap_or(root);
        let relative = place.strip_prefix(root).unwrap_or(place);
        let Some(reason) = unread_reason(error) else { return };
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
            _ => Err(Error::invalid("a shard", format!("{text:?}"), "i/n with i from 1 to n, such as 2/8")),
        }
    }
}

/// The folder that paths of a data set's pictures are relative to: the source, or that of its file. Of several sources
/// there is none.
pub(super) fn dataset_root(source: &Path) -> Option<PathBuf> {
    if source.is_dir() {
        return Some(source.to_path_buf());
    }
    let folder = || source.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    source.exists().then(|| folder().to_path_buf())
}

/// Where the picture is, whatever the working folder will be: below one of `roots`, or from anywhere.
fn lasting_path(source: &ImageSource, roots: &[PathBuf]) -> String {
    let below = |path: &Path| -> PathBuf {
        let path = absolute(path);
        let relative = roots.iter().find_map(|root| path.strip_prefix(root).ok().map(Path::to_path_buf));
        relative.unwrap_or(path)
    };
    match source {
        ImageSource::File(path) => ImageSource::File(below(path)).to_string(),
        ImageSource::TarMember { archive, member, .. } => format!("{}!{member}", below(archive).display()),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
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
        std::os::unix::fs::symlink(root.join("gone"), root.join(".#lock")).unwrap();
        let ids = |options: &FolderOptions| -> Vec<String> {
            let listing = Listing::of_folder(root, options).unwrap();
            assert_eq!((listing.dropped, listing.unread), (vec![], Vec::<String>::new()));
            listing.pictures.into_iter().map(|picture| picture.id).collect()
        };
        assert_eq!(ids(&FolderOptions::default()), ["a.jpg", "sub/B.JPEG"]);
        std::fs::remove_file(root.join(".#lock")).unwrap();
        let hidden = FolderOptions { hidden: true, excluded: vec!["sub".into()] };
        assert_eq!(ids(&hidden), ["._a.jpg", ".hidden/c.jpg", "a.jpg"]);
    }

    #[test]
    fn what_lies_in_an_unreadable_folder_is_not_gone() {
        let listing = Listing { unread: vec!["locked".into()], ..Listing::default() };
        assert!(listing.may_hold("locked/a.jpg") && listing.may_hold("locked"));
        assert!(!listing.may_hold("gone.jpg") && !listing.may_hold("locked.jpg"));
        let nothing_read = Listing { unread: vec![String::new()], ..Listing::default() };
        assert!(nothing_read.may_hold("gone.jpg"));
    }

    /// A link to a disk that is not there today.
    #[cfg(unix)]
    #[test]
    fn what_a_dangling_link_led_to_is_not_gone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.jpg"), "x").unwrap();
        for name in ["disk", "b.jpg"] {
            std::os::unix::fs::symlink(folder.path().join("unmounted").join(name), folder.path().join(name)).unwrap();
        }
        let listing = Listing::of_folder(folder.path(), &FolderOptions::default()).unwrap();
        assert_eq!(listing.pictures.len(), 1);
        assert!(listing.may_hold("disk/c.jpg") && listing.may_hold("b.jpg") && !listing.may_hold("c.jpg"));
        assert_eq!(listing.dropped.len(), 2);
        assert!(listing.dropped.iter().all(|dropped| dropped.reason == "a link to something that is not there"));
    }

    #[test]
    fn paths_of_a_data_set_are_relative_to_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("set"), folder.path().join("elsewhere/b.jpg"));
        std::fs::create_dir_all(&inside).unwrap();
        let table = inside.join("t.csv");
        std::fs::write(&table, "").unwrap();
        let file = |path: PathBuf| ImageSource::File(path);
        let archive = inside.join("x.tar");
        let member = ImageSource::TarMember { archive, member: "c.jpg".into(), offset: 0, length: 0 };
        let sources = [file(inside.join("2024/a.jpg")), file(outside.clone()), member];
        let images = sources.into_iter().enumerate().map(|(at, source)| gxn_data::Image {
            id: at.to_string(),
            source,
            split: gxn_data::Split::Train,
            content: None,
            meta: Default::default(),
        });
        let account = gxn_data::Account { unread: vec!["gone".into()], ..Default::default() };
        let data = Dataset { images: images.collect(), account, ..Dataset::default() };
        let outside = outside.display().to_string();
        for source in [&table, &inside] {
            let listing = Listing::of_dataset(&data, source);
            let paths: Vec<&str> = listing.pictures.iter().map(|picture| picture.path.as_str()).collect();
            assert_eq!(paths, ["2024/a.jpg", outside.as_str(), "x.tar!c.jpg"]);
            assert!(listing.may_hold("gone/d.jpg"));
        }
        let several = Path::new("a.csv::b.csv");
        assert_eq!(Listing::of_dataset(&data, several).pictures[1].path, outside);
    }
}
