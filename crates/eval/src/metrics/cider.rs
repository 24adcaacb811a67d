//! CIDEr-D (Vedantam, Zitnick, Parikh 2015): the reward of self-critical training and the package's "CIDEr".
//!
//! The coco-caption package's `cider` is this formula with document frequencies from the scored references; with the
//! frequencies of a training corpus it is the usual `cider_d`.

use std::ops::Range;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::ngram::{Counted, MAX_ORDER, Ngram, counts, shared};

const SIGMA: f64 = 6.0;

/// Images whose n-grams are counted in parallel before they are numbered in order; bounds the memory.
const BLOCK: usize = 4096;

/// In how many images' references an n-gram occurs, as its weight: ln N − ln max(1, df).
#[derive(Debug, Clone, Default)]
pub struct DocumentFrequencies {
    ids: FxHashMap<Ngram, u32>,
    weights: Vec<f64>,
    unseen: f64,
}

impl DocumentFrequencies {
    /// Counts over the references (token ids) of all images.
    pub fn new(references: &[Vec<Vec<u32>>]) -> Self {
        let mut frequencies = Self::default();
        for block in references.chunks(BLOCK) {
            frequencies.count(&Counted::all(block));
        }
        frequencies.weighted(references.len())
    }

    fn of(images: &[Counted]) -> Self {
        let mut frequencies = Self::default();
        frequencies.count(images);
        frequencies.weighted(images.len())
    }

    /// Adds the images of each n-gram to what will be its weight.
    fn count(&mut self, images: &[Counted]) {
        // Room for many new ones at once: growing step by step costs more than counting.
        self.ids.reserve(images.iter().map(|image| image.highest.len()).sum::<usize>() / 2);
        for (ngram, _) in images.iter().flat_map(|image| &image.highest) {
            let id = *self.ids.entry(*ngram).or_insert(self.weights.len() as u32);
            match self.weights.get_mut(id as usize) {
                Some(count) => *count += 1.0,
                None => self.weights.push(1.0),
            }
        }
    }

    fn weighted(mut self, images: usize) -> Self {
        self.unseen = (images.max(1) as f64).ln();
        for weight in &mut self.weights {
            *weight = self.unseen - weight.ln();
        }
        self
    }

    /// Of an n-gram with this number; numbers of no n-gram here, and none, weigh as if they were seen once.
    fn weight(&self, id: Option<u32>) -> f64 {
        id.and_then(|id| self.weights.get(id as usize)).copied().unwrap_or(self.unseen)
    }
}

/// Tf-idf vectors of references: what CIDEr-D needs of them, computed once. An n-gram takes eight bytes.
#[derive(Debug, Clone, Default)]
struct Vectors {
    /// N-grams without a document frequency, numbered after those that have one.
    others: FxHashMap<Ngram, u32>,
    /// Number and count of each n-gram, of all captions one after the other, ascending in each.
    ngrams: Vec<(u32, u32)>,
    captions: Vec<ReferenceVector>,
    /// The captions of each image.
    images: Vec<Range<usize>>,
}

#[derive(Debug, Clone)]
struct ReferenceVector {
    ngrams: Range<usize>,
    /// Of the vector, by order.
    norms: [f64; MAX_ORDER],
    /// The length as the package counts it: in bigrams.
    bigrams: f64,
}

impl Vectors {
    fn new(references: &[Vec<Vec<u32>>], frequencies: &DocumentFrequencies) -> Self {
        let mut vectors = Self::default();
        for block in references.chunks(BLOCK) {
            vectors.extend(&Counted::all(block), frequencies);
        }
        vectors
    }

    fn extend(&mut self, images: &[Counted], frequencies: &DocumentFrequencies) {
        for image in images {
            let first = self.captions.len();
            for (&length, counts) in image.lengths.iter().zip(&image.captions) {
                self.add(length, counts, frequencies);
            }
            self.images.push(first..self.captions.len());
        }
    }

    fn add(&mut self, length: usize, counts: &[(Ngram, u32)], frequencies: &DocumentFrequencies) {
        let start = self.ngrams.len();
        let mut norms = [0.0; MAX_ORDER];
        for &(ngram, count) in counts {
            let id = frequencies.ids.get(&ngram).copied().unwrap_or_else(|| {
                let next = frequencies.weights.len() + self.others.len();
                *self.others.entry(ngram).or_insert(next as u32)
            });
            norms[ngram.order() - 1] += (f64::from(count) * frequencies.weight(Some(id))).powi(2);
            self.ngrams.push((id, count));
        }
        self.ngrams[start..].sort_unstable();
        self.captions.push(ReferenceVector {
            ngrams: start..self.ngrams.len(),
            norms: norms.map(f64::sqrt),
            bigrams: length.saturating_sub(1) as f64,
        });
    }

    /// CIDEr-D of a candidate against one image's references; 0 if there are none.
    fn score(&self, candidate: &[u32], image: usize, frequencies: &DocumentFrequencies) -> f64 {
        let references = &self.captions[self.images[image].clone()];
        let mut norms = [0.0; MAX_ORDER];
        let mut weights = Vec::with_capacity(candidate.len() * MAX_ORDER);
        for (ngram, count) in counts(candidate) {
            let id = frequencies.ids.get(&ngram).or_else(|| self.others.get(&ngram)).copied();
            let (place, weight) = (ngram.order() - 1, f64::from(count) * frequencies.weight(id));
            norms[place] += weight * weight;
            weights.extend(id.map(|id| (id, (place, weight, frequencies.weight(Some(id))))));
        }
        weights.sort_unstable_by_key(|&(id, _)| id);
        let norms = norms.map(f64::sqrt);
        let bigrams = candidate.len().saturating_sub(1) as f64;
        // The mean over the orders of the clipped cosine, times the length penalty.
        let similarity = |reference: &ReferenceVector| {
            let mut sums = [0.0; MAX_ORDER];
            shared(&weights, &self.ngrams[reference.ngrams.clone()], |(place, weight, single), count| {
                let other = f64::from(count) * single;
                sums[place] += weight.min(other) * other;
            });
            for (sum, (a, b)) in sums.iter_mut().zip(norms.iter().zip(reference.norms)) {
                if *a != 0.0 && b != 0.0 {
                    *sum /= a * b;
                }
            }
            let gap = bigrams - reference.bigrams;
            sums.iter().sum::<f64>() / MAX_ORDER as f64 * (-gap * gap / (2.0 * SIGMA * SIGMA)).exp()
        };
        10.0 * references.iter().map(similarity).sum::<f64>() / references.len().max(1) as f64
    }
}

/// CIDEr-D of every candidate (token ids) against its references, in 0..=10; the set's score is their mean.
///
/// References that many candidates are compared with belong in a [`CiderReward`].
pub fn cider_d(candidates: &[Vec<u32>], references: &[Vec<Vec<u32>>], frequencies: &DocumentFrequencies) -> Vec<f64> {
    let vectors = Vectors::new(references, frequencies);
    let scored = candidates.par_iter().zip(0..references.len());
    scored.map(|(candidate, image)| vectors.score(candidate, image, frequencies)).collect()
}

/// CIDEr-D against references whose vectors are computed once: the reward of self-critical training (paper Eq. 5, 6).
///
/// Holds eight bytes for each n-gram of a reference and some sixty for each different one.
#[derive(Debug, Clone)]
pub struct CiderReward {
    frequencies: DocumentFrequencies,
    vectors: Vectors,
}

impl CiderReward {
    /// From the references (token ids) of all images, which are the corpus of the document frequencies too.
    pub fn new(references: &[Vec<Vec<u32>>]) -> Self {
        Self::with_frequencies(references, DocumentFrequencies::new(references))
    }

    /// With the document frequencies of another corpus; its token ids must be the same.
    pub fn with_frequencies(references: &[Vec<Vec<u32>>], frequencies: DocumentFrequencies) -> Self {
        Self { vectors: Vectors::new(references, &frequencies), frequencies }
    }

    /// [`Self::new`] and [`Self::with_frequencies`] of references that are counted already.
    pub(super) fn of(images: &[Counted], frequencies: Option<DocumentFrequencies>) -> Self {
        let frequencies = frequencies.unwrap_or_else(|| DocumentFrequencies::of(images));
        let mut vectors = Vectors::default();
        vectors.extend(images, &frequencies);
        Self { vectors, frequencies }
    }

    /// CIDEr-D of `candidates[i]` (token ids, without start, end and padding) against the references of image
    /// `images[i]`, in 0..=10. The same bits for any number of threads.
    ///
    /// # Panics
    /// When the two differ in length or an image has no place in the references.
    pub fn rewards(&self, candidates: &[Vec<u32>], images: &[usize]) -> Vec<f64> {
        assert_eq!(candidates.len(), images.len(), "one image for each candidate");
        let scored = candidates.par_iter().zip(images);
        scored.map(|(candidate, &image)| self.vectors.score(candidate, image, &self.frequencies)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    /// A caption equal to its only reference scores 10; one that shares nothing scores 0.
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

    type Counts = HashMap<Vec<u32>, f64>;

    /// The formula as it is written down, with nothing kept or numbered.
    fn plainly(candidate: &[u32], references: &[Vec<u32>], corpus: &[Vec<Vec<u32>>]) -> f64 {
        let counts = |tokens: &[u32], order: usize| {
            let mut counts = Counts::new();
            tokens.windows(order).for_each(|ngram| *counts.entry(ngram.to_vec()).or_default() += 1.0);
            counts
        };
        let mut score = 0.0;
        for reference in references {
            for order in 1..=MAX_ORDER {
                let weight = |ngram: &Vec<u32>| {
                    let has = |captions: &&Vec<Vec<u32>>| {
                        captions.iter().any(|caption| caption.windows(order).any(|other| other == ngram))
                    };
                    (corpus.len() as f64).ln() - (corpus.iter().filter(has).count().max(1) as f64).ln()
                };
                let vector = |tokens: &[u32]| -> Counts {
                    counts(tokens, order).into_iter().map(|(ngram, n)| (ngram.clone(), n * weight(&ngram))).collect()
                };
                let norm = |vector: &Counts| vector.values().map(|x| x * x).sum::<f64>().sqrt();
                let (a, b) = (vector(candidate), vector(reference));
                let both: HashSet<_> = a.keys().filter(|ngram| b.contains_key(*ngram)).collect();
                let dot: f64 = both.into_iter().map(|ngram| a[ngram].min(b[ngram]) * b[ngram]).sum();
                let norms = norm(&a) * norm(&b);
                let cosine = if norms == 0.0 { 0.0 } else { dot / norms };
                let bigrams = |tokens: &[u32]| tokens.len().saturating_sub(1) as f64;
                score += cosine * (-(bigrams(candidate) - bigrams(reference)).powi(2) / 72.0).exp();
            }
        }
        if references.is_empty() { 0.0 } else { 10.0 * score / (4 * references.len()) as f64 }
    }

    fn captions() -> impl Strategy<Value = Vec<Vec<Vec<u32>>>> {
        let caption = prop::collection::vec(0u32..6, 0..9);
        prop::collection::vec(prop::collection::vec(caption, 0..4), 1..8)
    }

    proptest! {
        /// The kept vectors, the one-time function and the plain formula agree, with own and with other frequencies.
        #[test]
        fn fast_equals_plain(references in captions(), corpus in captions(), seed in 0usize..99) {
            let candidates: Vec<Vec<u32>> = (0..12).map(|i| {
                // Pieces of references with words that occur nowhere between them.
                let captions = &references[(i * 7 + seed) % references.len()];
                captions.iter().flatten().copied().chain([6 + i as u32 % 2]).take(i).collect()
            }).collect();
            let images: Vec<usize> = (0..12).map(|i| (i + seed) % references.len()).collect();
            let their: Vec<Vec<Vec<u32>>> = images.iter().map(|&image| references[image].clone()).collect();
            for corpus in [&references, &corpus] {
                let frequencies = DocumentFrequencies::new(corpus);
                let once = cider_d(&candidates, &their, &frequencies);
                let kept = CiderReward::with_frequencies(&references, frequencies).rewards(&candidates, &images);
                for i in 0..candidates.len() {
                    let plain = plainly(&candidates[i], &their[i], corpus);
                    prop_assert!((kept[i] - plain).abs() < 1e-9, "{} {plain}", kept[i]);
                    prop_assert!((kept[i] - once[i]).abs() < 1e-12, "{} {}", kept[i], once[i]);
                }
            }
        }
    }

    /// The same bits from one thread and from four, and from a second reward built of the same references.
    #[test]
    fn rewards_have_the_same_bits_on_any_threads() {
        let caption = |seed: u32| (0..12).map(|i| (seed * 31 + i * i * seed) % 11).collect::<Vec<u32>>();
        let references: Vec<Vec<Vec<u32>>> = (0..50).map(|i| (0..5).map(|c| caption(5 * i + c)).collect()).collect();
        let candidates: Vec<Vec<u32>> = (0..128).map(|i| caption(i + 3)).collect();
        let images: Vec<usize> = (0..128).map(|i| (i * 13) % 50).collect();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let rewards = pool.install(|| CiderReward::new(&references).rewards(&candidates, &images));
            rewards.into_iter().map(f64::to_bits).collect::<Vec<_>>()
        };
        let found = on(1);
        assert_eq!(found, on(4));
        assert!(found.iter().filter(|&&bits| f64::from_bits(bits) > 0.0).count() > 100);
    }
}
