//! The order in which pairs are drawn: a pure function of seed and epoch, so that any step can be found again.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::seed::mix;

/// One epoch's batches of caption numbers.
///
/// Every caption is drawn at most once per epoch and every image at most once per batch; what cannot be placed so (less
/// than a batch at the end) is left out of this epoch, and differs between epochs.
///
/// `images[c]` is the image of caption `c`. A batch never has more pairs than there are images.
pub fn epoch_batches(images: &[usize], batch_size: usize, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
    let mut distinct: Vec<usize> = images.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let batch_size = batch_size.min(distinct.len());
    if batch_size == 0 {
        return Vec::new();
    }
    let mut random = ChaCha8Rng::seed_from_u64(mix(seed, epoch as u64 + 1));
    // Rounds: each takes one further caption of every image that has one, so that an image's captions lie far apart.
    let mut captions_of: Vec<Vec<usize>> = vec![Vec::new(); distinct.last().map_or(0, |last| last + 1)];
    for (caption, &image) in images.iter().enumerate() {
        captions_of[image].push(caption);
    }
    captions_of.iter_mut().for_each(|captions| captions.shuffle(&mut random));
    let rounds = captions_of.iter().map(Vec::len).max().unwrap_or(0);
    let mut waiting = std::collections::VecDeque::with_capacity(images.len());
    for round in 0..rounds {
        let mut order: Vec<usize> = captions_of.iter().filter_map(|captions| captions.get(round).copied()).collect();
        order.shuffle(&mut random);
        waiting.extend(order);
    }

    let mut batches = Vec::with_capacity(images.len() / batch_size);
    // `in_batch[image] == batches.len() + 1` while the image is in the open batch.
    let mut in_batch = vec![0usize; captions_of.len()];
    let mut open = Vec::with_capacity(batch_size);
    let mut passed_over = Vec::new();
    while let Some(caption) = waiting.pop_front() {
        let mark = batches.len() + 1;
        if in_batch[images[caption]] == mark {
            passed_over.push(caption);
            continue;
        }
        in_batch[images[caption]] = mark;
        open.push(caption);
        if open.len() == batch_size {
            batches.push(std::mem::replace(&mut open, Vec::with_capacity(batch_size)));
            for caption in passed_over.drain(..).rev() {
                waiting.push_front(caption);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn five_captions_each_make_as_many_steps_as_the_paper_has() {
        let images: Vec<usize> = (0..6000).flat_map(|i| [i; 5]).collect();
        let batches = epoch_batches(&images, 128, 1, 0);
        assert_eq!(batches.len(), 30_000 / 128);
        assert_ne!(batches, epoch_batches(&images, 128, 1, 1));
        assert_ne!(batches, epoch_batches(&images, 128, 2, 0));
        assert_eq!(batches, epoch_batches(&images, 128, 1, 0));
    }

    proptest! {
        #[test]
        fn no_image_twice_in_a_batch_and_no_caption_twice_in_an_epoch(
            counts in prop::collection::vec(0usize..6, 1..40), batch in 2usize..20, seed: u64,
        ) {
            let images: Vec<usize> = counts.iter().enumerate().flat_map(|(i, &n)| std::iter::repeat_n(i, n)).collect();
            let distinct = counts.iter().filter(|&&n| n > 0).count();
            let batches = epoch_batches(&images, batch, seed, 3);
            let mut seen = vec![false; images.len()];
            for members in &batches {
                prop_assert_eq!(members.len(), batch.min(distinct));
                let mut of: Vec<usize> = members.iter().map(|&c| images[c]).collect();
                of.sort_unstable();
                of.dedup();
                prop_assert_eq!(of.len(), members.len());
                for &c in members {
                    prop_assert!(!std::mem::replace(&mut seen[c], true));
                }
            }
            if distinct > 0 && distinct <= batch && counts.iter().all(|&n| n == counts[0]) {
                prop_assert_eq!(batches.len(), counts[0]);
            }
        }
    }
}
