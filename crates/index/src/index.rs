//! An index folder, open for search.
//!
//! ```text
//! meta.json            what it is; replacing it is the commit
//! lock                 held by a writer
//! generation-N/        images.f16  images.jsonl  [captions.f16  captions.jsonl]
//! ```

use crate::error::{Error, Result};
use crate::file::{self, REINDEX};
use crate::item::{CaptionItem, ImageItem, Lines};
use crate::meta::{Collection, IndexMeta, META_FILE};
use crate::metric::Side;
use crate::query::{LevelScores, Plan, QueryPart};
use crate::scan::Rows;
use crate::segment::{HEADER_BYTES, Segment};
use crate::top_k::{Scored, TopK};
use half::f16;
use std::path::{Path, PathBuf};

/// One found item.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Its row among the images or the captions.
    pub row: usize,
    /// Its id: the image's, or the caption's.
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

/// An open index. Its files are mapped into memory; a writer that replaces them does not disturb it.
#[derive(Debug)]
pub struct Index {
    dir: PathBuf,
    meta: IndexMeta,
    images: Shelf,
    captions: Option<Shelf>,
}

/// The rows of one side and what they are.
#[derive(Debug)]
struct Shelf {
    segment: Segment,
    lines: Lines,
}

impl Index {
    /// True if `dir` holds a `meta.json`; whether it is a good one, [`Index::open`] tells.
    pub fn exists(dir: &Path) -> bool {
        dir.join(META_FILE).is_file()
    }

    /// Opens the index in `dir`: checks versions, headers, lengths and counts. Checksums of the content are left to
    /// [`Index::verify`], so that opening is quick.
    ///
    /// # Errors
    /// If there is no index, or it is of another version, cut off or mixed up.
    pub fn open(dir: &Path) -> Result<Self> {
        let mut meta = IndexMeta::read(dir)?;
        loop {
            match Self::open_generation(dir, &meta) {
                // A writer may have replaced the index since meta.json was read.
                Err(e) if e.is_not_found() => {
                    let now = IndexMeta::read(dir)?;
                    if now.generation == meta.generation {
                        return Err(e);
                    }
                    meta = now;
                }
                other => return other,
            }
        }
    }

    fn open_generation(dir: &Path, meta: &IndexMeta) -> Result<Self> {
        let folder = meta.generation_dir(dir);
        let images = Shelf::open(&folder, "images", &meta.images, meta)?;
        let captions = meta.captions.as_ref().map(|c| Shelf::open(&folder, "captions", c, meta)).transpose()?;
        Ok(Self { dir: dir.to_path_buf(), meta: meta.clone(), images, captions })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the index is.
    pub fn meta(&self) -> &IndexMeta {
        &self.meta
    }

    /// Refuses any model but the one that made the index.
    ///
    /// # Errors
    /// If `fingerprint` is another; the error names both.
    pub fn require_model(&self, fingerprint: &str) -> Result<()> {
        if fingerprint == self.meta.model {
            return Ok(());
        }
        let what = format!("model for the index {}", self.dir.display());
        Err(Error::unexpected(what, fingerprint, format!("{}, which made it", self.meta.model))
            .with_hint("use the model that made the index, or index the pictures again with this one"))
    }

    /// Reads every file and compares it with its recorded checksum.
    ///
    /// # Errors
    /// If a file cannot be read or was damaged.
    pub fn verify(&self) -> Result<()> {
        let folder = self.meta.generation_dir(&self.dir);
        let captions = self.meta.captions.as_ref().map(|c| ("captions", c));
        for (name, collection) in [("images", &self.meta.images)].into_iter().chain(captions) {
            file::verify(&folder.join(format!("{name}.f16")), &collection.vectors, HEADER_BYTES as u64)?;
            file::verify(&folder.join(format!("{name}.jsonl")), &collection.items, 0)?;
        }
        Ok(())
    }

    /// Number of rows of `side`; 0 captions if none were indexed.
    pub fn count(&self, side: Side) -> usize {
        self.shelf(side).map_or(0, |shelf| shelf.lines.len())
    }

    /// The stored values of `side`, `[count, h + l]`.
    ///
    /// # Errors
    /// If captions are asked for and none were indexed.
    pub fn values(&self, side: Side) -> Result<&[f16]> {
        Ok(self.shelf(side)?.segment.values())
    }

    /// The embedding `[h ; l]` of a row, as f16 kept it: a stored picture can be a query.
    ///
    /// # Errors
    /// If there is no such row.
    pub fn row(&self, side: Side, row: usize) -> Result<Vec<f32>> {
        let values = self.shelf(side)?.checked(row)?.row(row);
        Ok(values.iter().map(|v| v.to_f32()).collect())
    }

    /// The row of the item with this id; the first call for a side reads all its items.
    ///
    /// # Errors
    /// If captions are asked for and none were indexed, or an item is damaged.
    pub fn row_of(&self, side: Side, id: &str) -> Result<Option<usize>> {
        self.shelf(side)?.lines.row_of(id)
    }

    /// The image of a row.
    ///
    /// # Errors
    /// If there is no such row, or the item is damaged.
    pub fn image(&self, row: usize) -> Result<ImageItem> {
        self.images.checked(row)?.lines.get(row)
    }

    /// The caption of a row.
    ///
    /// # Errors
    /// If there is no such row, or the item is damaged.
    pub fn caption(&self, row: usize) -> Result<CaptionItem> {
        self.shelf(Side::Caption)?.checked(row)?.lines.get(row)
    }

    /// The best `top` items of the side `target` from place `offset` on; exact, of equal scores the lower row first.
    ///
    /// # Errors
    /// If the query is unusable ([`Plan::new`]), captions are asked for and none were indexed, or an item is damaged.
    pub fn search(&self, parts: &[QueryPart<'_>], target: Side, top: usize, offset: usize) -> Result<Vec<Hit>> {
        Ok(self.search_many(&[parts], target, top, offset)?.remove(0))
    }

    /// [`Index::search`] for many queries in one pass over the rows; each answer is the same as if asked alone.
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn search_many(
        &self,
        queries: &[&[QueryPart<'_>]],
        target: Side,
        top: usize,
        offset: usize,
    ) -> Result<Vec<Vec<Hit>>> {
        let shelf = self.shelf(target)?;
        let plans: Vec<Plan> =
            queries.iter().map(|parts| Plan::new(&self.meta.space, target, parts)).collect::<Result<_>>()?;
        let tops = shelf.rows().top(&plans, top.saturating_add(offset));
        let page = |(plan, top): (&Plan, TopK)| {
            top.into_page(offset).into_iter().map(|scored| self.hit(shelf, target, plan, scored)).collect()
        };
        plans.iter().zip(tops).map(page).collect()
    }

    fn hit(&self, shelf: &Shelf, target: Side, plan: &Plan, Scored { score, row }: Scored) -> Result<Hit> {
        let parts = plan.level_scores(shelf.row(row), shelf.segment.inverse_lengths()[row]);
        match target {
            Side::Image => {
                let ImageItem { id, path, .. } = self.image(row)?;
                Ok(Hit { row, id, path, caption: None, score, parts })
            }
            Side::Caption => {
                let caption = self.caption(row)?;
                let image = self.row_of(Side::Image, &caption.image_id)?.ok_or_else(|| {
                    let what = format!("image of caption {}", caption.id);
                    Error::unexpected(what, caption.image_id.clone(), "an image of the index").with_hint(REINDEX)
                })?;
                let path = self.image(image)?.path;
                Ok(Hit { row, id: caption.id.clone(), path, caption: Some(caption), score, parts })
            }
        }
    }

    fn shelf(&self, side: Side) -> Result<&Shelf> {
        match side {
            Side::Image => Ok(&self.images),
            Side::Caption => self.captions.as_ref().ok_or_else(|| {
                Error::unexpected(format!("captions of {}", self.dir.display()), "none", "an index with captions")
                    .with_hint("make the index from a data set with captions")
            }),
        }
    }
}

impl Shelf {
    fn open(folder: &Path, name: &str, collection: &Collection, meta: &IndexMeta) -> Result<Self> {
        let path = folder.join(format!("{name}.f16"));
        let segment = Segment::open(&path)?;
        let header = segment.header();
        let found = (header.rows, header.dims_abstract as usize, header.dims_grounded as usize);
        let expected = (collection.count, meta.space.dims_abstract, meta.space.dims_grounded);
        if found != expected || file::hex(&header.body_sha256) != collection.vectors.sha256 {
            let show = |(rows, h, l): (u64, usize, usize), sum: &str| format!("{rows} rows of {h} + {l} values, {sum}");
            let found = show(found, &file::hex(&header.body_sha256));
            let expected = show(expected, &collection.vectors.sha256);
            return Err(Error::unexpected(path.display().to_string(), found, expected).with_hint(REINDEX));
        }
        let path = folder.join(format!("{name}.jsonl"));
        let lines = Lines::open(&path, collection.count, collection.items.bytes)?;
        Ok(Self { segment, lines })
    }

    fn rows(&self) -> Rows<'_, f16> {
        Rows::new(self.segment.values(), self.segment.header().dims(), self.segment.inverse_lengths())
    }

    /// `row` must exist.
    fn row(&self, row: usize) -> &[f16] {
        let dims = self.segment.header().dims();
        &self.segment.values()[row * dims..][..dims]
    }

    fn checked(&self, row: usize) -> Result<&Self> {
        if row < self.lines.len() {
            return Ok(self);
        }
        Err(Error::unexpected("row", row.to_string(), format!("a row below {}", self.lines.len())))
    }
}
