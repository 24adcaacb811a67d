//! [`Scorer`]: scores of pairs of an image and a caption.

use std::ops::Range;

use rayon::prelude::*;

use crate::embeddings::{Embeddings, LevelEmbeddings, Scoring, check_rows};
use crate::hubness::HubnessRows;
use crate::kernel::{Kernel, MR, NR, Term, Tile, pack};
use gxn_base::{Error, Result, Similarity};

impl From<Similarity> for Term {
    fn from(similarity: Similarity) -> Self {
        match similarity {
            Similarity::Cosine => Self::Product,
            Similarity::Order => Self::ImageMinusCaption,
            Similarity::OrderReversed => Self::CaptionMinusImage,
        }
    }
}

/// The `count` best captions of every image among those that `allowed(image, caption)` lets through, best first, the earlier
/// one of equal scores first.
///
/// # Errors
/// As [`ranks`](crate::ranks()).
pub fn best_captions(
    embeddings: &Embeddings,
    scoring: Scoring,
    count: usize,
    allowed: impl Fn(usize, usize) -> bool + Sync,
) -> Result<Vec<Vec<usize>>> {
    let scorer = Scorer::new(embeddings, scoring)?;
    let best = |image: usize| {
        let mut scores: Vec<(f32, usize)> = (0..scorer.captions)
            .filter(|&caption| allowed(image, caption))
            .map(|caption| (scorer.score(image, caption), caption))
            .collect();
        scores.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        scores.into_iter().take(count).map(|(_, caption)| caption).collect()
    };
    Ok((0..scorer.images).into_par_iter().map(best).collect())
}

/// The scores of pairs of an image and a caption, by their rows.
///
/// # Errors
/// As [`ranks`](crate::ranks()), and when a pair names a row that is not there.
pub fn pair_scores(embeddings: &Embeddings, scoring: Scoring, pairs: &[(usize, usize)]) -> Result<Vec<f32>> {
    let scorer = Scorer::new(embeddings, scoring)?;
    let (images, captions) = (scorer.images, scorer.captions);
    if let Some((image, caption)) = pairs.iter().find(|&&(image, caption)| image >= images || caption >= captions) {
        let expected = format!("images below {images}, captions below {captions}");
        return Err(Error::invalid("pair to score", format!("image {image}, caption {caption}"), expected));
    }
    Ok(pairs.par_iter().map(|&(image, caption)| scorer.score(image, caption)).collect())
}

/// Scores of pairs, one by one or tile by tile, with the same bits.
pub(crate) struct Scorer<'a> {
    parts: Vec<Part<'a>>,
    /// What is taken off the scores.
    hubness: Option<HubnessRows<'a>>,
    kernel: Kernel,
    term: Term,
    /// Image rows.
    pub images: usize,
    /// Caption rows.
    pub captions: usize,
}

/// Captions as tiles read them.
pub(crate) struct PackedCaptions {
    first: usize,
    /// One for each level.
    rows: Vec<Vec<f32>>,
}

impl<'a> Scorer<'a> {
    /// Checks the embeddings.
    ///
    /// # Errors
    /// As [`ranks`](crate::ranks()).
    pub fn new(embeddings: &Embeddings<'a>, scoring: Scoring) -> Result<Self> {
        let level = embeddings.abstract_level;
        let (images, captions) = (level.images.len() / level.dim.max(1), level.captions.len() / level.dim.max(1));
        Self::with_counts(Kernel::detect(), embeddings, scoring, images, captions)
    }

    pub fn with_counts(
        kernel: Kernel,
        embeddings: &Embeddings<'a>,
        scoring: Scoring,
        images: usize,
        captions: usize,
    ) -> Result<Self> {
        let parts = parts(embeddings, scoring, images, captions)?;
        let hubness = embeddings.hubness;
        if let Some(HubnessRows { images: of_images, captions: of_captions }) = hubness {
            check_rows("hubness of images", of_images, 1, images)?;
            check_rows("hubness of captions", of_captions, 1, captions)?;
        }
        Ok(Self { parts, hubness, kernel, term: scoring.similarity.into(), images, captions })
    }

    /// The score of an image and a caption that are there: λ·s(t_h, v_h) + (1 − λ)·s(t_l, v_l), less their hubness.
    pub fn score(&self, image: usize, caption: usize) -> f32 {
        let mut sum = 0.0;
        for part in &self.parts {
            let dim = part.level.dim;
            let v = &part.level.images[image * dim..(image + 1) * dim];
            let t = &part.level.captions[caption * dim..(caption + 1) * dim];
            let (v, t) = ((v, part.image_scales[image]), (t, part.caption_scales[caption]));
            sum += part.weight * self.kernel.pair(self.term, v, t);
        }
        self.finished(sum, image, caption)
    }

    /// The score of a pair whose weighted terms have this sum.
    fn finished(&self, sum: f32, image: usize, caption: usize) -> f32 {
        let score = if self.term == Term::Product { sum } else { -sum };
        match &self.hubness {
            Some(hubness) => score - hubness.images[image] - hubness.captions[caption],
            None => score,
        }
    }

    pub fn pack_captions(&self, captions: Range<usize>) -> PackedCaptions {
        let first = captions.start;
        PackedCaptions { first, rows: self.parts.iter().map(|part| part.pack_captions(first, captions.end)).collect() }
    }

    /// The scores of `MR` images, the `panel`-th, and `NR` captions, the `half`-th of the packed ones. Where there are fewer, the
    /// rest of the tile means nothing.
    pub fn tile(&self, panel: usize, captions: &PackedCaptions, half: usize, scores: &mut Tile) {
        scores.as_flattened_mut().fill(0.0);
        let mut terms: Tile = [[0.0; NR]; MR];
        for (part, packed) in self.parts.iter().zip(&captions.rows) {
            let dim = part.level.dim;
            let v = &part.packed_images[panel * MR * dim..(panel + 1) * MR * dim];
            let t = &packed[half * NR * dim..(half + 1) * NR * dim];
            self.kernel.tile(self.term, v, t, &mut terms);
            for (sum, value) in scores.as_flattened_mut().iter_mut().zip(terms.as_flattened()) {
                *sum += part.weight * value;
            }
        }
        let first = captions.first + half * NR;
        for (row, image) in scores.iter_mut().zip(panel * MR..self.images) {
            for (score, caption) in row.iter_mut().zip(first..self.captions) {
                *score = self.finished(*score, image, caption);
            }
        }
    }

    /// The scores of captions that are there with every image, `[captions, images]`.
    pub fn of_captions(&self, captions: Range<usize>) -> Vec<f32> {
        let mut found = vec![0.0; captions.len() * self.images];
        let packed = self.pack_captions(captions.clone());
        let mut scores: Tile = [[0.0; NR]; MR];
        for panel in 0..self.images.div_ceil(MR) {
            for half in 0..captions.len().div_ceil(NR) {
                self.tile(panel, &packed, half, &mut scores);
                for (row, image) in scores.iter().zip(panel * MR..self.images) {
                    for (&score, place) in row.iter().zip(half * NR..captions.len()) {
                        found[place * self.images + image] = score;
                    }
                }
            }
        }
        found
    }

    /// The scores of an image that is there and every caption.
    pub fn of_image(&self, image: usize) -> Vec<f32> {
        (0..self.captions).map(|caption| self.score(image, caption)).collect()
    }

    /// The scores of a caption that is there and every image.
    pub fn of_caption(&self, caption: usize) -> Vec<f32> {
        (0..self.images).map(|image| self.score(image, caption)).collect()
    }
}

/// A level with a weight in the score.
struct Part<'a> {
    level: LevelEmbeddings<'a>,
    weight: f32,
    image_scales: Vec<f32>,
    caption_scales: Vec<f32>,
    packed_images: Vec<f32>,
}

/// The levels with weight, checked and with the images packed.
fn parts<'a>(embeddings: &Embeddings<'a>, scoring: Scoring, images: usize, captions: usize) -> Result<Vec<Part<'a>>> {
    let lambda = scoring.lambda;
    if !(0.0..=1.0).contains(&lambda) {
        return Err(Error::invalid("lambda", lambda.to_string(), "a weight in 0..=1"));
    }
    let grounded = match embeddings.grounded_level {
        Some(level) => Some(("grounded", level, 1.0 - lambda)),
        None if lambda == 1.0 => None,
        None => {
            return Err(Error::invalid("lambda", lambda.to_string(), "1, because the embeddings have one level"));
        }
    };
    let mut parts = Vec::new();
    for (name, level, weight) in [("abstract", embeddings.abstract_level, lambda)].into_iter().chain(grounded) {
        check_rows(&format!("{name} image embeddings"), level.images, level.dim, images)?;
        check_rows(&format!("{name} caption embeddings"), level.captions, level.dim, captions)?;
        if weight == 0.0 {
            continue;
        }
        let scales = |rows: &[f32]| match scoring.similarity {
            Similarity::Cosine => rows.par_chunks(level.dim).map(inverse_norm).collect(),
            Similarity::Order | Similarity::OrderReversed => vec![1.0; rows.len() / level.dim],
        };
        let (image_scales, caption_scales): (Vec<f32>, Vec<f32>) = (scales(level.images), scales(level.captions));
        let mut packed_images = vec![0.0; images.div_ceil(MR) * MR * level.dim];
        packed_images.par_chunks_mut(level.dim * MR).enumerate().for_each(|(panel, packed)| {
            let (first, last) = (panel * MR, images.min(panel * MR + MR));
            pack::<MR>(
                &level.images[first * level.dim..last * level.dim],
                level.dim,
                &image_scales[first..last],
                packed,
            );
        });
        parts.push(Part { level, weight, image_scales, caption_scales, packed_images });
    }
    Ok(parts)
}

impl Part<'_> {
    fn pack_captions(&self, first: usize, last: usize) -> Vec<f32> {
        let dim = self.level.dim;
        let mut packed = vec![0.0; (last - first).div_ceil(NR) * NR * dim];
        pack::<NR>(&self.level.captions[first * dim..last * dim], dim, &self.caption_scales[first..last], &mut packed);
        packed
    }
}

/// 1 / ‖row‖, and 0 for a zero row.
pub(crate) fn inverse_norm(row: &[f32]) -> f32 {
    let squares: f64 = row.iter().map(|&value| f64::from(value).powi(2)).sum();
    if squares > 0.0 { (1.0 / squares.sqrt()) as f32 } else { 0.0 }
}
