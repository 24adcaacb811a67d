//! N-grams of token ids, the common ground of BLEU and CIDEr.

use std::collections::HashMap;

/// The longest n-gram counted.
pub const MAX_ORDER: usize = 4;

/// One to four token ids; unused places hold `u32::MAX`, which is no token.
pub type Ngram = [u32; MAX_ORDER];

/// Gives every different token a number, so that captions can be compared as numbers.
#[derive(Debug, Clone, Default)]
pub struct TokenIds(HashMap<String, u32>);

impl TokenIds {
    /// The ids of `tokens`; new tokens get the next number.
    pub fn ids<S: AsRef<str>>(&mut self, tokens: &[S]) -> Vec<u32> {
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
}

/// The order of an n-gram: how many tokens it has.
pub fn order(ngram: &Ngram) -> usize {
    ngram.iter().filter(|&&token| token != u32::MAX).count()
}

/// How often each n-gram of one to four tokens occurs.
pub fn counts(tokens: &[u32]) -> HashMap<Ngram, u32> {
    let mut counts = HashMap::with_capacity(tokens.len() * MAX_ORDER);
    for size in 1..=MAX_ORDER {
        for window in tokens.windows(size) {
            let mut ngram = [u32::MAX; MAX_ORDER];
            ngram[..size].copy_from_slice(window);
            *counts.entry(ngram).or_insert(0) += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "a b a": two a, one b, one each of ab, ba, aba.
    #[test]
    fn worked_counts() {
        let ids = TokenIds::default().ids(&["a", "b", "a"]);
        assert_eq!(ids, [0, 1, 0]);
        let found = counts(&ids);
        assert_eq!(found.len(), 5);
        assert_eq!(found[&[0, u32::MAX, u32::MAX, u32::MAX]], 2);
        assert_eq!(found[&[0, 1, 0, u32::MAX]], 1);
        assert_eq!(order(&[0, 1, 0, u32::MAX]), 3);
    }
}
