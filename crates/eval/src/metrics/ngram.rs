//! N-grams of token ids, the common ground of BLEU and CIDEr.
//!
//! Counts are sorted lists: a caption has some forty n-grams, which sort faster than they hash, lists are compared in one
//! walk, and sums over them always have the same order.

use std::cmp::Ordering;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

/// The longest n-gram counted.
pub(super) const MAX_ORDER: usize = 4;

/// One to four token ids in one number, shorter n-grams before longer ones. `u32::MAX` is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ngram(u128);

impl Ngram {
    /// The n-gram of one to four tokens. Of more tokens it would be the last four.
    pub(super) fn new(tokens: &[u32]) -> Self {
        // One more than each id, so that an unused place (0) is no token.
        Self(tokens.iter().fold(0, |ngram, &token| ngram << u32::BITS | (u128::from(token) + 1)))
    }

    /// How many tokens it has.
    pub(super) fn order(self) -> usize {
        MAX_ORDER - (self.0.leading_zeros() / u32::BITS) as usize
    }
}

/// Gives every different token a number, so that captions can be compared as numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct TokenIds(FxHashMap<String, u32>);

impl TokenIds {
    /// The ids of `tokens`; new tokens get the next number.
    pub(super) fn ids<S: AsRef<str>>(&mut self, tokens: &[S]) -> Vec<u32> {
        let mut id = |token: &str| match self.0.get(token) {
            Some(&id) => id,
            None => {
                let next = self.0.len() as u32;
                self.0.insert(token.to_string(), next);
                next
            }
        };
        tokens.iter().map(|token| id(token.as_ref())).collect()
    }

    /// The ids of `tokens` without adding any: ids of unknown tokens are unique within this caption only.
    pub(super) fn look_up<S: AsRef<str>>(&self, tokens: &[S]) -> Vec<u32> {
        let mut new: Vec<&str> = Vec::new();
        let mut id = |token| match self.0.get(token) {
            Some(&id) => id,
            None => {
                let place = new.iter().position(|&other| other == token).unwrap_or_else(|| {
                    new.push(token);
                    new.len() - 1
                });
                (self.0.len() + place) as u32
            }
        };
        tokens.iter().map(|token| id(token.as_ref())).collect()
    }
}

/// How often each n-gram of one to four tokens occurs, ascending.
pub(super) fn counts(tokens: &[u32]) -> Vec<(Ngram, u32)> {
    let mut ngrams = Vec::with_capacity(tokens.len() * MAX_ORDER);
    for size in 1..=MAX_ORDER {
        ngrams.extend(tokens.windows(size).map(Ngram::new));
    }
    ngrams.sort_unstable();
    ngrams.chunk_by(PartialEq::eq).map(|run| (run[0], run.len() as u32)).collect()
}

/// The n-grams of an image's captions, counted once for all that needs them.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    /// Tokens of each caption.
    pub lengths: Vec<usize>,
    /// [`counts`] of each caption.
    pub captions: Vec<Vec<(Ngram, u32)>>,
    /// How often each n-gram occurs in the caption that has it most often, ascending.
    pub highest: Vec<(Ngram, u32)>,
}

impl Counted {
    /// Counts the captions (token ids) of every image, in parallel.
    pub(super) fn all(images: &[Vec<Vec<u32>>]) -> Vec<Self> {
        images.par_iter().map(|captions| Self::of(captions)).collect()
    }

    /// Counts the captions of one image.
    pub(super) fn of(captions: &[Vec<u32>]) -> Self {
        let lengths = captions.iter().map(Vec::len).collect();
        let captions: Vec<Vec<(Ngram, u32)>> = captions.iter().map(|caption| counts(caption)).collect();
        let mut all = captions.concat();
        all.sort_unstable();
        let highest = all.chunk_by(|a, b| a.0 == b.0).map(|run| run[run.len() - 1]).collect();
        Self { lengths, captions, highest }
    }
}

/// Calls `both` for every key that two ascending lists share, in ascending order.
pub(super) fn shared<K: Ord + Copy, A: Copy, B: Copy>(a: &[(K, A)], b: &[(K, B)], mut both: impl FnMut(A, B)) {
    let (mut i, mut j) = (0, 0);
    while let (Some(left), Some(right)) = (a.get(i), b.get(j)) {
        let order = left.0.cmp(&right.0);
        if order == Ordering::Equal {
            both(left.1, right.1);
        }
        // Without a branch on the order, which nothing could predict.
        i += usize::from(order != Ordering::Greater);
        j += usize::from(order != Ordering::Less);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "a b a": two a, one b, one each of ab, ba, aba.
    #[test]
    fn worked_counts() {
        let ids = TokenIds::default().ids(&["a", "b", "a"]);
        assert_eq!(ids, [0, 1, 0]);
        let expected: [(&[u32], u32); 5] = [(&[0], 2), (&[1], 1), (&[0, 1], 1), (&[1, 0], 1), (&[0, 1, 0], 1)];
        assert_eq!(counts(&ids), expected.map(|(tokens, count)| (Ngram::new(tokens), count)));
        assert_eq!(counts(&ids).iter().map(|(ngram, _)| ngram.order()).collect::<Vec<_>>(), [1, 1, 2, 2, 3]);
        assert_eq!(Ngram::new(&[u32::MAX - 1; 4]).order(), 4);
    }

    /// Of "a a b" and "b b": two a, two b, one each of aa, ab, bb, aab.
    #[test]
    fn worked_highest_counts() {
        let found = Counted::of(&[vec![0, 0, 1], vec![1, 1]]);
        assert_eq!((found.lengths, found.captions.len()), (vec![3, 2], 2));
        let expected: [(&[u32], u32); 6] =
            [(&[0], 2), (&[1], 2), (&[0, 0], 1), (&[0, 1], 1), (&[1, 1], 1), (&[0, 0, 1], 1)];
        assert_eq!(found.highest, expected.map(|(tokens, count)| (Ngram::new(tokens), count)));
    }

    /// New words are different from known words and from each other, and not remembered.
    #[test]
    fn looking_up_keeps_nothing() {
        let mut ids = TokenIds::default();
        ids.ids(&["a", "b"]);
        assert_eq!(ids.look_up(&["x", "a", "y", "x", "b"]), [2, 0, 3, 2, 1]);
        assert_eq!(ids.ids(&["y"]), [2]);
    }

    #[test]
    fn shared_keys_of_two_lists() {
        let mut found = Vec::new();
        shared(&[(1, 'a'), (3, 'b'), (4, 'c'), (9, 'd')], &[(0, 1), (3, 2), (9, 3), (10, 4)], |a, b| {
            found.push((a, b))
        });
        assert_eq!(found, [('b', 2), ('d', 3)]);
    }
}
