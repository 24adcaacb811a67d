//! [`Attention`]: softmax(Q Kᵀ) V over heads, item by item.

use gemm::Parallelism;
use pulp::{Arch, Simd, WithSimd};

use super::Threads;
use super::math::exp;

/// Which tokens a token attends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mask {
    /// All of its item.
    None,
    /// Itself and those before it.
    Causal,
}

/// Attention over the tokens of each item. Queries are scaled by 1/√(width of a head) beforehand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention {
    pub(crate) heads: usize,
    /// Values of a token over all heads.
    pub(crate) width: usize,
    pub(crate) mask: Mask,
}

/// The tokens of one item: rows of queries, and rows of keys and values with their step from row to row.
struct Item<'a> {
    queries: &'a [f32],
    keys: &'a [f32],
    values: &'a [f32],
    steps: [usize; 2],
    tokens: usize,
}

impl Attention {
    /// Writes to `out` `[T, width]` what the rows `[query, key, value]` of `qkv` `[T, 3 width]` attend to. `lengths` are the
    /// items' tokens; they add up to T.
    pub(crate) fn apply(self, qkv: &[f32], lengths: &[usize], out: &mut [f32], threads: Threads) {
        let (mut qkv, mut out) = (qkv, out);
        for &tokens in lengths {
            let (rows, rest) = qkv.split_at(tokens * 3 * self.width);
            let (target, rest_out) = out.split_at_mut(tokens * self.width);
            let steps = [3 * self.width; 2];
            let item =
                Item { queries: rows, keys: &rows[self.width..], values: &rows[2 * self.width..], steps, tokens };
            self.item(&item, target, threads);
            (qkv, out) = (rest, rest_out);
        }
    }

    /// As [`Attention::apply`] with one query for every item: `query` `[width]`, `kv` `[T, 2 width]`, `out` `[items, width]`.
    pub(crate) fn pool(self, query: &[f32], kv: &[f32], lengths: &[usize], out: &mut [f32]) {
        let mut kv = kv;
        for (&tokens, target) in lengths.iter().zip(out.chunks_exact_mut(self.width)) {
            let (rows, rest) = kv.split_at(tokens * 2 * self.width);
            let steps = [self.width, 2 * self.width];
            let item = Item { queries: query, keys: rows, values: &rows[self.width..], steps, tokens };
            self.item(&item, target, Threads::Own);
            kv = rest;
        }
    }

    /// One item. Each thread has some of its queries, over all heads.
    fn item(self, item: &Item, out: &mut [f32], threads: Threads) {
        let rows = threads.share(out.len() / self.width);
        threads.pieces(out, rows * self.width, |number, out| {
            let mut scores = vec![0.0; out.len() / self.width * item.tokens];
            for head in 0..self.heads {
                self.head(item, head, number * rows, &mut scores, out);
            }
        });
    }

    /// One head of the queries from `first` on.
    fn head(self, item: &Item, head: usize, first: usize, scores: &mut [f32], out: &mut [f32]) {
        let (tokens, [query_step, step]) = (item.tokens, item.steps);
        let (width, rows) = (self.width / self.heads, out.len() / self.width);
        let offset = head * width;
        let queries = &item.queries[first * query_step + offset..];
        product([rows, tokens, width], scores, tokens, (queries, query_step, 1), (&item.keys[offset..], 1, step));
        for (row, scores) in scores.chunks_exact_mut(tokens).enumerate() {
            let seen = if self.mask == Mask::Causal { first + row + 1 } else { tokens };
            let (seen, hidden) = scores.split_at_mut(seen);
            hidden.fill(0.0);
            softmax(seen);
        }
        let values = (&item.values[offset..], step, 1);
        product([rows, width, tokens], &mut out[offset..], self.width, (scores, tokens, 1), values);
    }
}

/// `out = a b` for `[m, n, k]`; matrices are slices with their steps from row to row and from column to column.
fn product([m, n, k]: [usize; 3], out: &mut [f32], step: usize, a: (&[f32], usize, usize), b: (&[f32], usize, usize)) {
    let needed = |rows: usize, columns: usize, row: usize, column: usize| (rows - 1) * row + (columns - 1) * column + 1;
    assert!(
        needed(m, n, step, 1) <= out.len()
            && needed(m, k, a.1, a.2) <= a.0.len()
            && needed(k, n, b.1, b.2) <= b.0.len()
    );
    // SAFETY: the assertion above keeps every index inside its slice.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            step as isize,
            false,
            a.0.as_ptr(),
            a.2 as isize,
            a.1 as isize,
            b.0.as_ptr(),
            b.2 as isize,
            b.1 as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Replaces scores by e^score over their sum.
fn softmax(scores: &mut [f32]) {
    Arch::new().dispatch(Softmax(scores));
}

struct Softmax<'a>(&'a mut [f32]);

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        const LANES: usize = 16;
        let scores = self.0;
        let mut largest = [f32::NEG_INFINITY; LANES];
        for piece in scores.chunks(LANES) {
            for (largest, &score) in largest.iter_mut().zip(piece) {
                *largest = largest.max(score);
            }
        }
        let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let mut sums = [0.0; LANES];
        for piece in scores.chunks_mut(LANES) {
            for (sum, score) in sums.iter_mut().zip(piece) {
                *score = exp(*score - largest);
                *sum += *score;
            }
        }
        let factor = 1.0 / sums.iter().sum::<f32>();
        scores.iter_mut().for_each(|score| *score *= factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attend(qkv: &[f32], lengths: &[usize], mask: Mask, threads: Threads) -> Vec<f32> {
        let mut out = vec![f32::NAN; qkv.len() / 3];
        Attention { heads: 2, width: 4, mask }.apply(qkv, lengths, &mut out, threads);
        out
    }

    /// The same in f64, as the formula reads.
    fn plain(qkv: &[f32], lengths: &[usize], mask: Mask) -> Vec<f64> {
        let (mut out, mut first) = (Vec::new(), 0);
        for &tokens in lengths {
            let at = |part: usize, token: usize, k: usize| f64::from(qkv[(first + token) * 12 + part * 4 + k]);
            for query in 0..tokens {
                let seen = if mask == Mask::Causal { query + 1 } else { tokens };
                for k in 0..4 {
                    let lanes = k / 2 * 2..k / 2 * 2 + 2;
                    let weight = |key| lanes.clone().map(|l| at(0, query, l) * at(1, key, l)).sum::<f64>().exp();
                    let sum = (0..seen).map(weight).sum::<f64>();
                    out.push((0..seen).map(|key| weight(key) * at(2, key, k)).sum::<f64>() / sum);
                }
            }
            first += tokens;
        }
        out
    }

    #[test]
    fn items_attend_to_themselves_alone() {
        let lengths = [1, 37, 5];
        let qkv: Vec<f32> = (0..43 * 12).map(|k| ((k * 7919) % 1009) as f32 / 400.0 - 1.2).collect();
        for mask in [Mask::None, Mask::Causal] {
            let expected = plain(&qkv, &lengths, mask);
            for threads in [Threads::Own, Threads::All] {
                let out = attend(&qkv, &lengths, mask, threads);
                for (out, expected) in out.iter().zip(&expected) {
                    assert!((f64::from(*out) - expected).abs() < 1e-5, "{mask:?}: found {out}, expected {expected}");
                }
            }
        }
    }

    #[test]
    fn one_query_pools_an_item() {
        // One head of width 1; scores 0 and ln 3: weights 1/4 and 3/4 of values 8 and 16.
        let attention = Attention { heads: 1, width: 1, mask: Mask::None };
        let mut out = [0.0; 2];
        attention.pool(&[1.0], &[0.0, 8.0, 3_f32.ln(), 16.0, 5.0, 7.0], &[2, 1], &mut out);
        assert!((out[0] - 14.0).abs() < 1e-5 && out[1] == 7.0, "{out:?}");
    }
}
