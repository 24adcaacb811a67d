//! [`other_images`]: for each image another one, as a control.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// For each of `count` places another one, drawn at random: neighbours of a list are often alike, as where it is sorted by class.
pub(super) fn other_images(count: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Sattolo's shuffle: one cycle, so that nothing keeps its place.
    for last in (1..count).rev() {
        order.swap(last, random.random_range(0..last));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No image is its own control, neighbours are rare, and a seed gives one order.
    #[test]
    fn another_image_is_drawn_at_random() {
        let found = other_images(1000, 7);
        assert!((0..1000).all(|at| found[at] != at));
        assert!((0..1000).filter(|&at| found[at].abs_diff(at) == 1).count() < 20);
        let mut sorted = found.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_eq!(other_images(1000, 7), found);
        assert_ne!(other_images(1000, 8), found);
        assert_eq!((other_images(1, 1), other_images(2, 1)), (vec![0], vec![1, 0]));
    }
}
