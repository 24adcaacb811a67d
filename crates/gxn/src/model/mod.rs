//! [`Gxn`]: the whole network. Its use on many items at once is in [`EmbeddingRows`] and beside the generators.

mod embedding_rows;
mod generate;

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::config::RunConfig;
use crate::imagine::{CaptionDecoder, Discriminator, ImageGenerator};
use crate::look::backbone::Backbone;
use crate::look::{ImageEncoder, Init, Phase, SentenceEncoder, TokenBatch, unit_length};

pub use embedding_rows::EmbeddingRows;
pub(crate) use embedding_rows::feature_batches;

/// The joint embedding of a batch of images or captions: unit rows, non-negative where the model is so configured.
#[derive(Debug, Clone)]
pub struct Embedding {
    /// v_h or t_h, `[B, D]`.
    pub abstract_level: Tensor<2>,
    /// v_l or t_l, `[B, D]`; none where the model has one level.
    pub grounded_level: Option<Tensor<2>>,
}

/// The encoders, the generators and what the loss learns. The backbone is inside only where it is trained, a generator only
/// where a stage trained it.
#[derive(Module, Debug)]
pub struct Gxn {
    /// CNN_Enc, where it is trained with the rest.
    pub backbone: Option<Backbone>,
    /// P_v^h and P_v^l.
    pub image: ImageEncoder,
    /// RNN_Enc^h, RNN_Enc^l, P_t^h and P_t^l.
    pub sentence: SentenceEncoder,
    /// RNN_Dec, where captions are generated.
    pub caption_decoder: Option<CaptionDecoder>,
    /// CNN_Dec, where images are generated.
    pub image_generator: Option<ImageGenerator>,
    /// D_i, beside it.
    pub discriminator: Option<Discriminator>,
    /// ln(1 / temperature) of the softmax loss, `[1]`.
    pub log_scale: Param<Tensor<1>>,
    #[module(skip)]
    absolute: bool,
}

/// Which generators a network has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Generators {
    /// The number of tokens that the caption decoder can generate, where there is one.
    pub words: Option<usize>,
    /// Whether there are image generator and discriminator.
    pub images: bool,
}

impl Gxn {
    /// A network with first weights drawn from `init`; `backbone` only where it is trained, generators where `generators` asks
    /// for them.
    pub fn new(
        init: &Init,
        config: &RunConfig,
        vocabulary: usize,
        vectors: Option<(Vec<f32>, usize)>,
        backbone: Option<Backbone>,
        generators: Generators,
    ) -> Self {
        let (look, matching) = (&config.look, &config.matching);
        let sentence = SentenceEncoder::new(init, &look.sentence, matching, look.embed_dim, vocabulary, vectors);
        let (words, images) = (&config.imagine.caption, &config.imagine.image);
        Self {
            backbone,
            image: ImageEncoder::new(init, look, matching, look.feature_dim()),
            caption_decoder: generators
                .words
                .map(|outputs| CaptionDecoder::new(init, words, look.embed_dim, sentence.word_width(), outputs)),
            image_generator: generators.images.then(|| ImageGenerator::new(init, images, look.embed_dim)),
            discriminator: generators.images.then(|| Discriminator::new(init, images, look.embed_dim)),
            sentence,
            log_scale: init.constant((1.0 / matching.temperature).ln() as f32, [1]),
            absolute: matching.absolute,
        }
    }

    /// v_h and v_l of features.
    ///
    /// # Shapes
    /// `[B, F]` → `[B, D]` each
    pub fn encode_image(&self, feature: Tensor<2>, phase: Phase) -> Embedding {
        let (v_h, v_l) = self.image.forward(feature, phase);
        self.normalised(v_h, v_l)
    }

    /// v_l alone, for the generators; none where the model has one level.
    ///
    /// # Shapes
    /// `[B, F]` → `[B, D]`
    pub fn encode_image_grounded(&self, feature: Tensor<2>, phase: Phase) -> Option<Tensor<2>> {
        self.image.ground(feature, phase).map(|v_l| self.unit(v_l))
    }

    /// t_h and t_l of captions.
    ///
    /// # Shapes
    /// `B` captions → `[B, D]` each
    pub fn encode_text(&self, captions: &TokenBatch, phase: Phase) -> Embedding {
        let (t_h, t_l) = self.sentence.forward(captions, phase);
        self.normalised(t_h, t_l)
    }

    fn normalised(&self, abstract_level: Tensor<2>, grounded_level: Option<Tensor<2>>) -> Embedding {
        Embedding {
            abstract_level: self.unit(abstract_level),
            grounded_level: grounded_level.map(|level| self.unit(level)),
        }
    }

    /// t_l alone, for the generator; none where the model has one level.
    ///
    /// # Shapes
    /// `B` captions → `[B, D]`
    pub fn encode_text_grounded(&self, captions: &TokenBatch, phase: Phase) -> Option<Tensor<2>> {
        self.sentence.ground(captions, phase).map(|t_l| self.unit(t_l))
    }

    /// `| u / ‖u‖₂ |` (spec §6.2); without the absolute value where the configuration says so.
    fn unit(&self, u: Tensor<2>) -> Tensor<2> {
        let u = unit_length(u);
        if self.absolute { u.abs() } else { u }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Levels;
    use burn::tensor::Device;

    /// Spec §6.2: unit length, and non-negative where the configuration says so.
    #[test]
    fn embeddings_have_unit_length_and_no_sign() {
        let device = Device::flex();
        for (absolute, levels) in [(true, Levels::Both), (false, Levels::Abstract)] {
            let mut config = RunConfig::default();
            (config.look.embed_dim, config.look.sentence.hidden, config.look.sentence.word_dim) = (6, 5, 4);
            (config.matching.absolute, config.matching.levels) = (absolute, levels);
            let model = Gxn::new(&Init::new(3, &device), &config, 9, None, None, Generators::default());
            let width = config.look.backbone.feature_dim();
            let features: Vec<f32> = (0..2 * width).map(|at| (at % 7) as f32).collect();
            let sides =
                [model.embed_features(&features, width, &device), model.embed_captions(&[vec![1, 5, 2], vec![]], None)];
            for rows in sides {
                assert_eq!((rows.count, rows.grounded_level.is_some()), (2, levels == Levels::Both));
                for row in [Some(&rows.abstract_level), rows.grounded_level.as_ref()].into_iter().flatten() {
                    assert_eq!(row.len(), 2 * rows.dim);
                    assert_eq!(row.iter().all(|&x| x >= 0.0), absolute, "{row:?}");
                    for unit in row.chunks_exact(rows.dim) {
                        assert!((unit.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5, "{unit:?}");
                    }
                }
            }
        }
    }
}
