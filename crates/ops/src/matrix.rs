//! Matrix product and transposition of plain slices, on all threads of the current rayon pool.

use gemm::Parallelism;
use rayon::prelude::*;

/// A matrix over a borrowed slice.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` values, one after the other.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(values, rows, columns, columns)
    }

    /// Rows of `columns` values whose beginnings lie `row_stride` apart.
    pub fn strided(values: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        let needed = if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + columns };
        assert!(needed <= values.len(), "matrix {rows}x{columns}: found {} values, expected {needed}", values.len());
        Self { values, rows, columns, row_stride, column_stride: 1 }
    }

    /// The transposed matrix; nothing moves.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// What a product does with the old contents of its target.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// They are replaced.
    Replace,
    /// The product is added to them.
    Add,
}

/// `out = a b` or `out += a b`, with `out` a contiguous matrix.
///
/// Every element is summed in the same order in every run with the same number of threads.
pub(super) fn multiply(a: Matrix, b: Matrix, out: &mut [f32], target: Target) {
    assert_eq!(a.columns, b.rows, "inner sizes differ");
    assert!(a.rows * b.columns <= out.len(), "product is larger than its target");
    // SAFETY: `Matrix` guarantees that its strides stay inside its slice, and the assertion above that the product
    // fits into `out`, which nobody else can see.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            b.columns as isize,
            target == Target::Add,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::Rayon(0),
        );
    }
}

/// The transpose of a contiguous `[rows, columns]` matrix, copied.
pub(super) fn transposed_copy(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const TILE: usize = 16;
    let mut out = vec![0.0; rows * columns];
    if out.is_empty() {
        return out;
    }
    out.par_chunks_mut(TILE * rows).enumerate().for_each(|(tile, out)| {
        let first = tile * TILE;
        for start in (0..rows).step_by(TILE) {
            for (j, out) in out.chunks_mut(rows).enumerate() {
                for row in start..(start + TILE).min(rows) {
                    out[row] = values[row * columns + first + j];
                }
            }
        }
    });
    out
}

/// The sum of each column of a contiguous `[rows, columns]` matrix.
pub(super) fn column_sums(values: &[f32], columns: usize) -> Vec<f32> {
    // Each thread owns columns, so that the order of the sum does not depend on the number of threads.
    const BLOCK: usize = 256;
    let mut sums = vec![0.0; columns];
    sums.par_chunks_mut(BLOCK).enumerate().for_each(|(block, sums)| {
        for row in values.chunks_exact(columns) {
            for (sum, value) in sums.iter_mut().zip(&row[block * BLOCK..]) {
                *sum += value;
            }
        }
    });
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_views() {
        // a = [[1,2],[3,4]], b = [[5,6],[7,8]]: ab = [[19,22],[43,50]], a^T b = [[26,30],[38,44]]
        let (a, b) = ([1.0, 2.0, 9.0, 3.0, 4.0, 9.0], [5.0, 6.0, 7.0, 8.0]);
        let (a, b) = (Matrix::strided(&a, 2, 2, 3), Matrix::new(&b, 2, 2));
        let mut out = [0.0; 4];
        multiply(a, b, &mut out, Target::Replace);
        assert_eq!(out, [19.0, 22.0, 43.0, 50.0]);
        multiply(a.transposed(), b, &mut out, Target::Add);
        assert_eq!(out, [45.0, 52.0, 81.0, 94.0]);
    }

    #[test]
    fn transposes_and_sums_columns() {
        let (rows, columns) = (37, 300);
        let values: Vec<f32> = (0..rows * columns).map(|k| k as f32).collect();
        let out = transposed_copy(&values, rows, columns);
        let sums = column_sums(&values, columns);
        for c in 0..columns {
            assert!((0..rows).all(|r| out[c * rows + r] == values[r * columns + c]));
            assert_eq!(sums[c], (0..rows).map(|r| values[r * columns + c]).sum::<f32>());
        }
    }
}
