//! [`VectorStore`] and [`VectorStoreWriter`]: what an index in a folder and one in a server have in common.

use crate::filter::Filter;
use crate::item::{CaptionItem, ImageItem};
use crate::meta::IndexMeta;
use crate::query::QueryPart;
use crate::reader::{Hit, Index, SearchOptions};
use crate::writer::{Change, DamagedItems, IndexWriter};
use gxn_base::{Error, Modality, Result};
use std::fmt::Debug;

/// A visitor of items with their embeddings `[h ; l]`.
pub type Visit<'a, T> = &'a mut dyn FnMut(T, &[f32]) -> Result<()>;

/// An index that can be searched, in a folder ([`Index`]) or in a server. Rows are kept as f16 and scored by the same
/// kernels, so that a score is the same in every store.
pub trait VectorStore: Debug + Send + Sync {
    /// What it is made for, and how much it held when it was opened.
    fn meta(&self) -> &IndexMeta;

    /// Where it is, as messages name it.
    fn place(&self) -> String;

    /// The index in a folder that this is, if it is one, which can do more.
    fn folder(&self) -> Option<&Index> {
        None
    }

    /// Whether it need not be opened again to find what was changed since. May be wrong for some moments.
    fn is_current(&self) -> bool;

    /// Opens it again.
    ///
    /// # Errors
    /// If it cannot be opened any more.
    fn reopen(&self) -> Result<Box<dyn VectorStore>>;

    /// The best items for a query of weighted parts.
    ///
    /// # Errors
    /// If the query is unusable, captions are wanted and there are none, λ is out of range, the options are not supported, or
    /// the store cannot be read.
    fn search(&self, parts: &[QueryPart<'_>], options: &SearchOptions<'_>) -> Result<Vec<Hit>>;

    /// Fields of the filter that no item of `target` has, as far as that is known.
    ///
    /// # Errors
    /// If a comparison makes no sense, or the store cannot be read.
    fn unknown_fields(&self, target: Modality, filter: &Filter) -> Result<Vec<String>>;

    /// [`Index::columns`], as far as they are known.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn columns(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// The image with this id, if there is one.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn image_of_id(&self, id: &str) -> Result<Option<ImageItem>>;

    /// The captions of the image with this id, by their ids.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn captions_of_image(&self, id: &str) -> Result<Vec<CaptionItem>>;

    /// The embeddings `[h ; l]` of items, rounded to f16; `None` where there is no item of that id.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn embeddings(&self, modality: Modality, ids: &[&str]) -> Result<Vec<Option<Vec<f32>>>>;

    /// Visits every image.
    ///
    /// # Errors
    /// If the store cannot be read, and with the first error of `visit`, which ends it.
    fn each_image(&self, visit: Visit<'_, ImageItem>) -> Result<()>;

    /// Visits every caption.
    ///
    /// # Errors
    /// As [`VectorStore::each_image`].
    fn each_caption(&self, visit: Visit<'_, CaptionItem>) -> Result<()>;

    /// Reads everything and checks it.
    ///
    /// # Errors
    /// Names what is damaged.
    fn verify(&self) -> Result<()>;

    /// Number of items of a modality: when it was opened, or a moment ago.
    fn count(&self, modality: Modality) -> usize {
        self.meta().collection(modality).map_or(0, |collection| collection.count as usize)
    }

    /// Refuses any model but the one that made the embeddings.
    ///
    /// # Errors
    /// If `fingerprint` is another; the error names both.
    fn require_model(&self, fingerprint: &str) -> Result<()> {
        self.meta().require_model(&format!("index {}", self.place()), fingerprint)
    }
}

/// Changes an index: see [`IndexWriter`], the one for a folder.
pub trait VectorStoreWriter: Send {
    /// What the index is made for.
    fn meta(&self) -> &IndexMeta;

    /// Prepares for many changes of the images whose id `is_own` and of their captions: a server is asked for them at once
    /// instead of one by one. Only these items count from then on.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn expect(&mut self, is_own: &dyn Fn(&str) -> bool) -> Result<()> {
        let _ = is_own;
        Ok(())
    }

    /// The image with this id.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn image(&mut self, id: &str) -> Result<Option<ImageItem>>;

    /// An image of this content (`sha256`).
    ///
    /// # Errors
    /// If the store cannot be read.
    fn image_of_content(&mut self, content: &str) -> Result<Option<ImageItem>>;

    /// The caption with this id.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn caption(&mut self, id: &str) -> Result<Option<CaptionItem>>;

    /// The ids of all items of a modality, sorted.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn ids(&mut self, modality: Modality) -> Result<Vec<String>>;

    /// Adds an image, or replaces the one with its id, whose captions stay; `embedding` is `[h ; l]`.
    ///
    /// # Errors
    /// If the embedding has the wrong width or a value that f16 cannot hold, or the store cannot be written.
    fn put_image(&mut self, item: &ImageItem, embedding: &[f32]) -> Result<Change>;

    /// Adds a caption, or replaces the one with its id.
    ///
    /// # Errors
    /// As [`VectorStoreWriter::put_image`].
    fn put_caption(&mut self, item: &CaptionItem, embedding: &[f32]) -> Result<Change>;

    /// Adds or replaces an image whose content the index holds already: nothing needs to be encoded. `None`, and nothing
    /// done, if it does not.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    fn link_image(&mut self, item: &ImageItem) -> Result<Option<Change>>;

    /// [`VectorStoreWriter::link_image`] for a caption whose text the index holds.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    fn link_caption(&mut self, item: &CaptionItem) -> Result<Option<Change>>;

    /// Removes an item, and an image's captions with it. False if there is none with this id.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    fn remove(&mut self, modality: Modality, id: &str) -> Result<bool>;

    /// Gives up the rows that are not what was written; says whose they are.
    ///
    /// # Errors
    /// If the store cannot tell.
    fn release_damaged(&mut self) -> Result<DamagedItems>;

    /// Makes all that was done count, for good.
    ///
    /// # Errors
    /// If that fails.
    fn commit(&mut self) -> Result<()>;

    /// Commits, and opens the index.
    ///
    /// # Errors
    /// If either fails.
    fn finish(self: Box<Self>) -> Result<Box<dyn VectorStore>>;
}

impl VectorStore for Index {
    fn meta(&self) -> &IndexMeta {
        self.meta()
    }

    fn place(&self) -> String {
        self.dir().display().to_string()
    }

    fn folder(&self) -> Option<&Index> {
        Some(self)
    }

    fn is_current(&self) -> bool {
        self.is_current()
    }

    fn reopen(&self) -> Result<Box<dyn VectorStore>> {
        Ok(Box::new(Self::open(self.dir())?))
    }

    fn search(&self, parts: &[QueryPart<'_>], options: &SearchOptions<'_>) -> Result<Vec<Hit>> {
        Ok(self.search_with(&[parts], options)?.remove(0))
    }

    fn unknown_fields(&self, target: Modality, filter: &Filter) -> Result<Vec<String>> {
        self.unknown_fields(target, filter)
    }

    fn columns(&self) -> Result<Vec<String>> {
        self.columns()
    }

    fn image_of_id(&self, id: &str) -> Result<Option<ImageItem>> {
        self.image_of_id(id)
    }

    fn captions_of_image(&self, id: &str) -> Result<Vec<CaptionItem>> {
        self.captions_of_image(id)
    }

    fn embeddings(&self, modality: Modality, ids: &[&str]) -> Result<Vec<Option<Vec<f32>>>> {
        let embedding = |id: &&str| match self.row_of(modality, id)? {
            Some(row) => self.row(modality, row).map(Some),
            None => Ok(None),
        };
        ids.iter().map(embedding).collect()
    }

    fn each_image(&self, visit: Visit<'_, ImageItem>) -> Result<()> {
        self.export_images(|_, item, embedding| visit(item, embedding))
    }

    fn each_caption(&self, visit: Visit<'_, CaptionItem>) -> Result<()> {
        if self.meta().captions.is_none() {
            return Ok(());
        }
        self.export_captions(|_, item, embedding| visit(item, embedding))
    }

    fn verify(&self) -> Result<()> {
        self.verify()
    }
}

impl VectorStoreWriter for IndexWriter {
    fn meta(&self) -> &IndexMeta {
        self.meta()
    }

    fn image(&mut self, id: &str) -> Result<Option<ImageItem>> {
        self.image(id)
    }

    fn image_of_content(&mut self, content: &str) -> Result<Option<ImageItem>> {
        self.image_of_content(content)
    }

    fn caption(&mut self, id: &str) -> Result<Option<CaptionItem>> {
        self.caption(id)
    }

    fn ids(&mut self, modality: Modality) -> Result<Vec<String>> {
        self.ids(modality)
    }

    fn put_image(&mut self, item: &ImageItem, embedding: &[f32]) -> Result<Change> {
        self.put_image(item, embedding)
    }

    fn put_caption(&mut self, item: &CaptionItem, embedding: &[f32]) -> Result<Change> {
        self.put_caption(item, embedding)
    }

    fn link_image(&mut self, item: &ImageItem) -> Result<Option<Change>> {
        self.link_image(item)
    }

    fn link_caption(&mut self, item: &CaptionItem) -> Result<Option<Change>> {
        self.link_caption(item)
    }

    fn remove(&mut self, modality: Modality, id: &str) -> Result<bool> {
        self.remove(modality, id)
    }

    fn release_damaged(&mut self) -> Result<DamagedItems> {
        self.release_damaged()
    }

    fn commit(&mut self) -> Result<()> {
        self.commit()
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn VectorStore>> {
        Ok(Box::new((*self).finish()?))
    }
}

/// Items put into a store at once.
const COPIED: usize = 4096;

/// Puts all that `from` holds into `to`, images first; returns the number of images and captions. `to` is to be committed.
/// `went_on` is called now and then with the number of items so far, and ends it with an error.
///
/// # Errors
/// If the stores are of different models or spaces, or one of both fails.
pub fn copy_store(
    from: &dyn VectorStore,
    to: &mut dyn VectorStoreWriter,
    went_on: &dyn Fn(usize) -> Result<()>,
) -> Result<(usize, usize)> {
    let (found, expected) = (from.meta(), to.meta());
    if found.model != expected.model || found.space != expected.space {
        let what = format!("model of {}", from.place());
        return Err(Error::conflict(what, &found.model, format!("{} in the same space", expected.model)));
    }
    let (mut images, mut captions) = (0, 0);
    from.each_image(&mut |item, embedding| {
        to.put_image(&item, embedding)?;
        images += 1;
        if images % COPIED == 0 { went_on(images) } else { Ok(()) }
    })?;
    from.each_caption(&mut |item, embedding| {
        to.put_caption(&item, embedding)?;
        captions += 1;
        if captions % COPIED == 0 { went_on(images + captions) } else { Ok(()) }
    })?;
    Ok((images, captions))
}
