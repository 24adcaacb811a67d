//! Features of a frozen network, computed once: [`FeatureStore`] for training, [`FeatureCache`] for all else.
//!
//! A store is a folder named after what its rows were made with (CNN, preprocessing, views; or a pretrained encoder), so that
//! one cache folder serves many settings and none is ever mistaken for another. Rows are found by the content of the image's file:
//! renamed, moved and duplicated images cost nothing.
//!
//! | file | holds |
//! |---|---|
//! | `rows.f16` | one row per image, `[views, F]`, little-endian f16 |
//! | `contents.bin` | the SHA-256 of each row's image, 32 bytes each |
//! | `meta.json` | format version, key, specification, number of rows; replaced whole: the commit point |
//! | `mean/` | the same three files for the mean over the views: `rows.f32`, `[F]` |
//!
//! What lies beyond the committed rows after a crash is cut off at the next opening for writing.
//!
//! Training draws single views and reads them in half precision. Everything else takes the mean over the views, which
//! must not depend on whether it was cached: it is stored as computed.

mod build;
mod cache;
mod rows;

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;

use half::f16;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use cache::FeatureCache;

use crate::look::backbone::BackboneKind;
use crate::look::{FeatureNetwork, ImagePipeline};
use gxn_base::{Error, Result};
use gxn_data::{ContentHash, Dropped, ImageSource};
use rows::{Place, Rows};

/// What a row is made of. Together with the network's fingerprint it is the key of a store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FeatureSpec {
    /// Features of a CNN.
    Cnn(CnnFeatures),
    /// Embeddings of a pretrained encoder, whose fingerprint says the rest.
    Encoder {
        /// Values of an embedding.
        encoder_width: usize,
    },
}

/// Which features of a CNN a row holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CnnFeatures {
    /// The network.
    kind: BackboneKind,
    /// From image to input; it has at least one view.
    #[serde(flatten)]
    pipeline: ImagePipeline,
    /// Part of keys since grids could be kept instead of means.
    #[serde(default)]
    pooling: Mean,
}

/// `mean`, as keys have it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mean {
    #[default]
    Mean,
}

/// How far the computation is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeatureProgress {
    /// Images that are computed or dropped, those found in the store included.
    pub done: usize,
    /// Different images in all.
    pub total: usize,
    /// Images per second: decoding, resizing and all views.
    pub rate: f64,
}

/// Which view of each image [`FeatureStore::gather`] takes.
#[derive(Debug, Clone, Copy)]
pub enum ViewChoice<'a> {
    /// One view for each image, in order.
    Each(&'a [usize]),
    /// The mean over all views.
    Mean,
}

/// Cached features of single views, memory-mapped.
#[derive(Debug)]
pub struct FeatureStore {
    spec: FeatureSpec,
    rows: Rows<f16>,
    places: HashMap<ContentHash, usize>,
}

/// What [`FeatureStore::build`] gives: the store, the content of each image (none where it was dropped), and what was
/// dropped.
pub type Built = (FeatureStore, Vec<Option<ContentHash>>, Vec<Dropped>);

impl FeatureStore {
    /// The store of what `network` makes, below `folder`, with a row for each of `images`. Rows that are there already are
    /// kept, the others are computed on all cores and committed every few seconds.
    ///
    /// Images that cannot be read are dropped and named; the rest goes on.
    ///
    /// # Errors
    /// When there are no views, the files cannot be written (a full disk, another process at it), an encoder's files cannot be
    /// read, or with [`Kind::Interrupted`](gxn_base::Kind::Interrupted) when `progress` says to stop: what was computed is
    /// then saved.
    pub fn build(
        folder: &Path,
        network: &FeatureNetwork,
        images: &[ImageSource],
        progress: &mut dyn FnMut(FeatureProgress) -> ControlFlow<()>,
    ) -> Result<Built> {
        let (spec, fingerprint) = (network.spec(), network.fingerprint()?);
        if spec.views() == 0 {
            return Err(Error::invalid("the views of the features", "none", "at least one"));
        }
        let place = Self::place(folder, &spec, &fingerprint);
        let mut writer = place.write::<f16>(false)?;
        let mut places: HashMap<_, _> = place.read::<f16>()?.1.into_iter().zip(0..).collect();
        let means = FeatureCache::open(folder, &spec, &fingerprint)?;
        let work = build::Work { network, means: &means };
        let (of_images, dropped) = build::complete(&mut writer, &mut places, &work, images, progress)?;
        let (rows, _) = place.read()?;
        Ok((Self { spec, rows, places }, of_images, dropped))
    }

    /// The images that have a row below `folder`. Nothing is written there.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn cached(folder: &Path, network: &FeatureNetwork) -> Result<HashSet<ContentHash>> {
        let place = Self::place(folder, &network.spec(), &network.fingerprint()?);
        Ok(place.read::<f16>()?.1.into_iter().collect())
    }

    fn place(folder: &Path, spec: &FeatureSpec, fingerprint: &str) -> Place {
        let key = spec.key(fingerprint);
        let length = spec.views() * spec.width();
        Place { folder: folder.join(&key[..16]), key, spec: spec.clone(), length, file: "rows.f16" }
    }

    /// Number of views, and the width of each one's feature: the shape of a row.
    pub fn shape(&self) -> [usize; 2] {
        [self.spec.views(), self.spec.width()]
    }

    /// The features of one image, `[views, F]`; none when it is not in the store.
    pub fn row(&self, image: &ContentHash) -> Option<&[f16]> {
        self.places.get(image).map(|&place| self.rows.row(place))
    }

    /// The features of many images.
    ///
    /// # Errors
    /// When an image is not in the store, there is no such view, or the choices are fewer than the images.
    ///
    /// # Shapes
    /// `N` images → `[N, F]`, row-major.
    pub fn gather(&self, images: &[ContentHash], choice: ViewChoice<'_>) -> Result<Vec<f32>> {
        let [views, length] = self.shape();
        let mut out = vec![0.0; images.len() * length];
        for (number, (to, image)) in out.chunks_exact_mut(length).zip(images).enumerate() {
            let row = self.row(image).ok_or_else(|| {
                Error::not_found(format!("the features of image {image}"), "none", "a row in the store")
            })?;
            let view = match choice {
                ViewChoice::Each(chosen) => Some(chosen.get(number).copied().unwrap_or(usize::MAX)),
                ViewChoice::Mean => None,
            };
            match view {
                Some(view) if view < views => {
                    to.iter_mut().zip(&row[view * length..]).for_each(|(to, value)| *to = value.to_f32());
                }
                Some(view) => {
                    let found = if view == usize::MAX { "no choice".into() } else { format!("view {view}") };
                    return Err(Error::invalid(format!("image {number}"), found, format!("a view below {views}")));
                }
                None => {
                    for view in row.chunks_exact(length) {
                        to.iter_mut().zip(view).for_each(|(to, value)| *to += value.to_f32());
                    }
                    to.iter_mut().for_each(|value| *value /= views as f32);
                }
            }
        }
        Ok(out)
    }
}

impl FeatureSpec {
    /// Features of `kind` through `pipeline`.
    pub fn cnn(kind: BackboneKind, pipeline: ImagePipeline) -> Self {
        Self::Cnn(CnnFeatures { kind, pipeline, pooling: Mean::Mean })
    }

    /// Embeddings of a pretrained encoder, of this width.
    pub fn encoder(width: usize) -> Self {
        Self::Encoder { encoder_width: width }
    }

    /// Views of an image, each of which has a feature.
    fn views(&self) -> usize {
        match self {
            Self::Cnn(cnn) => cnn.pipeline.views.len(),
            Self::Encoder { .. } => 1,
        }
    }

    /// Values of a feature, `F`.
    fn width(&self) -> usize {
        match self {
            Self::Cnn(cnn) => cnn.kind.feature_dim(),
            Self::Encoder { encoder_width } => *encoder_width,
        }
    }

    /// SHA-256 of this and the network's fingerprint, in hexadecimal.
    fn key(&self, fingerprint: &str) -> String {
        let text = serde_json::json!({ "format": rows::FORMAT, "backbone": fingerprint, "spec": self }).to_string();
        gxn_base::words::hex(Sha256::digest(text))
    }
}

#[cfg(test)]
mod tests;
