//! CIDEr-D (Vedantam, Zitnick, Parikh 2015; spec §7.3): the reward of self-critical training and the package's "CIDEr".
//!
//! The coco-caption package's `cider` is this formula with document frequencies from the scored references; with the
//! frequencies of a training corpus it is the usual `cider_d`.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::ngram::{MAX_ORDER, Ngram, counts, order};

const SIGMA: f64 = 6.0;

/// In how many images' references an n-gram occurs.
#[derive(Debug, Clone)]
pub struct DocumentFrequencies {
    images: HashMap<Ngram, u32>,
    log_count: f64,
}

impl DocumentFrequencies {
    /// Counts over the references (token ids) of all images.
    pub fn new(references: &[Vec<Vec<u32>>]) -> Self {
        let mut images = HashMap::new();
        for captions in references {
            let found: HashSet<Ngram> = captions.iter().flat_map(|caption| counts(caption).into_keys()).collect();
            for ngram in found {
                *images.entry(ngram).or_insert(0) += 1;
            }
        }
        Self { images, log_count: (references.len().max(1) as f64).ln() }
    }

    /// ln N − ln max(1, df).
    fn weight(&self, ngram: &Ngram) -> f64 {
        self.log_count - f64::from(self.images.get(ngram).copied().unwrap_or(0).max(1)).ln()
    }
}

/// A caption's tf-idf vector, its norm by order, and its length as the package counts it: in bigrams.
struct Weighted {
    weights: HashMap<Ngram, f64>,
    norms: [f64; MAX_ORDER],
    bigrams: f64,
}

impl Weighted {
    fn new(tokens: &[u32], frequencies: &DocumentFrequencies) -> Self {
        let mut norms = [0.0; MAX_ORDER];
        let weights: HashMap<Ngram, f64> = (counts(tokens).into_iter())
            .map(|(ngram, count)| {
                let weight = f64::from(count) * frequencies.weight(&ngram);
                norms[order(&ngram) - 1] += weight * weight;
                (ngram, weight)
            })
            .collect();
        Self { weights, norms: norms.map(f64::sqrt), bigrams: tokens.len().saturating_sub(1) as f64 }
    }

    /// The mean over the orders of the clipped cosine, times the length penalty.
    fn similarity(&self, reference: &Self) -> f64 {
        let mut sums = [0.0; MAX_ORDER];
        for (ngram, &weight) in &self.weights {
            if let Some(&other) = reference.weights.get(ngram) {
                sums[order(ngram) - 1] += weight.min(other) * other;
            }
        }
        for (sum, (a, b)) in sums.iter_mut().zip(self.norms.iter().zip(reference.norms)) {
            if *a != 0.0 && b != 0.0 {
                *sum /= a * b;
            }
        }
        let gap = self.bigrams - reference.bigrams;
        sums.iter().sum::<f64>() / MAX_ORDER as f64 * (-gap * gap / (2.0 * SIGMA * SIGMA)).exp()
    }
}

/// CIDEr-D of every candidate (token ids) against its references, in 0..=10; the set's score is their mean.
pub fn cider_d(candidates: &[Vec<u32>], references: &[Vec<Vec<u32>>], frequencies: &DocumentFrequencies) -> Vec<f64> {
    let score = |(candidate, references): (&Vec<u32>, &Vec<Vec<u32>>)| {
        if references.is_empty() {
            return 0.0;
        }
        let candidate = Weighted::new(candidate, frequencies);
        let similarity = |reference: &Vec<u32>| candidate.similarity(&Weighted::new(reference, frequencies));
        10.0 * references.iter().map(similarity).sum::<f64>() / references.len() as f64
    };
    candidates.par_iter().zip(references).map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A caption equal to its only reference scores 10 (spec §13.5); one that shares nothing scores 0.
    #[test]
    fn own_reference_is_ten() {
        let references = [vec![vec![0, 1, 2, 3, 4]], vec![vec![5, 6, 7, 8, 9]]];
        let frequencies = DocumentFrequencies::new(&references);
        let found = cider_d(&[vec![0, 1, 2, 3, 4], vec![0, 1, 2, 3, 4]], &references, &frequencies);
        assert!((found[0] - 10.0).abs() < 1e-12);
        assert_eq!(found[1], 0.0);
    }

    /// Twice as long: the length penalty is exp(−2² / 72) for two bigrams more (4 − 2), and the clipped cosines fall.
    #[test]
    fn length_is_counted_in_bigrams() {
        let references = [vec![vec![0, 1, 2]], vec![vec![9]]];
        let frequencies = DocumentFrequencies::new(&references);
        let found = cider_d(&[vec![0, 1, 2, 7, 8], vec![]], &references, &frequencies);
        let ln2 = 2.0f64.ln();
        let cosine = |shared: f64, candidate: f64| shared * ln2 * ln2 / (shared.sqrt() * ln2 * candidate.sqrt() * ln2);
        let mean = (cosine(3.0, 5.0) + cosine(2.0, 4.0) + cosine(1.0, 3.0)) / 4.0;
        assert!((found[0] - 10.0 * mean * (-4.0f64 / 72.0).exp()).abs() < 1e-12);
        assert_eq!(found[1], 0.0);
    }
}
