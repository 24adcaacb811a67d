//! Items over cores: each core has a batch of its own; fewer items than cores share the cores inside each layer.

use gxn_base::Result;
use rayon::prelude::*;

use crate::kernel::Threads;

/// Tokens of a batch: enough to use every weight often, few enough that they stay in a core's caches.
const TOKENS: usize = 512;

/// What `work` makes of all `items`, in their order. `tokens` is what an item costs.
pub(crate) fn run<T: Sync>(
    items: &[T],
    tokens: impl Fn(&T) -> usize,
    work: impl Fn(&[T], Threads) -> Result<Vec<f32>> + Sync,
) -> Result<Vec<f32>> {
    let threads = rayon::current_num_threads();
    if items.is_empty() {
        return Ok(Vec::new());
    }
    if items.len() < threads {
        return work(items, Threads::All);
    }
    let total: usize = items.iter().map(&tokens).sum();
    let count = total.div_ceil(TOKENS).next_multiple_of(threads).min(items.len());
    let parts: Vec<_> =
        split(items, tokens, total.div_ceil(count)).into_par_iter().map(|part| work(part, Threads::Own)).collect();
    Ok(parts.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// Pieces of `items` of about `size` tokens each.
fn split<T>(items: &[T], tokens: impl Fn(&T) -> usize, size: usize) -> Vec<&[T]> {
    let (mut pieces, mut first, mut sum, mut target) = (Vec::new(), 0, 0, size);
    for (number, item) in items.iter().enumerate() {
        sum += tokens(item);
        if sum >= target || number + 1 == items.len() {
            pieces.push(&items[first..=number]);
            first = number + 1;
            target = sum + size;
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_in_one_batch_in_its_order() {
        for count in [0, 1, 2, 3, 7, 100] {
            let items: Vec<usize> = (0..count).collect();
            let out =
                run(&items, |item| 1 + item * 37 % 90, |items, _| Ok(items.iter().map(|&item| item as f32).collect()))
                    .unwrap();
            assert_eq!(out, items.iter().map(|&item| item as f32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn pieces_have_about_the_same_size() {
        let pieces = split(&[4, 1, 1, 1, 1, 5, 2], |&tokens| tokens, 4);
        assert_eq!(pieces, [&[4][..], &[1, 1, 1, 1], &[5], &[2]]);
    }
}
