//! Position embeddings for another grid of patches than the one they were trained for.

/// Position embeddings `[from², width]` of a square grid for the grid `to` (rows, columns), `[rows · columns, width]`.
///
/// Bicubic (Keys' kernel with a = −0.75), pixel centres at one half, borders repeated, no smoothing: what transformers does
/// through PyTorch's `interpolate`.
pub(crate) fn interpolated(table: &[f32], from: usize, to: [usize; 2]) -> Vec<f32> {
    let width = table.len() / (from * from);
    let [rows, columns] = to.map(|to| (0..to).map(|place| taps(place, from, to)).collect::<Vec<_>>());
    let mut out = vec![0.0; rows.len() * columns.len() * width];
    let places = rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)));
    for (out, (row, column)) in out.chunks_exact_mut(width).zip(places) {
        for (y, by_row) in row {
            for (x, by_column) in column {
                let source = &table[(y * from + x) * width..][..width];
                out.iter_mut().zip(source).for_each(|(out, value)| *out += by_row * by_column * value);
            }
        }
    }
    out
}

/// The four places of `from` that make place `place` of `to`, with their weights.
fn taps(place: usize, from: usize, to: usize) -> [(usize, f32); 4] {
    let centre = (place as f32 + 0.5) * (from as f32 / to as f32) - 0.5;
    let first = centre.floor();
    let weights = cubic(centre - first);
    std::array::from_fn(|tap| ((first as isize + tap as isize - 1).clamp(0, from as isize - 1) as usize, weights[tap]))
}

/// Weights of the neighbours at −1, 0, 1 and 2 for a point at `t`.
fn cubic(t: f32) -> [f32; 4] {
    const A: f32 = -0.75;
    let near = |x: f32| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f32| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_grid_stays_and_a_constant_stays() {
        let table: Vec<f32> = (0..18).map(|k| k as f32).collect();
        assert_eq!(interpolated(&table, 3, [3, 3]), table);
        for value in interpolated(&[2.0; 18], 3, [5, 2]) {
            assert!((value - 2.0).abs() < 1e-6);
        }
    }
}
