//! Order violation for engines that only know inner products.
//!
//! max(0, v − t)² ≈ Σₖ aₖ(t) · bₖ(v), summed over all places, with tables aₖ and bₖ that are fitted to the values that
//! occur. An engine stores b(v) and is queried with −a(t): its largest inner products are nearly the smallest violations,
//! and some 50 to 100 of its answers scored exactly give the true best. With one term the rows keep their width.

use crate::kernel::Measure;
use gxn_base::{Error, Result};
use serde::{Deserialize, Serialize};

/// Places of a table.
const PLACES: usize = 256;
/// Rounds of the iteration that finds one term.
const ROUNDS: usize = 60;

/// Tables for one orientation of the violation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Surrogate {
    lowest: f32,
    highest: f32,
    /// One table for each term, [`PLACES`] long: what a row's value becomes.
    row_tables: Vec<Vec<f32>>,
    /// The same for a query's value.
    query_tables: Vec<Vec<f32>>,
}

impl Surrogate {
    /// Fits `terms` terms for `measure` to samples of the values of rows and of queries.
    ///
    /// # Errors
    /// If `measure` is [`Measure::Dot`], which needs none, `terms` is not 1 to 8, or a sample is empty or not finite.
    pub fn fit(measure: Measure, rows: &[f32], queries: &[f32], terms: usize) -> Result<Self> {
        let what = || "surrogate of the order violation".to_string();
        if measure == Measure::Dot {
            return Err(Error::invalid(what(), "the dot product", "an order violation"));
        }
        if !(1..=8).contains(&terms) {
            return Err(Error::invalid(what(), format!("{terms} terms"), "1 to 8 terms"));
        }
        let all = || rows.iter().chain(queries);
        if rows.is_empty() || queries.is_empty() || all().any(|value| !value.is_finite()) {
            return Err(Error::invalid(what(), "samples without values or with NaN or infinity", "finite samples"));
        }
        let lowest = all().copied().fold(f32::INFINITY, f32::min);
        let highest =
            all().copied().fold(f32::NEG_INFINITY, f32::max).max(lowest + f32::EPSILON.max(lowest.abs() * 1e-5));
        let mut surrogate = Self { lowest, highest, row_tables: Vec::new(), query_tables: Vec::new() };
        let (row_weights, query_weights) = (surrogate.weights(rows), surrogate.weights(queries));
        let value = |place: usize| f64::from(lowest) + f64::from(highest - lowest) * place as f64 / (PLACES - 1) as f64;
        // Weighted by how often the values occur, what is left after the terms so far: [row place, query place].
        let mut rest = vec![0.0; PLACES * PLACES];
        for (row, rest) in rest.chunks_exact_mut(PLACES).enumerate() {
            for (query, rest) in rest.iter_mut().enumerate() {
                let above = match measure {
                    Measure::RowAboveQuery => value(row) - value(query),
                    _ => value(query) - value(row),
                };
                *rest = above.max(0.0).powi(2) * row_weights[row] * query_weights[query];
            }
        }
        for _ in 0..terms {
            let (left, right) = strongest_term(&rest);
            for (rest, left) in rest.chunks_exact_mut(PLACES).zip(&left) {
                rest.iter_mut().zip(&right).for_each(|(rest, right)| *rest -= left * right);
            }
            let table =
                |modality: &[f64], weights: &[f64]| modality.iter().zip(weights).map(|(v, w)| (v / w) as f32).collect();
            surrogate.row_tables.push(table(&left, &row_weights));
            surrogate.query_tables.push(table(&right, &query_weights));
        }
        Ok(surrogate)
    }

    /// False if it was read from something else's bytes.
    pub(crate) fn is_whole(&self) -> bool {
        let tables = || self.row_tables.iter().chain(&self.query_tables);
        self.row_tables.len() == self.query_tables.len()
            && tables().all(|table| table.len() == PLACES && table.iter().all(|v| v.is_finite()))
            && self.highest - self.lowest > 0.0
    }

    /// Values that a row or query of `dims` values becomes.
    pub fn width(&self, dims: usize) -> usize {
        dims * self.row_tables.len()
    }

    /// What an engine stores for a row, or for one level of it.
    pub fn row(&self, values: &[f32]) -> Vec<f32> {
        self.look_up(&self.row_tables, values, 1.0)
    }

    /// What an engine is queried with: its inner product with [`Surrogate::row`] is about −`weight` times the violation.
    pub fn query(&self, values: &[f32], weight: f32) -> Vec<f32> {
        self.look_up(&self.query_tables, values, -weight)
    }

    fn look_up(&self, tables: &[Vec<f32>], values: &[f32], factor: f32) -> Vec<f32> {
        let mut out = Vec::with_capacity(self.width(values.len()));
        for table in tables {
            out.extend(values.iter().map(|&value| {
                let (place, part) = self.place(value);
                factor * (table[place] + part * (table[place + 1] - table[place]))
            }));
        }
        out
    }

    /// The place below a value and the way to the next; values outside go to the border.
    fn place(&self, value: f32) -> (usize, f32) {
        let at = (value - self.lowest) / (self.highest - self.lowest) * (PLACES - 1) as f32;
        let at = at.clamp(0.0, (PLACES - 1) as f32);
        let place = (at as usize).min(PLACES - 2);
        (place, at - place as f32)
    }

    /// Roots of how often values occur near each place; never 0, so that rare values are not left to chance.
    fn weights(&self, values: &[f32]) -> Vec<f64> {
        let mut counts = vec![values.len() as f64 / PLACES as f64 * 0.01; PLACES];
        for &value in values {
            let (place, part) = self.place(value);
            counts[place] += f64::from(1.0 - part);
            counts[place + 1] += f64::from(part);
        }
        counts.into_iter().map(f64::sqrt).collect()
    }
}

/// The two sides of the largest term of a singular value decomposition.
fn strongest_term(matrix: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let mut right = vec![1.0; PLACES];
    let mut left = vec![0.0; PLACES];
    for _ in 0..ROUNDS {
        let length = right.iter().map(|v| v * v).sum::<f64>().sqrt();
        if length > 0.0 {
            right.iter_mut().for_each(|v| *v /= length);
        }
        for (left, row) in left.iter_mut().zip(matrix.chunks_exact(PLACES)) {
            *left = row.iter().zip(&right).map(|(a, b)| a * b).sum();
        }
        right.fill(0.0);
        let square = left.iter().map(|v| v * v).sum::<f64>();
        if square == 0.0 {
            break;
        }
        for (left, row) in left.iter().zip(matrix.chunks_exact(PLACES)) {
            right.iter_mut().zip(row).for_each(|(right, value)| *right += left * value / square);
        }
    }
    // The last step made `left` of unit `right`, and `right` so that their product is the best fit.
    (left, right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;

    fn noise(seed: u64, count: usize) -> impl Iterator<Item = f32> {
        let mut state = seed;
        let mut next = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        // Three sums of noise are near enough to a bell.
        (0..count).map(move |_| next() + next() + next() - 1.5)
    }

    /// Rows in clusters, of length 1.
    fn embeddings(seed: u64, count: usize, dims: usize) -> Vec<f32> {
        let centres: Vec<f32> = noise(99, 40 * dims).collect();
        let mut values: Vec<f32> = noise(seed, count * dims).collect();
        for (number, row) in values.chunks_exact_mut(dims).enumerate() {
            row.iter_mut().zip(&centres[number % 40 * dims..]).for_each(|(v, centre)| *v = 0.7 * *v + centre);
            let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            row.iter_mut().for_each(|v| *v /= length);
        }
        values
    }

    /// The ten best of 4,000 by violation are among the hundred best by inner product.
    #[test]
    fn candidates_hold_the_best() {
        let dims = 128;
        let (rows, queries) = (embeddings(1, 4000, dims), embeddings(2, 50, dims));
        let kernel = Kernel::best();
        for measure in [Measure::RowAboveQuery, Measure::QueryAboveRow] {
            let mut recalls = Vec::new();
            for terms in [1, 3] {
                let surrogate = Surrogate::fit(measure, &rows[..500 * dims], &queries, terms).unwrap();
                let stored: Vec<Vec<f32>> = rows.chunks_exact(dims).map(|row| surrogate.row(row)).collect();
                let mut found = 0;
                for query in queries.chunks_exact(dims) {
                    let vector = surrogate.query(query, 1.0);
                    assert_eq!(vector.len(), surrogate.width(dims));
                    let rank = |score: &dyn Fn(usize) -> f32| {
                        let mut order: Vec<usize> = (0..4000).collect();
                        order.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
                        order
                    };
                    let exact = rank(&|row| -kernel.pair(measure, &rows[row * dims..][..dims], query));
                    let near = rank(&|row| kernel.pair(Measure::Dot, &stored[row], &vector));
                    found += exact[..10].iter().filter(|row| near[..100].contains(row)).count();
                }
                recalls.push(found as f64 / 500.0);
            }
            println!("{measure:?}: recall@10 {recalls:?} for 1 and 3 terms");
            assert!(recalls[0] >= 0.95 && recalls[1] >= 0.99, "{measure:?}: {recalls:?}");
        }
    }

    /// With three terms the inner product is the violation, nearly.
    #[test]
    fn three_terms_come_near() {
        let dims = 64;
        let (rows, queries) = (embeddings(3, 300, dims), embeddings(4, 20, dims));
        let surrogate = Surrogate::fit(Measure::RowAboveQuery, &rows, &queries, 3).unwrap();
        for query in queries.chunks_exact(dims) {
            let vector = surrogate.query(query, 2.0);
            for row in rows.chunks_exact(dims) {
                let exact = -2.0 * Kernel::best().pair(Measure::RowAboveQuery, row, query);
                let near = Kernel::best().pair(Measure::Dot, &surrogate.row(row), &vector);
                assert!((exact - near).abs() < 0.12, "{near} for {exact}");
            }
        }
    }

    #[test]
    fn impossible_fits_are_refused() {
        Surrogate::fit(Measure::Dot, &[1.0], &[1.0], 1).unwrap_err();
        Surrogate::fit(Measure::RowAboveQuery, &[1.0], &[1.0], 0).unwrap_err();
        Surrogate::fit(Measure::RowAboveQuery, &[f32::NAN], &[1.0], 1).unwrap_err();
        let one = Surrogate::fit(Measure::RowAboveQuery, &[1.0], &[1.0], 1).unwrap();
        assert!(one.row(&[1.0, 5.0]).iter().chain(&one.query(&[-5.0], 1.0)).all(|v| v.is_finite()));
    }
}
