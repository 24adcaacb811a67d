//! How likely the caption decoder finds captions of images.

use std::collections::{BTreeSet, HashMap};

use burn::tensor::{Tensor, TensorData};

use super::Encoder;
use crate::imagine::CaptionDecoder;
use crate::look::{Phase, TokenBatch};
use gxn_base::{Error, Progress, Remedy, Result};
use gxn_eval::soft_maximum;

/// Pairs that are read together.
const BATCH: usize = 256;
/// Other images that tell how likely a caption is with any image.
pub(crate) const LIKELIHOOD_IMAGES: usize = 60;
/// Likelihoods of one caption with other images are levelled by this before their mean is taken: with few images the largest one
/// would be all that counts. Chosen on val of Flickr8k (docs/results.md).
const TEMPERATURE: f64 = 4.0;

impl Encoder {
    /// ln p(caption | image) by the caption decoder (Eq. 4), the sum over the caption's words and its end, for pairs of an
    /// image and a caption: rows of `grounded` (v_l, `[N, D]` row-major) and of `texts`. A word that the decoder cannot generate
    /// counts as the unknown word. `progress` counts pairs.
    ///
    /// # Errors
    /// When the model has no caption decoder, a pair names a row that is not there, or `progress` is cancelled.
    pub fn caption_log_likelihoods<S: AsRef<str>>(
        &self,
        grounded: &[f32],
        texts: &[S],
        pairs: &[(usize, usize)],
        progress: &dyn Progress,
    ) -> Result<Vec<f32>> {
        let trained = self.trained()?;
        let decoder = self.caption_decoder()?;
        let (dim, sentence) = (self.dim(), &trained.model.sentence);
        let images = grounded.len() / dim;
        if let Some((image, text)) = pairs.iter().find(|&&(image, text)| image >= images || text >= texts.len()) {
            let expected = format!("images below {images}, captions below {}", texts.len());
            return Err(Error::invalid("pair to score", format!("image {image}, caption {text}"), expected));
        }
        let tokens = trained.tokens(texts);
        // Captions of one length fill a batch without padding.
        let mut order: Vec<usize> = (0..pairs.len()).collect();
        order.sort_by_key(|&at| tokens[pairs[at].1].len());
        let mut found = vec![0.0; pairs.len()];
        for (done, batch) in order.chunks(BATCH).enumerate() {
            let rows = batch.iter().flat_map(|&at| &grounded[pairs[at].0 * dim..][..dim]).copied().collect();
            let v_l = Tensor::<2>::from_data(TensorData::new(rows, [batch.len(), dim]), &trained.device);
            let captions = || batch.iter().map(|&at| tokens[pairs[at].1].as_slice());
            let inputs: Vec<&[u32]> = captions().map(|caption| &caption[..caption.len() - 1]).collect();
            let targets = captions().flat_map(|caption| caption[1..].iter().map(|&token| decoder.output_of(token)));
            let inputs = TokenBatch::new(&inputs);
            let words = sentence.word_vectors(&inputs);
            let each = decoder.log_probabilities(v_l, words, inputs.lengths(), targets.collect(), Phase::Evaluate);
            let mut each = each.into_data().iter::<f32>().collect::<Vec<_>>().into_iter();
            for (&at, &words) in batch.iter().zip(inputs.lengths()) {
                found[at] = each.by_ref().take(words).sum();
            }
            progress.update("pairs", (done * BATCH + batch.len()).min(pairs.len()), pairs.len());
            if progress.cancelled() {
                return Err(Error::interrupted());
            }
        }
        Ok(found)
    }

    /// What a caption says of an image: ln p(caption | image) − ln p(caption), which captions of one image can be compared by, as
    /// short and common captions are likely with every image. Of [`Encoder::caption_log_likelihoods`], and p(caption) =
    /// (mean p(caption | v)^{1/T})^T over the images v of `bank`, rows of v_l too, T = 4; dozens of other images are enough.
    ///
    /// # Errors
    /// As [`Encoder::caption_log_likelihoods`], and when the bank is empty.
    pub fn caption_information<S: AsRef<str>>(
        &self,
        grounded: &[f32],
        bank: &[f32],
        texts: &[S],
        pairs: &[(usize, usize)],
        progress: &dyn Progress,
    ) -> Result<Vec<f32>> {
        let (images, of_bank) = (grounded.len() / self.dim(), bank.len() / self.dim());
        if of_bank == 0 {
            return Err(Error::invalid("images that tell how likely captions are", "none", "dozens"));
        }
        let used: BTreeSet<usize> = pairs.iter().map(|&(_, text)| text).collect();
        let with_bank = used.iter().flat_map(|&text| (images..images + of_bank).map(move |image| (image, text)));
        let pairs: Vec<(usize, usize)> = pairs.iter().copied().chain(with_bank).collect();
        let mut found = self.caption_log_likelihoods(&[grounded, bank].concat(), texts, &pairs, progress)?;
        let others = found.split_off(found.len() - used.len() * of_bank);
        let marginals = others.chunks(of_bank).map(|each| soft_maximum(each, TEMPERATURE) as f32);
        let marginal_of: HashMap<usize, f32> = used.into_iter().zip(marginals).collect();
        for (found, (_, text)) in found.iter_mut().zip(&pairs) {
            *found -= marginal_of[text];
        }
        Ok(found)
    }

    /// What captions images.
    pub(crate) fn caption_decoder(&self) -> Result<&CaptionDecoder> {
        self.trained()?.model.caption_decoder.as_ref().ok_or_else(|| {
            let found = format!("one of stage {:?}, which has no caption decoder", self.config().train.stage);
            Error::unsupported("the model", found, "a model that captions images").with_remedy(Remedy::TrainCaptions)
        })
    }
}
