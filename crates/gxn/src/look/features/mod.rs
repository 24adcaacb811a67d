//! Features of a frozen backbone, computed once: [`FeatureStore`].
//!
//! A store is a folder named after what its rows were made with (backbone, preprocessing, views, pooling), so that
//! one cache folder serves many settings and none is ever mistaken for another. Rows are found by the content of the
//! picture's file: renamed, moved and duplicated photographs cost nothing.
//!
//! | file | holds |
//! |---|---|
//! | `rows.f16` | one row a picture, `[views, positions, F]`, little-endian f16 |
//! | `contents.bin` | the SHA-256 of each row's picture, 32 bytes each |
//! | `meta.json` | format version, key, specification, number of rows; replaced whole: the commit point |
//!
//! What lies beyond the committed rows after a crash is cut off at the next opening.

mod build;
mod store;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use half::f16;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::look::backbone::{Backbone, BackboneKind, Inference};
use gxn_base::{Error, Result};
use gxn_data::{ContentHash, Dropped, ImageSource, Preprocess, View};
use store::Rows;

/// What is kept of the last map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The backbone's feature, one position.
    Mean,
    /// Means over the cells of a `side` × `side` grid; every pixel of the map when `side` is 0.
    Grid {
        /// Cells along each side.
        side: usize,
    },
}

/// What a row is made of. Together with the backbone's fingerprint it is the key of a store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    /// The network.
    pub kind: BackboneKind,
    /// From picture to input.
    pub preprocess: Preprocess,
    /// The parts of the picture that are looked at; at least one.
    pub views: Vec<View>,
    /// What is kept.
    pub pooling: Pooling,
}

/// How far the computation is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Pictures that are computed or dropped, those found in the store included.
    pub done: usize,
    /// Different pictures in all.
    pub total: usize,
    /// Pictures a second: decoding, resizing and all views.
    pub rate: f64,
    /// Until the end.
    pub remaining: Duration,
}

/// Which view of each picture [`FeatureStore::gather`] takes.
#[derive(Debug, Clone, Copy)]
pub enum ViewChoice<'a> {
    /// The same view of every picture.
    One(usize),
    /// One view for each picture, in order.
    Each(&'a [usize]),
    /// The mean over all views.
    Mean,
}

/// Cached features, memory-mapped.
#[derive(Debug)]
pub struct FeatureStore {
    spec: FeatureSpec,
    key: String,
    /// Positions and channels of one view.
    layout: [usize; 2],
    rows: Rows,
    places: HashMap<ContentHash, usize>,
}

/// What [`FeatureStore::build`] gives: the store, the content of each picture (none where it was dropped), and what
/// was dropped.
pub type Built = (FeatureStore, Vec<Option<ContentHash>>, Vec<Dropped>);

impl FeatureStore {
    /// The store of `spec` below `folder` with a row for each of `images`. Rows that are there already are kept, the
    /// others are computed on all cores, one picture on each, and committed every few seconds.
    ///
    /// Pictures that cannot be read are dropped and named; the rest goes on.
    ///
    /// # Errors
    /// When `spec` and `backbone` disagree, the files cannot be written (a full disk, another process at it), or with
    /// [`Error::Interrupted`] when `progress` says to stop: what was computed is then saved.
    pub fn build(
        folder: &Path,
        spec: &FeatureSpec,
        backbone: &Backbone,
        images: &[ImageSource],
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Built> {
        if spec.kind != backbone.kind() {
            let (found, expected) = (backbone.kind().to_string(), spec.kind.to_string());
            return Err(Error::invalid("the backbone of the features", found, expected));
        }
        if spec.views.is_empty() {
            return Err(Error::invalid("the views of the features", "none", "at least one"));
        }
        let inference = Inference::new(backbone);
        let side = spec.preprocess.side_px as usize;
        let key = spec.key(&backbone.fingerprint());
        let layout = spec.layout(&inference, side)?;
        let folder = folder.join(&key[..16]);
        std::fs::create_dir_all(&folder).map_err(|source| Error::io("cannot create", &folder, source))?;
        let length = spec.views.len() * layout[0] * layout[1];
        let (mut rows, contents) = Rows::open(&folder, &key, spec, length)?;
        let mut places: HashMap<_, _> = contents.into_iter().zip(0..).collect();
        let (of_images, dropped) = build::complete(&mut rows, &mut places, spec, &inference, images, progress)?;
        Ok((Self { spec: spec.clone(), key, layout, rows, places }, of_images, dropped))
    }

    /// What the rows are made of.
    pub fn spec(&self) -> &FeatureSpec {
        &self.spec
    }

    /// SHA-256 of specification and backbone fingerprint, in hexadecimal.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Number of views, positions in each, and channels at each: the shape of a row.
    pub fn shape(&self) -> [usize; 3] {
        [self.spec.views.len(), self.layout[0], self.layout[1]]
    }

    /// Number of pictures, those of earlier calls included.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The features of one picture, `[views, positions, F]`; none when it is not in the store.
    pub fn row(&self, image: &ContentHash) -> Option<&[f16]> {
        self.places.get(image).map(|&place| self.rows.row(place))
    }

    /// The features of many pictures.
    ///
    /// # Errors
    /// When a picture is not in the store, there is no such view, or the choices are fewer than the pictures.
    ///
    /// # Shapes
    /// `N` pictures → `[N, positions, F]`, row-major.
    pub fn gather(&self, images: &[ContentHash], choice: ViewChoice<'_>) -> Result<Vec<f32>> {
        let [views, positions, channels] = self.shape();
        let length = positions * channels;
        let mut out = vec![0.0; images.len() * length];
        for (number, (to, image)) in out.chunks_exact_mut(length).zip(images).enumerate() {
            let row = self.row(image).ok_or_else(|| {
                Error::invalid(format!("the features of picture {image}"), "none", "a row in the store")
            })?;
            let view = match choice {
                ViewChoice::One(view) => Some(view),
                ViewChoice::Each(chosen) => Some(chosen.get(number).copied().unwrap_or(usize::MAX)),
                ViewChoice::Mean => None,
            };
            match view {
                Some(view) if view < views => {
                    to.iter_mut().zip(&row[view * length..]).for_each(|(to, value)| *to = value.to_f32());
                }
                Some(view) => {
                    let found = if view == usize::MAX { "no choice".into() } else { format!("view {view}") };
                    return Err(Error::invalid(format!("picture {number}"), found, format!("a view below {views}")));
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
    /// SHA-256 of this and the backbone's fingerprint, in hexadecimal.
    fn key(&self, fingerprint: &str) -> String {
        let text = serde_json::json!({ "format": store::FORMAT, "backbone": fingerprint, "spec": self }).to_string();
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Positions and channels of one view.
    fn layout(&self, inference: &Inference, side: usize) -> Result<[usize; 2]> {
        Ok(match self.pooling {
            Pooling::Mean => [1, self.kind.feature_dim()],
            Pooling::Grid { side: 0 } => {
                let [height, width] = inference.map(&vec![0.0; 3 * side * side])?.extent();
                [height * width, self.kind.grid_dim()]
            }
            Pooling::Grid { side } => [side * side, self.kind.grid_dim()],
        })
    }
}

#[cfg(test)]
mod tests;
