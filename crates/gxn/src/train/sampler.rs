//! The order in which pairs are drawn: a pure function of seed and epoch, so that any step can be found again.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::seed::mix;

/// The images of a step, and captions of theirs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Each image once.
    pub images: Vec<usize>,
    /// One or several captions of each image; they lie together, in the order of the images.
    pub captions: Vec<usize>,
    /// Row of each caption's image.
    pub rows: Vec<usize>,
}

impl Batch {
    fn push(&mut self, image: usize, captions: &[usize]) {
        self.rows.extend(captions.iter().map(|_| self.images.len()));
        self.images.push(image);
        self.captions.extend(captions);
    }

    /// The first caption of each image.
    pub fn first_captions(&self) -> Vec<usize> {
        let mut captions = Vec::with_capacity(self.images.len());
        for (&caption, &row) in self.captions.iter().zip(&self.rows) {
            if row == captions.len() {
                captions.push(caption);
            }
        }
        captions
    }
}

/// One epoch's batches.
///
/// A batch has `batch_size` images, each with `per_image` captions (0 takes all; the last ones of an image may be fewer).
/// Every caption is drawn at most once per epoch and every image at most once per batch; what cannot be placed so (less than a
/// batch at the end) is left out of this epoch, and differs between epochs. Where there are no more images than a batch has, each
/// batch has one caption, or `per_image`, of all images that have some left, if these are two at least.
///
/// `image_of[c]` is the image of caption `c`.
pub fn epoch_batches(
    captions: &[usize],
    image_of: &[usize],
    [batch_size, per_image]: [usize; 2],
    seed: u64,
    epoch: usize,
) -> Vec<Batch> {
    let per_image = if per_image == 0 { usize::MAX } else { per_image };
    let mut captions_of: Vec<Vec<usize>> = Vec::new();
    for &caption in captions {
        let image = image_of[caption];
        captions_of.resize_with(captions_of.len().max(image + 1), Vec::new);
        captions_of[image].push(caption);
    }
    let images = captions_of.iter().filter(|captions| !captions.is_empty()).count();
    let fits_in_one = images <= batch_size;
    let batch_size = batch_size.min(images);
    if batch_size == 0 {
        return Vec::new();
    }
    let mut random = ChaCha8Rng::seed_from_u64(mix(seed, epoch as u64 + 1));
    captions_of.iter_mut().for_each(|captions| captions.shuffle(&mut random));
    // Rounds: each takes the next captions of every image that has some, so that an image's captions lie far apart.
    let rounds = captions_of.iter().map(|captions| captions.len().div_ceil(per_image)).max().unwrap_or(0);
    let mut waiting = std::collections::VecDeque::with_capacity(captions.len());
    for round in 0..rounds {
        let next = captions_of.iter().enumerate().filter_map(|(image, captions)| {
            captions.chunks(per_image.min(captions.len().max(1))).nth(round).map(|captions| (image, captions))
        });
        let mut order: Vec<(usize, &[usize])> = next.collect();
        order.shuffle(&mut random);
        waiting.extend(order);
    }

    let mut batches = Vec::with_capacity(waiting.len() / batch_size);
    // `in_batch[image] == batches.len() + 1` while the image is in the open batch.
    let mut in_batch = vec![0usize; captions_of.len()];
    let mut open = Batch::default();
    let mut passed_over = Vec::new();
    loop {
        let Some((image, captions)) = waiting.pop_front() else {
            // All images that have a caption left are in the open batch.
            if fits_in_one && open.images.len() > 1 {
                batches.push(std::mem::take(&mut open));
                waiting.extend(passed_over.drain(..));
                continue;
            }
            return batches;
        };
        let mark = batches.len() + 1;
        if in_batch[image] == mark {
            passed_over.push((image, captions));
            continue;
        }
        in_batch[image] = mark;
        open.push(image, captions);
        if open.images.len() == batch_size {
            batches.push(std::mem::take(&mut open));
            for item in passed_over.drain(..).rev() {
                waiting.push_front(item);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn five_captions_each_make_as_many_steps_as_the_paper_has() {
        let image_of: Vec<usize> = (0..6000).flat_map(|i| [i; 5]).collect();
        let captions: Vec<usize> = (0..30_000).collect();
        let batches = |seed, epoch| epoch_batches(&captions, &image_of, [128, 1], seed, epoch);
        let first = batches(1, 0);
        assert_eq!(first.len(), 30_000 / 128);
        assert_ne!(first, batches(1, 1));
        assert_ne!(first, batches(2, 0));
        assert_eq!(first, batches(1, 0));
    }

    #[test]
    fn with_all_captions_an_epoch_shows_every_image_once() {
        let image_of: Vec<usize> = (0..100).flat_map(|i| vec![i; i % 6]).collect();
        let captions: Vec<usize> = (0..image_of.len()).collect();
        let batches = epoch_batches(&captions, &image_of, [9, 0], 1, 0);
        let mut images: Vec<usize> = batches.iter().flat_map(|batch| batch.images.clone()).collect();
        assert_eq!((batches.len(), images.len()), (83 / 9, 81));
        images.sort_unstable();
        images.dedup();
        assert_eq!(images.len(), 81);
        for (row, image) in batches[3].images.iter().enumerate() {
            assert_eq!(batches[3].rows.iter().filter(|&&of| of == row).count(), image % 6);
        }
        let firsts = batches[3].first_captions();
        assert_eq!(firsts.iter().map(|&caption| image_of[caption]).collect::<Vec<_>>(), batches[3].images);
    }

    /// 1 to 5 captions an image and a batch for all of them: an image with one caption does not end the epoch.
    #[test]
    fn few_images_show_all_captions_that_have_company() {
        let image_of: Vec<usize> = (0..20).flat_map(|image| vec![image; image % 5 + 1]).collect();
        let captions: Vec<usize> = (0..image_of.len()).collect();
        let sizes: Vec<usize> =
            epoch_batches(&captions, &image_of, [32, 1], 1, 0).iter().map(|batch| batch.images.len()).collect();
        assert_eq!(sizes, [20, 16, 12, 8, 4]);
    }

    proptest! {
        #[test]
        fn no_image_twice_in_a_batch_and_no_caption_twice_in_an_epoch(
            counts in prop::collection::vec(0usize..6, 1..40), batch in 2usize..20, per_image in 0usize..4, seed: u64,
        ) {
            let image_of: Vec<usize> = counts.iter().enumerate().flat_map(|(i, &n)| std::iter::repeat_n(i, n)).collect();
            let captions: Vec<usize> = (0..image_of.len()).collect();
            let distinct = counts.iter().filter(|&&n| n > 0).count();
            let batches = epoch_batches(&captions, &image_of, [batch, per_image], seed, 3);
            let rounds_of = |n: usize| if per_image == 0 { n.min(1) } else { n.div_ceil(per_image) };
            let left_in = |round| counts.iter().filter(|&&n| rounds_of(n) > round).count();
            let mut seen = vec![false; captions.len()];
            for (round, Batch { images, captions, rows }) in batches.iter().enumerate() {
                prop_assert_eq!(images.len(), if distinct > batch { batch } else { left_in(round) });
                prop_assert_eq!(images.iter().collect::<std::collections::BTreeSet<_>>().len(), images.len());
                prop_assert_eq!(captions.len(), rows.len());
                for (&caption, &row) in captions.iter().zip(rows) {
                    prop_assert_eq!(image_of[caption], images[row]);
                    prop_assert!(!std::mem::replace(&mut seen[caption], true));
                }
            }
            if distinct <= batch {
                prop_assert!(left_in(batches.len()) <= 1, "{} images wait", left_in(batches.len()));
            }
            if distinct > 0 && distinct <= batch && counts.iter().all(|&n| n == counts[0]) {
                prop_assert_eq!(batches.len(), if per_image == 0 { 1 } else { counts[0].div_ceil(per_image) });
            }
        }
    }
}
