use super::*;
use half::f16;
use proptest::prelude::*;

const MEASURES: [Measure; 3] = [Measure::Dot, Measure::RowAboveQuery, Measure::QueryAboveRow];

/// The definition, in f64, with the sum of the terms' sizes as the scale of rounding.
fn definition(measure: Measure, row: &[f32], query: &[f32]) -> (f64, f64) {
    row.iter().zip(query).fold((0.0, 0.0), |(sum, size), (&a, &b)| {
        let (a, b) = (f64::from(a), f64::from(b));
        let term = match measure {
            Measure::Dot => a * b,
            Measure::RowAboveQuery => (a - b).max(0.0).powi(2),
            Measure::QueryAboveRow => (b - a).max(0.0).powi(2),
        };
        (sum + term, size + term.abs())
    })
}

/// a = (1, 2, −1), b = (0.5, 3, −2): dot 0.5 + 6 + 2; a above b 0.25 + 0 + 1; b above a 0 + 1 + 0.
#[test]
fn worked_numbers() {
    let (a, b) = ([1.0f32, 2.0, -1.0], [0.5f32, 3.0, -2.0]);
    let halves = a.map(f16::from_f32);
    for kernel in Kernel::available() {
        for (measure, expected) in MEASURES.into_iter().zip([8.5, 1.25, 1.0]) {
            assert_eq!(kernel.pair(measure, &a, &b), expected, "{} {measure:?}", kernel.name());
            assert_eq!(kernel.pair(measure, &halves, &b), expected, "{} {measure:?} f16", kernel.name());
        }
    }
}

#[test]
fn every_finite_f16_is_read_exactly() {
    let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).filter(|v| v.is_finite()).collect();
    for kernel in Kernel::available() {
        for values in all.chunks(16) {
            for at in 0..values.len() {
                let mut query = vec![0.0; values.len()];
                query[at] = 1.0;
                assert_eq!(kernel.pair(Measure::Dot, values, &query), values[at].to_f32(), "{}", kernel.name());
            }
        }
    }
}

/// Rows, stride, first column, compared columns, queries.
fn cases() -> impl Strategy<Value = (usize, usize, usize, usize, usize, u64)> {
    (1usize..11, 0usize..9, 0usize..9, 1usize..150, 1usize..11, any::<u64>())
}

fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

proptest! {
    #[test]
    fn kernels_equal_scalar_and_the_definition((rows, before, after, len, queries, seed) in cases()) {
        let stride = before + len + after;
        let halves: Vec<f16> = noise(seed, rows * stride).into_iter().map(f16::from_f32).collect();
        let stored: Vec<f32> = halves.iter().map(|v| v.to_f32()).collect();
        let query = noise(!seed, queries * len);
        for measure in MEASURES {
            let mut scalar = vec![0.0; rows * queries];
            Kernel::scalar().block(measure, &stored, stride, before..before + len, &query, &mut scalar);
            for kernel in Kernel::available() {
                let mut full = vec![f32::NAN; rows * queries];
                let mut half = full.clone();
                kernel.block(measure, &stored, stride, before..before + len, &query, &mut full);
                kernel.block(measure, &halves, stride, before..before + len, &query, &mut half);
                prop_assert_eq!(&full, &half, "f16 rows hold the same values");
                for q in 0..queries {
                    for r in 0..rows {
                        let row = &stored[r * stride + before..][..len];
                        let one = &query[q * len..][..len];
                        let (exact, size) = definition(measure, row, one);
                        let got = full[q * rows + r];
                        prop_assert!((f64::from(got) - exact).abs() <= 2e-6 * size + 1e-12, "{} {measure:?}: {got} for {exact}", kernel.name());
                        prop_assert!((got - scalar[q * rows + r]).abs() <= 4e-6 * size as f32 + 1e-12);
                        prop_assert_eq!(kernel.pair(measure, row, one).to_bits(), got.to_bits(), "grouping must not matter");
                    }
                }
            }
        }
    }

    #[test]
    fn matrix_equals_pairs(rows in 0usize..40, queries in 0usize..70, dims in 1usize..40, seed in any::<u64>()) {
        let stored = noise(seed, rows * dims);
        let query = noise(!seed, queries * dims);
        let mut out = vec![f32::NAN; rows * queries];
        score_matrix(Measure::Dot, &stored, &query, dims, &mut out);
        for q in 0..queries {
            for r in 0..rows {
                let pair = Kernel::best().pair(Measure::Dot, &stored[r * dims..][..dims], &query[q * dims..][..dims]);
                prop_assert_eq!(out[q * rows + r].to_bits(), pair.to_bits());
            }
        }
    }
}

/// More rows than one block.
#[test]
fn matrix_covers_every_block() {
    let (rows, dims) = (9000, 3);
    let stored: Vec<f32> = (0..rows * dims).map(|i| (i % 7) as f32).collect();
    let mut out = vec![f32::NAN; rows];
    score_matrix(Measure::Dot, &stored, &[1.0, 10.0, 100.0], dims, &mut out);
    for (row, got) in stored.chunks(3).zip(out) {
        assert_eq!(got, row[0] + 10.0 * row[1] + 100.0 * row[2]);
    }
}

#[test]
#[should_panic(expected = "queries must be whole")]
fn wrong_lengths_panic() {
    Kernel::best().block(Measure::Dot, &[1.0f32; 8], 4, 0..4, &[1.0; 5], &mut [0.0; 2]);
}
