//! [`Gxn`]: the whole network.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::config::SIDE_PX;
use crate::config::{ImageConfig, Level, RunConfig};
use crate::imagine::small_image::SmallImage;
use crate::imagine::{CaptionDecoder, Discriminator, ImageGenerator, Noise};
use crate::look::backbone::Backbone;
use crate::look::image_encoder::unit_length;
use crate::look::{ImageEncoder, Init, Phase, SentenceEncoder, TokenBatch};

/// The joint embedding of a batch of pictures or captions: unit rows, non-negative where the model is so configured.
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
    /// RNN_Dec, where captions are imagined.
    pub caption_decoder: Option<CaptionDecoder>,
    /// CNN_Dec, where pictures are imagined.
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
    /// The number of tokens that the caption decoder can say, where there is one.
    pub words: Option<usize>,
    /// Whether there are picture generator and discriminator.
    pub pictures: bool,
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
        let (look, levels) = (&config.look, config.matching.levels);
        let sentence = SentenceEncoder::new(init, &look.sentence, levels, look.embed_dim, vocabulary, vectors);
        let (words, pictures) = (&config.imagine.caption, &config.imagine.image);
        let make_pictures = generators.pictures;
        Self {
            backbone,
            image: ImageEncoder::new(init, look, levels, look.backbone.feature_dim()),
            caption_decoder: generators
                .words
                .map(|outputs| CaptionDecoder::new(init, words, look.embed_dim, sentence.word_width(), outputs)),
            image_generator: make_pictures.then(|| ImageGenerator::new(init, pictures, look.embed_dim)),
            discriminator: make_pictures.then(|| Discriminator::new(init, pictures, look.embed_dim)),
            sentence,
            log_scale: init.constant((1.0 / config.matching.temperature).ln() as f32, [1]),
            absolute: config.matching.absolute,
        }
    }

    /// v_h and v_l of CNN features.
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
    pub fn ground_image(&self, feature: Tensor<2>, phase: Phase) -> Option<Tensor<2>> {
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
    pub fn ground_text(&self, captions: &TokenBatch, phase: Phase) -> Option<Tensor<2>> {
        self.sentence.ground(captions, phase).map(|t_l| self.unit(t_l))
    }

    /// `| u / ‖u‖₂ |` (spec §6.2); without the absolute value where the configuration says so.
    fn unit(&self, u: Tensor<2>) -> Tensor<2> {
        let u = unit_length(u);
        if self.absolute { u.abs() } else { u }
    }
}

/// λ as the scores use it: 1 where the model has one level.
pub fn effective_lambda(config: &RunConfig) -> f64 {
    match config.matching.levels {
        Level::Both => config.matching.lambda,
        Level::Abstract => 1.0,
    }
}

/// Embeddings of many items in host memory, row-major, one row an item.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// Number of items.
    pub count: usize,
    /// Width of a row of one level, `D`.
    pub dim: usize,
    /// v_h or t_h, `[count, D]`.
    pub abstract_level: Vec<f32>,
    /// v_l or t_l, `[count, D]`; none where the model has one level.
    pub grounded_level: Option<Vec<f32>>,
}

impl Rows {
    /// No items yet.
    pub fn new(dim: usize, grounded: bool) -> Self {
        Self { count: 0, dim, abstract_level: Vec::new(), grounded_level: grounded.then(Vec::new) }
    }

    /// Adds a batch at the end.
    pub fn extend(&mut self, batch: &Embedding) {
        self.count += batch.abstract_level.dims()[0];
        self.abstract_level.extend(batch.abstract_level.to_data().iter::<f32>());
        if let (Some(rows), Some(level)) = (&mut self.grounded_level, &batch.grounded_level) {
            rows.extend(level.to_data().iter::<f32>());
        }
    }

    /// Adds other rows of the same width at the end.
    pub fn append(&mut self, other: Self) {
        self.count += other.count;
        self.abstract_level.extend(other.abstract_level);
        if let (Some(rows), Some(more)) = (&mut self.grounded_level, other.grounded_level) {
            rows.extend(more);
        }
    }

    /// Width of [`Rows::joined`].
    pub fn joined_width(&self) -> usize {
        if self.grounded_level.is_some() { 2 * self.dim } else { self.dim }
    }

    /// `[h ; l]` of item `row`.
    pub fn joined(&self, row: usize) -> Vec<f32> {
        let span = row * self.dim..(row + 1) * self.dim;
        let mut joined = self.abstract_level[span.clone()].to_vec();
        if let Some(grounded) = &self.grounded_level {
            joined.extend_from_slice(&grounded[span]);
        }
        joined
    }

    /// The items in the order given by `order`: row `i` of the result is row `order[i]`.
    pub fn permuted(&self, order: &[usize]) -> Self {
        let pick = |level: &Vec<f32>| {
            order.iter().flat_map(|&row| level[row * self.dim..(row + 1) * self.dim].iter().copied()).collect()
        };
        Self {
            count: order.len(),
            dim: self.dim,
            abstract_level: pick(&self.abstract_level),
            grounded_level: self.grounded_level.as_ref().map(pick),
        }
    }
}

/// Items a batch holds when only embeddings are wanted.
const EMBED_BATCH: usize = 256;
/// Pictures that are imagined together.
const PICTURE_BATCH: usize = 64;

/// CNN features (`[N, F]`, row-major) as tensors of at most `batch` rows.
pub(crate) fn feature_batches<'a>(
    features: &'a [f32],
    feature_dim: usize,
    batch: usize,
    device: &'a Device,
) -> impl Iterator<Item = Tensor<2>> + 'a {
    features.chunks(batch * feature_dim.max(1)).map(move |chunk| {
        let shape = [chunk.len() / feature_dim.max(1), feature_dim];
        Tensor::from_data(TensorData::new(chunk.to_vec(), shape), device)
    })
}

impl Gxn {
    fn empty_rows(&self) -> Rows {
        Rows::new(self.image.embed_dim(), self.image.has_grounded_level())
    }

    /// Embeddings of CNN features (`[N, F]`, row-major). The network must be on a device without gradients.
    pub fn embed_features(&self, features: &[f32], feature_dim: usize, device: &Device) -> Rows {
        let mut rows = self.empty_rows();
        for batch in feature_batches(features, feature_dim, EMBED_BATCH, device) {
            rows.extend(&self.encode_image(batch, Phase::Evaluate));
        }
        rows
    }

    /// What the generator expects pictures of sentences (token numbers) to look like; `seeds[i]` decides the noise of sentence `i`,
    /// so that equal seeds mean equal noise. The network must be on a device without gradients.
    ///
    /// # Panics
    /// If the model has no generator, or there are not as many seeds as sentences.
    pub fn imagine(&self, sentences: &[&[u32]], seeds: &[u64], config: &ImageConfig) -> Vec<SmallImage> {
        assert_eq!(sentences.len(), seeds.len(), "one seed a sentence");
        let generator = self.image_generator.as_ref().expect("a model that imagines pictures has a generator");
        let mut pictures = Vec::with_capacity(sentences.len());
        for (sentences, seeds) in sentences.chunks(PICTURE_BATCH).zip(seeds.chunks(PICTURE_BATCH)) {
            let t_l = self.ground_text(&TokenBatch::new(sentences), Phase::Evaluate).expect("two levels");
            let noise = Noise::seeded(config, seeds, &t_l.device());
            let pixels = generator.forward(t_l, noise, Phase::Evaluate).pixels;
            let values: Vec<f32> = pixels.into_data().iter().collect();
            pictures.extend(values.chunks_exact(3 * SIDE_PX * SIDE_PX).map(SmallImage::of));
        }
        pictures
    }

    /// What the discriminator makes of pictures with sentences (token numbers): of each pair the logit of "a real picture of
    /// this sentence". The network must be on a device without gradients.
    ///
    /// # Panics
    /// If the model has no discriminator, or there are not as many pictures as sentences.
    pub fn judge(&self, pictures: &[&SmallImage], sentences: &[&[u32]]) -> Vec<f32> {
        assert_eq!(pictures.len(), sentences.len(), "one picture a sentence");
        let discriminator = self.discriminator.as_ref().expect("a model that judges pictures has a discriminator");
        let mut logits = Vec::with_capacity(pictures.len());
        for (pictures, sentences) in pictures.chunks(PICTURE_BATCH).zip(sentences.chunks(PICTURE_BATCH)) {
            let t_l = self.ground_text(&TokenBatch::new(sentences), Phase::Evaluate).expect("two levels");
            let values: Vec<f32> = pictures.iter().flat_map(|picture| picture.values()).copied().collect();
            let values = TensorData::new(values, [pictures.len(), 3, SIDE_PX, SIDE_PX]);
            let pixels = Tensor::from_data(values, &t_l.device());
            logits.extend(discriminator.forward(pixels, t_l, Phase::Evaluate).0.into_data().iter::<f32>());
        }
        logits
    }

    /// Embeddings of captions given as token ids, in their order.
    pub fn embed_captions<C: AsRef<[u32]>>(&self, captions: &[C]) -> Rows {
        // Captions of about one length share a batch, so that little padding is computed.
        let mut by_length: Vec<usize> = (0..captions.len()).collect();
        by_length.sort_by_key(|&c| captions[c].as_ref().len());
        let mut rows = self.empty_rows();
        for chunk in by_length.chunks(EMBED_BATCH) {
            let batch: Vec<&[u32]> = chunk.iter().map(|&c| captions[c].as_ref()).collect();
            rows.extend(&self.encode_text(&TokenBatch::new(&batch), Phase::Evaluate));
        }
        let mut place = vec![0; captions.len()];
        for (row, &caption) in by_length.iter().enumerate() {
            place[caption] = row;
        }
        rows.permuted(&place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spec §6.2: unit length, and non-negative where the configuration says so.
    #[test]
    fn embeddings_have_unit_length_and_no_sign() {
        let device = Device::flex();
        for (absolute, levels) in [(true, Level::Both), (false, Level::Abstract)] {
            let mut config = RunConfig::default();
            (config.look.embed_dim, config.look.sentence.hidden, config.look.sentence.word_dim) = (6, 5, 4);
            (config.matching.absolute, config.matching.levels) = (absolute, levels);
            let model = Gxn::new(&Init::new(3, &device), &config, 9, None, None, Generators::default());
            let width = config.look.backbone.feature_dim();
            let features: Vec<f32> = (0..2 * width).map(|at| (at % 7) as f32).collect();
            let sides =
                [model.embed_features(&features, width, &device), model.embed_captions(&[vec![1, 5, 2], vec![]])];
            for rows in sides {
                assert_eq!((rows.count, rows.grounded_level.is_some()), (2, levels == Level::Both));
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
