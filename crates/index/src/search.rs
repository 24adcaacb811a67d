//! Finding items: what may be asked beside the query, and the way to the answer.

use crate::bitmap::Bitmap;
use crate::catalogue::StoredItem;
use crate::filter::{self, Filter};
use crate::index::Index;
use crate::item::{CaptionItem, ImageItem};
use crate::query::{LevelScores, Plan, QueryPart};
use crate::scan::{Piece, Rows};
use crate::space::Space;
use crate::top_k::{Scored, TopK};
use crate::way::{Errand, RowPiece};
use gxn_base::Modality;
use gxn_base::Result;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Filters whose answers an index remembers.
const REMEMBERED: usize = 8;

/// One found item.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Its row among the images or the captions; items of equal content have the same.
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

/// How the best rows are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// [`Method::Exact`] where that takes a moment, up to [`INSTANT_BYTES`] of rows; else [`Method::Sketches`] once they
    /// are in memory ([`Index::load_sketches`], or after [`LOADING_PAYS`] queries), before that [`Method::Candidates`].
    #[default]
    Auto,
    /// Every row is read.
    Exact,
    /// The 8-bit codes of all rows give candidates, [`CANDIDATES`] for up to a quarter as many hits (those before the page
    /// counted), else four, sixteen, … times as many; these are scored exactly. A hit may be missed, scores and their
    /// order are exact. Rows without codes are read.
    Candidates,
    /// The same by 4-bit sketches of all rows, half as many candidates of each row file. Sketches are read into memory
    /// first; a query then takes a quarter of the time. Where more rows have one score than there are candidates, any of
    /// them may be found, the same ones each time. Rows without sketches go
    /// by their codes; so do queries with a [`PartKind::Same`](crate::PartKind::Same) part where rows are of different
    /// lengths or under order similarity. Where few rows pass a filter all of them are read.
    Sketches,
}

/// So many bytes of rows are read for a query without a second thought: a few milliseconds.
pub const INSTANT_BYTES: u64 = 256 << 20;
/// Candidates of a query at least.
pub const CANDIDATES: usize = 200;
/// After so many queries of a side [`Method::Auto`] reads its sketches into memory: what each saves has then paid for it.
pub const LOADING_PAYS: usize = 64;

/// What is wanted of a search.
#[derive(Clone, Copy, Debug)]
pub struct SearchOptions<'a> {
    /// Images or captions.
    pub target: Modality,
    /// At most so many hits.
    pub top: usize,
    /// Hits to leave out at the start. Pages of one query are pages of one list, none twice and none left out, always under
    /// [`Method::Exact`], else while `offset + top` stays within the same bound, 50, 200, 800 or the next: beyond it more
    /// candidates are looked for, and a hit that was missed before may push others back. [`Method::Auto`] may change its
    /// way at these bounds, and once sketches are in memory.
    pub offset: usize,
    /// Only items that pass it.
    pub filter: Option<&'a Filter>,
    /// Weight of the abstract level, 0 to 1, instead of the index's λ.
    pub lambda: Option<f32>,
    /// How the best are found.
    pub method: Method,
}

impl SearchOptions<'_> {
    /// The best `top` items of a side.
    pub fn new(target: Modality, top: usize) -> Self {
        Self { target, top, offset: 0, filter: None, lambda: None, method: Method::Auto }
    }
}

/// For each row file the rows that have an item which passes.
type Passing = Arc<Vec<Bitmap>>;

/// The rows that pass the filters asked last.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<Vec<(Modality, Filter, Passing)>>);

impl Index {
    /// The best `top` items of the side `target` from place `offset` on ([`Method::Auto`]), of equal scores the lower row
    /// first, in a row the lower id.
    ///
    /// # Errors
    /// If the query is unusable ([`Plan::new`]), captions are asked for and none were indexed, or an item is damaged.
    pub fn search(&self, parts: &[QueryPart<'_>], target: Modality, top: usize, offset: usize) -> Result<Vec<Hit>> {
        Ok(self.search_many(&[parts], target, top, offset)?.remove(0))
    }

    /// [`Index::search`] for many queries in one pass over the rows; each answer is the same as if asked alone.
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn search_many(
        &self,
        queries: &[&[QueryPart<'_>]],
        target: Modality,
        top: usize,
        offset: usize,
    ) -> Result<Vec<Vec<Hit>>> {
        self.search_with(queries, &SearchOptions { offset, ..SearchOptions::new(target, top) })
    }

    /// [`Index::search_many`] with everything that can be asked for.
    ///
    /// # Errors
    /// As [`Index::search`], and if λ is out of range.
    pub fn search_with(&self, queries: &[&[QueryPart<'_>]], options: &SearchOptions<'_>) -> Result<Vec<Vec<Hit>>> {
        let SearchOptions { target, top, offset, filter, lambda, method } = *options;
        self.require_side(target)?;
        let space = Space { lambda: lambda.unwrap_or(self.meta().space.lambda), ..self.meta().space };
        space.check()?;
        let plans: Vec<Plan> = queries.iter().map(|parts| Plan::new(&space, target, parts)).collect::<Result<_>>()?;
        let passing = filter.map(|filter| self.passing(target, filter)).transpose()?;
        let pieces = self.pieces(target, passing.as_ref().map(|passing| passing.as_slice()));
        let keep = top.saturating_add(offset);
        let tops = self.best(&Errand { side: target, pieces: &pieces, keep }, &plans, method);
        plans.par_iter().zip(tops).map(|(plan, best)| self.page(plan, best, options)).collect()
    }

    /// The rows to look at.
    pub(crate) fn pieces<'a>(&'a self, side: Modality, passing: Option<&'a [Bitmap]>) -> Vec<RowPiece<'a>> {
        let dims = self.meta().space.dims();
        let stretches = self.stretches(side).iter().enumerate();
        let piece = stretches.map(|(at, stretch)| Piece {
            rows: Rows::records(&stretch.segment, dims),
            range: 0..stretch.segment.len(),
            first_row: stretch.first_row,
            // Rows that pass have items, so they live.
            allowed: passing.map_or(stretch.live.as_ref(), |passing| Some(&passing[at])),
        });
        piece.collect()
    }

    /// The fields that the filter asks for and no item of `target` has, misspelt perhaps: nothing is equal to them. The
    /// index's own, such as `width`, are always there.
    ///
    /// # Errors
    /// If captions are asked for and none were indexed, or an item is damaged.
    pub fn unknown_fields(&self, target: Modality, filter: &Filter) -> Result<Vec<String>> {
        self.require_side(target)?;
        let mut unknown = Vec::new();
        for field in filter.columns(target) {
            // Columns are those of images, also where captions are searched.
            let has = |rows: Range<u64>| -> Result<bool> {
                for item in self.catalogue().items_in(Modality::Image, rows)? {
                    if filter::has_field(&self.catalogue().parse(&item)?, field) {
                        return Ok(true);
                    }
                }
                Ok(false)
            };
            let batches = self.batches(Modality::Image).into_par_iter().map(has);
            match batches.find_any(|found| !matches!(found, Ok(false))) {
                None => unknown.push(field.to_string()),
                Some(found) => drop(found?),
            }
        }
        Ok(unknown)
    }

    /// The rows that have an item which passes the filter; all items are looked at, in parallel.
    fn passing(&self, side: Modality, filter: &Filter) -> Result<Passing> {
        let remembered = || self.remembered().0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, passing)) = remembered().iter().find(|(s, f, _)| *s == side && f == filter) {
            return Ok(passing.clone());
        }
        let stretches = self.stretches(side);
        let mut passing: Vec<Bitmap> = stretches.iter().map(|stretch| Bitmap::empty(stretch.segment.len())).collect();
        let rows_that_pass = |rows: Range<u64>| -> Result<Vec<usize>> {
            let items = self.catalogue().items_in(side, rows)?;
            let mut passed = Vec::new();
            for item in &items {
                if self.passes(side, filter, item)? {
                    self.place(side, item.row as usize)?;
                    passed.push(item.row as usize);
                }
            }
            Ok(passed)
        };
        let rows: Vec<Vec<usize>> = self.batches(side).into_par_iter().map(rows_that_pass).collect::<Result<_>>()?;
        for row in rows.into_iter().flatten() {
            let at = stretches.partition_point(|stretch| stretch.first_row <= row) - 1;
            passing[at].insert(row - stretches[at].first_row);
        }
        let passing = Arc::new(passing);
        let mut remembered = remembered();
        if remembered.len() == REMEMBERED {
            remembered.remove(0);
        }
        remembered.push((side, filter.clone(), passing.clone()));
        Ok(passing)
    }

    fn passes(&self, side: Modality, filter: &Filter, item: &StoredItem) -> Result<bool> {
        match side {
            Modality::Image => Ok(filter.passes_image(&self.catalogue().parse(item)?)),
            Modality::Text => {
                let caption: CaptionItem = self.catalogue().parse(item)?;
                filter.passes_caption(&caption, || self.image_of(&caption))
            }
        }
    }

    /// The items of the best rows, of which each has at least one that passes.
    fn page(&self, plan: &Plan, best: TopK, options: &SearchOptions<'_>) -> Result<Vec<Hit>> {
        let SearchOptions { target, top, offset, filter, .. } = *options;
        let mut hits = Vec::new();
        let mut passed = 0;
        for scored in best.into_page(0) {
            if hits.len() == top {
                break;
            }
            let items = self.catalogue().items_in(target, scored.row as u64..scored.row as u64 + 1)?;
            for item in &items {
                // A row's only item is the one that let it pass.
                if let Some(filter) = filter
                    && items.len() > 1
                    && !self.passes(target, filter, item)?
                {
                    continue;
                }
                passed += 1;
                if passed > offset && hits.len() < top {
                    hits.push(self.hit(target, plan, scored, item)?);
                }
            }
        }
        Ok(hits)
    }

    fn hit(&self, target: Modality, plan: &Plan, Scored { score, row }: Scored, item: &StoredItem) -> Result<Hit> {
        let (stretch, at) = self.place(target, row)?;
        let parts = plan.level_scores(stretch.segment.row(at), stretch.segment.inverse_length(at));
        match target {
            Modality::Image => {
                let ImageItem { id, path, .. } = self.catalogue().parse(item)?;
                Ok(Hit { row, id, path, caption: None, score, parts })
            }
            Modality::Text => {
                let caption: CaptionItem = self.catalogue().parse(item)?;
                let path = self.image_of(&caption)?.path;
                Ok(Hit { row, id: caption.id.clone(), path, caption: Some(caption), score, parts })
            }
        }
    }

    /// The image that a caption belongs to.
    fn image_of(&self, caption: &CaptionItem) -> Result<ImageItem> {
        let image = self.catalogue().item_of(Modality::Image, &caption.image_id)?.ok_or_else(|| {
            let what = format!("image of caption {}", caption.id);
            crate::fault::damaged(what, caption.image_id.clone(), "an image of the index")
        })?;
        self.catalogue().parse(&image)
    }
}
