//! Exact ranks of every image and caption without the `[N, M]` score matrix.
//!
//! First the best relevant score of every query, pair by pair; then one pass over all tiles of images × captions that counts
//! for both directions what stands before it. Memory beyond the embeddings: one packed copy of the images and a few
//! mebibytes per thread.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::embeddings::{Embeddings, Relevance, Scoring};
use crate::judging::Ties;
use crate::kernel::{Kernel, MR, NR, Tile};
use crate::metrics::stands_before;
use crate::scorer::Scorer;
use gxn_base::Result;

/// Captions a task takes at once: with two levels of 1024 they fill half of a usual second-level cache.
const CHUNK: usize = 2 * NR;

/// Rank of the best relevant item of every query, from 0, ties pessimistic (see [`crate::metrics::ranks_of_scores`]).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ranks {
    /// One for every image.
    #[serde(rename = "i2t")]
    pub image_to_text: Vec<u32>,
    /// One for every caption.
    #[serde(rename = "t2i")]
    pub text_to_image: Vec<u32>,
}

/// A query's best relevant score, and how many relevant items stand at it (they are no rivals).
struct Target {
    best: f32,
    own: u32,
}

/// Ranks of all queries in both directions under `scoring`.
///
/// The scores are `f32` and the same on every processor and for any number of threads, so the ranks are exact and
/// reproducible.
///
/// # Errors
/// When the shapes do not fit together, λ lies outside 0..=1, or a value is NaN or infinite (its row is named).
pub fn ranks(embeddings: &Embeddings, relevance: &Relevance, scoring: Scoring) -> Result<Ranks> {
    ranks_by(Kernel::detect(), embeddings, relevance, scoring, stands_before)
}

/// [`ranks`] under another rule for equal scores.
///
/// # Errors
/// As [`ranks`].
pub(crate) fn ranks_under(
    ties: Ties,
    embeddings: &Embeddings,
    relevance: &Relevance,
    scoring: Scoring,
) -> Result<Ranks> {
    let above = |score: f32, best: f32| score > best;
    let best = || ranks_by(Kernel::detect(), embeddings, relevance, scoring, above);
    match ties {
        Ties::Worst => ranks(embeddings, relevance, scoring),
        Ties::Best => best(),
        Ties::Mean => {
            let (worst, best) = (ranks(embeddings, relevance, scoring)?, best()?);
            let mean = |worst: &[u32], best: &[u32]| {
                worst.iter().zip(best).map(|(&worst, &best)| best + (worst - best).div_ceil(2)).collect()
            };
            Ok(Ranks {
                image_to_text: mean(&worst.image_to_text, &best.image_to_text),
                text_to_image: mean(&worst.text_to_image, &best.text_to_image),
            })
        }
    }
}

/// `before(score, best)` says whether an item with `score` stands before the best relevant one.
fn ranks_by(
    kernel: Kernel,
    embeddings: &Embeddings,
    relevance: &Relevance,
    scoring: Scoring,
    before: impl Fn(f32, f32) -> bool + Copy + Sync,
) -> Result<Ranks> {
    let (images, captions) = (relevance.captions_of_image.len(), relevance.images_of_caption.len());
    let scorer = Scorer::with_counts(kernel, embeddings, scoring, images, captions)?;
    let score = |image: usize, caption: usize| scorer.score(image, caption);
    let of_image: Vec<Target> = (relevance.captions_of_image.par_iter().enumerate())
        .map(|(image, list)| target(list.iter().map(|&caption| score(image, caption as usize)), before))
        .collect();
    let of_caption: Vec<Target> = (relevance.images_of_caption.par_iter().enumerate())
        .map(|(caption, list)| target(list.iter().map(|&image| score(image as usize, caption)), before))
        .collect();

    // Every task owns a chunk of captions; the images' counts are shared.
    let before_image: Vec<AtomicU32> = (0..images).map(|_| AtomicU32::new(0)).collect();
    let mut text_to_image = vec![0u32; captions];
    text_to_image.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, before_caption)| {
        let first = chunk * CHUNK;
        let last = first + before_caption.len();
        let packed = scorer.pack_captions(first..last);
        let mut scores: Tile = [[0.0; NR]; MR];
        for (panel, image_targets) in of_image.chunks(MR).enumerate() {
            let mut row_counts = [0u32; MR];
            for (half, caption_targets) in of_caption[first..last].chunks(NR).enumerate() {
                scorer.tile(panel, &packed, half, &mut scores);
                let column_counts = &mut before_caption[half * NR..];
                for ((row, image), row_count) in scores.iter().zip(image_targets).zip(&mut row_counts) {
                    for ((&score, caption), column_count) in row.iter().zip(caption_targets).zip(&mut *column_counts) {
                        *row_count += u32::from(before(score, image.best));
                        *column_count += u32::from(before(score, caption.best));
                    }
                }
            }
            for (total, count) in before_image[panel * MR..].iter().zip(row_counts) {
                total.fetch_add(count, Relaxed);
            }
        }
        for (count, target) in before_caption.iter_mut().zip(&of_caption[first..last]) {
            *count -= target.own;
        }
    });
    let image_to_text =
        before_image.into_iter().zip(&of_image).map(|(count, target)| count.into_inner() - target.own).collect();
    Ok(Ranks { image_to_text, text_to_image })
}

fn target(scores: impl Iterator<Item = f32> + Clone, before: impl Fn(f32, f32) -> bool) -> Target {
    let best = scores.clone().fold(f32::NEG_INFINITY, f32::max);
    Target { best, own: scores.filter(|&score| before(score, best)).count() as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embeddings::LevelEmbeddings;
    use crate::hubness::HubnessRows;
    use crate::scorer::{inverse_norm, pair_scores};
    use gxn_base::Similarity;
    use proptest::prelude::*;

    const PAPER: Similarity = Similarity::Order;
    const SIMILARITIES: [Similarity; 3] = [Similarity::Cosine, PAPER, Similarity::OrderReversed];

    /// Rows on a coarse grid, so that exact ties and zero rows occur.
    fn grid(count: usize, dim: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 29) as f32 / 4.0 - 0.5
        };
        std::iter::repeat_with(next).take(count * dim).collect()
    }

    /// The ranks by plain loops over the full score matrix and its transpose.
    fn naive(embeddings: &Embeddings, relevance: &Relevance, scoring: Scoring) -> Ranks {
        let (n, m) = (relevance.captions_of_image.len(), relevance.images_of_caption.len());
        let level = |level: &LevelEmbeddings, i: usize, j: usize| {
            let d = level.dim;
            let (v, t) = (&level.images[i * d..(i + 1) * d], &level.captions[j * d..(j + 1) * d]);
            let (a, b) = (inverse_norm(v), inverse_norm(t));
            v.iter().zip(t).fold(0.0f32, |sum, (&v, &t)| match scoring.similarity {
                Similarity::Cosine => (v * a).mul_add(t * b, sum),
                Similarity::Order | Similarity::OrderReversed => {
                    let x = if scoring.similarity == Similarity::Order { v - t } else { t - v }.max(0.0);
                    x.mul_add(x, sum)
                }
            })
        };
        let sign = if scoring.similarity == Similarity::Cosine { 1.0 } else { -1.0 };
        let score = |i: usize, j: usize| {
            let grounded = embeddings.grounded_level.map_or(0.0, |l| (1.0 - scoring.lambda) * level(&l, i, j));
            let score = sign * (scoring.lambda * level(&embeddings.abstract_level, i, j) + grounded);
            embeddings.hubness.map_or(score, |hubness| score - hubness.images[i] - hubness.captions[j])
        };
        let by_image: Vec<f32> = (0..n * m).map(|at| score(at / m, at % m)).collect();
        let by_caption: Vec<f32> = (0..n * m).map(|at| score(at % n, at / n)).collect();
        let lists = |lists: &[Vec<u32>]| -> Vec<Vec<usize>> {
            lists.iter().map(|list| list.iter().map(|&item| item as usize).collect()).collect()
        };
        Ranks {
            image_to_text: crate::metrics::ranks_of_scores(&by_image, m, &lists(&relevance.captions_of_image)).unwrap(),
            text_to_image: crate::metrics::ranks_of_scores(&by_caption, n, &lists(&relevance.images_of_caption))
                .unwrap(),
        }
    }

    /// Two images, three captions, D = 2, order v − t. v0 = (1, 0), v1 = (0, 1); t0 = (1, 0), t1 = (.5, .5), t2 = (0, 1).
    /// Violations: v0: 0, .25, 1; v1: 1, .25, 0. Captions 0 and 1 belong to image 0, caption 2 to image 1.
    /// Image 0 finds caption 0 first; caption 1 ties between both images, so the wrong one stands before.
    #[test]
    fn worked_order_ranks() {
        let level =
            LevelEmbeddings { images: &[1.0, 0.0, 0.0, 1.0], captions: &[1.0, 0.0, 0.5, 0.5, 0.0, 1.0], dim: 2 };
        let embeddings = Embeddings { abstract_level: level, grounded_level: None, hubness: None };
        let relevance = Relevance::from_caption_image(2, &[0, 0, 1]).unwrap();
        let found = ranks(&embeddings, &relevance, Scoring { similarity: PAPER, lambda: 1.0 }).unwrap();
        assert_eq!(found, Ranks { image_to_text: vec![0, 0], text_to_image: vec![0, 1, 0] });
    }

    /// Of the same embeddings: minus the violations, and of a pair that is not there nothing.
    #[test]
    fn worked_pair_scores() {
        let level =
            LevelEmbeddings { images: &[1.0, 0.0, 0.0, 1.0], captions: &[1.0, 0.0, 0.5, 0.5, 0.0, 1.0], dim: 2 };
        let embeddings = Embeddings { abstract_level: level, grounded_level: None, hubness: None };
        let of = |pairs: &[(usize, usize)]| pair_scores(&embeddings, Scoring { similarity: PAPER, lambda: 1.0 }, pairs);
        assert_eq!(of(&[(0, 0), (0, 1), (1, 0), (1, 2)]).unwrap(), [0.0, -0.25, -1.0, 0.0]);
        assert!(of(&[(0, 3)]).unwrap_err().to_string().contains("image 0, caption 3"));
    }

    /// λ moves between the levels: the abstract level is right, the grounded one swaps the images.
    #[test]
    fn lambda_weighs_the_levels() {
        let (right, wrong) = ([1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]);
        let abstract_level = LevelEmbeddings { images: &right, captions: &right, dim: 2 };
        let grounded_level = Some(LevelEmbeddings { images: &right, captions: &wrong, dim: 2 });
        let relevance = Relevance::from_caption_image(2, &[0, 1]).unwrap();
        for (lambda, expected) in [(1.0, 0), (0.6, 0), (0.5, 1), (0.0, 1)] {
            for similarity in SIMILARITIES {
                let embeddings = Embeddings { abstract_level, grounded_level, hubness: None };
                let found = ranks(&embeddings, &relevance, Scoring { similarity, lambda }).unwrap();
                assert_eq!(found.image_to_text, [expected; 2], "{similarity:?} λ {lambda}");
                assert_eq!(found.text_to_image, [expected; 2]);
            }
        }
    }

    /// All rows equal: everything ties, and every irrelevant item stands before.
    #[test]
    fn collapsed_embeddings_rank_last() {
        let (images, captions) = (vec![0.1; 9 * 5], vec![0.1; 70 * 5]);
        let embeddings = Embeddings {
            abstract_level: LevelEmbeddings { images: &images, captions: &captions, dim: 5 },
            grounded_level: None,
            hubness: None,
        };
        let owners: Vec<usize> = (0..70).map(|caption| caption % 9).collect();
        let relevance = Relevance::from_caption_image(9, &owners).unwrap();
        for similarity in SIMILARITIES {
            let found = ranks(&embeddings, &relevance, Scoring { similarity, lambda: 1.0 }).unwrap();
            assert_eq!(found.text_to_image, [8; 70]);
            assert_eq!(found.image_to_text, [62, 62, 62, 62, 62, 62, 62, 63, 63]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        /// The chunked pass equals the plain loops exactly, for every kernel, many-to-many, with ties.
        #[test]
        fn chunked_equals_full(
            n in 1..40usize, m in 1..150usize, dim in 1..20usize, seed in any::<u32>(), which in 0..3usize,
            lambda in prop::sample::select(vec![0.0f32, 0.3, 0.5, 1.0]), has_hubs in any::<bool>(),
            extra in prop::collection::vec((any::<u16>(), any::<u16>()), 0..20),
        ) {
            let (a, b) = (grid(n, dim, seed), grid(m, dim, seed ^ 1));
            let (c, d) = (grid(n, dim + 3, seed ^ 2), grid(m, dim + 3, seed ^ 3));
            let (e, f) = (grid(n, 1, seed ^ 4), grid(m, 1, seed ^ 5));
            let embeddings = Embeddings {
                abstract_level: LevelEmbeddings { images: &a, captions: &b, dim },
                grounded_level: Some(LevelEmbeddings { images: &c, captions: &d, dim: dim + 3 }),
                hubness: has_hubs.then_some(HubnessRows { images: &e, captions: &f }),
            };
            let pairs = (0..n.max(m)).map(|at| (at % n, at % m))
                .chain(extra.iter().map(|&(i, j)| (i as usize % n, j as usize % m)));
            let relevance = Relevance::from_pairs(n, m, pairs).unwrap();
            let scoring = Scoring { similarity: SIMILARITIES[which], lambda };
            let expected = naive(&embeddings, &relevance, scoring);
            for kernel in Kernel::available() {
                prop_assert_eq!(&ranks_by(kernel, &embeddings, &relevance, scoring, stands_before).unwrap(), &expected);
            }
        }
    }

    #[test]
    fn bad_input_is_named() {
        let relevance = Relevance::from_caption_image(2, &[0, 1]).unwrap();
        let good = [1.0, 0.0, 0.0, 1.0];
        let run = |images: &[f32], captions: &[f32], lambda| {
            let abstract_level = LevelEmbeddings { images, captions, dim: 2 };
            let scoring = Scoring { similarity: Similarity::Cosine, lambda };
            ranks(&Embeddings { abstract_level, grounded_level: None, hubness: None }, &relevance, scoring)
                .unwrap_err()
                .to_string()
        };
        assert!(run(&good, &[1.0, 0.0, f32::NAN, 1.0], 1.0).contains("caption embeddings, row 1 (from 0), column 0"));
        assert!(run(&[1.0, f32::INFINITY, 0.0, 1.0], &good, 1.0).contains("image embeddings, row 0"));
        assert!(run(&good[..2], &good, 1.0).contains("expected 2 rows of 2"));
        assert!(run(&good, &good, 0.5).contains("one level"));
        assert!(run(&good, &good, f32::NAN).contains("0..=1"));
        let lonely = Relevance::from_caption_image(3, &[0, 1]).unwrap_err().to_string();
        assert!(lonely.contains("image 2: found nothing relevant"), "{lonely}");
        assert!(Relevance::from_caption_image(2, &[0, 2]).unwrap_err().to_string().contains("image 2, caption 1"));
    }
}
