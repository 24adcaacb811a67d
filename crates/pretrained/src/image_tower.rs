//! [`ImageTower`]: from pixels to one feature an image.

use gxn_base::{Error, Result};

use crate::config::ImageConfig;
use crate::interpolate::interpolated;
use crate::kernel::{After, Attention, Linear, Mask, Norm, Threads};
use crate::transformer::{Keep, Transformer};
use crate::weights::Weights;

/// An image encoder of any family.
#[derive(Debug)]
pub(crate) struct ImageTower {
    pub(crate) tokens: PatchTokens,
    /// The norm before the blocks.
    pub(crate) before: Option<Norm>,
    pub(crate) blocks: Transformer,
    /// The norm after the blocks.
    pub(crate) after: Norm,
    pub(crate) pooling: ImagePooling,
    /// From the pooled feature to the embedding.
    pub(crate) project: Option<Linear>,
}

/// How the tokens of an image become one feature.
#[derive(Debug)]
pub(crate) enum ImagePooling {
    /// The class token, the first.
    First,
    /// A learned query attends to all tokens.
    Attention(Box<AttentionPool>),
}

impl ImageTower {
    /// The pooled features `[N, width]` of `images`, each `[3, height, width]`.
    pub(crate) fn pool(&self, images: &[Vec<f32>], threads: Threads) -> Vec<f32> {
        let mut x = self.tokens.apply(images, threads);
        let lengths = vec![self.tokens.count(); images.len()];
        if let Some(norm) = &self.before {
            norm.apply(&mut x, threads);
        }
        let keep = if matches!(self.pooling, ImagePooling::First) { Keep::First } else { Keep::All };
        self.blocks.apply(&mut x, &lengths, keep, threads);
        self.after.apply(&mut x, threads);
        match &self.pooling {
            ImagePooling::First => x,
            ImagePooling::Attention(pool) => pool.apply(&x, &lengths, threads),
        }
    }
}

/// An image as tokens: a class token where there is one, and one token for each square patch, with their positions.
#[derive(Debug)]
pub(crate) struct PatchTokens {
    /// A convolution whose stride is its kernel: a product per patch.
    project: Linear,
    /// Side of a patch, in pixels.
    side: usize,
    /// Height and width of images, in pixels.
    size: [usize; 2],
    class: Option<Vec<f32>>,
    /// `[tokens, width]`.
    positions: Vec<f32>,
}

/// What a family calls its patches, class token and positions; the shapes of the latter two are its own too.
pub(crate) struct PatchNames<'a> {
    pub(crate) patches: &'a str,
    pub(crate) bias: bool,
    pub(crate) class: Option<(&'a str, &'a [usize])>,
    pub(crate) positions: (&'a str, &'a [usize]),
    /// Whether positions are interpolated for images of another size than the encoder was trained for.
    pub(crate) any_size: bool,
}

impl PatchTokens {
    /// The tokens of images of `size` (height, width).
    ///
    /// # Errors
    /// See [`Weights::tensor`]; a size that the encoder has no positions for.
    pub(crate) fn read(weights: &Weights, names: &PatchNames, config: &ImageConfig, size: [usize; 2]) -> Result<Self> {
        let (width, side) = (config.stack.width, config.patch);
        let grid = size.map(|length| length / side);
        let wrong_size = if names.any_size { grid.contains(&0) } else { size != [config.side; 2] };
        if wrong_size {
            let found = format!("images of {}x{} pixels (height x width)", size[0], size[1]);
            let expected = if names.any_size {
                format!("at least {side}x{side}")
            } else {
                format!("{0}x{0}, image_size of config.json", config.side)
            };
            return Err(Error::invalid("preprocessor_config.json", found, expected));
        }
        let weight = weights.values(&format!("{}.weight", names.patches), &[width, config.channels, side, side])?;
        let bias = names.bias.then(|| weights.values(&format!("{}.bias", names.patches), &[width])).transpose()?;
        let class = names.class.map(|(name, shape)| weights.values(name, shape)).transpose()?;
        let mut positions = weights.values(names.positions.0, names.positions.1)?;
        let trained = config.side / side;
        if grid != [trained; 2] {
            let patches = positions.split_off(if class.is_some() { width } else { 0 });
            positions.extend(interpolated(&patches, trained, grid));
        }
        Ok(Self { project: Linear::new(weight, bias, config.channels * side * side), side, size, class, positions })
    }

    /// Values of a token.
    pub(crate) fn width(&self) -> usize {
        self.project.outputs()
    }

    /// Tokens of an image.
    pub(crate) fn count(&self) -> usize {
        self.positions.len() / self.width()
    }

    /// The tokens `[N · tokens, width]` of `images`. Pixels beyond the last whole patch are left out.
    fn apply(&self, images: &[Vec<f32>], threads: Threads) -> Vec<f32> {
        let (width, first) = (self.width(), usize::from(self.class.is_some()));
        let unfolded: Vec<f32> = images.iter().flat_map(|image| self.unfold(image)).collect();
        let mut patches = vec![0.0; images.len() * (self.count() - first) * width];
        self.project.apply(&unfolded, &mut patches, After::Nothing, threads);
        let mut x = Vec::with_capacity(images.len() * self.positions.len());
        for patches in patches.chunks_exact(self.positions.len() - first * width) {
            let class = self.class.as_deref().unwrap_or_default();
            x.extend(class.iter().chain(patches).zip(&self.positions).map(|(value, position)| value + position));
        }
        x
    }

    /// The patches of an image, each as a row `[3, side, side]`.
    fn unfold(&self, image: &[f32]) -> Vec<f32> {
        let (side, [height, width]) = (self.side, self.size);
        let channels = image.len() / (height * width);
        let mut rows = Vec::with_capacity(image.len());
        for top in (0..=height - side).step_by(side) {
            for left in (0..=width - side).step_by(side) {
                for line in 0..channels * side {
                    let y = line / side * height + top + line % side;
                    rows.extend_from_slice(&image[y * width + left..][..side]);
                }
            }
        }
        rows
    }
}

/// Pooling by attention: a learned query over all tokens, then a feed-forward part with a norm and its own sum.
#[derive(Debug)]
pub(crate) struct AttentionPool {
    /// The query after its projection.
    pub(crate) query: Vec<f32>,
    pub(crate) kv: Linear,
    pub(crate) heads: usize,
    pub(crate) out: Linear,
    pub(crate) norm: Norm,
    pub(crate) up: Linear,
    pub(crate) after: After,
    pub(crate) down: Linear,
}

impl AttentionPool {
    fn apply(&self, x: &[f32], lengths: &[usize], threads: Threads) -> Vec<f32> {
        let (width, items) = (self.query.len(), lengths.len());
        let mut kv = vec![0.0; 2 * x.len()];
        self.kv.apply(x, &mut kv, After::Nothing, threads);
        let attention = Attention { heads: self.heads, width, mask: Mask::None };
        let [mut attended, mut pooled, mut normal] = [(); 3].map(|()| vec![0.0; items * width]);
        attention.pool(&self.query, &kv, lengths, &mut attended);
        self.out.apply(&attended, &mut pooled, After::Nothing, threads);
        self.norm.copy(&pooled, &mut normal, threads);
        let mut hidden = vec![0.0; items * self.up.outputs()];
        self.up.apply(&normal, &mut hidden, self.after, threads);
        self.down.apply(&hidden, &mut pooled, After::Add, threads);
        pooled
    }
}
