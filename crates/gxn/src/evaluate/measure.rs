//! [`Measurement`]: a model's retrieval report on a split.

use std::path::Path;

use super::encode::{EncodeOptions, EncodedDataset, encode_dataset, scoring};
use crate::checkpoint::short;
use crate::encoder::{Encoder, LIKELIHOOD_IMAGES};
use crate::retrieve::calibration::evenly_spread;
use gxn_base::{Error, Progress, Remedy, Result};
use gxn_data::{Dataset, Purpose, Split};
use gxn_eval::metrics::Bootstrap;
use gxn_eval::{About, Judging, Protocol, Report, Reranking, Scoring};

/// What is measured, and how.
#[derive(Debug, Clone, Copy)]
pub struct Measurement<'a> {
    /// The model.
    pub encoder: &'a Encoder,
    /// Where it was loaded from; stands in the report.
    pub model: &'a Path,
    /// The data.
    pub dataset: &'a Dataset,
    /// The split of it.
    pub split: Split,
    /// Which images and captions count.
    pub protocol: Protocol,
    /// Similarity and λ.
    pub scoring: Scoring,
    /// For the confidence intervals.
    pub bootstrap: Bootstrap,
}

impl<'a> Measurement<'a> {
    /// Under the protocol `full` and with the score that the model was trained with.
    pub fn new(encoder: &'a Encoder, model: &'a Path, dataset: &'a Dataset, split: Split) -> Self {
        let scoring = scoring(encoder.config());
        Self { encoder, model, dataset, split, protocol: Protocol::Full, scoring, bootstrap: Bootstrap::default() }
    }

    /// The same with another λ.
    ///
    /// # Errors
    /// When it lies outside 0..=1, or the model has one level and λ is not 1.
    pub fn with_lambda(mut self, lambda: f32) -> Result<Self> {
        let one_level = !self.encoder.has_grounded_level();
        if !(0.0..=1.0).contains(&lambda) || (one_level && lambda != 1.0) {
            let expected = if one_level { "1, because the model has one level" } else { "a weight in 0..=1" };
            return Err(Error::invalid("λ", lambda.to_string(), expected).with_remedy(Remedy::ChooseLambda));
        }
        self.scoring.lambda = lambda;
        Ok(self)
    }

    /// Encodes the split and reports on it. Images that cannot be read are left out, with a note.
    ///
    /// # Errors
    /// As [`encode_dataset`] and [`EncodedDataset::report`].
    pub fn run(&self, progress: &dyn Progress) -> Result<Report> {
        let options = EncodeOptions { split: Some(self.split), beam: None };
        let encoded = encode_dataset(self.encoder, self.dataset, options, progress)?;
        for dropped in &encoded.dropped {
            progress.note(&format!("left out {}: {}", dropped.what, dropped.reason));
        }
        self.report(&encoded)
    }

    /// The report of the split, which is encoded already.
    ///
    /// # Errors
    /// As [`EncodedDataset::report`].
    pub fn report(&self, encoded: &EncodedDataset) -> Result<Report> {
        self.report_by(encoded, &Judging::default())
    }

    /// [`Measurement::report`] by another rule of what counts as right.
    ///
    /// # Errors
    /// As [`EncodedDataset::report`].
    pub fn report_by(&self, encoded: &EncodedDataset, judging: &Judging) -> Result<Report> {
        encoded.report(self.protocol, self.scoring, judging, self.about(), self.bootstrap)
    }

    /// [`Measurement::report_by`], with the `candidates` best images of each caption ranked once more by score + weight · ln p(caption
    /// | image), the caption decoder's; where `captions_too`, also the best captions of each image, by score + weight · (ln p(caption |
    /// image) − ln p(caption)). How likely a caption is with any image, train images tell, which are read for it. Without a weight
    /// the best one on these queries is taken, which the report says. `progress` counts pairs of an image and a caption.
    ///
    /// # Errors
    /// As [`Measurement::report_by`] and [`Measurement::check_reranking`], and when `progress` is cancelled.
    pub fn report_reranked(
        &self,
        encoded: &EncodedDataset,
        judging: &Judging,
        candidates: usize,
        weight: Option<f32>,
        captions_too: bool,
        progress: &dyn Progress,
    ) -> Result<Report> {
        self.check_reranking(captions_too)?;
        let texts = encoded.caption_texts(self.dataset);
        let grounded = encoded.images.grounded_level.as_deref().unwrap_or_default();
        let bank = captions_too.then(|| self.other_images()).transpose()?;
        let second = |pairs: &[(usize, usize)]| match &bank {
            Some(bank) => self.encoder.caption_information(grounded, bank, &texts, pairs, progress),
            None => self.encoder.caption_log_likelihoods(grounded, &texts, pairs, progress),
        };
        let reranking = Some(Reranking { candidates, weight, second: &second, image_to_text: captions_too });
        encoded.report_reranked(self.protocol, self.scoring, judging, reranking, self.about(), self.bootstrap)
    }

    /// Refuses what [`Measurement::report_reranked`] cannot report, before anything is encoded.
    ///
    /// # Errors
    /// When the model has no caption decoder; with `captions_too`, as [`Measurement::check_train_images`].
    pub fn check_reranking(&self, captions_too: bool) -> Result<()> {
        self.encoder.caption_decoder()?;
        if captions_too { self.check_train_images("tell how likely a caption is with any image") } else { Ok(()) }
    }

    /// Refuses data without train images beside what is measured, where they are needed: `why` goes on "train images …".
    ///
    /// # Errors
    /// When there are none, or they are what is measured.
    pub fn check_train_images(&self, why: &str) -> Result<()> {
        if self.split == Split::Train {
            return Err(Error::invalid("the split to measure", "train", format!("another one: train images {why}")));
        }
        if self.dataset.split_indices(Split::Train).is_empty() {
            let expected = format!("some: train images {why}");
            return Err(Error::invalid(format!("the train split of {}", self.dataset.name), "no image", expected)
                .with_remedy(Remedy::GiveSplits));
        }
        Ok(())
    }

    /// Refuses data without the split, or whose counts are not the protocol's, before anything is encoded.
    ///
    /// # Errors
    /// As [`Dataset::require`] and [`Protocol::select`].
    pub fn check_protocol(&self) -> Result<()> {
        self.dataset.require(Purpose::Evaluate(self.split))?;
        let images = self.dataset.split_indices(self.split);
        let owners =
            images.iter().enumerate().flat_map(|(row, &image)| self.dataset.captions_of(image).map(move |_| row));
        self.protocol.select(images.len(), &owners.collect::<Vec<usize>>()).map(drop)
    }

    /// The data's train images, evenly spread where there are more than `most`.
    pub fn train_images(&self, most: usize) -> Dataset {
        let train = self.dataset.split_indices(Split::Train);
        let chosen: Vec<usize> = evenly_spread(train.len(), most).into_iter().map(|at| train[at]).collect();
        self.dataset.subset(&chosen)
    }

    /// v_l of images that are not measured.
    fn other_images(&self) -> Result<Vec<f32>> {
        let options = EncodeOptions { split: Some(Split::Train), beam: None };
        let encoded = encode_dataset(self.encoder, &self.train_images(LIKELIHOOD_IMAGES), options, &())?;
        Ok(encoded.images.grounded_level.unwrap_or_default())
    }

    fn about(&self) -> About {
        let is_on_files = self.encoder.trained().is_ok_and(|trained| trained.image_files().is_some());
        let on_files = if is_on_files { ", on embeddings from files" } else { "" };
        About {
            dataset: self.dataset.name.clone(),
            split: self.split.to_string(),
            model: format!("{} {}{on_files}", self.model.display(), short(self.encoder.fingerprint())),
            data_sha: Some(self.dataset.hash()),
        }
    }
}
