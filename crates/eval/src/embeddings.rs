//! What is ranked: [`Embeddings`], how they are compared, and which items belong together.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::hubness::HubnessRows;
use crate::metrics::Metrics;
use crate::ranks::ranks;
use gxn_base::{Error, Result, Similarity};

/// The name in reports: `cosine`, `order` (the paper's direction) or `order_caption_minus_image`.
pub(crate) fn similarity_name(similarity: Similarity) -> &'static str {
    match similarity {
        Similarity::Cosine => "cosine",
        Similarity::Order => "order",
        Similarity::OrderReversed => "order_caption_minus_image",
    }
}

/// The score: λ·s(t_h, v_h) + (1 − λ)·s(t_l, v_l) (paper §3.2, after Eq. 3).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scoring {
    /// s.
    pub similarity: Similarity,
    /// λ, the weight of the abstract level, in 0..=1. Embeddings of one level need 1.
    pub lambda: f32,
}

/// One level's embeddings in the joint space.
#[derive(Debug, Clone, Copy)]
pub struct LevelEmbeddings<'a> {
    /// Image rows, `[N, D]` row-major.
    pub images: &'a [f32],
    /// Caption rows, `[M, D]` row-major.
    pub captions: &'a [f32],
    /// D.
    pub dim: usize,
}

/// What is ranked: the embeddings of the abstract level and, unless the model has one level only, the grounded one.
#[derive(Debug, Clone, Copy)]
pub struct Embeddings<'a> {
    /// v_h and t_h.
    pub abstract_level: LevelEmbeddings<'a>,
    /// v_l and t_l, with the same numbers of rows.
    pub grounded_level: Option<LevelEmbeddings<'a>>,
    /// What is taken off each score, where hubs are corrected.
    pub hubness: Option<HubnessRows<'a>>,
}

/// Which images and captions belong together, in both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relevance {
    pub(crate) captions_of_image: Vec<Vec<u32>>,
    pub(crate) images_of_caption: Vec<Vec<u32>>,
}

impl Relevance {
    /// Every caption belongs to the one image that `caption_image` names.
    ///
    /// # Errors
    /// As [`Relevance::from_pairs`].
    pub fn from_caption_image(images: usize, caption_image: &[usize]) -> Result<Self> {
        let pairs = caption_image.iter().enumerate().map(|(caption, &image)| (image, caption));
        Self::from_pairs(images, caption_image.len(), pairs)
    }

    /// Any relation, given as (image, caption) pairs; a pair may be repeated.
    ///
    /// # Errors
    /// When a pair lies outside, or an image or caption has no counterpart and so no rank.
    pub fn from_pairs(images: usize, captions: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Result<Self> {
        Self::of_queries(images, images, captions, pairs)
    }

    /// [`Relevance::from_pairs`] where only the first `queries` images need a caption; the others are distractors.
    pub(crate) fn of_queries(
        images: usize,
        queries: usize,
        captions: usize,
        pairs: impl IntoIterator<Item = (usize, usize)>,
    ) -> Result<Self> {
        let mut captions_of_image = vec![Vec::new(); images];
        let mut images_of_caption = vec![Vec::new(); captions];
        for (image, caption) in pairs {
            if image >= images || caption >= captions {
                let expected = format!("images below {images}, captions below {captions}");
                return Err(Error::invalid("relevant pair", format!("image {image}, caption {caption}"), expected));
            }
            captions_of_image[image].push(caption as u32);
            images_of_caption[caption].push(image as u32);
        }
        for list in captions_of_image.iter_mut().chain(&mut images_of_caption) {
            list.sort_unstable();
            list.dedup();
        }
        for (what, lists) in [("image", &captions_of_image[..queries]), ("caption", &images_of_caption)] {
            if let Some(row) = lists.iter().position(Vec::is_empty) {
                return Err(Error::invalid(format!("{what} {row}"), "nothing relevant to it", "at least one item")
                    .with_hint("leave it out of the evaluation: without a right answer it has no rank"));
            }
        }
        Ok(Self { captions_of_image, images_of_caption })
    }
}

impl Embeddings<'_> {
    /// Recall and ranks in both directions, where each caption belongs to the one image that `caption_image` names.
    ///
    /// # Errors
    /// When an image has no caption, shapes do not fit together, or λ does not.
    pub fn metrics(&self, caption_image: &[usize], scoring: Scoring) -> Result<Metrics> {
        let images = self.abstract_level.images.len() / self.abstract_level.dim.max(1);
        let found = ranks(self, &Relevance::from_caption_image(images, caption_image)?, scoring)?;
        Ok(Metrics::of(&found.image_to_text, &found.text_to_image))
    }
}

/// Refuses rows of the wrong number and rows with NaN or infinity, which it names.
pub(crate) fn check_rows(what: &str, rows: &[f32], dim: usize, count: usize) -> Result<()> {
    if dim == 0 || rows.len() != dim * count {
        return Err(Error::invalid(what, format!("{} values", rows.len()), format!("{count} rows of {dim} values")));
    }
    match rows.par_iter().position_first(|value| !value.is_finite()) {
        None => Ok(()),
        Some(place) => {
            let what = format!("{what}, row {} (from 0), column {}", place / dim, place % dim);
            Err(Error::invalid(what, rows[place].to_string(), "finite numbers"))
        }
    }
}
