//! What the caption losses need beside the network: the reward's references, and captions of the validation images.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::preparation::Prepared;
use super::steps::reward_reference;
use crate::config::RunConfig;
use crate::imagine::decoding::decode;
use crate::imagine::{Choice, Generated};
use crate::look::Phase;
use crate::model::{Gxn, feature_batches};
use gxn_base::Result;
use gxn_data::Split;
use gxn_eval::metrics::{CaptionReferences, CiderReward};

/// Pictures that are described together.
const BATCH: usize = 256;

/// References of train and validation images.
#[derive(Debug)]
pub struct CaptionTask {
    /// CIDEr-D against the captions of the images in [`Prepared::captioned`]; only where a stage uses it.
    pub reward: Option<CiderReward>,
    /// The captions of the validation images.
    validation: CaptionReferences,
    /// Mean number of words of the train captions.
    train_words: f64,
}

/// What the captions of the validation images are worth.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CaptionValidation {
    /// BLEU-1 to BLEU-4, in 0..=1.
    pub bleu: [f64; 4],
    /// ROUGE-L, in 0..=1.
    pub rouge_l: f64,
    /// The package's CIDEr, in 0..=10.
    pub cider: f64,
    /// Mean number of words, as a share of the train captions'.
    pub length: f64,
    /// Share of the commonest caption.
    pub commonest: f64,
    /// Share of words where the unknown word was the likeliest.
    pub unknown: f64,
}

impl CaptionValidation {
    /// All numbers by name.
    pub fn by_name(&self) -> Vec<(&'static str, f64)> {
        let bleu = ["caption_bleu_1", "caption_bleu_2", "caption_bleu_3", "caption_bleu_4"];
        let rest = [
            ("caption_rouge_l", self.rouge_l),
            ("caption_cider", self.cider),
            ("caption_length", self.length),
            ("caption_commonest", self.commonest),
            ("caption_unknown", self.unknown),
        ];
        bleu.into_iter().zip(self.bleu).chain(rest).collect()
    }
}

impl CaptionTask {
    /// The references of a run's data; none for a stage without captions.
    pub fn new(data: &Prepared, config: &RunConfig) -> Option<Self> {
        if !config.train.stage.trains_words() {
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

    /// Describes every validation image greedily, given all their features (`[N, F]`, row-major), and scores the captions. The
    /// network must be on a device without gradients.
    ///
    /// # Errors
    /// When there are not as many images as when the task was made.
    ///
    /// # Panics
    /// If the model has no caption decoder.
    pub fn validate(
        &self,
        model: &Gxn,
        data: &Prepared,
        config: &RunConfig,
        (features, width): (&[f32], usize),
        device: &Device,
    ) -> Result<CaptionValidation> {
        let decoder = model.caption_decoder.as_ref().expect("a model that makes captions has a decoder");
        let most = config.imagine.words.max_words;
        let describe = |batch| {
            let v_l = model
                .encode_image_grounded(batch, Phase::Evaluate)
                .expect("a model that makes captions has two levels");
            decode(decoder, &model.sentence, v_l, most, Choice::Greedy, Phase::Evaluate)
        };
        let captions: Vec<Generated> = feature_batches(features, width, BATCH, device).flat_map(describe).collect();
        let texts: Vec<String> = captions.iter().map(|caption| data.vocabulary.decode(&caption.tokens)).collect();
        let scores = self.validation.score(&texts)?;
        let words: usize = captions.iter().map(Generated::words).sum();
        let said: usize = captions.iter().map(|caption| caption.tokens.len()).sum();
        let unknown: usize = captions.iter().map(|caption| caption.unknown).sum();
        Ok(CaptionValidation {
            bleu: scores.bleu,
            rouge_l: scores.rouge_l,
            cider: scores.cider,
            length: words as f64 / captions.len().max(1) as f64 / self.train_words.max(1.0),
            commonest: commonest(&texts) as f64 / texts.len().max(1) as f64,
            unknown: unknown as f64 / said.max(1) as f64,
        })
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
