//! Queries whose answers are known, scored against all items.

use gxn_index::{Modality, PartKind, Plan, QueryPart, Space, f16};
use rayon::prelude::*;

use super::bank::Bank;
use super::relevance::Relevance;
use super::standard::Standard;
use crate::evaluate::encode::EncodedDataset;
use crate::model::EmbeddingRows;

/// Parts of the queries that hubness is fitted without, in turn.
pub(super) const FOLDS: usize = 5;

/// The fold of all queries of an image, one of [`FOLDS`].
pub(super) fn fold(image: usize) -> usize {
    image % FOLDS
}

/// A query's standard scores with all items.
pub(super) struct Scored {
    pub(super) scores: Vec<f32>,
    /// Ascending.
    relevant: Vec<usize>,
}

impl Scored {
    /// Whether an item is a right answer.
    pub(super) fn is_relevant(&self, item: usize) -> bool {
        self.relevant.binary_search(&item).is_ok()
    }

    /// Items by falling score; of equal scores the relevant one comes last: a tie is no merit.
    pub(super) fn order(&self) -> impl Iterator<Item = usize> {
        let mut order: Vec<usize> = (0..self.scores.len()).collect();
        let key = |&at: &usize| (self.scores[at], !self.is_relevant(at));
        order.sort_by(|a, b| key(b).partial_cmp(&key(a)).expect("scores are numbers"));
        order.into_iter()
    }
}

/// The scores of rows, `[N, dims]`.
pub(super) fn scores(rows: &[f32], space: &Space, plan: &Plan) -> Vec<f32> {
    rows.chunks_exact(space.dims()).map(|row| score(plan, row)).collect()
}

/// Every query of `pairs` with every item of `target`, of which `hubness` is taken off, that of the query's fold or the one for all,
/// held against `bank`. Where the bank consists of some of these items, `held`, a query is not held against its own image or
/// captions, which are no part of the bank for queries to come, nor an item against itself. Equal captions of other images will be
/// there for these too.
pub(super) fn standard_scores(
    bank: &Bank,
    space: &Space,
    pairs: &Pairs<'_>,
    target: Modality,
    hubness: &[Vec<f32>],
    held: Option<&[usize]>,
) -> Vec<Scored> {
    let queries = pairs.items(other(target));
    let rows = pairs.stored(target);
    let scored = |query: usize| {
        let vector = queries.joined(query);
        let part = QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Cross };
        let plan = Plan::new(space, target, &[part]).expect("embeddings fit their own space");
        let mut scores_of_items = scores(&rows, space, &plan);
        let hubness = &hubness[fold(pairs.image_of(other(target), query)) % hubness.len()];
        scores_of_items.iter_mut().zip(hubness).for_each(|(score, hubness)| *score -= hubness);
        let relevant = pairs.relevant(target, query);
        let Some(held) = held else {
            let standard = bank.standard(space, &plan);
            scores_of_items.iter_mut().for_each(|score| *score = standard.score(*score));
            return Scored { scores: scores_of_items, relevant };
        };
        let own = pairs.own(target, query);
        let others: Vec<usize> = held.iter().copied().filter(|item| own.binary_search(item).is_err()).collect();
        let against: Vec<f32> = others.iter().map(|&item| scores_of_items[item]).collect();
        let standard = Standard::of(&against);
        let mut standards: Vec<f32> = scores_of_items.iter().map(|&score| standard.score(score)).collect();
        for (&item, &score) in others.iter().zip(&against) {
            standards[item] = standard.without(score, against.len()).score(score);
        }
        Scored { scores: standards, relevant }
    };
    (0..queries.count).into_par_iter().map(scored).collect()
}

/// Embeddings that belong together.
pub(super) struct Pairs<'a> {
    encoded: &'a EncodedDataset,
    captions_of_image: Vec<Vec<usize>>,
    /// Of each caption.
    group: Vec<usize>,
    /// The captions of each group.
    members: Vec<Vec<usize>>,
}

impl<'a> Pairs<'a> {
    /// The embeddings with the texts of their captions.
    pub(super) fn of(encoded: &'a EncodedDataset, texts: &[&str], relevance: Relevance) -> Self {
        let mut captions_of_image = vec![Vec::new(); encoded.images.count];
        encoded.caption_image.iter().enumerate().for_each(|(c, &image)| captions_of_image[image].push(c));
        let group = relevance.groups(texts);
        let mut members = vec![Vec::new(); group.iter().max().map_or(0, |last| last + 1)];
        group.iter().enumerate().for_each(|(caption, &group)| members[group].push(caption));
        Self { encoded, captions_of_image, group, members }
    }

    pub(super) fn items(&self, modality: Modality) -> &'a EmbeddingRows {
        match modality {
            Modality::Image => &self.encoded.images,
            Modality::Text => &self.encoded.captions,
        }
    }

    /// The rows of all items, `[N, dims]`, as an index keeps them.
    pub(super) fn stored(&self, modality: Modality) -> Vec<f32> {
        self.stored_at(modality, 0..self.items(modality).count)
    }

    /// The rows of items at these places.
    pub(super) fn stored_at(&self, modality: Modality, places: impl IntoIterator<Item = usize>) -> Vec<f32> {
        let items = self.items(modality);
        places.into_iter().flat_map(|row| as_stored(&items.joined(row))).collect()
    }

    /// The image that an item is or belongs to.
    pub(super) fn image_of(&self, modality: Modality, item: usize) -> usize {
        match modality {
            Modality::Image => item,
            Modality::Text => self.encoded.caption_image[item],
        }
    }

    /// A query's own image or captions, ascending.
    fn own(&self, target: Modality, query: usize) -> Vec<usize> {
        match target {
            Modality::Image => vec![self.encoded.caption_image[query]],
            Modality::Text => self.captions_of_image[query].clone(),
        }
    }

    /// The items of `target` that are right answers to a query of the other modality, ascending.
    fn relevant(&self, target: Modality, query: usize) -> Vec<usize> {
        let same = |caption: &usize| self.members[self.group[*caption]].iter().copied();
        let mut relevant: Vec<usize> = match target {
            Modality::Image => same(&query).map(|caption| self.encoded.caption_image[caption]).collect(),
            Modality::Text => self.captions_of_image[query].iter().flat_map(same).collect(),
        };
        relevant.sort_unstable();
        relevant.dedup();
        relevant
    }
}

/// What looks for items of this modality.
pub(super) fn other(modality: Modality) -> Modality {
    match modality {
        Modality::Image => Modality::Text,
        Modality::Text => Modality::Image,
    }
}

fn score(plan: &Plan, row: &[f32]) -> f32 {
    // No part compares by the length of rows.
    let levels = plan.level_scores(row, 0.0);
    levels.abstract_level + levels.grounded_level
}

/// A row as an index keeps it.
fn as_stored(row: &[f32]) -> Vec<f32> {
    row.iter().map(|&v| f16::from_f32(v).to_f32()).collect()
}
