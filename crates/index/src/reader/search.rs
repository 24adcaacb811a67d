//! Finding items: the query's plan, the rows that may be hits, and the page of items.

use super::Index;
use super::cache::Passing;
use super::options::{Hit, SearchOptions};
use super::strategy::{RowPiece, ScanRequest};
use crate::bitmap::Bitmap;
use crate::catalogue::StoredItem;
use crate::filter::{self, ContentKind, Filter};
use crate::item::{CaptionItem, ImageItem};
use crate::query::{Plan, QueryPart};
use crate::scan::{Piece, RowView};
use crate::space::Space;
use crate::top_k::{Scored, TopK};
use gxn_base::{Error, Modality, Result};
use rayon::prelude::*;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Images whose columns are read to list them.
const SAMPLED: usize = 200;

impl Index {
    /// The best `top` items of the modality `target` from place `offset` on ([`Method::Auto`](crate::Method::Auto)), of equal scores the lower row
    /// first, in a row the lower id.
    ///
    /// # Errors
    /// If a part of the query is unusable, `target` is captions and none were indexed, or an item is damaged.
    pub fn search(&self, parts: &[QueryPart<'_>], target: Modality, top: usize, offset: usize) -> Result<Vec<Hit>> {
        Ok(self.search_many(&[parts], target, top, offset)?.remove(0))
    }

    /// [`Index::search`] for many queries in one pass over the rows; each result is the same as that of the query alone.
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

    /// [`Index::search_many`] with all options.
    ///
    /// # Errors
    /// As [`Index::search`], and if λ is out of range.
    pub fn search_with(&self, queries: &[&[QueryPart<'_>]], options: &SearchOptions<'_>) -> Result<Vec<Vec<Hit>>> {
        let SearchOptions { target, top, offset, filter, lambda, method, .. } = *options;
        self.require_modality(target)?;
        let space = Space { lambda: lambda.unwrap_or(self.meta().space.lambda), ..self.meta().space };
        space.check()?;
        let plans: Vec<Plan> = queries.iter().map(|parts| Plan::new(&space, target, parts)).collect::<Result<_>>()?;
        let passing = filter.map(|filter| self.passing(target, filter)).transpose()?;
        let pieces = self.pieces(target, passing.as_ref().map(|passing| passing.as_slice()));
        let keep = top.saturating_add(offset);
        let tops = self.best(&ScanRequest { modality: target, pieces: &pieces, keep }, &plans, method);
        plans.par_iter().zip(tops).map(|(plan, best)| self.page(plan, best, options)).collect()
    }

    /// The rows to score.
    pub(super) fn pieces<'a>(&'a self, modality: Modality, passing: Option<&'a [Bitmap]>) -> Vec<RowPiece<'a>> {
        let dims = self.meta().space.dims();
        let segments = self.segments(modality).iter().enumerate();
        let piece = segments.map(|(at, segment)| Piece {
            rows: RowView::records(&segment.rows, dims),
            range: 0..segment.rows.len(),
            first_row: segment.first_row,
            // Rows that pass have items, so they live.
            allowed: passing.map_or(segment.live.as_ref(), |passing| Some(&passing[at])),
        });
        piece.collect()
    }

    /// The fields of the filter that no item of `target` has, misspelt perhaps: nothing is equal to them. Built-in fields,
    /// such as `width`, are always known.
    ///
    /// # Errors
    /// If a column that holds numbers alone is compared with something else, `target` is captions and none were indexed, or
    /// an item is damaged.
    pub fn unknown_fields(&self, target: Modality, filter: &Filter) -> Result<Vec<String>> {
        self.require_modality(target)?;
        let mut unknown = Vec::new();
        for field in filter.columns(target) {
            let texts = filter.compared_with_text(field);
            let senseless = match self.widest_kind(field, !texts.is_empty())? {
                None => {
                    unknown.push(field.to_string());
                    None
                }
                Some(ContentKind::Number) => texts.first(),
                // Texts of digits may also be compared as texts.
                Some(ContentKind::Digits) => texts.iter().find(|with| with.is_ordered()),
                Some(ContentKind::Other) => None,
            };
            if let Some(with) = senseless {
                let (what, found) = (format!("`{field}` is a number"), format!("`{}`", with.written()));
                return Err(Error::invalid(what, found, "a value such as 1000")
                    .with_hint(format!("`{field}` alone tests whether an image has it")));
            }
        }
        Ok(unknown)
    }

    /// The columns that the first images have beside the built-in fields, in alphabetical order.
    ///
    /// # Errors
    /// If an item is damaged.
    pub fn columns(&self) -> Result<Vec<String>> {
        let mut columns = BTreeSet::new();
        for row in self.rows(Modality::Image).take(SAMPLED) {
            columns.extend(self.image(row)?.meta.into_iter().map(|(name, _)| name));
        }
        Ok(columns.into_iter().collect())
    }

    /// The widest kind of what images have under the name of `field`; unless `all` are to be seen, the first that is found.
    fn widest_kind(&self, field: &str, all: bool) -> Result<Option<ContentKind>> {
        let widest = Mutex::new(None);
        let is_decided = |rows: Range<u64>| -> Result<bool> {
            // Columns are those of images, also where captions are searched.
            for item in self.catalogue.items_in(Modality::Image, rows)? {
                if let Some(kind) = filter::content_kind(&self.catalogue.parse(&item)?, field) {
                    let mut widest = widest.lock().unwrap_or_else(PoisonError::into_inner);
                    *widest = Some(kind).max(*widest);
                    if !all || kind == ContentKind::Other {
                        return Ok(true);
                    }
                }
            }
            Ok(false)
        };
        let batches = self.batches(Modality::Image).into_par_iter().map(is_decided);
        batches.find_any(|decided| !matches!(decided, Ok(false))).transpose()?;
        Ok(widest.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// The rows that have an item which passes the filter; all items are tested, in parallel.
    fn passing(&self, modality: Modality, filter: &Filter) -> Result<Passing> {
        if let Some(passing) = self.filters.get(modality, filter) {
            return Ok(passing);
        }
        let segments = self.segments(modality);
        let mut passing: Vec<Bitmap> = segments.iter().map(|segment| Bitmap::empty(segment.rows.len())).collect();
        let rows_that_pass = |rows: Range<u64>| -> Result<Vec<usize>> {
            let items = self.catalogue.items_in(modality, rows)?;
            let mut passed = Vec::new();
            for item in &items {
                if self.passes(modality, filter, item)? {
                    self.place(modality, item.row as usize)?;
                    passed.push(item.row as usize);
                }
            }
            Ok(passed)
        };
        let rows: Vec<Vec<usize>> =
            self.batches(modality).into_par_iter().map(rows_that_pass).collect::<Result<_>>()?;
        for row in rows.into_iter().flatten() {
            let at = segments.partition_point(|segment| segment.first_row <= row) - 1;
            passing[at].insert(row - segments[at].first_row);
        }
        let passing = Arc::new(passing);
        self.filters.insert(modality, filter, passing.clone());
        Ok(passing)
    }

    fn passes(&self, modality: Modality, filter: &Filter, item: &StoredItem) -> Result<bool> {
        match modality {
            Modality::Image => Ok(filter.passes_image(&self.catalogue.parse(item)?)),
            Modality::Text => {
                let caption: CaptionItem = self.catalogue.parse(item)?;
                filter.passes_caption(&caption, || self.image_of(&caption))
            }
        }
    }

    /// The items of the best rows, of which each has at least one that passes.
    fn page(&self, plan: &Plan, best: TopK, options: &SearchOptions<'_>) -> Result<Vec<Hit>> {
        let SearchOptions { top, offset, .. } = *options;
        let (mut hits, mut passed) = (Vec::new(), 0);
        for scored in best.into_page(0) {
            if hits.len() == top {
                break;
            }
            for (item, copies) in self.passing_items(scored.row, options)? {
                passed += 1;
                if passed > offset && hits.len() < top {
                    hits.push(Hit { copies, ..self.hit(options.target, plan, scored, &item)? });
                }
            }
        }
        Ok(hits)
    }

    /// The items of a row that pass the filter, each with the number of those that it stands for.
    fn passing_items(&self, row: usize, options: &SearchOptions<'_>) -> Result<Vec<(StoredItem, usize)>> {
        let SearchOptions { target, filter, fold_captions, .. } = *options;
        let items = self.catalogue.items_in(target, row as u64..row as u64 + 1)?;
        let is_only_one = items.len() == 1;
        let mut passing: Vec<(StoredItem, usize)> = Vec::new();
        let mut place_of_image: HashMap<String, usize> = HashMap::new();
        for item in items {
            // A row's only item is the one that let it pass.
            if let Some(filter) = filter
                && !is_only_one
                && !self.passes(target, filter, &item)?
            {
                continue;
            }
            if fold_captions && target == Modality::Text && !is_only_one {
                let caption: CaptionItem = self.catalogue.parse(&item)?;
                if let Some(&at) = place_of_image.get(&caption.image_id) {
                    passing[at].1 += 1;
                    continue;
                }
                place_of_image.insert(caption.image_id, passing.len());
            }
            passing.push((item, 1));
        }
        Ok(passing)
    }

    fn hit(&self, target: Modality, plan: &Plan, Scored { score, row }: Scored, item: &StoredItem) -> Result<Hit> {
        let (segment, at) = self.place(target, row)?;
        let parts = plan.level_scores(segment.rows.row(at), segment.rows.inverse_length(at));
        match target {
            Modality::Image => {
                let ImageItem { id, path, .. } = self.catalogue.parse(item)?;
                Ok(Hit { row, id, path, caption: None, copies: 1, score, parts })
            }
            Modality::Text => {
                let caption: CaptionItem = self.catalogue.parse(item)?;
                let path = self.image_of(&caption)?.path;
                Ok(Hit { row, id: caption.id.clone(), path, caption: Some(caption), copies: 1, score, parts })
            }
        }
    }

    /// The image that a caption belongs to.
    fn image_of(&self, caption: &CaptionItem) -> Result<ImageItem> {
        let image = self.catalogue.item_of(Modality::Image, &caption.image_id)?.ok_or_else(|| {
            let what = format!("image of caption {}", caption.id);
            crate::fault::damaged(what, caption.image_id.clone(), "an image of the index")
        })?;
        self.catalogue.parse(&image)
    }
}
