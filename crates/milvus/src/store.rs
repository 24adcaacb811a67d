//! [`VectorStore`]: what an index in a folder and one in a server have in common.

use gxn_base::{Error, Modality, Result};
use gxn_index::{
    CaptionItem, Change, Hit, ImageItem, Index, IndexSettings, IndexWriter, LevelScores, QueryPart, SearchOptions,
    Space,
};
use std::path::{Path, PathBuf};

/// Items copied at once.
const COPIED: usize = 1024;

/// One found item of a [`VectorStore`]: a [`Hit`] without the row, which only an index in a folder has.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreHit {
    /// The image's id, or the caption's.
    pub id: String,
    /// Path of the image; of a caption, that of its image.
    pub path: String,
    /// The caption, if captions were searched.
    pub caption: Option<CaptionItem>,
    /// Σ wᵢ · scoreᵢ; larger is better.
    pub score: f32,
    /// What each level contributes to the score.
    pub parts: LevelScores,
}

impl From<Hit> for StoreHit {
    fn from(Hit { id, path, caption, score, parts, .. }: Hit) -> Self {
        Self { id, path, caption, score, parts }
    }
}

/// A place that keeps images, captions and their embeddings, and searches them.
///
/// Each kind has constructors of its own, such as [`FolderStore::create`]. Rows are kept as f16 and scored by the kernels
/// of the index, so that a score is the same in every store.
pub trait VectorStore {
    /// Fingerprint of the model that makes the embeddings.
    fn model(&self) -> &str;

    /// Similarity, λ and widths.
    fn space(&self) -> &Space;

    /// The store's name in messages.
    fn place(&self) -> String;

    /// Refuses any model but the one that made the embeddings.
    ///
    /// # Errors
    /// If `fingerprint` is another; the error names both.
    fn require_model(&self, fingerprint: &str) -> Result<()> {
        if fingerprint == self.model() {
            return Ok(());
        }
        let (what, expected) = (format!("model for the {}", self.place()), format!("{}, which made it", self.model()));
        Err(Error::conflict(what, fingerprint, expected)
            .with_hint("use the model that made the index, or index the images again with this one"))
    }

    /// Adds images, or replaces those with their ids, whose captions stay. `embeddings` is `[items, dims]`.
    ///
    /// # Errors
    /// If an embedding has the wrong width or a value that f16 cannot hold, or the store cannot be written.
    fn put_images(&mut self, items: &[ImageItem], embeddings: &[f32]) -> Result<()>;

    /// Adds captions, or replaces those with their ids; their images must be there. `embeddings` is `[items, dims]`.
    ///
    /// # Errors
    /// As [`VectorStore::put_images`], and if an image is missing, which some stores notice at the commit.
    fn put_captions(&mut self, items: &[CaptionItem], embeddings: &[f32]) -> Result<()>;

    /// Removes items, and the captions of images with them. Returns how many of `ids` there were.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn remove(&mut self, modality: Modality, ids: &[&str]) -> Result<u64>;

    /// Writes all changes to disk; searches find them from now on, if they did not before.
    ///
    /// # Errors
    /// If that fails.
    fn commit(&mut self) -> Result<()>;

    /// Items of a modality that a search can find.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn count(&self, modality: Modality) -> Result<u64>;

    /// The best items for a query of weighted parts. Empty if captions are asked for and there are none.
    ///
    /// # Errors
    /// If the query is unusable, λ is out of range, the options are not supported, or the store cannot be read.
    fn search(&self, parts: &[QueryPart<'_>], options: &SearchOptions<'_>) -> Result<Vec<StoreHit>>;
}

/// Puts all that `index` holds into `store`, images first, and commits. Returns the number of items.
///
/// # Errors
/// If the store is of another model or space, or one of both fails.
pub fn copy_index(index: &Index, store: &mut dyn VectorStore) -> Result<u64> {
    store.require_model(&index.meta().model)?;
    let (found, expected) = (index.meta().space, *store.space());
    if found != expected {
        let what = format!("space of {}", index.dir().display());
        return Err(Error::conflict(what, format!("{found:?}"), format!("{expected:?}, as {} has", store.place())));
    }
    let mut batch = Batch::new(|items: &[ImageItem], rows: &[f32]| store.put_images(items, rows));
    index.export_images(|_, item, row| batch.push(item, row))?;
    let mut copied = batch.finish()?;
    if index.meta().captions.is_some() {
        let mut batch = Batch::new(|items: &[CaptionItem], rows: &[f32]| store.put_captions(items, rows));
        index.export_captions(|_, item, row| batch.push(item, row))?;
        copied += batch.finish()?;
    }
    store.commit()?;
    Ok(copied)
}

/// Items on their way into a store.
struct Batch<T, P> {
    put: P,
    items: Vec<T>,
    rows: Vec<f32>,
    copied: u64,
}

impl<T, P: FnMut(&[T], &[f32]) -> Result<()>> Batch<T, P> {
    fn new(put: P) -> Self {
        Self { put, items: Vec::new(), rows: Vec::new(), copied: 0 }
    }

    fn push(&mut self, item: T, row: &[f32]) -> Result<()> {
        self.items.push(item);
        self.rows.extend_from_slice(row);
        if self.items.len() < COPIED { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> Result<()> {
        (self.put)(&self.items, &self.rows)?;
        self.copied += self.items.len() as u64;
        self.items.clear();
        self.rows.clear();
        Ok(())
    }

    /// Sends what is left; the number of items of all.
    fn finish(mut self) -> Result<u64> {
        self.send()?;
        Ok(self.copied)
    }
}

/// The embedded index as a [`VectorStore`]: an [`IndexWriter`] for changes, an [`Index`] for searches.
#[derive(Debug)]
pub struct FolderStore {
    dir: PathBuf,
    /// As of the last commit.
    index: Index,
    /// Opened by the first change after a commit.
    writer: Option<IndexWriter>,
}

impl FolderStore {
    /// An empty index in `dir`; one that was there is replaced.
    ///
    /// # Errors
    /// As [`IndexWriter::create`].
    pub fn create(dir: &Path, settings: IndexSettings) -> Result<Self> {
        let index = IndexWriter::create(dir, settings)?.finish()?;
        Ok(Self { dir: dir.to_path_buf(), index, writer: None })
    }

    /// The index that is in `dir`.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn open(dir: &Path) -> Result<Self> {
        Ok(Self { dir: dir.to_path_buf(), index: Index::open(dir)?, writer: None })
    }

    /// The index as of the last commit, which can do more than a store has to.
    pub fn index(&self) -> &Index {
        &self.index
    }

    fn writer(&mut self) -> Result<&mut IndexWriter> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let meta = self.index.meta();
                let settings =
                    IndexSettings { model: meta.model.clone(), space: meta.space, extra: meta.extra.clone() };
                IndexWriter::update(&self.dir, settings)?
            }
        };
        Ok(self.writer.insert(writer))
    }

    /// Puts each item with its row of `embeddings` by `put_one`.
    fn put<T>(
        &mut self,
        items: &[T],
        embeddings: &[f32],
        put_one: impl Fn(&mut IndexWriter, &T, &[f32]) -> Result<Change>,
    ) -> Result<()> {
        let dims = self.index.meta().space.dims();
        check_rows(items.len(), embeddings, dims)?;
        let writer = self.writer()?;
        items.iter().zip(embeddings.chunks_exact(dims)).try_for_each(|(item, row)| put_one(writer, item, row).map(drop))
    }
}

impl VectorStore for FolderStore {
    fn model(&self) -> &str {
        &self.index.meta().model
    }

    fn space(&self) -> &Space {
        &self.index.meta().space
    }

    fn place(&self) -> String {
        format!("index {}", self.dir.display())
    }

    fn put_images(&mut self, items: &[ImageItem], embeddings: &[f32]) -> Result<()> {
        self.put(items, embeddings, IndexWriter::put_image)
    }

    fn put_captions(&mut self, items: &[CaptionItem], embeddings: &[f32]) -> Result<()> {
        self.put(items, embeddings, IndexWriter::put_caption)
    }

    fn remove(&mut self, modality: Modality, ids: &[&str]) -> Result<u64> {
        let writer = self.writer()?;
        ids.iter().try_fold(0, |count, id| Ok(count + u64::from(writer.remove(modality, id)?)))
    }

    fn commit(&mut self) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            self.index = writer.finish()?;
        }
        Ok(())
    }

    fn count(&self, modality: Modality) -> Result<u64> {
        Ok(self.index.count(modality) as u64)
    }

    fn search(&self, parts: &[QueryPart<'_>], options: &SearchOptions<'_>) -> Result<Vec<StoreHit>> {
        if self.index.meta().collection(options.target).is_none() {
            return Ok(Vec::new());
        }
        let hits = self.index.search_with(&[parts], options)?.remove(0);
        Ok(hits.into_iter().map(StoreHit::from).collect())
    }
}

/// Refuses embeddings that are not `[items, dims]`.
pub(crate) fn check_rows(items: usize, embeddings: &[f32], dims: usize) -> Result<()> {
    if embeddings.len() == items * dims {
        return Ok(());
    }
    let found = format!("{} values", embeddings.len());
    Err(Error::invalid(format!("embeddings of {items} items"), found, format!("{items} times {dims} values")))
}
