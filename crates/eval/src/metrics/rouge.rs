//! ROUGE-L (Lin 2004) as the coco-caption package has it: β = 1.2, best precision and best recall over the references.

use rayon::prelude::*;

const BETA: f64 = 1.2;

/// ROUGE-L of every candidate (token ids) against its references, in 0..=1; the set's score is their mean.
pub(super) fn rouge_l(candidates: &[Vec<u32>], references: &[Vec<Vec<u32>>]) -> Vec<f64> {
    candidates.par_iter().zip(references).map(|(candidate, references)| sentence(candidate, references)).collect()
}

fn sentence(candidate: &[u32], references: &[Vec<u32>]) -> f64 {
    // The package splits an empty caption into one empty token, which matches only another empty caption.
    let length = |tokens: &[u32]| tokens.len().max(1) as f64;
    let (mut precision, mut recall) = (0.0f64, 0.0f64);
    for reference in references {
        let both_empty = candidate.is_empty() && reference.is_empty();
        let common = if both_empty { 1.0 } else { common_subsequence(candidate, reference) as f64 };
        precision = precision.max(common / length(candidate));
        recall = recall.max(common / length(reference));
    }
    if precision == 0.0 || recall == 0.0 {
        return 0.0;
    }
    (1.0 + BETA * BETA) * precision * recall / (recall + BETA * BETA * precision)
}

/// Length of the longest common subsequence.
fn common_subsequence(a: &[u32], b: &[u32]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (place, y) in b.iter().enumerate() {
            let above = row[place + 1];
            row[place + 1] = if x == y { diagonal + 1 } else { above.max(row[place]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "a b c d" and "a x c": common "a c", precision 2/4, recall 2/3.
    #[test]
    fn worked_rouge() {
        assert_eq!(common_subsequence(&[0, 1, 2, 3], &[0, 9, 2]), 2);
        let expected = 2.44 * 0.5 * (2.0 / 3.0) / (2.0 / 3.0 + 1.44 * 0.5);
        assert!((rouge_l(&[vec![0, 1, 2, 3]], &[vec![vec![0, 9, 2]]])[0] - expected).abs() < 1e-12);
        assert_eq!(rouge_l(&[vec![0]], &[vec![vec![0]]]), [1.0]);
        assert_eq!(rouge_l(&[vec![], vec![]], &[vec![vec![1]], vec![vec![]]]), [0.0, 1.0]);
    }
}
