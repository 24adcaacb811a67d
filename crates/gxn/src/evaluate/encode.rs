//! A data set's embeddings, for evaluation and for other programs.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use crate::checkpoint::pretty;
use crate::config::RunConfig;
use crate::encoder::{Encoder, GeneratedCaption};
use crate::model::EmbeddingRows;
use gxn_base::fs::{build_folder_atomically, write_synced};
use gxn_base::{Error, Result};
use gxn_data::{Dataset, Dropped, ImageLimits, ImageSource, Split};
use gxn_eval::metrics::{Bootstrap, Metrics};
use gxn_eval::{About, Embeddings, Level, Protocol, ReferenceCaptions, Report, Scoring};

/// Pictures looked at together; the unit of progress.
const BATCH: usize = 64;

/// Embeddings of the images that could be read and of their captions, in the data's order.
#[derive(Debug, Clone)]
pub struct EncodedDataset {
    /// One row an image.
    pub images: EmbeddingRows,
    /// One row a caption.
    pub captions: EmbeddingRows,
    /// Ids of the image rows.
    pub image_ids: Vec<String>,
    /// Ids of the caption rows.
    pub caption_ids: Vec<String>,
    /// Image row of each caption row.
    pub caption_image: Vec<usize>,
    /// What the model says about each image, where that was asked for.
    pub imagined: Vec<GeneratedCaption>,
    /// Pictures that could not be read; their captions are left out too.
    pub dropped: Vec<Dropped>,
}

/// Embeds a data set, or one split of it. `progress` gets images done, images in all and images a second, and says
/// whether to go on.
///
/// # Errors
/// When no picture can be read, or `progress` breaks off.
pub fn encode_dataset(
    encoder: &Encoder,
    dataset: &Dataset,
    split: Option<Split>,
    progress: &mut dyn FnMut(usize, usize, f64) -> bool,
) -> Result<EncodedDataset> {
    embed_and_describe(encoder, dataset, &extract_features(encoder, dataset, split, progress)?, None)
}

/// What the CNN sees in the pictures of a data set: models that share a CNN share this.
#[derive(Debug, Clone)]
pub struct ImageFeatures {
    /// `[N, F]`, one row for each picture that could be read.
    features: Vec<f32>,
    /// Row of each image of the data set.
    row_of: Vec<Option<usize>>,
    dropped: Vec<Dropped>,
}

/// The CNN's part of [`encode_dataset`].
///
/// # Errors
/// As [`encode_dataset`].
pub fn extract_features(
    encoder: &Encoder,
    dataset: &Dataset,
    split: Option<Split>,
    progress: &mut dyn FnMut(usize, usize, f64) -> bool,
) -> Result<ImageFeatures> {
    let start = Instant::now();
    let chosen: Vec<usize> =
        (0..dataset.images.len()).filter(|&at| split.is_none_or(|s| dataset.images[at].split == s)).collect();
    let mut looked =
        ImageFeatures { features: Vec::new(), row_of: vec![None; dataset.images.len()], dropped: Vec::new() };
    let (mut done, mut rows) = (0, 0);
    for chunk in chosen.chunks(BATCH) {
        let sources: Vec<&ImageSource> = chunk.iter().map(|&at| &dataset.images[at].source).collect();
        for (outcome, &at) in encoder.image_features(&sources, &ImageLimits::default())?.into_iter().zip(chunk) {
            match outcome {
                Ok(found) => {
                    looked.features.extend(found.feature);
                    looked.row_of[at] = Some(rows);
                    rows += 1;
                }
                Err(error) => {
                    looked.dropped.push(Dropped { what: dataset.images[at].id.clone(), reason: error.to_string() });
                }
            }
        }
        done += chunk.len();
        if !progress(done, chosen.len(), done as f64 / start.elapsed().as_secs_f64().max(1e-9)) {
            return Err(Error::interrupted());
        }
    }
    if rows > 0 {
        return Ok(looked);
    }
    let what = split.map_or_else(|| dataset.name.clone(), |s| format!("the {s} split of {}", dataset.name));
    let found = match looked.dropped.first() {
        Some(first) => format!("no readable picture ({}: {})", first.what, first.reason),
        None => "no picture".into(),
    };
    Err(Error::invalid(what, found, "pictures with captions"))
}

/// The rest of [`encode_dataset`], for a data set whose pictures a model with the same CNN has looked at. With a beam, each
/// image is also described by the likeliest caption that beam search finds.
///
/// # Errors
/// As [`Encoder::describe`].
pub fn embed_and_describe(
    encoder: &Encoder,
    dataset: &Dataset,
    looked: &ImageFeatures,
    beam: Option<usize>,
) -> Result<EncodedDataset> {
    let seen = (0..dataset.images.len()).filter(|&at| looked.row_of[at].is_some());
    let image_ids: Vec<String> = seen.map(|at| dataset.images[at].id.clone()).collect();
    let width = looked.features.len() / image_ids.len();
    let mut images = EmbeddingRows::new(encoder.dim(), encoder.has_grounded_level());
    let mut imagined = Vec::new();
    for features in looked.features.chunks(BATCH * width) {
        images.append(encoder.encode_features(features));
        if let Some(beam) = beam {
            imagined.extend(
                encoder.caption_features(features, beam)?.into_iter().filter_map(|best| best.into_iter().next()),
            );
        }
    }
    let (mut texts, mut caption_ids, mut caption_image) = (Vec::new(), Vec::new(), Vec::new());
    for caption in &dataset.captions {
        if let Some(row) = looked.row_of[caption.image] {
            texts.push(caption.text.as_str());
            caption_ids.push(caption.id.clone());
            caption_image.push(row);
        }
    }
    let captions = encoder.encode_texts(&texts);
    let dropped = looked.dropped.clone();
    Ok(EncodedDataset { images, captions, image_ids, caption_ids, caption_image, imagined, dropped })
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
        abstract_level: Level { images: &images.abstract_level, captions: &captions.abstract_level, dim },
        grounded_level: grounded.map(|(images, captions)| Level { images, captions, dim }),
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
    /// The captions behind the rows, by their ids, from the data set that was encoded.
    pub fn caption_texts<'a>(&self, dataset: &'a Dataset) -> Vec<&'a str> {
        let by_id: HashMap<&str, &str> =
            dataset.captions.iter().map(|caption| (caption.id.as_str(), caption.text.as_str())).collect();
        self.caption_ids.iter().map(|id| by_id.get(id.as_str()).copied().unwrap_or_default()).collect()
    }

    /// The pictures behind the rows, by their ids, from the data set that was encoded.
    pub(super) fn sources<'a>(&self, dataset: &'a Dataset) -> Vec<&'a ImageSource> {
        let by_id: HashMap<&str, &ImageSource> =
            dataset.images.iter().map(|image| (image.id.as_str(), &image.source)).collect();
        self.image_ids.iter().filter_map(|id| by_id.get(id.as_str()).copied()).collect()
    }

    /// Recall and ranks over everything that was encoded, without intervals.
    ///
    /// # Errors
    /// When an image has no caption, or λ does not fit.
    pub fn metrics(&self, scoring: Scoring) -> Result<Metrics> {
        paired(&self.images, &self.captions).metrics(&self.caption_image, scoring)
    }

    /// Ranks, metrics and intervals under a protocol.
    ///
    /// # Errors
    /// When the counts are not the protocol's.
    pub fn report(&self, protocol: Protocol, scoring: Scoring, about: About, bootstrap: Bootstrap) -> Result<Report> {
        let embeddings = paired(&self.images, &self.captions);
        let evaluation = protocol.evaluate(self.images.count, &self.caption_image, &embeddings, scoring)?;
        Report::new(&evaluation, &self.image_ids, about, bootstrap)
    }

    /// Writes `img_emb.npy`, `text_emb.npy` (rows `[h ; l]`, f32), `metadata.json` and the ids one a line in
    /// `image_ids.txt` and `caption_image_ids.txt` into the new folder `dir`.
    ///
    /// # Errors
    /// When `dir` exists or cannot be written.
    pub fn save(&self, dir: &Path, encoder: &Encoder) -> Result<()> {
        build_folder_atomically(dir, |folder| {
            for (name, rows) in [("img_emb.npy", &self.images), ("text_emb.npy", &self.captions)] {
                let values: Vec<f32> = (0..rows.count).flat_map(|row| rows.joined(row)).collect();
                gxn_eval::npy::write_npy(&folder.join(name), &values, rows.joined_width())?;
            }
            let lines = |ids: &mut dyn Iterator<Item = &String>| ids.map(|id| format!("{id}\n")).collect::<String>();
            write_synced(&folder.join("image_ids.txt"), lines(&mut self.image_ids.iter()).as_bytes())?;
            let of_captions = lines(&mut self.caption_image.iter().map(|&row| &self.image_ids[row]));
            write_synced(&folder.join("caption_image_ids.txt"), of_captions.as_bytes())?;
            let metadata = json!({
                "model": encoder.fingerprint(),
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
