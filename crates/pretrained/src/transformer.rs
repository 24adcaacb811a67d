//! [`Transformer`]: the blocks of attention and feed-forward layers that all encoders share.

use gxn_base::Result;

use crate::config::Stack;
use crate::kernel::{After, Attention, Linear, Mask, Norm, Threads};
use crate::weights::Weights;

/// Where a block has its norms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// x + f(norm(x)).
    NormFirst,
    /// norm(x + f(x)).
    NormLast,
}

/// Which tokens of an item are needed after the last block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// All.
    All,
    /// The first.
    First,
    /// The last.
    Last,
}

impl Keep {
    /// Cuts `rows` `[T, width]` to those that are kept.
    fn apply(self, rows: &mut Vec<f32>, lengths: &[usize], width: usize) {
        if self == Self::All {
            return;
        }
        let mut first = 0;
        for (item, tokens) in lengths.iter().enumerate() {
            let row = if self == Self::First { first } else { first + tokens - 1 };
            rows.copy_within(row * width..(row + 1) * width, item * width);
            first += tokens;
        }
        rows.truncate(lengths.len() * width);
    }
}

/// What a family calls the tensors of block `{blocks}.N`.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) blocks: &'static str,
    /// The norms of attention and of the feed-forward part.
    pub(crate) norms: [&'static str; 2],
    /// Query, key and value.
    pub(crate) qkv: [&'static str; 3],
    pub(crate) out: &'static str,
    pub(crate) feed: [&'static str; 2],
    /// Factors of what attention and the feed-forward part add.
    pub(crate) scales: Option<[&'static str; 2]>,
}

/// A stack of transformer blocks.
#[derive(Debug)]
pub(crate) struct Transformer {
    blocks: Vec<Block>,
    order: Order,
    attention: Attention,
}

#[derive(Debug)]
struct Block {
    norms: [Norm; 2],
    qkv: Linear,
    out: Linear,
    up: Linear,
    down: Linear,
    after: After,
}

impl Transformer {
    /// The blocks whose tensors begin with `prefix`. `bias`: whether queries, keys and values have one.
    ///
    /// # Errors
    /// See [`Weights::tensor`].
    pub(crate) fn read(
        weights: &Weights,
        prefix: &str,
        names: &Names,
        form: (&Stack, Order, Mask, bool),
    ) -> Result<Self> {
        let (stack, order, mask, bias) = form;
        let block = |number| Block::read(weights, &format!("{prefix}{}.{number}.", names.blocks), names, (stack, bias));
        let blocks = (0..stack.layers).map(block).collect::<Result<_>>()?;
        Ok(Self { blocks, order, attention: Attention { heads: stack.heads, width: stack.width, mask } })
    }

    /// Runs the tokens `x` `[T, width]` of items with `lengths` tokens through all blocks, in their place. Where one token
    /// an item is kept, `x` becomes `[items, width]`, and the last block computes no others.
    pub(crate) fn apply(&self, x: &mut Vec<f32>, lengths: &[usize], keep: Keep, threads: Threads) {
        let Some(first) = self.blocks.first() else { return };
        let (width, rows) = (self.attention.width, x.len() / self.attention.width);
        let mut normal = vec![0.0; x.len()];
        let mut wide = vec![0.0; rows * first.up.outputs().max(3 * width)];
        for (number, block) in self.blocks.iter().enumerate() {
            let input = self.input(&block.norms[0], x, &mut normal, threads);
            let qkv = &mut wide[..rows * 3 * width];
            block.qkv.apply(input, qkv, After::Nothing, threads);
            self.attention.apply(qkv, lengths, &mut normal, threads);
            if number + 1 == self.blocks.len() {
                keep.apply(x, lengths, width);
                keep.apply(&mut normal, lengths, width);
            }
            block.out.apply(&normal, x, After::Add, threads);
            self.finish(&block.norms[0], x, threads);
            let hidden = &mut wide[..x.len() / width * block.up.outputs()];
            self.feed(block, x, [&mut normal, hidden], threads);
        }
    }

    fn feed(&self, block: &Block, x: &mut [f32], [normal, hidden]: [&mut [f32]; 2], threads: Threads) {
        let input = self.input(&block.norms[1], x, normal, threads);
        block.up.apply(input, hidden, block.after, threads);
        block.down.apply(hidden, x, After::Add, threads);
        self.finish(&block.norms[1], x, threads);
    }

    /// What a part of a block reads.
    fn input<'a>(&self, norm: &Norm, x: &'a [f32], normal: &'a mut [f32], threads: Threads) -> &'a [f32] {
        if self.order == Order::NormLast {
            return x;
        }
        norm.copy(x, normal, threads);
        normal
    }

    fn finish(&self, norm: &Norm, x: &mut [f32], threads: Threads) {
        if self.order == Order::NormLast {
            norm.apply(x, threads);
        }
    }
}

impl Block {
    fn read(weights: &Weights, prefix: &str, names: &Names, (stack, bias): (&Stack, bool)) -> Result<Self> {
        let (width, hidden) = (stack.width, stack.hidden);
        let read = |name: &str, shape: &[usize]| weights.values(&format!("{prefix}{name}"), shape);
        let scale = |part: usize| names.scales.map(|names| read(names[part], &[width])).transpose();
        let scaled = |name: &str, inputs, scale: Option<Vec<f32>>| {
            let (mut weight, mut bias) =
                (read(&format!("{name}.weight"), &[width, inputs])?, read(&format!("{name}.bias"), &[width])?);
            for (output, scale) in scale.iter().flatten().enumerate() {
                weight[output * inputs..][..inputs]
                    .iter_mut()
                    .chain([&mut bias[output]])
                    .for_each(|value| *value *= scale);
            }
            Ok(Linear::new(weight, Some(bias), inputs))
        };
        Ok(Self {
            norms: [
                norm(weights, &format!("{prefix}{}", names.norms[0]), stack)?,
                norm(weights, &format!("{prefix}{}", names.norms[1]), stack)?,
            ],
            qkv: qkv(weights, prefix, names, (stack, bias))?,
            out: scaled(names.out, width, scale(0)?)?,
            up: linear(weights, &format!("{prefix}{}", names.feed[0]), [width, hidden])?,
            down: scaled(names.feed[1], hidden, scale(1)?)?,
            after: After::Activate(stack.activation),
        })
    }
}

/// Query, key and value as one layer. The scale of attention, 1/√(width of a head), is part of the query.
fn qkv(weights: &Weights, prefix: &str, names: &Names, (stack, bias): (&Stack, bool)) -> Result<Linear> {
    let width = stack.width;
    let (mut weight, mut biases) = (Vec::with_capacity(3 * width * width), Vec::with_capacity(3 * width));
    for name in names.qkv {
        weight.extend(weights.values(&format!("{prefix}{name}.weight"), &[width, width])?);
        if bias {
            biases.extend(weights.values(&format!("{prefix}{name}.bias"), &[width])?);
        }
    }
    let scale = query_scale(stack);
    weight[..width * width].iter_mut().for_each(|value| *value *= scale);
    biases.iter_mut().take(width).for_each(|value| *value *= scale);
    Ok(Linear::new(weight, bias.then_some(biases), width))
}

/// 1/√(width of a head).
pub(crate) fn query_scale(stack: &Stack) -> f32 {
    1.0 / ((stack.width / stack.heads) as f32).sqrt()
}

/// The layer `name` of `[inputs, outputs]`, with bias.
///
/// # Errors
/// See [`Weights::tensor`].
pub(crate) fn linear(weights: &Weights, name: &str, [inputs, outputs]: [usize; 2]) -> Result<Linear> {
    let bias = weights.values(&format!("{name}.bias"), &[outputs])?;
    Ok(Linear::new(weights.values(&format!("{name}.weight"), &[outputs, inputs])?, Some(bias), inputs))
}

/// The norm `name` of a stack. Weights from before PyTorch call its parameters gamma and beta.
///
/// # Errors
/// See [`Weights::tensor`].
pub(crate) fn norm(weights: &Weights, name: &str, stack: &Stack) -> Result<Norm> {
    let old = weights.contains(&format!("{name}.gamma"));
    let [scale, shift] = if old { ["gamma", "beta"] } else { ["weight", "bias"] };
    let read = |part| weights.values(&format!("{name}.{part}"), &[stack.width]);
    Ok(Norm::new(read(scale)?, read(shift)?, stack.epsilon))
}
