//! [`Retriever`]: a checkpoint and an index made with it.

use std::path::{Path, PathBuf};

use gxn_index::{Hit, Index, Modality, PartKind, QueryPart, SearchOptions, Space};

use super::calibration::Calibration;
use super::notes::{noted_model, noted_root, shown_path};
use super::query::{Content, Part};
use crate::encoder::Encoder;
use gxn_base::{Error, Result};
use gxn_data::ImageSource;

/// Name of the index's folder inside an indexed folder.
pub const INDEX_FOLDER: &str = ".gxn";

/// The index for `dir`: `dir` itself, its `.gxn`, or the nearest `.gxn` above.
///
/// # Errors
/// When there is none.
pub fn find_index(dir: &Path) -> Result<PathBuf> {
    if Index::exists(dir) {
        return Ok(dir.to_path_buf());
    }
    let start = std::fs::canonicalize(dir).map_err(|e| Error::io("cannot open", dir, e))?;
    for folder in start.ancestors() {
        let index = folder.join(INDEX_FOLDER);
        if Index::exists(&index) {
            return Ok(index);
        }
    }
    Err(Error::invalid(format!("the index for {}", dir.display()), "none here or above", "a folder `.gxn`")
        .with_hint("make one with `gxn index DIR --model RUN`, or name one with --index"))
}

/// The joint space of a model's index.
pub fn index_space(encoder: &Encoder) -> Space {
    let similarity = encoder.config().matching.similarity;
    Space {
        similarity,
        lambda: encoder.lambda() as f32,
        dims_abstract: encoder.dim(),
        dims_grounded: if encoder.has_grounded_level() { encoder.dim() } else { 0 },
    }
}

/// A checkpoint and an index made with it.
#[derive(Debug)]
pub struct Retriever {
    encoder: Encoder,
    index: Index,
    calibration: Option<Calibration>,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The hits, best first, with absolute paths.
    pub hits: Vec<Hit>,
    /// The probability that each hit is relevant, where the model is calibrated and the query is one sentence that looks
    /// for pictures, or one picture that looks for captions ([`Calibration::standard`]). Under a filter the best hit counts
    /// as any other: what the filter holds back may be better.
    pub relevance: Option<Vec<f32>>,
    /// The best hit scores as low as the best of one query in twenty that have a match: probably nothing matches.
    pub probably_none: bool,
}

impl Retriever {
    /// Opens the index in `index_dir` with the model at `model`, or with the one that the index names.
    ///
    /// # Errors
    /// When either cannot be opened, or another model made the index.
    pub fn open(index_dir: &Path, model: Option<&Path>) -> Result<Self> {
        let index = Index::open(index_dir)?;
        let noted = noted_model(index.meta());
        let path = model.map(Path::to_path_buf).or(noted).ok_or_else(|| {
            Error::invalid(format!("the model of {}", index_dir.display()), "none noted", "a model")
                .with_hint("name it with --model")
        })?;
        if model.is_none() && !path.exists() {
            return Err(Error::invalid(
                "the model that made the index",
                format!("nothing at {}", path.display()),
                "a run or checkpoint",
            )
            .with_hint("the run was moved: name it with --model"));
        }
        let encoder = Encoder::load(&path)?;
        index.require_model(encoder.fingerprint())?;
        let calibration = Calibration::load(&path, &encoder)?;
        Ok(Self { encoder, index, calibration })
    }

    /// How scores become probabilities, if the model was calibrated.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// The index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The model.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The best items of `options.target`: score = Σ wᵢ·scoreᵢ(item), where a text meets an image by the model's combined
    /// score, and like meets like by the cosine of `[h ; l]`. Paths of hits are absolute.
    ///
    /// # Errors
    /// When a picture of the query cannot be read, captions are wanted from an index without any, or λ is out of range.
    pub fn search(&self, parts: &[Part], options: &SearchOptions<'_>) -> Result<Found> {
        let target = options.target;
        let mut vectors = Vec::with_capacity(parts.len());
        for part in parts {
            let (rows, side) = match &part.content {
                Content::Text(text) => (self.encoder.encode_texts(&[text]), Modality::Text),
                Content::Picture(path) => {
                    (self.encoder.encode_image(&ImageSource::File(path.clone()))?, Modality::Image)
                }
            };
            let kind = if side == target { PartKind::Same } else { PartKind::Cross };
            vectors.push((rows.joined(0), part.weight, kind));
        }
        let parts: Vec<QueryPart<'_>> =
            vectors.iter().map(|(vector, weight, kind)| QueryPart { vector, weight: *weight, kind: *kind }).collect();
        if target == Modality::Text && self.index.meta().captions.is_none() {
            return Err(Error::invalid("captions of the index", "none", "an index with captions")
                .with_hint("index a data set rather than a folder: gxn index DATA --model RUN --index DIR"));
        }
        let mut hits = self.index.search_with(&[&parts], options)?.remove(0);
        let root = noted_root(&self.index);
        hits.iter_mut().for_each(|hit| hit.path = shown_path(root.as_deref(), &hit.path));
        let calibrated = self
            .calibration
            .as_ref()
            .and_then(|calibration| Some((calibration, calibration.standard(&parts, target, options.lambda)?)));
        let Some((calibration, standard)) = calibrated else {
            return Ok(Found { hits, relevance: None, probably_none: false });
        };
        let rank = |at: usize| options.offset + at + usize::from(options.filter.is_some());
        let relevance = (hits.iter().enumerate())
            .map(|(at, hit)| calibration.relevance(target, standard, rank(at), hit.score))
            .collect();
        // Further pages and filters do not show the best of all.
        let shows_best = options.offset == 0 && options.filter.is_none();
        let best = hits.first().map(|hit| hit.score);
        let probably_none = shows_best && best.is_some_and(|best| calibration.says_none(target, standard, best));
        Ok(Found { hits, relevance: Some(relevance), probably_none })
    }
}
