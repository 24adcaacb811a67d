//! [`EncodedDataset`]: a dataset's embeddings, for evaluation and for other programs.

use std::collections::HashMap;
use std::path::Path;

use serde_json::json;

use crate::checkpoint::pretty;
use crate::config::RunConfig;
use crate::encoder::{Encoder, GeneratedCaption, Trained};
use crate::model::EmbeddingRows;
use gxn_base::fs::{build_folder_atomically, write_synced};
use gxn_base::{Error, Progress, Result};
use gxn_data::{Account, Caption, Dataset, Dropped, ImageLimits, ImageSource, Purpose, Split};
use gxn_eval::metrics::{Bootstrap, Metrics};
use gxn_eval::{
    About, Embeddings, Hubness, Judging, LevelEmbeddings, ObjectLabels, PlausibleMatch, Protocol, ReferenceCaptions,
    Report, Reranking, Scoring, write_npy,
};

/// Images encoded between two reports of progress.
const BATCH: usize = 64;

/// Embeddings of the images that could be read and of their captions, in the data's order.
#[derive(Debug, Clone)]
pub struct EncodedDataset {
    /// One row per image.
    pub images: EmbeddingRows,
    /// One row per caption.
    pub captions: EmbeddingRows,
    /// Ids of the image rows.
    pub image_ids: Vec<String>,
    /// Ids of the caption rows.
    pub caption_ids: Vec<String>,
    /// Image row of each caption row.
    pub caption_image: Vec<usize>,
    /// The caption that the model generates for each image, where that was asked for.
    pub generated: Vec<GeneratedCaption>,
    /// Images that could not be read; their captions are left out too.
    pub dropped: Vec<Dropped>,
    /// What is taken off every score, where [`EncodedDataset::correct_hubs`] was called.
    pub hubness: Option<Hubness>,
}

/// What is encoded of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EncodeOptions {
    /// One split; all where it is none.
    pub split: Option<Split>,
    /// With a beam, each image also gets the likeliest caption that beam search finds.
    pub beam: Option<usize>,
}

/// Embeds a dataset, or one split of it. `progress` counts images.
///
/// # Errors
/// When no image can be read, the model cannot caption images and is asked to, or `progress` is cancelled.
pub fn encode_dataset(
    encoder: &Encoder,
    dataset: &Dataset,
    options: EncodeOptions,
    progress: &dyn Progress,
) -> Result<EncodedDataset> {
    if let Some(beam) = options.beam {
        // Refused before the images are encoded.
        encoder.caption_features(&[], beam)?;
    }
    note_cut(encoder, dataset, options.split, progress)?;
    DatasetFeatures::extract(encoder, dataset, options.split, progress)?.encode(encoder, dataset, options.beam)
}

/// Reports captions of which the encoder reads a part only; in strict mode they are a fault.
fn note_cut(encoder: &Encoder, dataset: &Dataset, split: Option<Split>, progress: &dyn Progress) -> Result<()> {
    let chosen = |caption: &&Caption| split.is_none_or(|split| dataset.images[caption.image].split == split);
    let texts = dataset.captions.iter().filter(chosen).map(|caption| caption.text.as_str());
    encoder.note_cut_texts(texts, dataset.account.strict, progress)
}

/// The CNN's features of a dataset's images: models that share a CNN share them.
#[derive(Debug, Clone)]
pub struct DatasetFeatures {
    /// `[N, F]`, one row for each image that could be read.
    features: Vec<f32>,
    /// Row of each image of the dataset.
    row_of: Vec<Option<usize>>,
    dropped: Vec<Dropped>,
}

impl DatasetFeatures {
    /// The CNN's part of [`encode_dataset`]. Features that the encoder's cache holds are not computed again.
    ///
    /// # Errors
    /// As [`encode_dataset`].
    pub fn extract(
        encoder: &Encoder,
        dataset: &Dataset,
        split: Option<Split>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        if let Some(split) = split {
            dataset.require(Purpose::Evaluate(split))?;
        }
        let chosen: Vec<usize> =
            (0..dataset.images.len()).filter(|&at| split.is_none_or(|s| dataset.images[at].split == s)).collect();
        let mut found = Self { features: Vec::new(), row_of: vec![None; dataset.images.len()], dropped: Vec::new() };
        if let Some(files) = encoder.trained().ok().and_then(Trained::image_files) {
            found.features = files.image_features(dataset, chosen.iter().copied())?;
            chosen.iter().enumerate().for_each(|(row, &at)| found.row_of[at] = Some(row));
            return Ok(found);
        }
        let (mut done, mut rows) = (0, 0);
        for chunk in chosen.chunks(BATCH) {
            let sources: Vec<&ImageSource> = chunk.iter().map(|&at| &dataset.images[at].source).collect();
            for (outcome, &at) in encoder.image_features(&sources, &ImageLimits::default())?.into_iter().zip(chunk) {
                match outcome {
                    Ok(image) => {
                        found.features.extend(image.feature);
                        found.row_of[at] = Some(rows);
                        rows += 1;
                    }
                    Err(error) => {
                        found.dropped.push(Dropped { what: dataset.images[at].id.clone(), reason: error.in_full() });
                    }
                }
            }
            done += chunk.len();
            progress.update("images", done, chosen.len());
            if progress.cancelled() {
                return Err(Error::interrupted());
            }
        }
        let account = Account { dropped: found.dropped.clone(), ..dataset.account.later() };
        account.require_clean(&dataset.name)?;
        if rows > 0 {
            return Ok(found);
        }
        let what = split.map_or_else(|| dataset.name.clone(), |s| format!("the {s} split of {}", dataset.name));
        let reason = match found.dropped.first() {
            Some(first) => format!("no readable image ({}: {})", first.what, first.reason),
            None => "no image".into(),
        };
        Err(Error::invalid(what, reason, "images with captions"))
    }

    /// The rest of [`encode_dataset`], by a model with the same CNN.
    ///
    /// # Errors
    /// As [`Encoder::caption_features`].
    pub fn encode(&self, encoder: &Encoder, dataset: &Dataset, beam: Option<usize>) -> Result<EncodedDataset> {
        let read = (0..dataset.images.len()).filter(|&at| self.row_of[at].is_some());
        let image_ids: Vec<String> = read.map(|at| dataset.images[at].id.clone()).collect();
        let mut images = EmbeddingRows::new(encoder.dim(), encoder.has_grounded_level());
        let mut generated = Vec::new();
        for features in self.features.chunks(BATCH * encoder.feature_dim()) {
            images.append(encoder.encode_features(features));
            if let Some(beam) = beam {
                let captions = encoder.caption_features(features, beam)?;
                generated.extend(captions.into_iter().filter_map(|best| best.into_iter().next()));
            }
        }
        let (mut chosen, mut caption_ids, mut caption_image) = (Vec::new(), Vec::new(), Vec::new());
        for (at, caption) in dataset.captions.iter().enumerate() {
            if let Some(row) = self.row_of[caption.image] {
                chosen.push(at);
                caption_ids.push(caption.id.clone());
                caption_image.push(row);
            }
        }
        let captions = encoder.encode_captions(dataset, &chosen)?;
        let dropped = self.dropped.clone();
        Ok(EncodedDataset {
            images,
            captions,
            image_ids,
            caption_ids,
            caption_image,
            generated,
            dropped,
            hubness: None,
        })
    }
}

/// The score that a configuration trains: its similarity and λ.
pub fn scoring(config: &RunConfig) -> Scoring {
    Scoring { similarity: config.matching.similarity, lambda: config.matching.effective_lambda() as f32 }
}

/// The caption embeddings beside those of images, both of the same network.
pub fn paired<'a>(images: &'a EmbeddingRows, captions: &'a EmbeddingRows) -> Embeddings<'a> {
    let dim = images.dim;
    let grounded = images.grounded_level.as_ref().zip(captions.grounded_level.as_ref());
    Embeddings {
        abstract_level: LevelEmbeddings { images: &images.abstract_level, captions: &captions.abstract_level, dim },
        grounded_level: grounded.map(|(images, captions)| LevelEmbeddings { images, captions, dim }),
        hubness: None,
    }
}

/// The captions of one split as references, under the dataset's image ids.
pub fn reference_captions(dataset: &Dataset, split: Split) -> ReferenceCaptions {
    let image = |image: usize| {
        let captions = dataset.captions_of(image).map(|at| dataset.captions[at].text.clone()).collect();
        (dataset.images[image].id.clone(), captions)
    };
    let images = dataset.split_indices(split).into_iter().map(image);
    ReferenceCaptions::of_split(&dataset.name, &split.to_string(), images)
}

impl EncodedDataset {
    /// The captions behind the rows, by their ids, from the dataset that was encoded.
    pub fn caption_texts<'a>(&self, dataset: &'a Dataset) -> Vec<&'a str> {
        let by_id: HashMap<&str, &str> =
            dataset.captions.iter().map(|caption| (caption.id.as_str(), caption.text.as_str())).collect();
        self.caption_ids.iter().map(|id| by_id.get(id.as_str()).copied().unwrap_or_default()).collect()
    }

    /// The images behind the rows, by their ids, from the dataset that was encoded.
    pub(super) fn sources<'a>(&self, dataset: &'a Dataset) -> Vec<&'a ImageSource> {
        let by_id: HashMap<&str, &ImageSource> =
            dataset.images.iter().map(|image| (image.id.as_str(), &image.source)).collect();
        self.image_ids.iter().filter_map(|id| by_id.get(id.as_str()).copied()).collect()
    }

    /// These embeddings with another model's of the same data beside them: a score is then the mean of both models' cosines, or
    /// the sum of their order similarities. Hubs are corrected after that.
    ///
    /// # Errors
    /// When the models did not encode the same items, or have different numbers of levels.
    pub fn beside(&self, other: &Self) -> Result<Self> {
        let items = |one: &Self| (one.image_ids.clone(), one.caption_ids.clone());
        if items(self) != items(other) {
            return Err(Error::conflict(
                "the models' embeddings",
                "other images or captions",
                "the same of each model",
            ));
        }
        let (images, captions) = (self.images.beside(&other.images)?, self.captions.beside(&other.captions)?);
        Ok(Self { images, captions, hubness: None, ..self.clone() })
    }

    /// What is ranked.
    pub(super) fn embeddings(&self) -> Embeddings<'_> {
        Embeddings { hubness: self.hubness.as_ref().map(Hubness::rows), ..paired(&self.images, &self.captions) }
    }

    /// From now on scores are less [`Hubness`], which `bank` shows: encoded by the same model, of the same kind, and none of it
    /// among these items, such as the training data. Of equal captions, or images, one counts.
    ///
    /// # Errors
    /// As [`Hubness::of`].
    pub fn correct_hubs(&mut self, bank: &Self, scoring: Scoring) -> Result<()> {
        let distinct = |rows: &EmbeddingRows| rows.permuted(&rows.distinct());
        let (images, captions) = (distinct(&bank.images), distinct(&bank.captions));
        let items = paired(&self.images, &self.captions);
        self.hubness = Some(Hubness::of(&items, &paired(&images, &captions), scoring)?);
        Ok(())
    }

    /// Recall and ranks over everything that was encoded, without intervals.
    ///
    /// # Errors
    /// When an image has no caption, or λ does not fit.
    pub fn metrics(&self, scoring: Scoring) -> Result<Metrics> {
        self.embeddings().metrics(&self.caption_image, scoring)
    }

    /// PMRP over everything that was encoded.
    ///
    /// # Errors
    /// As [`PlausibleMatch::of`].
    pub fn plausible_match(&self, scoring: Scoring, labels: &ObjectLabels) -> Result<PlausibleMatch> {
        PlausibleMatch::of(&self.embeddings(), scoring, &self.image_ids, &self.caption_image, labels)
    }

    /// Ranks, metrics and intervals under a protocol.
    ///
    /// # Errors
    /// As [`Protocol::evaluate_by`].
    pub fn report(
        &self,
        protocol: Protocol,
        scoring: Scoring,
        judging: &Judging,
        about: About,
        bootstrap: Bootstrap,
    ) -> Result<Report> {
        self.report_reranked(protocol, scoring, judging, None, about, bootstrap)
    }

    /// [`EncodedDataset::report`] with a second score. Its positions are rows.
    ///
    /// # Errors
    /// As [`Protocol::evaluate_reranked`].
    pub(super) fn report_reranked(
        &self,
        protocol: Protocol,
        scoring: Scoring,
        judging: &Judging,
        reranking: Option<Reranking<'_>>,
        about: About,
        bootstrap: Bootstrap,
    ) -> Result<Report> {
        let (embeddings, count) = (self.embeddings(), self.images.count);
        let evaluation =
            protocol.evaluate_reranked(count, &self.caption_image, &embeddings, scoring, judging, reranking)?;
        let mut report = Report::new(&evaluation, &self.image_ids, about, bootstrap)?;
        report.hubness_bank = self.hubness.as_ref().map(|hubness| hubness.bank);
        Ok(report)
    }

    /// Writes `img_emb.npy`, `text_emb.npy` (rows `[h ; l]`, f32), `metadata.json` and the ids one per line in
    /// `image_ids.txt` and `caption_image_ids.txt` into the new folder `dir`.
    ///
    /// # Errors
    /// When `dir` exists or cannot be written.
    pub fn save(&self, dir: &Path, encoder: &Encoder) -> Result<()> {
        build_folder_atomically(dir, |folder| {
            for (name, rows) in [("img_emb.npy", &self.images), ("text_emb.npy", &self.captions)] {
                let values: Vec<f32> = (0..rows.count).flat_map(|row| rows.joined(row)).collect();
                write_npy(&folder.join(name), &values, rows.joined_width())?;
            }
            let lines = |ids: &mut dyn Iterator<Item = &String>| ids.map(|id| format!("{id}\n")).collect::<String>();
            write_synced(&folder.join("image_ids.txt"), lines(&mut self.image_ids.iter()).as_bytes())?;
            let of_captions = lines(&mut self.caption_image.iter().map(|&row| &self.image_ids[row]));
            write_synced(&folder.join("caption_image_ids.txt"), of_captions.as_bytes())?;
            let metadata = json!({
                "model": encoder.fingerprint(),
                "prompts": encoder.prompts(),
                "dim": self.images.dim,
                "levels": if self.images.grounded_level.is_some() { 2 } else { 1 },
                "similarity": encoder.config().matching.similarity,
                "lambda": encoder.lambda(),
                "image_ids": self.image_ids,
                "caption_ids": self.caption_ids,
                "caption_image": self.caption_image,
            });
            write_synced(&folder.join("metadata.json"), pretty(&metadata).as_bytes())
        })
    }
}
