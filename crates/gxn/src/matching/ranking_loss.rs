//! Losses on a batch's combined scores: hinge over all or over the hardest negatives, and the symmetric softmax.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Bool, Tensor, TensorData};

/// A score that no negative beats: what masked entries get before a softmax.
const MASKED: f32 = -1e4;

/// Which negatives of a batch the hinge loss counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Negatives {
    /// All of them, as in the paper.
    All,
    /// In each direction the one with the highest score (VSE++).
    Hardest,
}

/// Which entries of a batch's score matrix are no negatives: pairs of the same image, the diagonal among them.
///
/// # Shapes
/// `B` image numbers → `[B, B]`, row-major, true where both are the same image
pub fn same_image(images: &[usize]) -> Vec<bool> {
    images.iter().flat_map(|a| images.iter().map(move |b| a == b)).collect()
}

/// A mask of a batch's score matrix as a tensor.
///
/// # Shapes
/// `[B, B]`
pub fn mask_of(entries: Vec<bool>, device: &burn::tensor::Device) -> Tensor<2, Bool> {
    let n = entries.len().isqrt();
    Tensor::from_data(TensorData::new(entries, [n, n]), device)
}

/// L_Rank, mean over the batch's pairs: paper Eq. 3 on combined scores, Eq. 2 on those of one level:
/// Σ_{t'} [α − s*(t,v) + s*(t',v)]₊ + Σ_{v'} [α − s*(t,v) + s*(t,v')]₊, or the largest term of each sum with [`Negatives::Hardest`].
///
/// `belongs` marks entries that are no negatives, see [`same_image`].
///
/// # Shapes
/// `[B, B]` (row: image, column: caption; pairs on the diagonal) → `[1]`
pub fn hinge_loss(scores: Tensor<2>, belongs: Tensor<2, Bool>, margin: f64, negatives: Negatives) -> Tensor<1> {
    let n = scores.dims()[0];
    let pairs = diagonal(&scores); // [B, 1]
    let by_image = (scores.clone() - pairs.clone() + margin).clamp_min(0.0).mask_fill(belongs.clone(), 0.0);
    let by_caption = (scores - pairs.transpose() + margin).clamp_min(0.0).mask_fill(belongs, 0.0);
    let total = match negatives {
        Negatives::All => by_image.sum() + by_caption.sum(),
        Negatives::Hardest => by_image.max_dim(1).sum() + by_caption.max_dim(0).sum(),
    };
    total / n as f64
}

/// The symmetric softmax loss: mean over both directions of −log softmax of the pair among its batch, at
/// `scale` = 1 / temperature (`[1]`). `belongs` marks entries that are no negatives.
///
/// # Shapes
/// `[B, B]` → `[1]`
pub fn info_nce_loss(scores: Tensor<2>, belongs: Tensor<2, Bool>, scale: Tensor<1>) -> Tensor<1> {
    let n = scores.dims()[0];
    let off_diagonal = belongs.bool_and(Tensor::<2, Bool>::diag_mask([n, n], 0, &scores.device()));
    let logits = (scores * scale.unsqueeze()).mask_fill(off_diagonal, MASKED);
    let rows = diagonal(&log_softmax(logits.clone(), 1)).sum();
    let columns = diagonal(&log_softmax(logits, 0)).sum();
    (rows + columns) / (-2.0 * n as f64)
}

/// The diagonal of a square matrix, `[B, B]` → `[B, 1]`.
fn diagonal(square: &Tensor<2>) -> Tensor<2> {
    let n = square.dims()[0];
    let index: Vec<i64> = (0..n as i64).collect();
    let index = Tensor::<2, burn::tensor::Int>::from_data(TensorData::new(index, [n, 1]), &square.device());
    square.clone().gather(1, index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn value(t: Tensor<1>) -> f32 {
        t.into_scalar()
    }

    fn same_image(images: &[usize], device: &Device) -> Tensor<2, Bool> {
        mask_of(super::same_image(images), device)
    }

    /// scores [[0.9, 0.8], [0.1, 0.5]], α = 0.2.
    /// By image: row 0 [0.2 − 0.9 + 0.8] = 0.1, row 1 [0.2 − 0.5 + 0.1]₊ = 0.
    /// By caption: column 0 [0.2 − 0.9 + 0.1]₊ = 0, column 1 [0.2 − 0.5 + 0.8] = 0.5. Mean over two pairs: 0.3.
    #[test]
    fn hinge_of_two_pairs() {
        let device = Device::flex();
        let scores = Tensor::<2>::from_data([[0.9, 0.8], [0.1, 0.5]], &device);
        for negatives in [Negatives::All, Negatives::Hardest] {
            let loss = value(hinge_loss(scores.clone(), same_image(&[0, 1], &device), 0.2, negatives));
            assert!((loss - 0.3).abs() < 1e-6, "{loss}");
        }
    }

    /// Three pairs, the second and third of one image: their mutual scores are no negatives.
    #[test]
    fn pairs_of_one_image_are_no_negatives() {
        let device = Device::flex();
        let scores = Tensor::<2>::from_data([[0.9, 0.0, 0.0], [0.0, 0.9, 5.0], [0.0, 5.0, 0.9]], &device);
        let mask = same_image(&[4, 7, 7], &device);
        assert_eq!(value(hinge_loss(scores.clone(), mask.clone(), 0.2, Negatives::All)), 0.0);
        let loss = value(info_nce_loss(scores, mask, Tensor::from_data([1.0], &device)));
        assert!(loss < 1.0, "{loss}");
    }

    #[test]
    fn hardest_takes_one_term_of_each_sum() {
        let device = Device::flex();
        let scores = Tensor::<2>::zeros([4, 4], &device);
        let mask = same_image(&[0, 1, 2, 3], &device);
        // Every negative violates by α: 3 per sum and direction, or 1.
        assert!((value(hinge_loss(scores.clone(), mask.clone(), 0.2, Negatives::All)) - 1.2).abs() < 1e-6);
        assert!((value(hinge_loss(scores, mask, 0.2, Negatives::Hardest)) - 0.4).abs() < 1e-6);
    }

    /// Equal scores: every one of B is equally likely, ln B.
    #[test]
    fn softmax_loss_of_equal_scores_is_ln_b() {
        let device = Device::flex();
        let mask = same_image(&[0, 1, 2, 3], &device);
        let loss = value(info_nce_loss(Tensor::zeros([4, 4], &device), mask, Tensor::from_data([10.0], &device)));
        assert!((loss - 4f32.ln()).abs() < 1e-5, "{loss}");
    }

    #[test]
    fn shuffling_the_batch_keeps_the_losses() {
        let device = Device::flex();
        let scores = [[0.3, 0.1, 0.25], [0.2, 0.6, 0.55], [0.7, 0.1, 0.4]];
        let order = [2usize, 0, 1];
        let shuffled: Vec<f32> = order.iter().flat_map(|&i| order.iter().map(move |&j| scores[i][j])).collect();
        let a = Tensor::<2>::from_data(scores, &device);
        let b = Tensor::<2>::from_data(TensorData::new(shuffled, [3, 3]), &device);
        let mask = same_image(&[0, 1, 2], &device);
        for negatives in [Negatives::All, Negatives::Hardest] {
            let (x, y) = (
                hinge_loss(a.clone(), mask.clone(), 0.2, negatives),
                hinge_loss(b.clone(), mask.clone(), 0.2, negatives),
            );
            assert!((value(x) - value(y)).abs() < 1e-6);
        }
    }
}
