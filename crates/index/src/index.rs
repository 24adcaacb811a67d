//! An index folder, open for search.
//!
//! ```text
//! meta.json            says that the folder is an index, and of which version
//! catalogue.redb       the commit point: which rows count, and what they are
//! lock                 held by a writer
//! segments/            images-N.f16 … [captions-N.f16 …], and what is derived of them: images-N.i8 … images-N.sketch …
//! ```

use crate::bitmap::Bitmap;
use crate::catalogue::{CATALOGUE_FILE, Catalogue, SegmentRecord, StoredItem, codes_path, segment_path, sketch_path};
use crate::codes::Codes;
use crate::freshness::CatalogueStamp;
use crate::item::{CaptionItem, ImageItem, Item};
use crate::meta::{IndexMeta, META_FILE, check_identity};
use crate::search::Remembered;
use crate::segment::Segment;
use crate::shelf::header;
use crate::sketch::Sketches;
use crate::vector_store::require_model;
use crate::way::Asked;
use gxn_base::Modality;
use gxn_base::{Error, Kind, Result};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Times that a reader looks again when files vanish between its look at the catalogue and at them.
const ATTEMPTS: usize = 20;
/// Items read from the catalogue at once.
pub(crate) const BATCH: usize = 4096;

/// An open index, as it was when it was opened: a writer that changes it does not disturb it.
#[derive(Debug)]
pub struct Index {
    dir: PathBuf,
    catalogue: Catalogue,
    images: Vec<Stretch>,
    captions: Vec<Stretch>,
    remembered: Remembered,
    asked: Asked,
    stamp: Option<CatalogueStamp>,
}

/// The rows of one file.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub(crate) first_row: usize,
    pub(crate) segment: Segment,
    /// `None` if all rows are.
    pub(crate) live: Option<Bitmap>,
    /// Of the first rows; `None` if there are none, or they cannot be used.
    pub(crate) codes: Option<Codes>,
    /// The same.
    pub(crate) sketches: Option<Sketches>,
    pub(crate) record: SegmentRecord,
    pub(crate) path: PathBuf,
}

impl Index {
    /// True if `dir` holds a `meta.json`; whether it is a good one, [`Index::open`] tells.
    pub fn exists(dir: &Path) -> bool {
        dir.join(META_FILE).is_file()
    }

    /// True if the making of a first index in `dir` was begun and not finished.
    pub fn is_begun(dir: &Path) -> bool {
        !Self::exists(dir) && dir.join(CATALOGUE_FILE).is_file()
    }

    /// Opens the index in `dir`: checks versions, headers and lengths. Checksums are left to [`Index::verify`], so that
    /// opening is quick. An index whose writer crashed is first made sound again, which needs the right to write it.
    ///
    /// # Errors
    /// If there is no index, or it is of another version, unfinished, cut off or mixed up.
    pub fn open(dir: &Path) -> Result<Self> {
        let mut attempt = 1;
        loop {
            check_identity(dir)?;
            match Self::open_snapshot(dir) {
                // A writer may have removed a file since the catalogue was read.
                Err(e) if e.kind() == Kind::NotFound && attempt < ATTEMPTS => attempt += 1,
                other => return other,
            }
        }
    }

    fn open_snapshot(dir: &Path) -> Result<Self> {
        // Taken first: a commit that comes between is noticed later.
        let stamp = CatalogueStamp::of(dir);
        let catalogue = Catalogue::open(dir)?;
        let images = stretches(dir, &catalogue, Modality::Image)?;
        let captions = stretches(dir, &catalogue, Modality::Text)?;
        Ok(Self {
            dir: dir.to_path_buf(),
            catalogue,
            images,
            captions,
            remembered: Remembered::default(),
            asked: Asked::default(),
            stamp,
        })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether nothing was committed since it was opened. A look at one file; a change within the clock tick of the
    /// opening, a few milliseconds, may be missed until the next one.
    pub fn is_current(&self) -> bool {
        self.stamp.is_some() && self.stamp == CatalogueStamp::of(&self.dir)
    }

    /// What the index is.
    pub fn meta(&self) -> &IndexMeta {
        self.catalogue.meta()
    }

    /// Refuses any model but the one that made the index.
    ///
    /// # Errors
    /// If `fingerprint` is another; the error names both.
    pub fn require_model(&self, fingerprint: &str) -> Result<()> {
        require_model(&format!("index {}", self.dir.display()), &self.meta().model, fingerprint)
    }

    /// Number of items of `side`; 0 captions if none were indexed.
    pub fn count(&self, side: Modality) -> usize {
        self.meta().collection(side).map_or(0, |collection| collection.count as usize)
    }

    /// The rows of `side` that items refer to, ascending.
    pub fn rows(&self, side: Modality) -> impl Iterator<Item = usize> + '_ {
        self.stretches(side).iter().flat_map(|stretch| {
            (0..stretch.segment.len())
                .filter(|&at| stretch.live.as_ref().is_none_or(|live| live.contains(at)))
                .map(|at| stretch.first_row + at)
        })
    }

    /// The embedding `[h ; l]` of a row, as f16 kept it: a stored picture can be a query.
    ///
    /// # Errors
    /// If there is no such row.
    pub fn row(&self, side: Modality, row: usize) -> Result<Vec<f32>> {
        let (stretch, at) = self.place(side, row)?;
        Ok(stretch.segment.row(at).iter().map(|v| v.to_f32()).collect())
    }

    /// The row of the item with this id.
    ///
    /// # Errors
    /// If captions are asked for and none were indexed, or the catalogue is damaged.
    pub fn row_of(&self, side: Modality, id: &str) -> Result<Option<usize>> {
        self.require_side(side)?;
        Ok(self.catalogue.row_of(side, id)?.map(|row| row as usize))
    }

    /// The row of a content: an image's `sha256`, or [`crate::text_content`] of a caption.
    ///
    /// # Errors
    /// If captions are asked for and none were indexed, or the catalogue is damaged.
    pub fn row_of_content(&self, side: Modality, content: &str) -> Result<Option<usize>> {
        self.require_side(side)?;
        Ok(self.catalogue.row_of_content(side, content)?.map(|row| row as usize))
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
        self.require_side(Modality::Text)?;
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
        self.require_side(Modality::Text)?;
        self.items_of(row)
    }

    /// Every item of a side with its record, by row.
    pub(crate) fn each_record<T: Item>(&self, mut visit: impl FnMut(T, &[u8]) -> Result<()>) -> Result<()> {
        self.each_stored(T::SIDE, |stored| {
            let (stretch, at) = self.place(T::SIDE, stored.row as usize)?;
            visit(self.catalogue.parse(stored)?, stretch.segment.record(at))
        })
    }

    /// Every item of a side as it is stored, by row and id.
    pub(crate) fn each_stored(&self, side: Modality, mut visit: impl FnMut(&StoredItem) -> Result<()>) -> Result<()> {
        for rows in self.batches(side) {
            self.catalogue.items_in(side, rows)?.iter().try_for_each(&mut visit)?;
        }
        Ok(())
    }

    /// The rows of a side in stretches of at most [`BATCH`], each within one file. Items of rows outside them, which a
    /// sound catalogue does not have, are in the last.
    pub(crate) fn batches(&self, side: Modality) -> Vec<Range<u64>> {
        let mut batches: Vec<Range<u64>> = Vec::new();
        for stretch in self.stretches(side) {
            let (first, end) = (stretch.first_row as u64, (stretch.first_row + stretch.segment.len()) as u64);
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

    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    pub(crate) fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    pub(crate) fn asked(&self) -> &Asked {
        &self.asked
    }

    pub(crate) fn stretches(&self, side: Modality) -> &[Stretch] {
        match side {
            Modality::Image => &self.images,
            Modality::Text => &self.captions,
        }
    }

    pub(crate) fn require_side(&self, side: Modality) -> Result<()> {
        if self.meta().collection(side).is_some() {
            return Ok(());
        }
        Err(Error::invalid(format!("captions of {}", self.dir.display()), "none", "an index with captions")
            .with_hint("make the index from a data set with captions"))
    }

    /// Where a row lies.
    pub(crate) fn place(&self, side: Modality, row: usize) -> Result<(&Stretch, usize)> {
        self.require_side(side)?;
        let stretches = self.stretches(side);
        let after = stretches.partition_point(|stretch| stretch.first_row <= row);
        let found = after.checked_sub(1).map(|at| &stretches[at]).filter(|stretch| {
            let at = row - stretch.first_row;
            at < stretch.segment.len() && stretch.live.as_ref().is_none_or(|live| live.contains(at))
        });
        let stretch = found.ok_or_else(|| {
            let expected = format!("a row of one of the {} {}", self.count(side), side.plural());
            Error::invalid("row", row.to_string(), expected)
        })?;
        Ok((stretch, row - stretch.first_row))
    }

    fn first_item<T: Item>(&self, row: usize) -> Result<T> {
        self.place(T::SIDE, row)?;
        let items = self.catalogue.items_in(T::SIDE, row as u64..row as u64 + 1)?;
        let first = items.first().ok_or_else(|| self.catalogue.malformed(format!("no item for row {row}")))?;
        self.catalogue.parse(first)
    }

    fn items_of<T: Item>(&self, row: usize) -> Result<Vec<T>> {
        self.place(T::SIDE, row)?;
        self.catalogue
            .items_in(T::SIDE, row as u64..row as u64 + 1)?
            .iter()
            .map(|item| self.catalogue.parse(item))
            .collect()
    }
}

/// Maps the rows of a side.
fn stretches(dir: &Path, catalogue: &Catalogue, side: Modality) -> Result<Vec<Stretch>> {
    let open = |(first, record): (u64, SegmentRecord)| {
        let path = segment_path(dir, side, record.file);
        let segment = Segment::open(&path, record.rows)?;
        segment.header().require(&header(catalogue.meta(), side, record.file), &path)?;
        let live = catalogue.live(side, first, record.rows)?;
        // Whatever is wrong with them, `verify` tells; search can do without.
        let codes = Codes::open(&codes_path(&path), &segment).ok();
        let measure = crate::kernel::Measure::of(catalogue.meta().space.similarity, side);
        let sketches = Sketches::open(&sketch_path(&path), &segment, measure).ok();
        Ok(Stretch { first_row: first as usize, segment, live, codes, sketches, record, path })
    };
    catalogue.segments(side)?.into_iter().map(open).collect()
}
