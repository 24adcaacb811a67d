//! An index folder, open for search.
//!
//! ```text
//! meta.json            marks the folder as an index of one version
//! catalogue.redb       the commit point: which rows count, and what they are
//! lock                 held by a writer
//! segments/            images-N.f16 … [captions-N.f16 …], and what is derived of them: images-N.sketch …
//! ```

mod cache;
mod export;
mod freshness;
mod options;
mod search;
mod strategy;
mod verify;

pub use options::{CANDIDATES, Hit, INSTANT_BYTES, LOADING_PAYS, Method, SearchOptions, candidates};

use crate::bitmap::Bitmap;
use crate::catalogue::{CATALOGUE_FILE, Catalogue, SegmentRecord, StoredItem, segment_path, sketch_path};
use crate::folder::is_held;
use crate::item::{CaptionItem, ImageItem, Item};
use crate::kernel::Measure;
use crate::meta::{IndexMeta, META_FILE, check_identity, is_ours};
use crate::quantized::Sketches;
use crate::segment::Segment;
use cache::{FilterCache, QueryCount};
use freshness::CatalogueStamp;
use gxn_base::{Error, Modality, Remedy, Result};
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Most attempts to open an index while a writer replaces its files.
const ATTEMPTS: usize = 20;
/// Items read from the catalogue at once.
pub(crate) const BATCH: usize = 4096;

/// An open index, as it was when it was opened: a writer that changes it does not disturb it.
#[derive(Debug)]
pub struct Index {
    dir: PathBuf,
    catalogue: Catalogue,
    images: Vec<OpenSegment>,
    captions: Vec<OpenSegment>,
    filters: FilterCache,
    queries: QueryCount,
    stamp: Option<CatalogueStamp>,
}

/// A row file, mapped, with what belongs to it.
#[derive(Debug)]
struct OpenSegment {
    first_row: usize,
    rows: Segment,
    /// The rows that items refer to; `None` if all.
    live: Option<Bitmap>,
    /// Of the first rows; `None` if there are none, or they cannot be used.
    sketches: Option<Sketches>,
    record: SegmentRecord,
    path: PathBuf,
}

/// A reader may be shared by threads.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Index>();
};

impl Index {
    /// True if `dir` holds the `meta.json` of an index, or any beside a catalogue; [`Index::open`] checks it.
    pub fn exists(dir: &Path) -> bool {
        is_ours(dir) || (dir.join(META_FILE).is_file() && dir.join(CATALOGUE_FILE).is_file())
    }

    /// True if a first index in `dir` was begun and not finished.
    pub fn is_begun(dir: &Path) -> bool {
        !Self::exists(dir) && dir.join(CATALOGUE_FILE).is_file()
    }

    /// True while a writer holds the index in `dir`.
    pub fn is_being_written(dir: &Path) -> bool {
        is_held(dir)
    }

    /// Opens the index in `dir`: checks versions, headers and lengths. Checksums are left to [`Index::verify`], so that
    /// opening is quick. An index whose writer crashed is first repaired, which needs the right to write it.
    ///
    /// # Errors
    /// If there is no index, or it is of another version, unfinished, cut off or mixed up.
    pub fn open(dir: &Path) -> Result<Self> {
        let mut attempt = 1;
        loop {
            check_identity(dir)?;
            match Self::open_snapshot(dir) {
                // A writer may have removed a file since the catalogue was read.
                Err(e) if e.io_kind() == Some(ErrorKind::NotFound) && attempt < ATTEMPTS => attempt += 1,
                other => return other,
            }
        }
    }

    fn open_snapshot(dir: &Path) -> Result<Self> {
        // Taken first: a commit in between is detected later.
        let stamp = CatalogueStamp::of(dir);
        let catalogue = Catalogue::open(dir)?;
        let images = open_segments(dir, &catalogue, Modality::Image)?;
        let captions = open_segments(dir, &catalogue, Modality::Text)?;
        let (filters, queries) = Default::default();
        Ok(Self { dir: dir.to_path_buf(), catalogue, images, captions, filters, queries, stamp })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether nothing was committed since it was opened, by the state of one file. A change within the clock tick of the
    /// opening, a few milliseconds, may be missed until the next one.
    pub fn is_current(&self) -> bool {
        self.stamp.is_some() && self.stamp == CatalogueStamp::of(&self.dir)
    }

    /// What the index is made for and how much it holds.
    pub fn meta(&self) -> &IndexMeta {
        self.catalogue.meta()
    }

    /// Refuses any model but the one that made the index.
    ///
    /// # Errors
    /// If `fingerprint` is another; the error names both.
    pub fn require_model(&self, fingerprint: &str) -> Result<()> {
        self.meta().require_model(&format!("index {}", self.dir.display()), fingerprint)
    }

    /// Number of items of `modality`; 0 captions if none were indexed.
    pub fn count(&self, modality: Modality) -> usize {
        self.meta().collection(modality).map_or(0, |collection| collection.count as usize)
    }

    /// The rows of `modality` that items refer to, ascending.
    pub fn rows(&self, modality: Modality) -> impl Iterator<Item = usize> + '_ {
        self.segments(modality).iter().flat_map(|segment| {
            (0..segment.rows.len())
                .filter(|&at| segment.live.as_ref().is_none_or(|live| live.contains(at)))
                .map(|at| segment.first_row + at)
        })
    }

    /// The embedding `[h ; l]` of a row, rounded to f16: a stored image can be a query.
    ///
    /// # Errors
    /// If there is no such row.
    pub fn row(&self, modality: Modality, row: usize) -> Result<Vec<f32>> {
        let (segment, at) = self.place(modality, row)?;
        Ok(segment.rows.row(at).iter().map(|v| v.to_f32()).collect())
    }

    /// The row of the item with this id.
    ///
    /// # Errors
    /// If `modality` is captions and none were indexed, or the catalogue is damaged.
    pub fn row_of(&self, modality: Modality, id: &str) -> Result<Option<usize>> {
        self.require_modality(modality)?;
        Ok(self.catalogue.row_of(modality, id)?.map(|row| row as usize))
    }

    /// The row of a content: an image's `sha256`, or [`crate::text_content`] of a caption.
    ///
    /// # Errors
    /// If `modality` is captions and none were indexed, or the catalogue is damaged.
    pub fn row_of_content(&self, modality: Modality, content: &str) -> Result<Option<usize>> {
        self.require_modality(modality)?;
        Ok(self.catalogue.row_of_content(modality, content)?.map(|row| row as usize))
    }

    /// The image of a row; of several, the one whose id comes first.
    ///
    /// # Errors
    /// If there is no such row, or the item is damaged.
    pub fn image(&self, row: usize) -> Result<ImageItem> {
        self.first_item(row)
    }

    /// The caption of a row; of several, the one whose id comes first.
    ///
    /// # Errors
    /// If there is no such row, or the item is damaged.
    pub fn caption(&self, row: usize) -> Result<CaptionItem> {
        self.require_modality(Modality::Text)?;
        self.first_item(row)
    }

    /// The images of a row, which have equal content, by their ids.
    ///
    /// # Errors
    /// If there is no such row, or an item is damaged.
    pub fn images_of(&self, row: usize) -> Result<Vec<ImageItem>> {
        self.items_of(row)
    }

    /// The captions of a row, which have equal text, by their ids.
    ///
    /// # Errors
    /// If there is no such row, or an item is damaged.
    pub fn captions_of(&self, row: usize) -> Result<Vec<CaptionItem>> {
        self.require_modality(Modality::Text)?;
        self.items_of(row)
    }

    /// The image with this id, if there is one.
    ///
    /// # Errors
    /// If the item is damaged.
    pub fn image_of_id(&self, id: &str) -> Result<Option<ImageItem>> {
        self.catalogue.item_of(Modality::Image, id)?.map(|item| self.catalogue.parse(&item)).transpose()
    }

    /// The captions of the image with this id, by their ids; none if there is no such image or no captions were indexed.
    ///
    /// # Errors
    /// If an item is damaged.
    pub fn captions_of_image(&self, id: &str) -> Result<Vec<CaptionItem>> {
        let mut captions = Vec::new();
        for caption in self.catalogue.captions_of(id)? {
            if let Some(item) = self.catalogue.item_of(Modality::Text, &caption)? {
                captions.push(self.catalogue.parse(&item)?);
            }
        }
        Ok(captions)
    }

    /// Every item of a modality with its record, by row.
    pub(crate) fn each_record<T: Item>(&self, mut visit: impl FnMut(T, &[u8]) -> Result<()>) -> Result<()> {
        self.each_stored(T::MODALITY, |stored| {
            let (segment, at) = self.place(T::MODALITY, stored.row as usize)?;
            visit(self.catalogue.parse(stored)?, segment.rows.record(at))
        })
    }

    /// Every item of a modality as it is stored, by row and id.
    fn each_stored(&self, modality: Modality, mut visit: impl FnMut(&StoredItem) -> Result<()>) -> Result<()> {
        for rows in self.batches(modality) {
            self.catalogue.items_in(modality, rows)?.iter().try_for_each(&mut visit)?;
        }
        Ok(())
    }

    /// The rows of a modality in ranges of at most [`BATCH`], each within one file. Items of rows outside them, which a
    /// sound catalogue does not have, are in the last.
    fn batches(&self, modality: Modality) -> Vec<Range<u64>> {
        let mut batches: Vec<Range<u64>> = Vec::new();
        for segment in self.segments(modality) {
            let (first, end) = (segment.first_row as u64, (segment.first_row + segment.rows.len()) as u64);
            batches.extend((first..end).step_by(BATCH).map(|start| start..end.min(start + BATCH as u64)));
        }
        let mut at = 0;
        for batch in &mut batches {
            // Gaps that compaction left go with what follows them.
            batch.start = at;
            at = batch.end;
        }
        batches.push(at..u64::MAX);
        batches
    }

    fn segments(&self, modality: Modality) -> &[OpenSegment] {
        match modality {
            Modality::Image => &self.images,
            Modality::Text => &self.captions,
        }
    }

    fn require_modality(&self, modality: Modality) -> Result<()> {
        if self.meta().collection(modality).is_some() {
            return Ok(());
        }
        Err(Error::not_found(format!("captions of {}", self.dir.display()), "none", "an index with captions")
            .with_remedy(Remedy::IndexDataset))
    }

    /// Where a row lies.
    fn place(&self, modality: Modality, row: usize) -> Result<(&OpenSegment, usize)> {
        self.require_modality(modality)?;
        let segments = self.segments(modality);
        let after = segments.partition_point(|segment| segment.first_row <= row);
        let found = after.checked_sub(1).map(|at| &segments[at]).filter(|segment| {
            let at = row - segment.first_row;
            at < segment.rows.len() && segment.live.as_ref().is_none_or(|live| live.contains(at))
        });
        let segment = found.ok_or_else(|| {
            let expected = format!("a row of one of the {} {}", self.count(modality), modality.plural());
            Error::not_found("row", row.to_string(), expected)
        })?;
        Ok((segment, row - segment.first_row))
    }

    fn first_item<T: Item>(&self, row: usize) -> Result<T> {
        self.place(T::MODALITY, row)?;
        let items = self.catalogue.items_in(T::MODALITY, row as u64..row as u64 + 1)?;
        let first = items.first().ok_or_else(|| self.catalogue.malformed(format!("no item for row {row}")))?;
        self.catalogue.parse(first)
    }

    fn items_of<T: Item>(&self, row: usize) -> Result<Vec<T>> {
        self.place(T::MODALITY, row)?;
        self.catalogue
            .items_in(T::MODALITY, row as u64..row as u64 + 1)?
            .iter()
            .map(|item| self.catalogue.parse(item))
            .collect()
    }
}

/// Maps the rows of a modality.
fn open_segments(dir: &Path, catalogue: &Catalogue, modality: Modality) -> Result<Vec<OpenSegment>> {
    let measure = Measure::of(catalogue.meta().space.similarity, modality);
    let open = |(first, record): (u64, SegmentRecord)| {
        let path = segment_path(dir, modality, record.file);
        let rows = Segment::open(&path, record.rows)?;
        rows.header().require(&catalogue.meta().header(modality, record.file), &path)?;
        let live = catalogue.live(modality, first, record.rows)?;
        // `verify` reports what is wrong with them; search does without.
        let sketches = Sketches::open(&sketch_path(&path), &rows, measure).ok();
        Ok(OpenSegment { first_row: first as usize, rows, live, sketches, record, path })
    };
    catalogue.segments(modality)?.into_iter().map(open).collect()
}

impl IndexMeta {
    /// Reads what the index in `dir` is.
    ///
    /// # Errors
    /// If there is none, or it is of another version, unfinished or damaged.
    pub fn read(dir: &Path) -> Result<Self> {
        check_identity(dir)?;
        Ok(Catalogue::open(dir)?.meta().clone())
    }

    /// True if `dir` holds the mark of an index, of whatever version; a checkpoint has a `meta.json`, too.
    pub fn is_of_index(dir: &Path) -> bool {
        is_ours(dir)
    }
}
