//! [`Linear`]: y = x Wᵀ + b, with what follows it done while a tile is in the nearest cache.
//!
//! Weights are packed once into panels of [`NR`] outputs, inputs of a call into tiles of a few rows. The matrix crate `gemm`
//! packs the weights in every call, which costs more than the product where there are few rows.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{Activation, Threads};

/// Outputs of a panel.
const NR: usize = 32;
/// The most rows of a tile: with 32 registers, of which 24 hold its sums, and with 16.
const TALLEST: [usize; 2] = [12, 6];

/// A linear layer.
#[derive(Debug)]
pub(crate) struct Linear {
    /// `[panels, inputs, NR]`; outputs beyond the last are zeros.
    panels: Vec<f32>,
    /// `[panels, NR]`.
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

/// What becomes of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It is the result.
    Nothing,
    /// The activation of it is the result.
    Activate(Activation),
    /// It is added to what the target holds.
    Add,
}

impl Linear {
    /// The layer of `weight` `[outputs, inputs]` and `bias` `[outputs]`; no bias is zeros.
    pub(crate) fn new(weight: Vec<f32>, bias: Option<Vec<f32>>, inputs: usize) -> Self {
        let outputs = weight.len() / inputs;
        let count = outputs.div_ceil(NR);
        let mut panels = vec![0.0; count * inputs * NR];
        for (panel, rows) in panels.chunks_exact_mut(inputs * NR).zip(weight.chunks(inputs * NR)) {
            interleave(rows, inputs, NR, panel);
        }
        let mut bias = bias.unwrap_or_default();
        bias.resize(count * NR, 0.0);
        Self { panels, bias, inputs, outputs }
    }

    /// Values of an output row.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Writes the product of rows `x` to `out`.
    pub(crate) fn apply(&self, x: &[f32], out: &mut [f32], after: After, threads: Threads) {
        assert_eq!(x.len() / self.inputs, out.len() / self.outputs, "rows of a product");
        let kernel = Kernel::detect();
        let x = kernel.pack(x, self.inputs);
        let target = Target { start: out.as_mut_ptr(), rows: out.len() / self.outputs, outputs: self.outputs };
        let panels = self.outputs.div_ceil(NR);
        // Each panel writes columns of its own.
        let panel = |panel| self.panel(kernel, panel, &x, &target, after);
        match threads {
            Threads::Own => (0..panels).for_each(panel),
            Threads::All => {
                let least = panels.div_ceil(4 * threads.count());
                (0..panels).into_par_iter().with_min_len(least).for_each(panel);
            }
        }
    }

    /// The columns of one panel, tile by tile.
    fn panel(&self, kernel: Kernel, panel: usize, x: &[f32], target: &Target, after: After) {
        let weights = &self.panels[panel * self.inputs * NR..][..self.inputs * NR];
        let bias = &self.bias[panel * NR..][..NR];
        let columns = NR.min(self.outputs - panel * NR);
        let mut sums = [0.0; TALLEST[0] * NR];
        for (first, height) in kernel.tiles(target.rows) {
            let sums = &mut sums[..height * NR];
            let x = &x[first * self.inputs..][..height * self.inputs];
            kernel.arch.dispatch(Tile { height, x, weights, bias, sums: &mut *sums });
            if let After::Activate(activation) = after {
                activation.apply(sums);
            }
            for (row, sums) in sums.chunks_exact(NR).enumerate() {
                target.write(first + row, panel * NR, &sums[..columns], after == After::Add);
            }
        }
    }
}

/// `out` `[length, width]` from at most `width` rows of `length` values.
fn interleave(rows: &[f32], length: usize, width: usize, out: &mut [f32]) {
    for (number, row) in rows.chunks_exact(length).enumerate() {
        for (out, value) in out.chunks_exact_mut(width).zip(row) {
            out[number] = *value;
        }
    }
}

/// The vector instructions in use.
#[derive(Debug, Clone, Copy)]
struct Kernel {
    arch: Arch,
    tallest: usize,
}

impl Kernel {
    fn detect() -> Self {
        let arch = Arch::new();
        Self { arch, tallest: arch.dispatch(Tallest) }
    }

    /// Rows in tiles of nearly the same height: first rows and heights.
    fn tiles(self, rows: usize) -> impl Iterator<Item = (usize, usize)> {
        let count = rows.div_ceil(self.tallest);
        (0..count).map(move |tile| {
            let first = tile * rows / count;
            (first, (tile + 1) * rows / count - first)
        })
    }

    /// The rows `x` of `inputs` values as tiles `[inputs, height]`.
    fn pack(self, x: &[f32], inputs: usize) -> Vec<f32> {
        let mut packed = vec![0.0; x.len()];
        for (first, height) in self.tiles(x.len() / inputs) {
            let place = first * inputs..(first + height) * inputs;
            interleave(&x[place.clone()], inputs, height, &mut packed[place]);
        }
        packed
    }
}

struct Tallest;

impl WithSimd for Tallest {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        TALLEST[usize::from(S::REGISTER_COUNT < 32)]
    }
}

/// A matrix that several threads write, each in columns of its own.
struct Target {
    start: *mut f32,
    rows: usize,
    outputs: usize,
}

// SAFETY: `Linear::apply` holds the matrix alone, and gives every panel of columns to one thread.
unsafe impl Sync for Target {}

impl Target {
    fn write(&self, row: usize, column: usize, values: &[f32], add: bool) {
        assert!(row < self.rows && column + values.len() <= self.outputs, "outside of a product");
        // SAFETY: the assertion keeps the place inside the matrix; nobody else has these columns.
        let place =
            unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.outputs + column), values.len()) };
        if add {
            place.iter_mut().zip(values).for_each(|(place, value)| *place += value);
        } else {
            place.copy_from_slice(values);
        }
    }
}

/// The sums `[height, NR]` of a tile `[inputs, height]` against a panel `[inputs, NR]`.
struct Tile<'a> {
    height: usize,
    x: &'a [f32],
    weights: &'a [f32],
    bias: &'a [f32],
    sums: &'a mut [f32],
}

impl WithSimd for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.height {
            1 => self.run::<S, 1>(simd),
            2 => self.run::<S, 2>(simd),
            3 => self.run::<S, 3>(simd),
            4 => self.run::<S, 4>(simd),
            5 => self.run::<S, 5>(simd),
            6 => self.run::<S, 6>(simd),
            7 => self.run::<S, 7>(simd),
            8 => self.run::<S, 8>(simd),
            9 => self.run::<S, 9>(simd),
            10 => self.run::<S, 10>(simd),
            11 => self.run::<S, 11>(simd),
            _ => self.run::<S, 12>(simd),
        }
    }
}

impl Tile<'_> {
    #[inline(always)]
    fn run<S: Simd, const ROWS: usize>(self, simd: S) {
        let columns = 2 * S::F32_LANES;
        for first in (0..NR).step_by(columns) {
            let (bias, _) = S::as_simd_f32s(&self.bias[first..first + columns]);
            let mut sums = [[bias[0], bias[1]]; ROWS];
            for (x, weights) in self.x.as_chunks::<ROWS>().0.iter().zip(self.weights.as_chunks::<NR>().0) {
                let (vectors, _) = S::as_simd_f32s(&weights[first..first + columns]);
                let (left, right) = (vectors[0], vectors[1]);
                for (sum, &x) in sums.iter_mut().zip(x) {
                    let x = simd.splat_f32s(x);
                    sum[0] = simd.mul_add_f32s(x, left, sum[0]);
                    sum[1] = simd.mul_add_f32s(x, right, sum[1]);
                }
            }
            for (row, sums) in self.sums.chunks_exact_mut(NR).zip(sums) {
                let (vectors, _) = S::as_mut_simd_f32s(&mut row[first..first + columns]);
                vectors.copy_from_slice(&sums);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_every_height_and_width() {
        for (rows, inputs, outputs) in [(1, 3, 1), (5, 7, 32), (13, 40, 33), (50, 16, 100)] {
            let values = |count: usize| (0..count).map(|k| ((k * 7919) % 17) as f32 - 8.0).collect::<Vec<_>>();
            let (x, weight, bias) = (values(rows * inputs), values(outputs * inputs), values(outputs));
            let linear = Linear::new(weight.clone(), Some(bias.clone()), inputs);
            for threads in [Threads::Own, Threads::All] {
                let mut out = vec![f32::NAN; rows * outputs];
                linear.apply(&x, &mut out, After::Nothing, threads);
                let mut twice = out.clone();
                linear.apply(&x, &mut twice, After::Add, threads);
                let mut positive = out.clone();
                linear.apply(&x, &mut positive, After::Activate(Activation::Relu), threads);
                for (place, &found) in out.iter().enumerate() {
                    let (row, output) = (place / outputs, place % outputs);
                    let dot: f32 = (0..inputs).map(|k| x[row * inputs + k] * weight[output * inputs + k]).sum();
                    // Whole numbers: the sums are exact.
                    assert_eq!(found, dot + bias[output]);
                    assert_eq!((twice[place], positive[place]), (2.0 * found, found.max(0.0)));
                }
            }
        }
    }
}
