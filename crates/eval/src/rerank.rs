//! [`Reranking`]: the best images of every caption, and captions of every image, ranked once more with a second score.

use std::cmp::Reverse;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::embeddings::{Embeddings, Relevance, Scoring};
use crate::metrics::stands_before;
use crate::ranks::Ranks;
use crate::scorer::Scorer;
use gxn_base::{Error, Result};

/// Weights of which the best is taken where none is given.
const WEIGHTS: [f32; 11] = [0.0, 0.002, 0.005, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2];

/// The scores of pairs of an image and a caption, positions in the data.
pub type PairScores<'a> = &'a dyn Fn(&[(usize, usize)]) -> Result<Vec<f32>>;

/// Retrieval with a second score: the `candidates` best items of each query are ordered by score + weight · second.
#[derive(Clone, Copy)]
pub struct Reranking<'a> {
    /// Items of each query that are ranked once more.
    pub candidates: usize,
    /// The weight; without one, that with the highest R@1 + R@5 + R@10 on the queries themselves.
    pub weight: Option<f32>,
    /// The second score.
    pub second: PairScores<'a>,
    /// Whether captions of an image are ranked once more, too: the second score must be comparable between captions.
    pub image_to_text: bool,
}

/// How a report was re-ranked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reranked {
    /// Items of each query that were ranked once more.
    pub candidates: usize,
    /// Weight of the second score.
    pub weight: f32,
    /// The weight was chosen on these queries, so the recall flatters.
    pub chosen_here: bool,
    /// Whether the captions of images were ranked once more, too, and not only the images of captions.
    #[serde(default)]
    pub image_to_text: bool,
}

/// The best items of every query of one direction by the first score.
struct Shortlists<'a> {
    lists: Vec<Vec<Candidate>>,
    /// The right items of every query, ascending.
    relevant: &'a [Vec<u32>],
}

/// An item of a shortlist.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Candidate {
    row: usize,
    first: f32,
    second: f32,
}

/// The largest weight: with it only the second score counts, and sums are still finite.
const MOST_WEIGHT: f32 = 1e6;

/// Refuses a weight of a second score that would spoil the order.
///
/// # Errors
/// When it is negative, no number, or above a million.
pub fn check_rerank_weight(weight: f32) -> Result<()> {
    if (0.0..=MOST_WEIGHT).contains(&weight) {
        return Ok(());
    }
    Err(Error::invalid("the weight of re-ranking", weight.to_string(), format!("a number from 0 to {MOST_WEIGHT}")))
}

impl Reranking<'_> {
    /// Puts other ranks in the place of `ranks`; `images` and `captions` are the rows' positions in the data. Where no relevant item
    /// is among the best, the rank stays.
    ///
    /// # Errors
    /// Those of the second score, as [`ranks`](crate::ranks()), and when it gives another number of scores than it is asked for.
    pub(crate) fn apply(
        &self,
        embeddings: &Embeddings,
        relevance: &Relevance,
        scoring: Scoring,
        [images, captions]: [&[usize]; 2],
        ranks: &mut Ranks,
    ) -> Result<Reranked> {
        let scorer = Scorer::new(embeddings, scoring)?;
        let count = self.candidates;
        let mut of_captions =
            Shortlists::new(&relevance.images_of_caption, count, |caption| scorer.of_caption(caption));
        // Without this direction there are no queries of it.
        let queries = if self.image_to_text { relevance.captions_of_image.as_slice() } else { &[] };
        let mut of_images = Shortlists::new(queries, count, |image| scorer.of_image(image));
        let with_images = of_captions.pairs().map(|(caption, row)| (images[row], captions[caption]));
        let with_captions = of_images.pairs().map(|(image, row)| (images[image], captions[row]));
        let pairs: Vec<(usize, usize)> = with_images.chain(with_captions).collect();
        let second = (self.second)(&pairs)?;
        if second.len() != pairs.len() {
            let found = format!("{} of them", second.len());
            return Err(Error::invalid("second scores", found, format!("{}, one for each pair", pairs.len())));
        }
        let mut second = second.into_iter();
        of_captions.take(&mut second);
        of_images.take(&mut second);
        let recalled = |&weight: &f32| {
            of_captions.recalled(&ranks.text_to_image, weight) + of_images.recalled(&ranks.image_to_text, weight)
        };
        // The smallest of equals.
        let best = || WEIGHTS.into_iter().min_by_key(|weight| Reverse(recalled(weight))).unwrap_or_default();
        let weight = self.weight.unwrap_or_else(best);
        for (lists, ranks) in [(of_captions, &mut ranks.text_to_image), (of_images, &mut ranks.image_to_text)] {
            let found = lists.ranks(ranks, weight);
            ranks[..found.len()].copy_from_slice(&found);
        }
        let chosen_here = self.weight.is_none();
        Ok(Reranked { candidates: count, weight, chosen_here, image_to_text: self.image_to_text })
    }
}

impl<'a> Shortlists<'a> {
    /// The `count` best of every query with `scores`, the earlier one of equal scores first.
    fn new(relevant: &'a [Vec<u32>], count: usize, scores: impl Fn(usize) -> Vec<f32> + Sync) -> Self {
        let best = |query: usize| {
            if relevant[query].is_empty() {
                return Vec::new();
            }
            let scores = scores(query).into_iter().enumerate();
            let mut candidates: Vec<_> = scores.map(|(row, first)| Candidate { row, first, second: 0.0 }).collect();
            candidates.sort_by(|a, b| b.first.total_cmp(&a.first));
            candidates.truncate(count);
            candidates
        };
        Self { lists: (0..relevant.len()).into_par_iter().map(best).collect(), relevant }
    }

    /// Query and row of every candidate.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.lists.iter().enumerate().flat_map(|(query, list)| list.iter().map(move |candidate| (query, candidate.row)))
    }

    /// Takes in the second scores of [`Shortlists::pairs`].
    fn take(&mut self, second: &mut impl Iterator<Item = f32>) {
        self.lists.iter_mut().flatten().zip(second).for_each(|(candidate, second)| candidate.second = second);
    }

    /// The rank of every query; `first` are those of the first score.
    fn ranks(&self, first: &[u32], weight: f32) -> Vec<u32> {
        let queries = self.lists.par_iter().zip(self.relevant).zip(first);
        queries.map(|((list, relevant), &rank)| rank_among(list, weight, relevant).unwrap_or(rank)).collect()
    }

    /// R@1 + R@5 + R@10, in queries of 100,000.
    fn recalled(&self, first: &[u32], weight: f32) -> usize {
        let ranks = self.ranks(first, weight);
        let found: usize = [1, 5, 10].iter().map(|&k| ranks.iter().filter(|&&rank| rank < k).count()).sum();
        found * 100_000 / ranks.len().max(1)
    }
}

/// The place of the best relevant candidate, from 0; an irrelevant one with an equal score stands before it.
fn rank_among(list: &[Candidate], weight: f32, relevant: &[u32]) -> Option<u32> {
    let scored = |c: &Candidate| (relevant.binary_search(&(c.row as u32)).is_ok(), c.first + weight * c.second);
    let scored: Vec<(bool, f32)> = list.iter().map(scored).collect();
    let best = scored.iter().filter(|(right, _)| *right).map(|&(_, score)| score).reduce(f32::max)?;
    Some(scored.iter().filter(|&&(right, score)| !right && stands_before(score, best)).count() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embeddings::LevelEmbeddings;
    use gxn_base::Similarity;

    const SCORING: Scoring = Scoring { similarity: Similarity::Cosine, lambda: 1.0 };
    /// Three images on axes; caption 0, which is of image 0, leans to image 1.
    const IMAGES: [f32; 9] = [1.0, 0.0, 0.0, /**/ 0.0, 1.0, 0.0, /**/ 0.0, 0.0, 1.0];
    const CAPTIONS: [f32; 9] = [0.68, 0.733, 0.0, /**/ 0.0, 1.0, 0.0, /**/ 0.0, 0.0, 1.0];

    fn reranked(candidates: usize, weight: Option<f32>, image_to_text: bool) -> Result<(Ranks, Reranked)> {
        let level = LevelEmbeddings { images: &IMAGES, captions: &CAPTIONS, dim: 3 };
        let embeddings = Embeddings { abstract_level: level, grounded_level: None, hubness: None };
        let relevance = Relevance::from_caption_image(3, &[0, 1, 2])?;
        // Positions in the data are ten times the rows: −1 for the own image, −2 for others.
        let second = |pairs: &[(usize, usize)]| {
            let score = |&(image, caption): &(usize, usize)| if image == caption { -1.0 } else { -2.0 };
            Ok(pairs.iter().map(score).collect())
        };
        let mut ranks = crate::ranks(&embeddings, &relevance, SCORING)?;
        let reranking = Reranking { candidates, weight, second: &second, image_to_text };
        let rows = [0, 10, 20];
        let found = reranking.apply(&embeddings, &relevance, SCORING, [&rows, &rows], &mut ranks)?;
        Ok((ranks, found))
    }

    /// Image 1 scores 0.053 more with caption 0 than image 0: the second score rights that from this weight on.
    #[test]
    fn a_second_score_can_right_the_first() {
        let ranks = |weight| reranked(2, Some(weight), false).unwrap().0.text_to_image;
        assert_eq!([ranks(0.0), ranks(0.05), ranks(0.06)], [vec![1, 0, 0], vec![1, 0, 0], vec![0, 0, 0]]);
        let chosen = reranked(2, None, false).unwrap().1;
        assert_eq!(chosen, Reranked { candidates: 2, weight: 0.1, chosen_here: true, image_to_text: false });
    }

    /// With a weight of −w the wrong ones gain w: image 0 scores 0.68 with its own caption and 0 with the others, image 1 scores 1 with its
    /// own and 0.733 with caption 0.
    #[test]
    fn captions_of_an_image_are_ranked_once_more_where_that_is_asked_for() {
        let ranks = |weight, asked| reranked(3, Some(weight), asked).unwrap().0.image_to_text;
        assert_eq!([ranks(-0.6, true), ranks(-0.7, true)], [vec![0, 1, 0], vec![2, 1, 0]]);
        assert_eq!(ranks(-0.7, false), [0, 0, 0]);
    }

    #[test]
    fn what_is_not_among_the_best_keeps_its_rank() {
        assert_eq!(reranked(1, Some(1.0), true).unwrap().0.text_to_image, [1, 0, 0]);
    }

    #[test]
    fn weights_that_would_spoil_the_order_are_refused() {
        assert!([0.0, 0.008, MOST_WEIGHT].into_iter().all(|weight| check_rerank_weight(weight).is_ok()));
        let refused = [f32::NAN, f32::INFINITY, -0.1, 2.0 * MOST_WEIGHT];
        assert!(refused.into_iter().all(|weight| check_rerank_weight(weight).is_err()));
    }

    #[test]
    fn a_second_score_for_each_pair_is_needed() {
        let level = LevelEmbeddings { images: &IMAGES, captions: &CAPTIONS, dim: 3 };
        let embeddings = Embeddings { abstract_level: level, grounded_level: None, hubness: None };
        let relevance = Relevance::from_caption_image(3, &[0, 1, 2]).unwrap();
        let reranking = Reranking { candidates: 1, weight: None, second: &|_| Ok(vec![]), image_to_text: false };
        let rows = [0, 1, 2];
        let refused = reranking.apply(&embeddings, &relevance, SCORING, [&rows, &rows], &mut Ranks::default());
        assert!(refused.unwrap_err().to_string().contains("second scores"));
    }
}
