//! The likeliest captions by beam search.

use burn::tensor::{Int, Tensor, TensorData};
use rayon::prelude::*;

use super::caption_decoder::CaptionDecoder;
use super::decoding::{Generated, log_sum_exp, word_rows};
use crate::look::{Phase, SentenceEncoder};
use gxn_data::{END, START, UNKNOWN};

/// The `width` captions of highest ln p that beam search finds for each row of v_l, best first. The unknown word is never
/// part of one; ln p is that of the other words. Width 1 is the greedy caption.
///
/// A caption that is over keeps its place while it is among the best; the search ends when all of them are over or
/// `max_words` long. The network must be on a device without gradients.
///
/// # Shapes
/// `v_l` `[B, D]` → `B` lists of at most `width` captions
///
/// # Panics
/// If `width` is 0.
pub fn beam_search(
    decoder: &CaptionDecoder,
    sentence: &SentenceEncoder,
    v_l: Tensor<2>,
    max_words: usize,
    width: usize,
) -> Vec<Vec<Generated>> {
    assert!(width > 0, "a beam needs a width");
    let images = v_l.dims()[0];
    let mut beams: Vec<Vec<Generated>> = vec![vec![Generated::default()]; images];
    // One row of `state` for each live caption, images in order.
    let mut state = decoder.advance(word_rows(sentence, &vec![START; images]), Some(decoder.first_state(v_l)));
    for step in 0..max_words {
        let logits: Vec<f32> = decoder.logits(state.clone(), step, Phase::Evaluate).into_data().iter().collect();
        let mut first_row = Vec::with_capacity(images);
        let mut rows = 0;
        for captions in &beams {
            first_row.push(rows);
            rows += captions.iter().filter(|caption| is_live(caption)).count();
        }
        let next: Vec<Vec<(Generated, Option<usize>)>> = (beams.par_iter(), &first_row)
            .into_par_iter()
            .map(|(captions, &first)| grown(decoder, captions, first, &logits, width))
            .collect();
        let live: Vec<i64> = next.iter().flatten().filter_map(|(_, row)| row.map(|row| row as i64)).collect();
        beams = next.into_iter().map(|captions| captions.into_iter().map(|(caption, _)| caption).collect()).collect();
        if live.is_empty() || step + 1 == max_words {
            break;
        }
        let last: Vec<u32> = beams
            .iter()
            .flatten()
            .filter(|caption| is_live(caption))
            .filter_map(|c| c.tokens.last().copied())
            .collect();
        let count = live.len();
        let live = Tensor::<1, Int>::from_data(TensorData::new(live, [count]), &state.device());
        state = decoder.advance(word_rows(sentence, &last), Some(state.select(0, live)));
    }
    beams
}

fn is_live(caption: &Generated) -> bool {
    caption.tokens.last() != Some(&END)
}

/// The `width` best of an image's captions, each with one further word unless it is over, and with the row of its state if
/// it goes on; `first_row` is that of the first live caption.
fn grown(
    decoder: &CaptionDecoder,
    captions: &[Generated],
    first_row: usize,
    logits: &[f32],
    width: usize,
) -> Vec<(Generated, Option<usize>)> {
    let unknown = decoder.output_of(UNKNOWN);
    let mut row = first_row;
    let mut candidates: Vec<Candidate> = Vec::new();
    for (at, caption) in captions.iter().enumerate() {
        if !is_live(caption) {
            candidates.push(Candidate { at, row: None, output: 0, score: caption.log_probability });
            continue;
        }
        let logits = &logits[row * decoder.outputs()..][..decoder.outputs()];
        let sum = log_sum_exp(logits, Some(unknown));
        candidates.extend(best_outputs(logits, unknown, width).into_iter().map(|output| Candidate {
            at,
            row: Some(row),
            output,
            score: caption.log_probability + f64::from(logits[output]) - sum,
        }));
        row += 1;
    }
    // Stable: of equal scores the earlier caption and the more frequent word come first.
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    candidates.truncate(width);
    let grow = |candidate: Candidate| {
        let mut caption = captions[candidate.at].clone();
        if candidate.row.is_some() {
            caption.tokens.push(decoder.token_of(candidate.output));
            caption.log_probability = candidate.score;
        }
        let row = candidate.row.filter(|_| is_live(&caption));
        (caption, row)
    };
    candidates.into_iter().map(grow).collect()
}

/// A caption with one further word, or one that is over.
struct Candidate {
    at: usize,
    row: Option<usize>,
    output: usize,
    score: f64,
}

/// The places of the `count` highest values but `unknown`, best first, earlier places first among equal ones.
fn best_outputs(logits: &[f32], unknown: usize, count: usize) -> Vec<usize> {
    let mut best: Vec<usize> = Vec::with_capacity(count + 1);
    for (place, &logit) in logits.iter().enumerate() {
        if place == unknown || (best.len() == count && logit <= logits[best[count - 1]]) {
            continue;
        }
        let at = best.partition_point(|&other| logits[other] >= logit);
        best.insert(at, place);
        best.truncate(count);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_places_in_order() {
        assert_eq!(best_outputs(&[1.0, 9.0, 3.0, 3.0, 7.0], 1, 3), [4, 2, 3]);
        assert_eq!(best_outputs(&[1.0, 9.0], 1, 3), [0]);
    }
}
