//! [`Discovery`]: what there is to index: the images of a folder or of a dataset, or one shard of them.

use std::path::{Path, PathBuf};

use gxn_index::{FileIdentity, ImageItem};

use serde_json::{Map, Value};

use super::empty_folders::is_empty_folder;
use super::location::{INDEX_FOLDER, real};
use super::shard::Shard;
use gxn_base::unicode::composed;
use gxn_base::{Error, Remedy, Result};
use gxn_data::{
    Dataset, DecodeCommand, Dropped, FileStamp, ImageSource, Undecoded, has_image_extension, unread_reason,
};

/// An image to be indexed.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageFile {
    /// Its id in the index: in a folder its path there, in a dataset its id there.
    pub id: String,
    /// Its path as the index keeps it: relative to the source's folder where it lies in it, else absolute.
    pub path: String,
    /// Where its bytes are.
    pub source: ImageSource,
    /// Further columns of the dataset.
    pub meta: Map<String, Value>,
}

impl ImageFile {
    /// The index's item for it.
    pub(super) fn item(&self, sha256: String, (width, height): (u32, u32), stamp: FileStamp) -> ImageItem {
        ImageItem {
            id: self.id.clone(),
            path: self.path.clone(),
            sha256,
            size: stamp.size,
            mtime_unix_ms: stamp.modified_ms,
            file: Some(FileIdentity {
                mtime_nanos: stamp.modified_nanos,
                ctime_unix_ns: stamp.changed_ns,
                inode: stamp.inode,
            }),
            width,
            height,
            meta: self.meta.clone(),
        }
    }
}

/// What a source holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Discovery {
    /// The images, sorted by id in a folder, in the order of a dataset.
    pub images: Vec<ImageFile>,
    /// What could not be read.
    pub dropped: Vec<Dropped>,
    /// Ids of images whose names are not UTF-8: an index cannot hold their paths.
    pub without_path: Vec<String>,
    /// How many images of these need a decode command.
    pub undecoded: usize,
    /// Ids, and folders of ids, of what could not be read: what lies there is not known to be gone.
    pub(super) unread: Vec<String>,
    /// The folder that paths of images are relative to.
    pub(super) root: Option<PathBuf>,
}

impl Discovery {
    /// The image files below `root`, by their names. Folders called as one of `excluded` are skipped, and so are hidden
    /// files and folders (macOS's `._` files among them) unless `include_hidden`, and indexes always; links are followed,
    /// loops are not.
    ///
    /// # Errors
    /// When `root` is not a folder that can be read, or holds no image.
    pub fn of_folder(
        root: &Path,
        include_hidden: bool,
        excluded: &[String],
        decode_cmd: Option<&DecodeCommand>,
    ) -> Result<Self> {
        if !root.is_dir() {
            return Err(Error::not_found(root.display().to_string(), "no folder", "a folder of images"));
        }
        let is_read = |entry: &walkdir::DirEntry| {
            let name = entry.file_name().to_string_lossy();
            let is_hidden = name.starts_with('.') && !include_hidden;
            let is_excluded = entry.file_type().is_dir() && excluded.iter().any(|e| composed(e) == composed(&name));
            entry.depth() == 0 || !(is_hidden || is_excluded || name.starts_with(INDEX_FOLDER))
        };
        let mut found = Self { root: Some(root.to_path_buf()), ..Self::default() };
        let mut others = 0;
        let mut undecoded = Undecoded::default();
        for entry in walkdir::WalkDir::new(root).follow_links(true).into_iter().filter_entry(is_read) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let name = error.path().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
                    // Editors keep their locks as hidden links to nothing.
                    let is_hidden = name.starts_with('.') && !include_hidden || name.starts_with(INDEX_FOLDER);
                    if error.depth() == 0 || !is_hidden {
                        found.add_unread(root, &error);
                    }
                    continue;
                }
            };
            if !entry.file_type().is_file() {
                continue;
            }
            if !has_image_extension(entry.path()) && !Undecoded::concerns(entry.path()) {
                others += 1;
                continue;
            }
            let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
            let id = relative.to_string_lossy().into_owned();
            let Some(source) = undecoded.admit(ImageSource::File(entry.path().to_path_buf()), decode_cmd) else {
                found.unread.push(id);
                continue;
            };
            if relative.to_str().is_none() {
                found.without_path.push(id.clone());
            }
            found.images.push(ImageFile { path: id.clone(), id, source, meta: Default::default() });
        }
        found.undecoded = undecoded.count();
        found.dropped.extend(undecoded.dropped());
        if found.images.is_empty() {
            let what = format!("the images in {}", root.display());
            let others = match others {
                0 => "no files".to_owned(),
                1 => "1 file of another kind".to_owned(),
                _ => format!("{others} files of other kinds"),
            };
            let error = Error::not_found(what, others, "files such as photo.jpg");
            return Err(match found.dropped.first() {
                Some(Dropped { what, .. }) if found.undecoded > 0 => {
                    Error::unsupported(root.display().to_string(), what, "files such as photo.jpg")
                        .with_remedy(Remedy::GiveDecodeCommand)
                }
                Some(Dropped { what, reason }) => error.with_hint(format!("{what}: {reason}")),
                None if is_empty_folder(root) => {
                    error.with_hint("the folder is empty; if a disk belongs there, mount it")
                }
                None => error.with_remedy(Remedy::IncludeHidden),
            });
        }
        found.images.sort_by(|a, b| a.id.cmp(&b.id));
        let mut last = None;
        let dropped = &mut found.dropped;
        found.images.retain(|image| {
            let is_new = last.as_ref() != Some(&image.id);
            if !is_new {
                let reason = "its name is not UTF-8 and looks like that of another image: rename it".to_string();
                dropped.push(Dropped { what: image.id.clone(), reason });
            }
            last = Some(image.id.clone());
            is_new
        });
        Ok(found)
    }

    /// The images of a dataset that was read from `source`.
    pub fn of_dataset(data: &Dataset, source: &Path) -> Self {
        let roots: Vec<PathBuf> = dataset_root(source).iter().flat_map(|root| [absolute(root), real(root)]).collect();
        let images = data.images.iter().map(|image| ImageFile {
            id: image.id.clone(),
            path: lasting_path(&image.source, &roots),
            source: image.source.clone(),
            meta: columns(image),
        });
        Self {
            images: images.collect(),
            unread: data.account.unread.clone(),
            root: dataset_root(source),
            ..Self::default()
        }
    }

    /// Keeps the images of one shard.
    #[must_use]
    pub fn of_shard(mut self, shard: Shard) -> Self {
        self.images.retain(|image| shard.has(&image.id));
        self
    }

    /// Whether anything could not be read.
    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Whether the source may have an item `id` that was not seen in it.
    pub(super) fn may_hold(&self, id: &str) -> bool {
        let lies_in = |place: &String| {
            let rest = id.strip_prefix(place.as_str());
            place.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '\\']))
        };
        self.unread.iter().any(lies_in)
    }

    fn add_unread(&mut self, root: &Path, error: &walkdir::Error) {
        let place = error.path().unwrap_or(root);
        let relative = place.strip_prefix(root).unwrap_or(place);
        let Some(reason) = unread_reason(error) else { return };
        self.dropped.push(Dropped { what: place.display().to_string(), reason });
        self.unread.push(relative.to_string_lossy().into_owned());
    }
}

/// The columns of an image, its split among them unless the source has another column of that name.
fn columns(image: &gxn_data::Image) -> Map<String, Value> {
    let mut columns = image.meta.clone();
    columns.entry("split").or_insert_with(|| image.split.to_string().into());
    columns
}

/// The folder that paths of a dataset's images are relative to: the source, or that of its file. Of several sources
/// there is none.
pub(super) fn dataset_root(source: &Path) -> Option<PathBuf> {
    if source.is_dir() {
        return Some(source.to_path_buf());
    }
    let folder = || source.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    source.exists().then(|| folder().to_path_buf())
}

/// Where the image is, whatever the working folder will be: below one of `roots`, or from anywhere.
fn lasting_path(source: &ImageSource, roots: &[PathBuf]) -> String {
    let below = |path: &Path| -> PathBuf {
        let path = absolute(path);
        let relative = roots.iter().find_map(|root| path.strip_prefix(root).ok().map(Path::to_path_buf));
        relative.unwrap_or(path)
    };
    match source {
        ImageSource::File(path) => ImageSource::File(below(path)).to_string(),
        ImageSource::TarMember { archive, member, .. } => format!("{}!{member}", below(archive).display()),
        ImageSource::ParquetCell(cell) => format!("{}#{}", below(source.file()).display(), cell.row()),
        ImageSource::Converted { source, .. } => lasting_path(source, roots),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn loops_hidden_files_and_indexes_are_skipped() {
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
        let ids = |include_hidden, excluded: &[String]| -> Vec<String> {
            let found = Discovery::of_folder(root, include_hidden, excluded, None).unwrap();
            assert_eq!((found.dropped, found.unread), (vec![], Vec::<String>::new()));
            found.images.into_iter().map(|image| image.id).collect()
        };
        assert_eq!(ids(false, &[]), ["a.jpg", "sub/B.JPEG"]);
        std::fs::remove_file(root.join(".#lock")).unwrap();
        assert_eq!(ids(true, &["sub".into()]), ["._a.jpg", ".hidden/c.jpg", "a.jpg"]);
    }

    #[test]
    fn what_lies_in_an_unreadable_folder_is_not_gone() {
        let found = Discovery { unread: vec!["locked".into()], ..Discovery::default() };
        assert!(found.may_hold("locked/a.jpg") && found.may_hold("locked"));
        assert!(!found.may_hold("gone.jpg") && !found.may_hold("locked.jpg"));
        let nothing_read = Discovery { unread: vec![String::new()], ..Discovery::default() };
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
        let found = Discovery::of_folder(folder.path(), false, &[], None).unwrap();
        assert_eq!(found.images.len(), 1);
        assert!(found.may_hold("disk/c.jpg") && found.may_hold("b.jpg") && !found.may_hold("c.jpg"));
        assert_eq!(found.dropped.len(), 2);
        assert!(found.dropped.iter().all(|dropped| dropped.reason == "a link to something that is not there"));
    }

    #[test]
    fn paths_of_a_dataset_are_relative_to_its_folder() {
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
            let found = Discovery::of_dataset(&data, source);
            let paths: Vec<&str> = found.images.iter().map(|image| image.path.as_str()).collect();
            assert_eq!(paths, ["2024/a.jpg", outside.as_str(), "x.tar!c.jpg"]);
            assert!(found.may_hold("gone/d.jpg"));
        }
        let several = Path::new("a.csv::b.csv");
        assert_eq!(Discovery::of_dataset(&data, several).images[1].path, outside);
    }
}
