//! Making an index: the new one is complete on disk before it replaces the old one.

use crate::error::{Error, Result};
use crate::file::{self, HashedFile};
use crate::index::Index;
use crate::item::{CaptionItem, ImageItem};
use crate::meta::{Collection, IndexMeta, META_FILE, generation_dir};
use crate::metric::Space;
use crate::segment::SegmentWriter;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

const LOCK_FILE: &str = "lock";

/// What a new index is made for.
#[derive(Clone, Debug)]
pub struct IndexSettings {
    /// Fingerprint of the model that makes the embeddings.
    pub model: String,
    /// Similarity, λ and widths.
    pub space: Space,
    /// Whatever the caller wants to find again, such as where the model lies.
    pub extra: Map<String, Value>,
}

/// Writes an index into a folder.
///
/// Rows go to a new subfolder, everything is brought to disk, then `meta.json` is replaced by one rename: before it
/// the old index stands, after it the new one. Dropping the writer before [`IndexWriter::finish`] leaves the old one.
#[derive(Debug)]
pub struct IndexWriter {
    settings: IndexSettings,
    images: CollectionWriter,
    captions: Option<CollectionWriter>,
    caption_images: HashSet<String>,
    target: Target,
}

impl IndexWriter {
    /// Starts a new index in `dir`, which is made if it is missing. An index already there serves until the end.
    ///
    /// # Errors
    /// If the settings are impossible, another writer is at work, or `dir` cannot be written or holds other things.
    pub fn create(dir: &Path, settings: IndexSettings) -> Result<Self> {
        settings.space.check()?;
        let target = Target::claim(dir)?;
        let images = CollectionWriter::create(&target.building, "images", &settings.space)?;
        Ok(Self { settings, images, captions: None, caption_images: HashSet::new(), target })
    }

    /// Adds an image; `embedding` is `[h ; l]`.
    ///
    /// # Errors
    /// If the id is taken, the embedding has the wrong width or a value that f16 cannot hold (NaN, infinity), or the
    /// disk is full.
    pub fn push_image(&mut self, item: &ImageItem, embedding: &[f32]) -> Result<()> {
        self.images.push(&item.id, item, embedding)
    }

    /// Adds a caption; its image may come later. `embedding` is `[h ; l]`.
    ///
    /// # Errors
    /// As [`IndexWriter::push_image`].
    pub fn push_caption(&mut self, item: &CaptionItem, embedding: &[f32]) -> Result<()> {
        let captions = match &mut self.captions {
            Some(captions) => captions,
            none => none.insert(CollectionWriter::create(&self.target.building, "captions", &self.settings.space)?),
        };
        captions.push(&item.id, item, embedding)?;
        self.caption_images.insert(item.image_id.clone());
        Ok(())
    }

    /// Puts the new index in the place of the old one and opens it.
    ///
    /// # Errors
    /// If a caption's image was never added, or the disk is full; the old index is then as it was.
    pub fn finish(self) -> Result<Index> {
        let Self { settings, images, captions, caption_images, mut target } = self;
        if let Some(id) = caption_images.iter().filter(|id| !images.ids.contains(*id)).min() {
            return Err(Error::unexpected(
                format!("image {id} of a caption"),
                "no such image",
                "an image of the index",
            )
            .with_hint("add the image, or leave its captions out"));
        }
        let images = images.finish()?;
        let mut meta = IndexMeta::new(target.generation, &settings.model, settings.space, images, settings.extra);
        meta.captions = captions.map(CollectionWriter::finish).transpose()?;
        target.commit(&meta)?;
        Index::open(&target.dir)
    }
}

/// The folder of an index, held against other writers.
#[derive(Debug)]
struct Target {
    dir: PathBuf,
    building: PathBuf,
    generation: u64,
    made_dir: bool,
    committed: bool,
    /// Unlocks when it is dropped.
    _lock: Option<File>,
}

impl Target {
    fn claim(dir: &Path) -> Result<Self> {
        let made_dir = !dir.exists();
        fs::create_dir_all(dir).map_err(|e| Error::io("cannot make the folder", dir, e))?;
        refuse_foreign(dir)?;
        let lock = lock(dir)?;
        if let Ok(meta) = IndexMeta::read(dir) {
            // Left by a writer that was killed: meta.json does not name them. Beside a meta.json that cannot be read
            // everything stays until the new index is in place.
            remove_generations_except(dir, meta.generation);
        }
        let generation = generations(dir).map(|(n, _)| n).max().unwrap_or(0) + 1;
        let building = generation_dir(dir, generation);
        fs::create_dir(&building).map_err(|e| Error::io("cannot make the folder", &building, e))?;
        Ok(Self { dir: dir.to_path_buf(), building, generation, made_dir, committed: false, _lock: lock })
    }

    fn commit(&mut self, meta: &IndexMeta) -> Result<()> {
        file::sync_dir(&self.building)?;
        file::sync_dir(&self.dir)?;
        file::replace(&self.dir.join(META_FILE), &meta.to_bytes())?;
        self.committed = true;
        remove_generations_except(&self.dir, self.generation);
        Ok(())
    }
}

impl Drop for Target {
    /// Takes away what was not committed; nobody can be told of a failure here, and the next writer tries again.
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let _ = fs::remove_dir_all(&self.building);
        if self.made_dir {
            let _ = fs::remove_file(self.dir.join(LOCK_FILE));
            let _ = fs::remove_dir(&self.dir);
        }
    }
}

fn lock(dir: &Path) -> Result<Option<File>> {
    let path = dir.join(LOCK_FILE);
    let file = File::create(&path).map_err(|e| Error::io("cannot write", &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            let found = "another program writing it";
            Err(Error::unexpected(format!("index {}", dir.display()), found, "one writer at a time")
                .with_hint("wait until the other program is done, or stop it"))
        }
        // Some network file systems have no locks; refusing to work there would help nobody.
        Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => Ok(None),
        Err(TryLockError::Error(e)) => Err(Error::io("cannot lock", &path, e)),
    }
}

/// Nothing but an index, or what an unfinished writer left, may lie in the folder. An index that is damaged or of
/// another version may be replaced, a `meta.json` of somebody else may not.
fn refuse_foreign(dir: &Path) -> Result<()> {
    let entries = fs::read_dir(dir).map_err(|e| Error::io("cannot read the folder", dir, e))?;
    let ours = IndexMeta::is_ours(dir) || generations(dir).next().is_some();
    for entry in entries {
        let name = entry.map_err(|e| Error::io("cannot read the folder", dir, e))?.file_name();
        let allowed = generation_number(&name.to_string_lossy()).is_some()
            || [LOCK_FILE, "meta.json.new"].iter().any(|ours| name == *ours)
            || (ours && name == META_FILE);
        if !allowed {
            let found = name.to_string_lossy().into_owned();
            return Err(Error::unexpected(format!("folder {}", dir.display()), found, "an empty folder or an index")
                .with_hint("name a folder for the index alone"));
        }
    }
    Ok(())
}

fn generation_number(name: &str) -> Option<u64> {
    name.strip_prefix("generation-")?.parse().ok()
}

fn generations(dir: &Path) -> impl Iterator<Item = (u64, PathBuf)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|e| Some((generation_number(&e.file_name().to_string_lossy())?, e.path())))
}

/// What cannot be removed now (a reader may hold it, on some systems) the next writer removes.
fn remove_generations_except(dir: &Path, keep: u64) {
    for (_, path) in generations(dir).filter(|(number, _)| *number != keep) {
        let _ = fs::remove_dir_all(path);
    }
}

/// A row file and the lines that describe its rows.
#[derive(Debug)]
struct CollectionWriter {
    vectors: SegmentWriter,
    items: HashedFile,
    ids: HashSet<String>,
}

impl CollectionWriter {
    fn create(dir: &Path, name: &str, space: &Space) -> Result<Self> {
        let (h, l) = (space.dims_abstract as u32, space.dims_grounded as u32);
        let vectors = SegmentWriter::create(dir.join(format!("{name}.f16")), h, l)?;
        Ok(Self { vectors, items: HashedFile::create(dir.join(format!("{name}.jsonl")))?, ids: HashSet::new() })
    }

    fn push(&mut self, id: &str, item: &impl Serialize, embedding: &[f32]) -> Result<()> {
        if self.ids.contains(id) {
            return Err(Error::unexpected(format!("id {id}"), "the same id twice", "ids that differ"));
        }
        self.vectors.push(id, embedding)?;
        let mut line = serde_json::to_vec(item).expect("items are plain data");
        line.push(b'\n');
        self.items.write(&line)?;
        self.ids.insert(id.to_string());
        Ok(())
    }

    fn finish(self) -> Result<Collection> {
        Ok(Collection { count: self.vectors.rows(), vectors: self.vectors.finish()?, items: self.items.finish(None)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric;

    fn settings(model: &str) -> IndexSettings {
        let space = Space { metric: Metric::Cosine, lambda: 0.5, dims_abstract: 2, dims_grounded: 1 };
        IndexSettings { model: model.to_string(), space, extra: Map::new() }
    }

    fn image(id: &str) -> ImageItem {
        let (path, sha256) = (format!("{id}.jpg"), String::new());
        ImageItem { id: id.to_string(), path, sha256, width: 1, height: 1, meta: Map::new() }
    }

    /// Both files of a collection, at every possible length of the disk: the old index stands, nothing is left over.
    #[test]
    fn a_full_disk_leaves_the_old_index() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("index");
        let mut writer = IndexWriter::create(&dir, settings("old")).unwrap();
        writer.push_image(&image("a"), &[1.0, 2.0, 3.0]).unwrap();
        writer.finish().unwrap();
        let before = names(&dir);
        let write = |room: u64, items: bool| -> Result<Index> {
            let mut writer = IndexWriter::create(&dir, settings("new"))?;
            *(if items { &mut writer.images.items.room } else { &mut writer.images.vectors.file.room }) = room;
            for id in ["b", "c", "d"] {
                writer.push_image(&image(id), &[1.0, 2.0, 3.0])?;
            }
            writer.finish()
        };
        for items in [false, true] {
            for room in 128..135 {
                let error = write(room, items).unwrap_err();
                assert!(error.to_string().starts_with("cannot write "), "{error}");
                let old = Index::open(&dir).unwrap();
                old.verify().unwrap();
                assert_eq!(old.meta().model, "old");
                assert_eq!(names(&dir), before);
            }
        }
        // A caller that goes on after a failed write cannot finish either.
        let mut writer = IndexWriter::create(&dir, settings("new")).unwrap();
        writer.images.items.room = 3;
        writer.push_image(&image("b"), &[1.0, 2.0, 3.0]).unwrap_err();
        writer.images.items.room = u64::MAX;
        writer.push_image(&image("c"), &[1.0, 2.0, 3.0]).unwrap();
        let error = writer.finish().unwrap_err();
        assert!(error.to_string().starts_with("cannot write "), "{error}");
        assert_eq!(Index::open(&dir).unwrap().meta().model, "old");
        assert_eq!(write(u64::MAX, false).unwrap().meta().model, "new");
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}
