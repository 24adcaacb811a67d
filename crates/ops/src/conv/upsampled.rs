//! Upsampling by two and a 3×3 convolution as one transposed 4×4 convolution with stride 2.
//!
//! Output row 2i sees rows i − 1 (kernel row 0) and i (rows 1 and 2), output row 2i + 1 sees rows i (0 and 1) and i + 1
//! (2). So input row i reaches output rows 2i − 1 … 2i + 2 through the kernel rows 2, 1 + 2, 0 + 1 and 0.

use rayon::prelude::*;

/// The 3×3 kernel rows that each row of the 4×4 kernel adds up, first to last.
const ROWS: [[usize; 2]; 4] = [[2, 2], [1, 2], [0, 1], [0, 0]];

/// The kernels `[C, O, 4, 4]` of the transposed convolution for `weight` `[O, C, 3, 3]`.
pub(super) fn expand(weight: &[f32], outputs: usize, inputs: usize) -> Vec<f32> {
    let mut out = vec![0.0; inputs * outputs * 16];
    if out.is_empty() {
        return out;
    }
    out.par_chunks_mut(outputs * 16).enumerate().for_each(|(input, out)| {
        for (output, out) in out.chunks_exact_mut(16).enumerate() {
            let weight = &weight[(output * inputs + input) * 9..][..9];
            for (y, rows) in ROWS.into_iter().enumerate() {
                let row: [f32; 3] = std::array::from_fn(|x| add(rows, |y| weight[y * 3 + x]));
                for (x, columns) in ROWS.into_iter().enumerate() {
                    out[y * 4 + x] = add(columns, |x| row[x]);
                }
            }
        }
    });
    out
}

/// The transpose of [`expand`]: gradients of the 3×3 kernels `[O, C, 3, 3]` from those of `[C, O, 4, 4]`.
pub(super) fn fold(grad: &[f32], outputs: usize, inputs: usize) -> Vec<f32> {
    let mut out = vec![0.0; outputs * inputs * 9];
    if out.is_empty() {
        return out;
    }
    out.par_chunks_mut(inputs * 9).enumerate().for_each(|(output, out)| {
        for (input, out) in out.chunks_exact_mut(9).enumerate() {
            let grad = &grad[(input * outputs + output) * 16..][..16];
            for (y, rows) in ROWS.into_iter().enumerate() {
                for (x, columns) in ROWS.into_iter().enumerate() {
                    for y_small in rows[0]..=rows[1] {
                        for x_small in columns[0]..=columns[1] {
                            out[y_small * 3 + x_small] += grad[y * 4 + x];
                        }
                    }
                }
            }
        }
    });
    out
}

/// The sum of `value` over the one or two rows.
fn add([first, last]: [usize; 2], value: impl Fn(usize) -> f32) -> f32 {
    if first == last { value(first) } else { value(first) + value(last) }
}
