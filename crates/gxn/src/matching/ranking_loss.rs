//! Losses on a batch's combined scores: hinge over all or over the hardest negatives, and the symmetric softmax.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Bool, Device, Tensor, TensorData};

/// A score that no negative beats: what masked entries get before a softmax.
const MASKED: f32 = -1e4;
/// How much softer than its own a teacher's softmax is made: what it says of wrong answers is what a student lacks.
const SOFTNESS: f64 = 2.0;

/// Which negatives of a batch the hinge loss counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Negatives {
    /// All of them, as in the paper.
    All,
    /// In each direction the one with the highest score (VSE++).
    Hardest,
}

/// Which captions (columns of a batch's score matrix) belong to which images (rows). A batch has one or several captions of
/// each image; each is a pair of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs {
    /// Row of each caption's image.
    rows: Vec<usize>,
    images: usize,
    /// Entries that are no negatives, the pairs among them: `[B, C]`, row-major.
    belongs: Vec<bool>,
}

impl Pairs {
    /// The pairs of `images` images and captions of which `rows` has the row of each one's image.
    ///
    /// # Panics
    /// If a row is not below `images`.
    pub fn new(rows: Vec<usize>, images: usize) -> Self {
        assert!(rows.iter().all(|&row| row < images), "a caption without an image");
        let belongs = (0..images).flat_map(|image| rows.iter().map(move |&row| row == image)).collect();
        Self { rows, images, belongs }
    }

    /// The pairs of as many captions as images, in the same order.
    pub fn one_each(images: usize) -> Self {
        Self::new((0..images).collect(), images)
    }

    /// Every entry of image (row) and caption (column) for which `is_exempt` holds is no negative either.
    pub fn exempt(&mut self, is_exempt: impl Fn(usize, usize) -> bool) {
        let captions = self.rows.len();
        for (at, entry) in self.belongs.iter_mut().enumerate() {
            *entry |= is_exempt(at / captions, at % captions);
        }
    }

    /// Entries that are no negatives, the pairs among them.
    ///
    /// # Shapes
    /// `[B, C]`, row-major
    pub fn belongs(&self) -> &[bool] {
        &self.belongs
    }

    /// For each caption the scores of its image.
    ///
    /// # Shapes
    /// `[B, C]` → `[C, C]`
    fn of_own_images(&self, scores: &Tensor<2>) -> Tensor<2> {
        rows_of(scores.clone(), &self.rows)
    }

    /// The scores of the pairs.
    ///
    /// # Shapes
    /// `[B, C]` → `[1, C]`
    fn of_pairs(&self, scores: &Tensor<2>) -> Tensor<2> {
        let rows: Vec<i64> = self.rows.iter().map(|&row| row as i64).collect();
        let rows = Tensor::from_data(TensorData::new(rows, [1, self.rows.len()]), &scores.device());
        scores.clone().gather(0, rows)
    }

    /// The entries of [`Pairs::of_own_images`] and of the score matrix that are no negatives; the pairs themselves only
    /// `with_pairs`.
    ///
    /// # Shapes
    /// `[C, C]`, `[B, C]`
    fn masks(&self, with_pairs: bool, device: &Device) -> [Tensor<2, Bool>; 2] {
        let captions = self.rows.len();
        let belongs = |image: usize, caption: usize| self.belongs[image * captions + caption];
        let numbers = || 0..captions;
        let by_image = numbers().flat_map(|pair| {
            let image = self.rows[pair];
            numbers().map(move |caption| belongs(image, caption) && (with_pairs || caption != pair))
        });
        let by_caption = (0..self.images).flat_map(|image| {
            numbers().map(move |caption| belongs(image, caption) && (with_pairs || self.rows[caption] != image))
        });
        let tensor = |mask: Vec<bool>| {
            let shape = [mask.len() / captions.max(1), captions];
            Tensor::from_data(TensorData::new(mask, shape), device)
        };
        [tensor(by_image.collect()), tensor(by_caption.collect())]
    }
}

/// These rows of `values`, in this order; `values` itself where they are all of its rows.
///
/// # Shapes
/// `[N, M]`, `K` rows → `[K, M]`
pub(crate) fn rows_of(values: Tensor<2>, rows: &[usize]) -> Tensor<2> {
    if rows.len() == values.dims()[0] && rows.iter().enumerate().all(|(at, &row)| at == row) {
        return values;
    }
    let rows = TensorData::new(rows.iter().map(|&row| row as i64).collect(), [rows.len()]);
    let device = values.device();
    values.select(0, Tensor::from_data(rows, &device))
}

/// L_Rank, mean over the batch's pairs: paper Eq. 3 on combined scores, Eq. 2 on those of one level:
/// Σ_{t'} [α − s*(t,v) + s*(t',v)]₊ + Σ_{v'} [α − s*(t,v) + s*(t,v')]₊, or the largest term of each sum with [`Negatives::Hardest`].
///
/// # Shapes
/// `[B, C]` (row: image, column: caption) → `[1]`
pub fn hinge_loss(scores: Tensor<2>, pairs: &Pairs, margin: f64, negatives: Negatives) -> Tensor<1> {
    let [image_mask, caption_mask] = pairs.masks(true, &scores.device());
    let of_pairs = pairs.of_pairs(&scores); // [1, C]
    let own = pairs.of_own_images(&scores); // [C, C]
    let by_image = (own - of_pairs.clone().transpose() + margin).clamp_min(0.0).mask_fill(image_mask, 0.0);
    let by_caption = (scores - of_pairs + margin).clamp_min(0.0).mask_fill(caption_mask, 0.0);
    let total = match negatives {
        Negatives::All => by_image.sum() + by_caption.sum(),
        Negatives::Hardest => by_image.max_dim(1).sum() + by_caption.max_dim(0).sum(),
    };
    total / pairs.rows.len() as f64
}

/// The symmetric softmax loss: mean over both directions of −log softmax of the pair among its negatives, at
/// `scale` = 1 / temperature (`[1]`).
///
/// # Shapes
/// `[B, C]` (row: image, column: caption) → `[1]`
pub fn info_nce_loss(scores: Tensor<2>, pairs: &Pairs, scale: Tensor<1>) -> Tensor<1> {
    let [image_mask, caption_mask] = pairs.masks(false, &scores.device());
    let logits = scores * scale.unsqueeze();
    let by_image = log_softmax(pairs.of_own_images(&logits).mask_fill(image_mask, MASKED), 1); // [C, C]
    let by_caption = log_softmax(logits.mask_fill(caption_mask, MASKED), 0); // [B, C]
    let captions = pairs.rows.len();
    let total = Pairs::one_each(captions).of_pairs(&by_image).sum() + pairs.of_pairs(&by_caption).sum();
    total / (-2.0 * captions as f64)
}

/// Cross-entropy of a student's softmax with a teacher's, both at twice their own temperature, mean over both directions;
/// `teacher` are its logits and `scale` is the student's 1 / temperature (`[1]`). Times four, so that its gradient keeps its size
/// beside [`info_nce_loss`] (Hinton et al. 2015, §2).
///
/// # Shapes
/// twice `[B, C]` (row: image, column: caption) → `[1]`
pub fn distillation_loss(scores: Tensor<2>, teacher: Tensor<2>, scale: Tensor<1>) -> Tensor<1> {
    let [images, captions] = scores.dims();
    let logits = scores * (scale / SOFTNESS).unsqueeze();
    let teacher = teacher / SOFTNESS;
    let by_image = (softmax(teacher.clone(), 1) * log_softmax(logits.clone(), 1)).sum() / images as f64;
    let by_caption = (softmax(teacher, 0) * log_softmax(logits, 0)).sum() / captions as f64;
    (by_image + by_caption) * (-0.5 * SOFTNESS * SOFTNESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(t: Tensor<1>) -> f32 {
        t.into_scalar()
    }

    /// scores [[0.9, 0.8], [0.1, 0.5]], α = 0.2.
    /// By image: row 0 [0.2 − 0.9 + 0.8] = 0.1, row 1 [0.2 − 0.5 + 0.1]₊ = 0.
    /// By caption: column 0 [0.2 − 0.9 + 0.1]₊ = 0, column 1 [0.2 − 0.5 + 0.8] = 0.5. Mean over two pairs: 0.3.
    #[test]
    fn hinge_of_two_pairs() {
        let device = Device::flex();
        let scores = Tensor::<2>::from_data([[0.9, 0.8], [0.1, 0.5]], &device);
        for negatives in [Negatives::All, Negatives::Hardest] {
            let loss = value(hinge_loss(scores.clone(), &Pairs::one_each(2), 0.2, negatives));
            assert!((loss - 0.3).abs() < 1e-6, "{loss}");
        }
    }

    /// Captions a, b of image 0 and c of image 1; α = 0.5, scale 1.
    /// Scores [[0.9, 0.7, 0.5], [0.1, 0.3, 0.6]]: b is no negative of image 0.
    /// Hinge by image: a [0.5 − 0.9 + 0.5] = 0.1, b [0.5 − 0.7 + 0.5] = 0.3, c [0.5 − 0.6 + 0.1]₊ + [0.5 − 0.6 + 0.3] = 0.2;
    /// by caption: a [0.5 − 0.9 + 0.1]₊ = 0, b [0.5 − 0.7 + 0.3] = 0.1, c [0.5 − 0.6 + 0.5] = 0.4. Mean over three pairs: 1.1 / 3.
    #[test]
    fn every_caption_of_an_image_is_a_pair_and_none_a_negative_of_another() {
        let device = Device::flex();
        let scores = Tensor::<2>::from_data([[0.9, 0.7, 0.5], [0.1, 0.3, 0.6]], &device);
        let pairs = Pairs::new(vec![0, 0, 1], 2);
        for negatives in [Negatives::All, Negatives::Hardest] {
            let loss = value(hinge_loss(scores.clone(), &pairs, 0.5, negatives));
            assert!((loss - 1.1 / 3.0).abs() < 1e-6, "{negatives:?}: {loss}");
        }
        let softplus = |x: f32| x.exp().ln_1p();
        let by_image =
            softplus(0.5 - 0.9) + softplus(0.5 - 0.7) + (1.0 + (0.1f32 - 0.6).exp() + (0.3f32 - 0.6).exp()).ln();
        let by_caption = softplus(0.1 - 0.9) + softplus(0.3 - 0.7) + softplus(0.5 - 0.6);
        let loss = value(info_nce_loss(scores, &pairs, Tensor::from_data([1.0], &device)));
        assert!((loss - (by_image + by_caption) / 6.0).abs() < 1e-6, "{loss}");
    }

    /// Logits of the teacher [[2, 0], [0, 2]], softened [[1, 0], [0, 1]]: p = e / (e + 1) on the diagonal in each direction. A student
    /// of equal scores has the cross-entropy ln 2; one of the teacher's own logits the entropy of p, which is the least.
    #[test]
    fn a_student_of_its_teachers_scores_has_learned_all() {
        let device = Device::flex();
        let loss = |scores: [[f32; 2]; 2], scale: f32| {
            let teacher = Tensor::<2>::from_data([[2.0, 0.0], [0.0, 2.0]], &device);
            value(distillation_loss(Tensor::from_data(scores, &device), teacher, Tensor::from_data([scale], &device)))
        };
        let p = 1f32.exp() / (1f32.exp() + 1.0);
        let entropy = -(p * p.ln() + (1.0 - p) * (1.0 - p).ln());
        assert!((loss([[0.5, 0.5], [0.5, 0.5]], 3.0) - 4.0 * 2f32.ln()).abs() < 1e-5);
        assert!((loss([[1.0, 0.5], [0.5, 1.0]], 4.0) - 4.0 * entropy).abs() < 1e-5);
        assert!(loss([[1.0, 0.5], [0.5, 1.0]], 8.0) > 4.0 * entropy + 0.1, "too sure");
    }

    /// The captions of two images say the same: neither is a negative of the other, whatever its score.
    #[test]
    fn exempt_entries_are_no_negatives() {
        let device = Device::flex();
        let scores = Tensor::<2>::from_data([[0.9, 5.0, 0.0], [5.0, 0.9, 0.0], [0.0, 0.0, 0.9]], &device);
        let mut pairs = Pairs::one_each(3);
        assert!(value(hinge_loss(scores.clone(), &pairs, 0.2, Negatives::All)) > 1.0);
        pairs.exempt(|image, caption| image < 2 && caption < 2);
        assert_eq!(value(hinge_loss(scores.clone(), &pairs, 0.2, Negatives::All)), 0.0);
        let loss = value(info_nce_loss(scores, &pairs, Tensor::from_data([1.0], &device)));
        assert!(loss < 1.0, "{loss}");
    }

    #[test]
    fn hardest_takes_one_term_of_each_sum() {
        let device = Device::flex();
        let scores = Tensor::<2>::zeros([4, 4], &device);
        let pairs = Pairs::one_each(4);
        // Every negative violates by α: 3 per sum and direction, or 1.
        assert!((value(hinge_loss(scores.clone(), &pairs, 0.2, Negatives::All)) - 1.2).abs() < 1e-6);
        assert!((value(hinge_loss(scores, &pairs, 0.2, Negatives::Hardest)) - 0.4).abs() < 1e-6);
    }

    /// Equal scores: every one of B is equally likely, ln B.
    #[test]
    fn softmax_loss_of_equal_scores_is_ln_b() {
        let device = Device::flex();
        let pairs = Pairs::one_each(4);
        let loss = value(info_nce_loss(Tensor::zeros([4, 4], &device), &pairs, Tensor::from_data([10.0], &device)));
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
        let pairs = Pairs::one_each(3);
        for negatives in [Negatives::All, Negatives::Hardest] {
            let (x, y) = (hinge_loss(a.clone(), &pairs, 0.2, negatives), hinge_loss(b.clone(), &pairs, 0.2, negatives));
            assert!((value(x) - value(y)).abs() < 1e-6);
        }
    }
}
