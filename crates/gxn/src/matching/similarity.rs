//! s(t, v) and the combined score s* (paper §3.2).

use burn::tensor::Tensor;

use crate::config::Similarity;
use crate::model::Embedding;
use gxn_ops::order_similarity::order_similarity;

/// s(t, v) of every image with every caption; larger is better.
///
/// # Shapes
/// `[N, D]`, `[M, D]` → `[N, M]`
pub fn similarity(images: Tensor<2>, captions: Tensor<2>, kind: Similarity) -> Tensor<2> {
    match kind {
        Similarity::Order => order_similarity(images, captions),
        Similarity::OrderReversed => order_similarity(captions, images).transpose(),
        // Rows have unit length: the inner product is the cosine.
        Similarity::Cosine => images.matmul(captions.transpose()),
    }
}

/// s* of Eq. 3: λ·s(t_h, v_h) + (1 − λ)·s(t_l, v_l); s(t_h, v_h) alone where there is one level.
///
/// # Shapes
/// `N` images, `M` captions → `[N, M]`
pub fn combined_scores(images: &Embedding, captions: &Embedding, kind: Similarity, lambda: f64) -> Tensor<2> {
    let abstract_scores = similarity(images.abstract_level.clone(), captions.abstract_level.clone(), kind);
    match (&images.grounded_level, &captions.grounded_level) {
        (Some(v_l), Some(t_l)) => {
            let grounded_scores = similarity(v_l.clone(), t_l.clone(), kind);
            abstract_scores * lambda + grounded_scores * (1.0 - lambda)
        }
        _ => abstract_scores,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::{Negatives, Pairs, hinge_loss};
    use burn::tensor::{Device, TensorData};

    const KINDS: [Similarity; 3] = [Similarity::Order, Similarity::OrderReversed, Similarity::Cosine];
    /// Pairs of a batch and width of an embedding.
    const SHAPE: [usize; 2] = [4, 5];

    /// v_h, v_l, t_h, t_l: some numbers between 0.1 and 1.1, all different.
    fn levels() -> [Vec<f32>; 4] {
        let count = SHAPE[0] * SHAPE[1];
        [1, 2, 3, 4].map(|level| (0..count).map(|at| 0.1 + ((at * 37 + level * 53) % 101) as f32 / 101.0).collect())
    }

    fn embeddings(levels: &[Vec<f32>; 4], device: &Device) -> [Tensor<2>; 4] {
        levels.each_ref().map(|values| {
            let tensor = Tensor::from_data(TensorData::new(values.clone(), SHAPE), device);
            if device.is_autodiff() { tensor.require_grad() } else { tensor }
        })
    }

    fn scores([v_h, v_l, t_h, t_l]: [Tensor<2>; 4], kind: Similarity, lambda: f64) -> Tensor<2> {
        let images = Embedding { abstract_level: v_h, grounded_level: Some(v_l) };
        let captions = Embedding { abstract_level: t_h, grounded_level: Some(t_l) };
        combined_scores(&images, &captions, kind, lambda)
    }

    #[test]
    fn at_the_ends_of_lambda_one_level_decides() {
        let [v_h, v_l, t_h, t_l] = embeddings(&levels(), &Device::flex());
        for kind in KINDS {
            let both = |lambda| scores([&v_h, &v_l, &t_h, &t_l].map(Clone::clone), kind, lambda).into_data();
            both(1.0).assert_eq(&similarity(v_h.clone(), t_h.clone(), kind).into_data(), true);
            both(0.0).assert_eq(&similarity(v_l.clone(), t_l.clone(), kind).into_data(), true);
        }
    }

    /// v = (3, 0), t = (1, 1): −(2² + 0) one way, −(0 + 1²) the other, inner product 3.
    #[test]
    fn similarities_by_worked_numbers() {
        let (v, t) =
            (Tensor::from_data([[3.0, 0.0]], &Device::flex()), Tensor::from_data([[1.0, 1.0]], &Device::flex()));
        let found = KINDS.map(|kind| similarity(v.clone(), t.clone(), kind).into_scalar::<f32>());
        assert_eq!(found, [-4.0, -1.0, 3.0]);
    }

    /// The gradient of Eq. 3 at every input against (L(x + ε) − L(x − ε)) / 2ε.
    #[test]
    fn the_gradient_of_eq_3_is_that_of_finite_differences() {
        const LAMBDA: f64 = 0.3;
        const EPSILON: f32 = 1e-3;
        let loss = |levels: &[Tensor<2>; 4], kind, negatives| {
            hinge_loss(scores(levels.clone(), kind, LAMBDA), &Pairs::one_each(4), 0.5, negatives)
        };
        for (kind, negatives) in KINDS.into_iter().flat_map(|kind| [(kind, Negatives::All), (kind, Negatives::Hardest)])
        {
            let inputs = embeddings(&levels(), &Device::flex().autodiff());
            let gradients = loss(&inputs, kind, negatives).backward();
            for (level, input) in inputs.iter().enumerate() {
                let gradient: Vec<f32> = input.grad(&gradients).expect("it has one").into_data().iter().collect();
                assert!(gradient.iter().any(|g| g.abs() > 0.01), "{kind:?}, level {level}: nothing flows");
                for (at, &found) in gradient.iter().enumerate() {
                    let moved = |by: f32| {
                        let mut values = levels();
                        values[level][at] += by;
                        loss(&embeddings(&values, &Device::flex()), kind, negatives).into_scalar::<f32>()
                    };
                    let expected = (moved(EPSILON) - moved(-EPSILON)) / (2.0 * EPSILON);
                    assert!((found - expected).abs() < 5e-3, "{kind:?}, level {level}, {at}: {found} for {expected}");
                }
            }
        }
    }
}
