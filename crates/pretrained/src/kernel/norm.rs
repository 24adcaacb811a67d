//! [`Norm`]: layer normalisation.

use pulp::{Arch, Simd, WithSimd};

use super::Threads;

/// Layer normalisation: (x − mean) / √(variance + ε) · scale + shift, over each row.
#[derive(Debug)]
pub(crate) struct Norm {
    scale: Vec<f32>,
    shift: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    /// The norm of rows of `scale.len()` values.
    pub(crate) fn new(scale: Vec<f32>, shift: Vec<f32>, epsilon: f32) -> Self {
        Self { scale, shift, epsilon }
    }

    /// Normalises the rows of `values` in their places.
    pub(crate) fn apply(&self, values: &mut [f32], threads: Threads) {
        let width = self.scale.len();
        let size = threads.share(values.len() / width) * width;
        threads.pieces(values, size, |_, rows| Arch::new().dispatch(Job { norm: self, rows }));
    }

    /// Writes the normalised rows of `from` to `to`.
    pub(crate) fn copy(&self, from: &[f32], to: &mut [f32], threads: Threads) {
        let width = self.scale.len();
        let size = threads.share(to.len() / width) * width;
        threads.pieces(to, size, |number, rows| {
            for (rows, from) in rows.chunks_mut(width).zip(from[number * size..].chunks(width)) {
                rows.copy_from_slice(from);
                Arch::new().dispatch(Job { norm: self, rows });
            }
        });
    }
}

struct Job<'a> {
    norm: &'a Norm,
    rows: &'a mut [f32],
}

impl WithSimd for Job<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Norm { scale, shift, epsilon } = self.norm;
        let width = scale.len() as f32;
        for row in self.rows.chunks_exact_mut(scale.len()) {
            let mean = sum(
                row,
                #[inline(always)]
                |x| x,
            ) / width;
            let variance = sum(
                row,
                #[inline(always)]
                |x| (x - mean) * (x - mean),
            ) / width;
            let factor = 1.0 / (variance + epsilon).sqrt();
            for ((value, scale), shift) in row.iter_mut().zip(scale).zip(shift) {
                *value = ((*value - mean) * factor).mul_add(*scale, *shift);
            }
        }
    }
}

/// The sum of `term` over a row, in as many partial sums as keep the vector units busy.
#[inline(always)]
fn sum(row: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    const LANES: usize = 64;
    let (pieces, rest) = row.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for piece in pieces {
        for (sum, &value) in sums.iter_mut().zip(piece) {
            *sum += term(value);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|&value| term(value)).sum::<f32>()
}

/// Scales each row of `width` values to length 1. A row of zeros, or one with values that are no numbers, stays.
pub(crate) fn to_unit_length(values: &mut [f32], width: usize) {
    for row in values.chunks_exact_mut(width) {
        let length = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        if length > 0.0 {
            row.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_normalised() {
        // Mean 2, variance 2: (1 − 2)/√(2 + 2) · 2 + 10 = 9.
        let norm = Norm::new(vec![2.0; 2], vec![10.0; 2], 3.0);
        let mut rows = [1.0, 3.0, 5.0, 5.0];
        let mut copy = [0.0; 4];
        norm.copy(&rows, &mut copy, Threads::All);
        norm.apply(&mut rows, Threads::Own);
        assert_eq!(rows, [9.0, 11.0, 10.0, 10.0]);
        assert_eq!(copy, rows);
    }

    #[test]
    fn long_rows_are_summed_completely() {
        let row: Vec<f32> = (0..150).map(|k| k as f32).collect();
        assert_eq!(sum(&row, |x| x), 11_175.0);
    }

    #[test]
    fn rows_become_unit_vectors() {
        let mut rows = [3.0, 4.0, 0.0, 0.0];
        to_unit_length(&mut rows, 2);
        assert_eq!(rows, [0.6, 0.8, 0.0, 0.0]);
    }
}
