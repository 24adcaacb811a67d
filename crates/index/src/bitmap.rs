//! A set of small numbers, one bit each.

use std::ops::Range;

/// Which of the numbers `0..len` are in the set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    /// The empty set of numbers below `len`.
    pub(crate) fn empty(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    /// All numbers below `len`.
    pub(crate) fn full(len: usize) -> Self {
        let mut words = vec![u64::MAX; len.div_ceil(64)];
        if !len.is_multiple_of(64)
            && let Some(last) = words.last_mut()
        {
            *last = (1 << (len % 64)) - 1;
        }
        Self { words, len }
    }

    pub(crate) fn contains(&self, at: usize) -> bool {
        at < self.len && self.words[at / 64] >> (at % 64) & 1 == 1
    }

    pub(crate) fn insert(&mut self, at: usize) {
        assert!(at < self.len);
        self.words[at / 64] |= 1 << (at % 64);
    }

    pub(crate) fn remove(&mut self, at: usize) {
        assert!(at < self.len);
        self.words[at / 64] &= !(1 << (at % 64));
    }

    /// Numbers in the set.
    pub(crate) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether each of the numbers below `len` is in the set.
    pub(crate) fn flags(&self, len: usize) -> Vec<bool> {
        let bits = self.words.iter().flat_map(|word| (0..64).map(move |bit| word >> bit & 1 == 1));
        bits.chain(std::iter::repeat(false)).take(len).collect()
    }

    /// The longest runs of numbers of the set in `range`.
    pub(crate) fn runs(&self, range: Range<usize>) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut at = range.start;
        std::iter::from_fn(move || {
            let start = self.next(at, range.end, true)?;
            at = self.next(start, range.end, false).unwrap_or(range.end);
            Some(start..at)
        })
    }

    /// The first number from `at` on, below `end`, that is in the set (or is not).
    fn next(&self, at: usize, end: usize, wanted: bool) -> Option<usize> {
        let end = end.min(self.len);
        let mut at = at;
        while at < end {
            let word = if wanted { self.words[at / 64] } else { !self.words[at / 64] } >> (at % 64);
            if word != 0 {
                let found = at + word.trailing_zeros() as usize;
                return (found < end).then_some(found);
            }
            at = (at / 64 + 1) * 64;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_a_list_of_bools(bits in prop::collection::vec(any::<bool>(), 0..300), cut in any::<(u16, u16)>()) {
            let mut map = Bitmap::empty(bits.len());
            bits.iter().enumerate().filter(|(_, b)| **b).for_each(|(at, _)| map.insert(at));
            let expected: Vec<usize> = (0..bits.len()).filter(|&at| bits[at]).collect();
            prop_assert_eq!(map.runs(0..bits.len()).flatten().collect::<Vec<_>>(), expected);
            prop_assert_eq!(map.flags(bits.len()), bits.clone());
            prop_assert_eq!(map.flags(bits.len() / 2), &bits[..bits.len() / 2]);
            prop_assert_eq!(map.count(), bits.iter().filter(|b| **b).count());
            prop_assert!((0..400).all(|at| map.contains(at) == (at < bits.len() && bits[at])));
            let (a, b) = (cut.0 as usize % (bits.len() + 1), cut.1 as usize % (bits.len() + 1));
            let range = a.min(b)..a.max(b);
            let runs: Vec<_> = map.runs(range.clone()).collect();
            prop_assert_eq!(runs.iter().cloned().flatten().collect::<Vec<_>>(), range.filter(|&at| bits[at]).collect::<Vec<_>>());
            prop_assert!(runs.windows(2).all(|w| w[0].end < w[1].start));
            let mut full = Bitmap::full(bits.len());
            (0..bits.len()).filter(|&at| !bits[at]).for_each(|at| full.remove(at));
            prop_assert_eq!(full, map);
        }
    }
}
