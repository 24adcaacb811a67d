//! [`Retriever`]: a model and an index made with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gxn_base::{Error, Remedy, Result};
use gxn_data::{has_word, tokenize};
use gxn_index::{Hit, ImageItem, LevelScores, Modality, PartKind, QueryPart, SearchOptions, VectorStore};

use super::calibration::Calibration;
use super::found::{Found, RankedHit, ScoreParts, WithoutRelevance};
use super::hubs::KnownHubness;
use super::location::{IndexPlace, real};
use super::provenance::{Provenance, shown_path, stored_model, stored_root};
use super::query::{Content, Part, Query};
use crate::encoder::Encoder;

/// A model and an index made with it. Several of one model share the [`Encoder`]; threads share a retriever by reference.
#[derive(Debug)]
pub struct Retriever {
    encoder: Arc<Encoder>,
    place: IndexPlace,
    index: Box<dyn VectorStore>,
    root: Option<PathBuf>,
    calibration: Option<Arc<Calibration>>,
    pub(super) known_hubness: KnownHubness,
}

/// A part of a query, encoded.
struct Embedded {
    vector: Vec<f32>,
    modality: Modality,
    weight: f32,
}

/// Where the model is that an index names.
///
/// # Errors
/// When there is no index, or no model there.
pub fn model_of(place: impl Into<IndexPlace>) -> Result<PathBuf> {
    let place = place.into();
    let stored = stored_model(&place.meta()?);
    stored.clone().filter(|path| path.exists()).ok_or_else(|| {
        let found = stored.map_or("no path stored".to_owned(), |path| format!("nothing at {}", path.display()));
        Error::not_found(format!("the model that made {place}"), found, "a run or checkpoint")
            .with_remedy(Remedy::NameIndexModel)
    })
}

/// A server searches from many threads.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Retriever>();
};

impl Retriever {
    /// Opens the index at `place` with the model at `model`, or with the one that the index names.
    ///
    /// # Errors
    /// When either cannot be opened, or another model made the index.
    pub fn open(place: impl Into<IndexPlace>, model: Option<&Path>) -> Result<Self> {
        let place = place.into();
        let path = match model {
            Some(path) => path.to_path_buf(),
            None => model_of(&place)?,
        };
        Self::with_encoder(place, Arc::new(Encoder::load(&path)?))
    }

    /// Opens the index at `place` with a model that is loaded.
    ///
    /// # Errors
    /// When the index cannot be opened, or another model made it.
    pub fn with_encoder(place: impl Into<IndexPlace>, encoder: Arc<Encoder>) -> Result<Self> {
        let place = place.into();
        let index = place.open()?;
        index.require_model(encoder.fingerprint())?;
        let calibration = Calibration::load(encoder.path(), &encoder)?.map(Arc::new);
        let root = stored_root(&place, index.meta());
        Ok(Self { encoder, place, index, root, calibration, known_hubness: KnownHubness::default() })
    }

    /// Opens the index again if it was changed since; returns whether it was. Finding out reads no more than the
    /// size and time of one file.
    ///
    /// # Errors
    /// When the index cannot be opened any more, or another model's has taken its place; the retriever is as it was then.
    pub fn refresh(&mut self) -> Result<bool> {
        let refreshed = self.refreshed()?;
        let is_changed = refreshed.is_some();
        if let Some(refreshed) = refreshed {
            *self = refreshed;
        }
        Ok(is_changed)
    }

    /// A retriever for the index as it is now, if it was changed since this one was opened: for threads that share one and
    /// go on with it meanwhile.
    ///
    /// # Errors
    /// As [`Retriever::refresh`].
    pub fn refreshed(&self) -> Result<Option<Self>> {
        if self.index.is_current() { Ok(None) } else { self.reopened().map(Some) }
    }

    /// A retriever for the index as it is now: after changes of one's own, which an index in a server does not tell of.
    ///
    /// # Errors
    /// As [`Retriever::refresh`].
    pub fn reopened(&self) -> Result<Self> {
        let index = self.index.reopen()?;
        index.require_model(self.encoder.fingerprint())?;
        let (place, root) = (self.place.clone(), stored_root(&self.place, index.meta()));
        let (encoder, calibration) = (self.encoder.clone(), self.calibration.clone());
        Ok(Self { encoder, place, index, root, calibration, known_hubness: KnownHubness::default() })
    }

    /// How scores become probabilities, if the model was calibrated.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_deref()
    }

    /// The index.
    pub fn index(&self) -> &dyn VectorStore {
        &*self.index
    }

    /// Where the index lies.
    pub fn place(&self) -> &IndexPlace {
        &self.place
    }

    /// The model.
    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.encoder
    }

    /// The folder that the paths of the index's items are relative to, if they are.
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// The file of an image of the index, links resolved.
    ///
    /// # Errors
    /// When it is not a file of its own, is gone, or does not lie in the folder, or folders, that were indexed: a link may lead
    /// out of them.
    pub fn file_of(&self, item: &ImageItem) -> Result<PathBuf> {
        let path = PathBuf::from(shown_path(self.root.as_deref(), &item.path));
        let missing = |found: &str| Error::not_found(format!("the file of image {}", item.id), found, "a file");
        let Ok(file) = std::fs::canonicalize(&path) else {
            return Err(missing("none").with_hint("if it was moved, index again; images in archives have no file"));
        };
        let images = Provenance::of(&self.place, self.index.meta())?.options()?.and_then(|o| o.source.images);
        let is_inside = self.root.iter().chain(&images).any(|folder| file.starts_with(real(folder)));
        match (is_inside, file.is_file()) {
            (true, true) => Ok(file),
            (true, false) => Err(missing("no file")),
            (false, _) => Err(missing("a place outside the indexed folder")
                .with_hint("only files in the indexed folder are given out: links do not lead out of it")),
        }
    }

    /// The best items of `options.target`: score = Σ wᵢ·scoreᵢ(item), where a text meets an image by the model's combined
    /// score, and like meets like by the cosine of `[h ; l]`. Equal parts count as one with the sum of their weights; texts
    /// without words are left out. Equal captions of one image are one hit. Paths of hits are absolute. Hubs are corrected where that
    /// is possible ([`Ranking::keep_hubs`](super::Ranking)).
    ///
    /// # Errors
    /// When an image of the query cannot be read, captions are wanted from an index without any, or λ is out of range.
    pub fn search(&self, query: &Query, options: &SearchOptions<'_>) -> Result<Found> {
        self.search_by(query, options, |_, part| self.embedding(&part.content))
    }

    /// [`Retriever::search`] with embeddings from elsewhere, such as [`Retriever::embedding`] on another thread. `encode` is
    /// called with a part and its place, not for texts without words.
    ///
    /// # Errors
    /// As [`Retriever::search`], and those of `encode`.
    pub fn search_by(
        &self,
        query: &Query,
        options: &SearchOptions<'_>,
        encode: impl FnMut(usize, &Part) -> Result<Vec<f32>>,
    ) -> Result<Found> {
        self.search_scored(query, options, false, encode)
    }

    /// [`Retriever::search_by`], with hubs corrected or not.
    pub(super) fn search_scored(
        &self,
        query: &Query,
        options: &SearchOptions<'_>,
        keep_hubs: bool,
        encode: impl FnMut(usize, &Part) -> Result<Vec<f32>>,
    ) -> Result<Found> {
        let target = options.target;
        // An index in a server may have got some since, which it knows when it was asked.
        let require_captions = || {
            if target == Modality::Image || self.index.meta().captions.is_some() || self.index.count(target) > 0 {
                return Ok(());
            }
            Err(Error::unsupported("captions of the index", "none", "an index with captions")
                .with_remedy(Remedy::IndexDataset))
        };
        if self.index.folder().is_some() {
            require_captions()?;
        }
        let unknown_fields = match options.filter {
            Some(filter) => self.index.unknown_fields(target, filter)?,
            None => Vec::new(),
        };
        let mut found = Found {
            columns: if unknown_fields.is_empty() { Vec::new() } else { self.index.columns()? },
            unknown_fields,
            unknown_words: self.encoder.unknown_words(query.texts()),
            without_words: query.texts().filter(|text| !has_word(text)).map(str::to_owned).collect(),
            ..Found::default()
        };
        if self.says_nothing(query) {
            // Any hit would be chance.
            return Ok(found);
        }
        let vectors = embed(query, encode)?;
        found.cancels_out = vectors.is_empty() && found.without_words.len() < query.parts.len();
        if vectors.is_empty() && !query.parts.is_empty() {
            return Ok(found);
        }
        let kind = |modality: Modality| if modality == target { PartKind::Same } else { PartKind::Cross };
        let parts: Vec<QueryPart<'_>> = (vectors.iter())
            .map(|Embedded { vector, modality, weight }| QueryPart { vector, weight: *weight, kind: kind(*modality) })
            .collect();
        let options = &SearchOptions { fold_captions: true, ..*options };
        let scale = self.calibration().and_then(|calibration| calibration.of_query(&parts, options, keep_hubs));
        let hits: Vec<(Hit, Option<f32>)> = match (&scale, parts.as_slice()) {
            (Some(scale), &[part]) if scale.corrects_hubs() => self.hits_without_hubs(scale, part, options)?,
            _ => self.index.search(&parts, options)?.into_iter().map(|hit| (hit, None)).collect(),
        };
        if hits.is_empty() {
            require_captions()?;
        }
        found.without_relevance = match (self.calibration(), &scale) {
            (None, _) => Some(WithoutRelevance::NotCalibrated),
            (Some(_), None) => Some(WithoutRelevance::OtherQuery),
            (Some(_), Some(_)) => None,
        };
        found.probably_none = match (&scale, hits.first()) {
            // Further pages and filters do not show the best of all.
            (Some(scale), Some((best, _))) => {
                options.offset == 0 && options.filter.is_none() && scale.says_none(best.score)
            }
            _ => false,
        };
        let ranked = |(at, (hit, hubness)): (usize, (Hit, Option<f32>))| {
            let place = options.offset + at;
            // Behind a filter the best hit counts as any other: what the filter holds back may be better.
            let counted = place + usize::from(options.filter.is_some());
            let relevance = scale.as_ref().map(|scale| scale.probability(counted, hit.score));
            self.ranked(place + 1, hit, hubness, relevance)
        };
        found.hits = hits.into_iter().enumerate().map(ranked).collect();
        Ok(found)
    }

    /// The embedding `[h ; l]` of what a part asks for.
    ///
    /// # Errors
    /// When an image cannot be read, or the index has no image of that id.
    pub fn embedding(&self, content: &Content) -> Result<Vec<f32>> {
        let rows = match content {
            Content::Text(text) => self.encoder.encode_text(text)?,
            Content::File(path) => self.encoder.encode_image(path.as_path())?,
            Content::Bytes(bytes) => self.encoder.encode_image(bytes.as_slice())?,
            Content::Pixels(pixels) => self.encoder.encode_image(pixels)?,
            Content::Item(id) => {
                let found = self.index.embeddings(Modality::Image, &[id])?.remove(0);
                return found
                    .ok_or_else(|| Error::not_found(format!("image {id}"), "no such id", "an image of the index"));
            }
        };
        Ok(rows.joined(0))
    }

    fn ranked(&self, rank: usize, hit: Hit, hubness: Option<f32>, relevance: Option<f32>) -> RankedHit {
        let LevelScores { abstract_level, grounded_level } = hit.parts;
        let copies = hit.caption.is_some().then_some(hit.copies);
        let (caption, image_id) = hit.caption.map(|caption| (caption.text, caption.image_id)).unzip();
        RankedHit {
            rank,
            row: hit.row,
            id: hit.id,
            path: shown_path(self.root.as_deref(), &hit.path),
            score: hit.score,
            relevance,
            parts: ScoreParts { abstract_level, grounded_level, hubness },
            caption,
            image_id,
            copies,
        }
    }

    /// Whether a query has no image and no word that the model knows.
    fn says_nothing(&self, query: &Query) -> bool {
        let texts_only = query.parts.iter().all(|part| matches!(part.content, Content::Text(_)));
        !query.parts.is_empty() && texts_only && query.texts().flat_map(tokenize).all(|word| !self.encoder.knows(&word))
    }
}

/// The parts of the query that have something to say, equal ones as one with the sum of their weights.
fn embed(query: &Query, mut encode: impl FnMut(usize, &Part) -> Result<Vec<f32>>) -> Result<Vec<Embedded>> {
    /// Share of the weights below which their sum is a rounding error.
    const CANCELLED: f32 = 1e-6;
    let mut embedded: Vec<(Embedded, f32)> = Vec::new();
    for (place, part) in query.parts.iter().enumerate() {
        let modality = match &part.content {
            Content::Text(text) if !has_word(text) => continue,
            Content::Text(_) => Modality::Text,
            _ => Modality::Image,
        };
        let (vector, weight) = (encode(place, part)?, part.weight);
        match embedded.iter_mut().find(|(other, _)| (&other.vector, other.modality) == (&vector, modality)) {
            Some((other, size)) => (other.weight, *size) = (other.weight + weight, *size + weight.abs()),
            None => embedded.push((Embedded { vector, modality, weight }, weight.abs())),
        }
    }
    embedded.retain(|(part, size)| part.weight.abs() > CANCELLED * size);
    Ok(embedded.into_iter().map(|(part, _)| part).collect())
}
