//! [`Reranking`]: the best images of every caption, ranked once more with a second score.

use std::cmp::Reverse;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::embeddings::{Embeddings, Relevance, Scoring};
use crate::metrics::stands_before;
use crate::scorer::Scorer;
use gxn_base::{Error, Result};

/// Weights of which the best is taken where none is given.
const WEIGHTS: [f32; 10] = [0.0, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2];

/// The scores of pairs of an image and a caption, positions in the data.
pub type PairScores<'a> = &'a dyn Fn(&[(usize, usize)]) -> Result<Vec<f32>>;

/// Text→image with a second score: the `candidates` best images of each caption are ordered by score + weight · second.
#[derive(Clone, Copy)]
pub struct Reranking<'a> {
    /// Images of each caption that are ranked once more.
    pub candidates: usize,
    /// The weight; without one, that with the highest R@1 + R@5 + R@10 on the queries themselves.
    pub weight: Option<f32>,
    /// The second score.
    pub second: PairScores<'a>,
}

/// How a report was re-ranked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reranked {
    /// Images of each caption that were ranked once more.
    pub candidates: usize,
    /// Weight of the second score.
    pub weight: f32,
    /// The weight was chosen on these queries, so the recall flatters.
    pub chosen_here: bool,
}

/// The best images of every caption by the first score.
struct Shortlists(Vec<Vec<Candidate>>);

/// An image of a shortlist.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Candidate {
    row: usize,
    first: f32,
    second: f32,
}

impl Reranking<'_> {
    /// The ranks of the captions' images instead of `ranks`; `images` and `captions` are the rows' positions in the data. Where no
    /// relevant image is among the best, the rank stays.
    ///
    /// # Errors
    /// Those of the second score, as [`ranks`](crate::ranks()), and when it gives another number of scores than it is asked for.
    pub(crate) fn apply(
        &self,
        embeddings: &Embeddings,
        relevance: &Relevance,
        scoring: Scoring,
        [images, captions]: [&[usize]; 2],
        ranks: &mut [u32],
    ) -> Result<Reranked> {
        let mut lists = Shortlists::new(embeddings, scoring, self.candidates)?;
        let pairs: Vec<(usize, usize)> = lists.pairs().map(|(row, caption)| (images[row], captions[caption])).collect();
        lists.take((self.second)(&pairs)?, pairs.len())?;
        let weight = self.weight.unwrap_or_else(|| lists.best_weight(ranks, relevance));
        let found = lists.ranks(ranks, relevance, weight);
        ranks.copy_from_slice(&found);
        Ok(Reranked { candidates: self.candidates, weight, chosen_here: self.weight.is_none() })
    }
}

impl Shortlists {
    /// The `count` best of every caption, the earlier one of equal scores first.
    fn new(embeddings: &Embeddings, scoring: Scoring, count: usize) -> Result<Self> {
        let scorer = Scorer::new(embeddings, scoring)?;
        let best = |caption: usize| {
            let scores = scorer.of_caption(caption).into_iter().enumerate();
            let mut candidates: Vec<_> = scores.map(|(row, first)| Candidate { row, first, second: 0.0 }).collect();
            candidates.sort_by(|a, b| b.first.total_cmp(&a.first));
            candidates.truncate(count);
            candidates
        };
        Ok(Self((0..scorer.captions).into_par_iter().map(best).collect()))
    }

    /// Image and caption of every candidate.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.0.iter().enumerate().flat_map(|(caption, list)| list.iter().map(move |candidate| (candidate.row, caption)))
    }

    /// Takes in the second scores of [`Shortlists::pairs`].
    fn take(&mut self, second: Vec<f32>, expected: usize) -> Result<()> {
        if second.len() != expected {
            let found = format!("{} of them", second.len());
            return Err(Error::invalid("second scores", found, format!("{expected}, one for each pair")));
        }
        for (candidate, second) in self.0.iter_mut().flatten().zip(second) {
            candidate.second = second;
        }
        Ok(())
    }

    fn ranks(&self, first: &[u32], relevance: &Relevance, weight: f32) -> Vec<u32> {
        let rank = |(caption, &rank): (usize, &u32)| {
            rank_among(&self.0[caption], weight, &relevance.images_of_caption[caption]).unwrap_or(rank)
        };
        first.par_iter().enumerate().map(rank).collect()
    }

    /// Of [`WEIGHTS`] the best, the smallest of equals.
    fn best_weight(&self, first: &[u32], relevance: &Relevance) -> f32 {
        let recalled = |&weight: &f32| -> usize {
            let ranks = self.ranks(first, relevance, weight);
            [1, 5, 10].iter().map(|&k| ranks.iter().filter(|&&rank| rank < k).count()).sum()
        };
        WEIGHTS.into_iter().min_by_key(|weight| Reverse(recalled(weight))).unwrap_or_default()
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

    fn reranked(candidates: usize, weight: Option<f32>) -> Result<(Vec<u32>, Reranked)> {
        let level = LevelEmbeddings { images: &IMAGES, captions: &CAPTIONS, dim: 3 };
        let embeddings = Embeddings { abstract_level: level, grounded_level: None, hubness: None };
        let relevance = Relevance::from_caption_image(3, &[0, 1, 2])?;
        // Positions in the data are ten times the rows: −1 for the own image, −2 for others.
        let second = |pairs: &[(usize, usize)]| {
            let score = |&(image, caption): &(usize, usize)| if image == caption { -1.0 } else { -2.0 };
            Ok(pairs.iter().map(score).collect())
        };
        let mut ranks = [1, 0, 0];
        let reranking = Reranking { candidates, weight, second: &second };
        let rows = [0, 10, 20];
        let found = reranking.apply(&embeddings, &relevance, SCORING, [&rows, &rows], &mut ranks)?;
        Ok((ranks.to_vec(), found))
    }

    /// Image 1 scores 0.053 more with caption 0 than image 0: the second score rights that from this weight on.
    #[test]
    fn a_second_score_can_right_the_first() {
        let ranks = |weight| reranked(2, Some(weight)).unwrap().0;
        assert_eq!([ranks(0.0), ranks(0.05), ranks(0.06)], [vec![1, 0, 0], vec![1, 0, 0], vec![0, 0, 0]]);
        let chosen = reranked(2, None).unwrap().1;
        assert_eq!(chosen, Reranked { candidates: 2, weight: 0.1, chosen_here: true });
    }

    #[test]
    fn what_is_not_among_the_best_keeps_its_rank() {
        assert_eq!(reranked(1, Some(1.0)).unwrap().0, [1, 0, 0]);
    }

    #[test]
    fn a_second_score_for_each_pair_is_needed() {
        let mut lists = Shortlists(vec![vec![Candidate { row: 0, first: 1.0, second: 0.0 }]]);
        assert!(lists.take(vec![], 1).unwrap_err().to_string().contains("second scores"));
    }
}
