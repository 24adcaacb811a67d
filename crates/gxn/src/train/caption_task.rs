//! [`CaptionTask`]: what the caption update needs beside the network: the reward's references, and captions of the
//! validation images.

use burn::tensor::Device;

use super::algorithm::caption::reward_reference;
use super::metrics::NamedMetrics;
use super::training_data::TrainingData;
use crate::config::{RunConfig, Update};
use crate::imagine::decoding::decode;
use crate::imagine::{Choice, Generated};
use crate::look::Phase;
use crate::model::{Gxn, feature_batches};
use gxn_base::Result;
use gxn_data::Split;
use gxn_eval::metrics::{CaptionReferences, CiderReward};

/// Images that are captioned together.
const BATCH: usize = 256;

/// BLEU-1 to BLEU-4 of the validation images' captions, in 0..=1.
pub const BLEU: [&str; 4] = ["caption_bleu_1", "caption_bleu_2", "caption_bleu_3", "caption_bleu_4"];
/// ROUGE-L, in 0..=1.
pub const ROUGE_L: &str = "caption_rouge_l";
/// The package's CIDEr, in 0..=10.
pub const CIDER: &str = "caption_cider";
/// Mean number of words, as a share of the train captions'.
pub const LENGTH: &str = "caption_length";
/// Share of the commonest caption.
pub const COMMONEST: &str = "caption_commonest";
/// Share of words where the unknown word was the likeliest.
pub const UNKNOWN: &str = "caption_unknown";

/// References of train and validation images.
#[derive(Debug)]
pub struct CaptionTask {
    /// CIDEr-D against the captions of the images in [`TrainingData::captioned`]; only where a stage uses it.
    pub reward: Option<CiderReward>,
    /// The captions of the validation images.
    validation: CaptionReferences,
    /// Mean number of words of the train captions.
    train_words: f64,
}

impl CaptionTask {
    /// The references of a run's data; none for a stage without the caption update.
    pub fn new(data: &TrainingData, config: &RunConfig) -> Option<Self> {
        if !config.train.stage.has(Update::Caption) {
            return None;
        }
        let captions_of = |image: usize| data.dataset.captions_of(image);
        let references: Vec<Vec<Vec<u32>>> = (data.captioned.iter())
            .map(|&image| captions_of(image).map(|caption| reward_reference(&data.tokens[caption])).collect())
            .collect();
        let words: usize = references.iter().flatten().map(|tokens| tokens.len() - 1).sum();
        let train_words = words as f64 / data.train_captions.len().max(1) as f64;
        let text = |caption: usize| data.dataset.captions[caption].text.clone();
        let texts: Vec<Vec<String>> = (data.dataset.split_indices(Split::Val).into_iter())
            .map(|image| captions_of(image).map(text).collect())
            .collect();
        Some(Self {
            reward: config.train.stage.is_rewarded().then(|| CiderReward::new(&references)),
            validation: CaptionReferences::new(&texts, None),
            train_words,
        })
    }

    /// Scores of greedy captions of the validation images, given all their features (`[N, F]`, row-major). The network must be on a device without gradients.
    ///
    /// # Errors
    /// When there are not as many images as when the task was made.
    ///
    /// # Panics
    /// If the model has no caption decoder.
    pub fn validate(
        &self,
        model: &Gxn,
        data: &TrainingData,
        config: &RunConfig,
        (features, width): (&[f32], usize),
        device: &Device,
    ) -> Result<NamedMetrics> {
        let decoder = model.caption_decoder.as_ref().expect("a stage with captions has a decoder");
        let max_words = config.imagine.caption.max_words;
        let caption = |batch| {
            let v_l =
                model.encode_image_grounded(batch, Phase::Evaluate).expect("a stage with captions has two levels");
            decode(decoder, &model.sentence, v_l, max_words, Choice::Greedy, Phase::Evaluate)
        };
        let captions: Vec<Generated> = feature_batches(features, width, BATCH, device).flat_map(caption).collect();
        let texts: Vec<String> = captions.iter().map(|caption| data.vocabulary.decode(&caption.tokens)).collect();
        let scores = self.validation.score(&texts)?;
        let words: usize = captions.iter().map(Generated::words).sum();
        let tokens: usize = captions.iter().map(|caption| caption.tokens.len()).sum();
        let unknown: usize = captions.iter().map(|caption| caption.unknown).sum();
        let mut found = NamedMetrics::default();
        BLEU.into_iter().zip(scores.bleu).for_each(|(name, score)| found.record(name, score));
        found.record(ROUGE_L, scores.rouge_l);
        found.record(CIDER, scores.cider);
        found.record(LENGTH, words as f64 / captions.len().max(1) as f64 / self.train_words.max(1.0));
        found.record(COMMONEST, commonest(&texts) as f64 / texts.len().max(1) as f64);
        found.record(UNKNOWN, unknown as f64 / tokens.max(1) as f64);
        Ok(found)
    }
}

/// How often the commonest text occurs.
fn commonest(texts: &[String]) -> usize {
    let mut counts = std::collections::HashMap::new();
    texts.iter().for_each(|text| *counts.entry(text).or_insert(0usize) += 1);
    counts.into_values().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_text_is_counted() {
        let texts = ["a", "b", "a"].map(String::from);
        assert_eq!((commonest(&texts), commonest(&[])), (2, 0));
    }
}
