//! Bootstrap over images with all their captions: confidence intervals of the metrics and of paired differences.
//!
//! The captions of one image are not independent, so an image is drawn together with its captions (a cluster bootstrap),
//! and within its fold where a protocol has folds. The gallery stays whole: what is resampled are the queries' ranks.

use std::ops::Range;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::recall::{Metrics, Recall, median_of_middle};
use super::t_test::paired_t_test;
use gxn_base::{Error, Result};

/// How often is drawn, and from which seed. The same seed gives the same numbers for any number of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Number of resamples.
    pub resamples: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 10_000, seed: 1 }
    }
}

/// A result as the bootstrap sees it: the rank (from 0) of every query, and which caption belongs to which image.
#[derive(Debug, Clone, Copy)]
pub struct RankedQueries<'a> {
    /// One rank for every image.
    pub image_to_text: &'a [u32],
    /// One rank for every caption.
    pub text_to_image: &'a [u32],
    /// The image of every caption.
    pub caption_image: &'a [usize],
    /// Consecutive blocks of images over which metrics are averaged; one block for all protocols without folds.
    pub folds: &'a [Range<usize>],
}

/// A 95% percentile interval: `[2.5%, 97.5%]`.
pub type Interval = [f64; 2];

/// A paired difference (second result minus first).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// The difference on the data itself.
    pub difference: f64,
    /// Its 95% interval.
    pub ci95: Interval,
    /// Two-sided p: twice the share of resamples on the rarer side of zero, at least 2 / (resamples + 1).
    pub p: f64,
    /// Two-sided p of a paired t-test over runs with several seeds. None for single runs, groups of unequal size, or pairs that
    /// all differ by the same.
    pub p_over_seeds: Option<f64>,
}

impl RankedQueries<'_> {
    /// The metrics of the result itself: the mean over its folds.
    ///
    /// # Errors
    /// When the lengths do not fit, or the folds do not cover the images.
    pub fn metrics(&self) -> Result<Metrics> {
        Ok(Metrics::mean(&self.fold_metrics()?))
    }

    /// The metrics of every fold.
    ///
    /// # Errors
    /// As [`RankedQueries::metrics`].
    pub fn fold_metrics(&self) -> Result<Vec<Metrics>> {
        Ok(fold_queries(self)?.iter().map(|fold| fold.metrics(&vec![1; fold.images.len()])).collect())
    }
}

impl Bootstrap {
    /// The 95% interval of every metric, in the order of [`super::METRIC_KEYS`].
    ///
    /// # Errors
    /// As [`RankedQueries::metrics`], and when there is no resample to draw.
    pub fn intervals(&self, queries: &RankedQueries) -> Result<[Interval; 12]> {
        let values = self.replicates(&[fold_queries(queries)?])?;
        Ok(std::array::from_fn(|metric| interval(values.iter().map(|result| result[0][metric]).collect())))
    }

    /// The difference `second − first` of every metric: both are scored on the same draws.
    ///
    /// # Errors
    /// As [`Bootstrap::intervals`], and when the two do not have the same captions of the same images in the same folds.
    pub fn paired(&self, first: &RankedQueries, second: &RankedQueries) -> Result<[PairedDifference; 12]> {
        self.paired_means(&[*first], &[*second])
    }

    /// The difference between the means of two groups of results, `second − first`: runs of two settings with several seeds. All
    /// are scored on the same draws of images; how seeds scatter is not part of the interval, but of the t-test, where results
    /// at the same place are a pair.
    ///
    /// # Errors
    /// As [`Bootstrap::paired`], and when a group is empty.
    pub fn paired_means(&self, first: &[RankedQueries], second: &[RankedQueries]) -> Result<[PairedDifference; 12]> {
        let all: Vec<&RankedQueries> = first.iter().chain(second).collect();
        if first.is_empty() || second.is_empty() {
            return Err(Error::invalid("paired bootstrap", "no result", "at least one on each side"));
        }
        if all.iter().any(|other| first[0].caption_image != other.caption_image || first[0].folds != other.folds) {
            return Err(Error::invalid("paired bootstrap", "results of different queries", "the same queries twice"));
        }
        let mean = |results: &[[f64; 12]], metric: usize| {
            results.iter().map(|result| result[metric]).sum::<f64>() / results.len() as f64
        };
        let values = |group: &[RankedQueries]| -> Result<Vec<[f64; 12]>> {
            group.iter().map(|queries| Ok(queries.metrics()?.values())).collect()
        };
        let (before, after) = (values(first)?, values(second)?);
        let folds = all.iter().map(|queries| fold_queries(queries)).collect::<Result<Vec<_>>>()?;
        let replicates = self.replicates(&folds)?;
        Ok(std::array::from_fn(|metric| {
            let draws: Vec<f64> = (replicates.iter())
                .map(|result| mean(&result[first.len()..], metric) - mean(&result[..first.len()], metric))
                .collect();
            // Sums of percentages carry rounding errors: a difference below one part in a billion is none.
            let low = draws.iter().filter(|&&draw| draw <= 1e-9).count();
            let high = draws.iter().filter(|&&draw| draw >= -1e-9).count();
            let p = (2.0 * (low.min(high) + 1) as f64 / (draws.len() + 1) as f64).min(1.0);
            let pairs = if before.len() == after.len() { before.iter().zip(&after) } else { [].iter().zip(&[]) };
            let differences: Vec<f64> = pairs.map(|(before, after)| after[metric] - before[metric]).collect();
            PairedDifference {
                difference: mean(&after, metric) - mean(&before, metric),
                ci95: interval(draws),
                p,
                p_over_seeds: paired_t_test(&differences),
            }
        }))
    }

    /// The metrics of every result on every resample: `[resample][result][metric]`.
    fn replicates(&self, results: &[Vec<Fold>]) -> Result<Vec<Vec<[f64; 12]>>> {
        if self.resamples == 0 {
            return Err(Error::invalid("bootstrap", "0 resamples", "at least one"));
        }
        let replicate = |resample: usize| {
            // A stream of its own for every resample: the draws do not depend on who makes them.
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(resample as u64);
            let folds = results[0].len();
            let mut metrics = vec![Vec::with_capacity(folds); results.len()];
            for fold in 0..folds {
                let weights = draw(&mut rng, results[0][fold].images.len());
                for (metrics, result) in metrics.iter_mut().zip(results) {
                    metrics.push(result[fold].metrics(&weights));
                }
            }
            metrics.iter().map(|folds| Metrics::mean(folds).values()).collect()
        };
        Ok((0..self.resamples).into_par_iter().map(replicate).collect())
    }
}

/// How often each of `count` images is drawn in `count` draws with replacement.
fn draw(rng: &mut ChaCha8Rng, count: usize) -> Vec<u32> {
    let mut weights = vec![0; count];
    for _ in 0..count {
        weights[((u64::from(rng.next_u32()) * count as u64) >> 32) as usize] += 1;
    }
    weights
}

/// The 2.5% and 97.5% percentiles, linear between neighbours (NumPy's default).
fn interval(mut draws: Vec<f64>) -> Interval {
    draws.sort_unstable_by(f64::total_cmp);
    [0.025, 0.975].map(|share| {
        let place = share * (draws.len() - 1) as f64;
        let (low, high) = (draws[place.floor() as usize], draws[place.ceil() as usize]);
        low + (high - low) * place.fract()
    })
}

/// One fold: both directions' ranks, sorted, each with the image that it is drawn with.
struct Fold {
    images: Vec<(u32, u32)>,
    captions: Vec<(u32, u32)>,
}

fn fold_queries(queries: &RankedQueries) -> Result<Vec<Fold>> {
    let (images, captions) = (queries.image_to_text.len(), queries.text_to_image.len());
    if queries.caption_image.len() != captions || images == 0 || captions == 0 {
        let found = format!("{images} images, {captions} captions, {} owners", queries.caption_image.len());
        return Err(Error::invalid("ranks", found, "at least one image and an owner for every caption"));
    }
    let covered =
        queries.folds.iter().try_fold(0, |end, fold| (fold.start == end && fold.end > end).then_some(fold.end));
    if covered != Some(images) {
        let expected = format!("consecutive blocks of images that cover 0..{images}");
        return Err(Error::invalid("folds", format!("{:?}", queries.folds), expected));
    }
    let mut folds: Vec<Fold> = (queries.folds.iter())
        .map(|fold| Fold {
            images: fold.clone().map(|image| (queries.image_to_text[image], (image - fold.start) as u32)).collect(),
            captions: Vec::new(),
        })
        .collect();
    for (caption, (&rank, &image)) in queries.text_to_image.iter().zip(queries.caption_image).enumerate() {
        let Some(place) = queries.folds.iter().position(|fold| fold.contains(&image)) else {
            let what = format!("caption {caption}");
            return Err(Error::invalid(what, format!("image {image}"), format!("an image below {images}")));
        };
        folds[place].captions.push((rank, (image - queries.folds[place].start) as u32));
    }
    for fold in &mut folds {
        fold.images.sort_unstable();
        fold.captions.sort_unstable();
    }
    Ok(folds)
}

impl Fold {
    /// The metrics when image `i` and its captions are present `weights[i]` times.
    fn metrics(&self, weights: &[u32]) -> Metrics {
        let direction = |queries| weighted_recall(queries, weights);
        Metrics { image_to_text: direction(&self.images), text_to_image: direction(&self.captions) }
    }
}

/// [`Recall::of`] over sorted (rank, image) with each entry present `weights[image]` times.
fn weighted_recall(queries: &[(u32, u32)], weights: &[u32]) -> Recall {
    let (mut total, mut ranks, mut hits) = (0u64, 0u64, [0u64; 3]);
    for &(rank, image) in queries {
        let weight = u64::from(weights[image as usize]);
        total += weight;
        ranks += weight * u64::from(rank);
        for (hits, k) in hits.iter_mut().zip([1, 5, 10]) {
            *hits += if rank < k { weight } else { 0 };
        }
    }
    if total == 0 {
        return Recall::default();
    }
    let (mut seen, mut low) = (0, None);
    let mut median_rank = 0.0;
    for &(rank, image) in queries {
        seen += u64::from(weights[image as usize]);
        if low.is_none() && seen > (total - 1) / 2 {
            low = Some(rank);
        }
        if let Some(low) = low
            && seen > total / 2
        {
            median_rank = median_of_middle(low, rank);
            break;
        }
    }
    let percent = |count: u64| 100.0 * count as f64 / total as f64;
    Recall {
        r1: percent(hits[0]),
        r5: percent(hits[1]),
        r10: percent(hits[2]),
        median_rank,
        mean_rank: ranks as f64 / total as f64 + 1.0,
    }
}

#[cfg(test)]
mod tests {
    // Folds are ranges, and often there is one.
    #![allow(clippy::single_range_in_vec_init)]

    use super::*;
    use proptest::prelude::*;

    /// Geometric-looking ranks: `spread` moves them.
    fn ranks(count: usize, seed: u64, spread: f64) -> Vec<u32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| (spread * -(f64::from(rng.next_u32() | 1) / 4294967296.0).ln()) as u32).collect()
    }

    fn owners(images: usize, each: usize) -> Vec<usize> {
        (0..images * each).map(|caption| caption / each).collect()
    }

    proptest! {
        /// Weighted metrics equal the metrics of the ranks written out as often as they are drawn.
        #[test]
        fn weights_equal_repetition(
            rows in prop::collection::vec((0..12u32, 0..4u32, prop::collection::vec(0..12u32, 1..4)), 1..20)
        ) {
            let image_ranks: Vec<u32> = rows.iter().map(|row| row.0).collect();
            let weights: Vec<u32> = rows.iter().map(|row| row.1).collect();
            let caption_ranks: Vec<u32> = rows.iter().flat_map(|row| row.2.clone()).collect();
            let caption_image: Vec<usize> =
                rows.iter().enumerate().flat_map(|(image, row)| vec![image; row.2.len()]).collect();
            let folds = [0..rows.len()];
            let queries = RankedQueries {
                image_to_text: &image_ranks, text_to_image: &caption_ranks, caption_image: &caption_image, folds: &folds,
            };
            let found = fold_queries(&queries).unwrap()[0].metrics(&weights);
            let repeat = |ranks: &[u32], owner: &dyn Fn(usize) -> usize| -> Vec<u32> {
                ranks.iter().enumerate().flat_map(|(at, &rank)| vec![rank; weights[owner(at)] as usize]).collect()
            };
            let expected = Metrics::of(&repeat(&image_ranks, &|at| at), &repeat(&caption_ranks, &|at| caption_image[at]));
            for (found, expected) in found.values().iter().zip(expected.values()) {
                prop_assert!((found - expected).abs() < 1e-9, "{found} {expected}");
            }
        }
    }

    /// 1,000 images with R@1 = 60%: the interval is 60 ± 1.96·√(0.6·0.4/1000)·100 = 60 ± 3.04 (percent).
    #[test]
    fn interval_of_a_share() {
        let image_ranks: Vec<u32> = (0..1000).map(|image| u32::from(image % 5 >= 3) * 7).collect();
        let caption_ranks = ranks(5000, 3, 4.0);
        let (caption_image, folds) = (owners(1000, 5), [0..1000]);
        let queries = RankedQueries {
            image_to_text: &image_ranks,
            text_to_image: &caption_ranks,
            caption_image: &caption_image,
            folds: &folds,
        };
        let [low, high] = Bootstrap::default().intervals(&queries).unwrap()[0];
        assert!((low - 56.96).abs() < 0.25 && (high - 63.04).abs() < 0.25, "{low} {high}");
    }

    /// Captions of an image that always agree carry the information of one: five times as many equal ranks leave the
    /// interval as wide as that of the images.
    #[test]
    fn captions_are_drawn_with_their_image() {
        let image_ranks = ranks(400, 5, 3.0);
        let caption_ranks: Vec<u32> = image_ranks.iter().flat_map(|&rank| [rank; 5]).collect();
        let (caption_image, folds) = (owners(400, 5), [0..400]);
        let queries = RankedQueries {
            image_to_text: &image_ranks,
            text_to_image: &caption_ranks,
            caption_image: &caption_image,
            folds: &folds,
        };
        let intervals = Bootstrap { resamples: 500, seed: 7 }.intervals(&queries).unwrap();
        for metric in [0, 1, 2, 4] {
            let (images, captions) = (intervals[metric], intervals[metric + 5]);
            assert!((images[0] - captions[0]).abs() < 1e-9 && (images[1] - captions[1]).abs() < 1e-9);
        }
    }

    /// No difference: p = 1 and a zero interval. A result that is better on one image in five: p at its floor.
    /// Equal draws cancel: shifting every rank by the same image pattern gives a narrow difference.
    #[test]
    fn paired_differences() {
        let (image_ranks, caption_ranks) = (ranks(300, 1, 3.0), ranks(1500, 2, 3.0));
        let better: Vec<u32> = image_ranks.iter().enumerate().map(|(at, &r)| if at % 5 == 0 { 0 } else { r }).collect();
        let (caption_image, folds) = (owners(300, 5), [0..300]);
        let first = RankedQueries {
            image_to_text: &image_ranks,
            text_to_image: &caption_ranks,
            caption_image: &caption_image,
            folds: &folds,
        };
        let second = RankedQueries { image_to_text: &better, ..first };
        let bootstrap = Bootstrap { resamples: 999, seed: 1 };
        for same in bootstrap.paired(&first, &first).unwrap() {
            assert_eq!(same, PairedDifference { difference: 0.0, ci95: [0.0, 0.0], p: 1.0, p_over_seeds: None });
        }
        let found = bootstrap.paired(&first, &second).unwrap();
        assert!(found[0].difference > 0.0 && found[0].ci95[0] > 0.0, "{:?}", found[0]);
        assert!((found[0].p - 0.002).abs() < 1e-12);
        assert_eq!(found[5], PairedDifference { difference: 0.0, ci95: [0.0, 0.0], p: 1.0, p_over_seeds: None });
        assert!(
            (found[10].difference - (found[0].difference + found[1].difference + found[2].difference)).abs() < 1e-9
        );
        let back = bootstrap.paired(&second, &first).unwrap();
        assert_eq!(back[0].difference, -found[0].difference);
        assert_eq!(back[0].p, found[0].p);
    }

    /// The same seed gives the same bits with one thread and with many; another seed other draws.
    #[test]
    fn draws_depend_on_the_seed_alone() {
        let (image_ranks, caption_ranks) = (ranks(50, 1, 3.0), ranks(100, 2, 3.0));
        let (caption_image, folds) = (owners(50, 2), [0..25, 25..50]);
        let queries = RankedQueries {
            image_to_text: &image_ranks,
            text_to_image: &caption_ranks,
            caption_image: &caption_image,
            folds: &folds,
        };
        let run = |seed| Bootstrap { resamples: 200, seed }.intervals(&queries).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(run(3), pool.install(|| run(3)));
        assert_ne!(run(3), run(4));
    }

    /// Two folds of two images: medians 0 and 8 average to (1 + 9) / 2 = 5, where the whole set has floor(4) + 1 = 5;
    /// ranks 0 2 | 8 8 give (2 + 9) / 2 = 5.5 against floor(5) + 1 = 6.
    #[test]
    fn folds_are_averaged() {
        let folds = [0..2, 2..4];
        let queries = RankedQueries {
            image_to_text: &[0, 2, 8, 8],
            text_to_image: &[0, 0, 0, 0],
            caption_image: &[0, 1, 2, 3],
            folds: &folds,
        };
        assert_eq!(queries.metrics().unwrap().image_to_text.median_rank, 5.5);
        let whole = [0..4];
        assert_eq!(RankedQueries { folds: &whole, ..queries }.metrics().unwrap().image_to_text.median_rank, 6.0);
    }

    #[test]
    fn bad_input_is_named() {
        let (folds, short) = ([0..2], [0..1]);
        let good = RankedQueries { image_to_text: &[0, 1], text_to_image: &[0], caption_image: &[0], folds: &folds };
        let message = |queries: &RankedQueries| queries.metrics().unwrap_err().to_string();
        assert!(message(&RankedQueries { folds: &short, ..good }).contains("cover 0..2"));
        assert!(message(&RankedQueries { caption_image: &[2], ..good }).contains("image 2"));
        assert!(message(&RankedQueries { caption_image: &[], ..good }).contains("0 owners"));
        assert!(Bootstrap { resamples: 0, seed: 1 }.intervals(&good).unwrap_err().to_string().contains("0 resamples"));
        let other = RankedQueries { caption_image: &[1], ..good };
        assert!(Bootstrap::default().paired(&good, &other).unwrap_err().to_string().contains("different queries"));
    }
}
