//! Captions generated on a device that is costly to wait for: it chooses the words itself, and all are read together.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::caption_decoder::CaptionDecoder;
use super::decoding::{Choice, Generated};
use crate::look::{Phase, SentenceEncoder};
use crate::seed::{mix, unit};
use gxn_data::{END, START, UNKNOWN};

/// Words between two looks at whether all captions are over.
const LOOK_EVERY: usize = 8;
/// Added to a logit whose word is not to be chosen: its probability becomes 0.
const NEVER: f32 = -1e30;

/// The words that follow, one for each caption.
struct Chosen {
    /// `[B, 1]`
    outputs: Tensor<2, Int>,
    /// ln p of each, `[B, 1]`.
    log_probability: Tensor<2>,
    /// 1 where the unknown word was the likeliest, `[B, 1]`.
    unknown_is_best: Tensor<2>,
}

/// As [`decode`](super::decoding::decode), up to rounding. All captions go on until the longest is over, so that shapes are the
/// same for every word.
pub(super) fn decode_on_device(
    decoder: &CaptionDecoder,
    sentence: &SentenceEncoder,
    v_l: Tensor<2>,
    max_words: usize,
    choice: Choice,
    phase: Phase,
) -> Vec<Generated> {
    let (count, device) = (v_l.dims()[0], v_l.device());
    let without_unknown = without(decoder.output_of(UNKNOWN), decoder.outputs(), &device);
    let mut state = decoder.first_state(v_l);
    let mut tokens = Tensor::<2, Int>::full([count, 1], START, &device);
    let mut is_over = Tensor::<2, Int>::zeros([count, 1], &device);
    let mut steps: Vec<[Tensor<2>; 3]> = Vec::new();
    for step in 0..max_words {
        let words = sentence.vectors_of(tokens); // [B, 1, E]
        let width = words.dims()[2];
        state = decoder.advance(words.reshape([count, width]), Some(state));
        let logits = decoder.logits(state.clone(), step, phase);
        let chosen = match choice {
            Choice::Greedy => likeliest(logits, without_unknown.clone(), decoder.output_of(UNKNOWN)),
            Choice::Draw { seed } => drawn(logits, points(seed, step, count, &device)),
        };
        tokens = decoder.tokens_of(chosen.outputs);
        is_over = is_over + tokens.clone().equal_elem(END).int();
        // Numbers of words are far below 2²⁴ and survive as floats: one read for all.
        steps.push([tokens.clone().float(), chosen.log_probability, chosen.unknown_is_best]);
        let looks = (step + 1) % LOOK_EVERY == 0 && step + 1 < max_words;
        if looks && is_over.clone().min().into_scalar::<i64>() > 0 {
            break;
        }
    }
    read(steps, count)
}

/// Brings the words of all steps to the host, each caption up to its end.
fn read(steps: Vec<[Tensor<2>; 3]>, count: usize) -> Vec<Generated> {
    if steps.is_empty() {
        return vec![Generated::default(); count];
    }
    let columns = steps.into_iter().map(|step| Tensor::cat(step.to_vec(), 1)).collect(); // [B, 3] each
    let values: Vec<f32> = Tensor::cat(columns, 1).into_data().iter().collect(); // [B, 3 · steps]
    let caption = |row: &[f32]| {
        let mut caption = Generated::default();
        for word in row.chunks_exact(3) {
            caption.tokens.push(word[0] as u32);
            caption.log_probability += f64::from(word[1]);
            caption.unknown += usize::from(word[2] > 0.0);
            if caption.tokens.last() == Some(&END) {
                break;
            }
        }
        caption
    };
    values.chunks_exact(values.len() / count).map(caption).collect()
}

/// What takes the output `never` out of logits, `[1, V']`.
fn without(never: usize, outputs: usize, device: &Device) -> Tensor<2> {
    let mut row = vec![0.0; outputs];
    row[never] = NEVER;
    Tensor::from_data(TensorData::new(row, [1, outputs]), device)
}

/// The likeliest outputs but the unknown word.
fn likeliest(logits: Tensor<2>, without_unknown: Tensor<2>, unknown: usize) -> Chosen {
    let known = logits.clone() + without_unknown;
    let outputs = known.clone().argmax(1); // [B, 1]
    let best = logits.clone().gather(1, outputs.clone());
    Chosen {
        log_probability: log_softmax(known, 1).gather(1, outputs.clone()),
        unknown_is_best: logits.narrow(1, unknown, 1).greater(best).float(),
        outputs,
    }
}

/// Where the draws of a step fall, in [0, 1), `[B, 1]`: the same as on the host.
fn points(seed: u64, step: usize, count: usize, device: &Device) -> Tensor<2> {
    let points = (0..count).map(|row| unit(mix(mix(seed, step as u64), row as u64)) as f32).collect();
    Tensor::from_data(TensorData::new(points, [count, 1]), device)
}

/// Draws from the softmax of `logits`: the first output whose cumulative probability is above its point. Sums are taken of
/// blocks, then within one: the framework's cumulative sum takes the square of its length.
fn drawn(logits: Tensor<2>, points: Tensor<2>) -> Chosen {
    let ([batch, outputs], device) = (logits.dims(), logits.device());
    let log_p = log_softmax(logits, 1);
    let side = outputs.isqrt() + 1;
    let rest = Tensor::zeros([batch, side * side - outputs], &device);
    let blocks = Tensor::cat(vec![log_p.clone().exp(), rest], 1).reshape([batch, side, side]); // [B, R, C]
    let sums = blocks.clone().sum_dim(2).reshape([batch, side]);
    let (block, left) = first_above(sums, points);
    let at = block.clone().reshape([batch, 1, 1]).expand([batch, 1, side]);
    let (within, _) = first_above(blocks.gather(1, at).reshape([batch, side]), left);
    let places = (block * side as i64 + within).clamp_max(outputs as i64 - 1);
    Chosen {
        log_probability: log_p.gather(1, places.clone()),
        unknown_is_best: Tensor::zeros([batch, 1], &device),
        outputs: places,
    }
}

/// The place of the first cumulative sum of each row above its point, and what is left of the point there; both `[B, 1]`.
fn first_above(values: Tensor<2>, points: Tensor<2>) -> (Tensor<2, Int>, Tensor<2>) {
    let [batch, count] = values.dims();
    let sums = values.clone().cumsum(1);
    let below = sums.clone().lower_equal(points.clone().expand([batch, count]));
    let place = below.int().sum_dim(1).clamp_max(count as i64 - 1);
    let before = (sums - values).gather(1, place.clone());
    (place, points - before)
}
