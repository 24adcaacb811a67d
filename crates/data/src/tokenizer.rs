//! [`tokenize`]: from a caption to words.

use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// The words of `text`: lower case, NFC, cut at Unicode word borders (UAX #29).
///
/// Numbers stay, punctuation goes, `don't` is one word, `T-shirt` two; each Chinese character is a word. The same text
/// in composed or decomposed form, or with a typographic apostrophe, gives the same words.
pub fn tokenize(text: &str) -> Vec<String> {
    plain_characters(text).collect::<String>().unicode_words().map(str::to_owned).collect()
}

/// Whether [`tokenize`] finds a word in `text`: it looks no further than the first letter or digit.
pub fn has_word(text: &str) -> bool {
    plain_characters(text).any(char::is_alphanumeric)
}

fn plain_characters(text: &str) -> impl Iterator<Item = char> {
    text.nfc().filter_map(plain).flat_map(char::to_lowercase).nfc()
}

/// Soft hyphens and byte-order marks vanish; the typographic apostrophe becomes the plain one.
fn plain(character: char) -> Option<char> {
    match character {
        '\u{ad}' | '\u{feff}' => None,
        '\u{2019}' | '\u{2bc}' => Some('\''),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_numbers_and_punctuation() {
        assert_eq!(tokenize("A dog , isn't it?  2 dogs; 3.5 m."), ["a", "dog", "isn't", "it", "2", "dogs", "3.5", "m"]);
        assert_eq!(tokenize("T-shirt/jeans"), ["t", "shirt", "jeans"]);
        assert!(tokenize(" .,!? — …").is_empty());
        assert!(tokenize("").is_empty());
    }

    #[test]
    fn scripts_other_than_latin() {
        assert_eq!(tokenize("Две СОБАКИ бегут"), ["две", "собаки", "бегут"]);
        assert_eq!(tokenize("两只狗"), ["两", "只", "狗"]);
        assert_eq!(tokenize("Straße ÉTÉ"), ["straße", "été"]);
        assert_eq!(tokenize("كلب أسود"), ["كلب", "أسود"]);
    }

    #[test]
    fn composed_and_decomposed_are_the_same_words() {
        assert_eq!(tokenize("cafe\u{301}"), tokenize("caf\u{e9}"));
        assert_eq!(tokenize("don\u{2019}t"), tokenize("don't"));
        assert_eq!(tokenize("snow\u{ad}board"), ["snowboard"]);
    }

    proptest! {
        #[test]
        fn a_text_has_a_word_if_there_are_tokens(text in "(\\PC|[👍²Ⅷ़\u{301}!.،·]){0,6}") {
            prop_assert_eq!(has_word(&text), !tokenize(&text).is_empty());
        }

        /// Tokens are fixed points: tokenising the joined tokens changes nothing, so an index can store them.
        #[test]
        fn tokenising_twice_changes_nothing(text in "[a-zA-ZéÉßИ0-9 .,'’-]{0,40}") {
            let once = tokenize(&text);
            prop_assert_eq!(tokenize(&once.join(" ")), once);
        }

        #[test]
        fn any_text_is_accepted(text in any::<String>()) {
            prop_assert!(tokenize(&text).iter().all(|word| !word.is_empty()));
        }
    }
}
