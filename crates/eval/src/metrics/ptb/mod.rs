//! Penn Treebank tokens as caption metrics count them: lower case, without punctuation.
//!
//! Follows what Stanford's PTBTokenizer 3.4.1 does with `-preserveLines -lowerCase`, and the list of tokens that the
//! coco-caption package drops afterwards. The rules were found by trying it (`reference/caption_tokens.py`).

mod characters;
mod pattern;
mod rules;

use std::cell::RefCell;
use std::sync::LazyLock;

use characters::is_symbol;
use pattern::{Patterns, States};
use rules::{NAMES, RULES, Then};

/// Tokens that the package drops. Its list holds `-LRB-`, but the tokenizer has lowered brackets to `-lrb-` by then, so
/// brackets stay, as they do there.
const DROPPED: [&str; 13] = ["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"];

static PATTERNS: LazyLock<Patterns> =
    LazyLock::new(|| Patterns::new(NAMES, &RULES.iter().map(|rule| rule.0).collect::<Vec<_>>()));

thread_local! {
    static STATES: RefCell<States> = RefCell::default();
}

/// The tokens of a caption.
pub fn tokenize_ptb(caption: &str) -> Vec<String> {
    // The tokenizer sees lines; a caption is one, and its end is what the rules look at.
    let mut text: Vec<char> = caption.chars().map(|c| if is_line_end(c) { ' ' } else { c }).collect();
    text.push('\n');
    let mut tokens = Vec::new();
    STATES.with_borrow_mut(|states| {
        let mut rest = text.as_slice();
        while let Some(&first) = rest.first() {
            rest = &rest[if first.is_whitespace() { 1 } else { token(rest, &mut tokens, states) }..];
        }
    });
    tokens.retain(|token| !token.is_empty() && !DROPPED.contains(&token.as_str()));
    tokens
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{2028}' | '\u{2029}')
}

/// Adds the token that `text` begins with, if it is one, and returns how many characters it took.
fn token(text: &[char], tokens: &mut Vec<String>, states: &mut States) -> usize {
    let letters = plain_word(text);
    if let Some((rule, length)) = (letters == 0).then(|| PATTERNS.longest(text, states)).flatten() {
        let (_, ahead, then) = RULES[rule];
        let length = length - ahead;
        match then {
            Then::Token => tokens.push(spelled(&text[..length])),
            Then::Contraction => {
                tokens.push(spelled(&text[..length]).replace("&apos;", "'").replace(['\u{92}', '\u{2019}'], "'"));
            }
            Then::Bracketed => {
                tokens.push(spelled(&text[..length]).replace('(', "-lrb-").replace(')', "-rrb-"));
            }
            Then::First(kept) => {
                tokens.push(spelled(&text[..kept]));
                return kept;
            }
            Then::Split(at) => tokens.extend([spelled(&text[..at]), spelled(&text[at..length])]),
            Then::Joined => tokens.push(spelled(&text[..length]).replace("&amp;", "&")),
            Then::Quoted => tokens.push(text[..length].iter().map(quoted).collect()),
            Then::Spelled(token) => tokens.push(token.into()),
            Then::Nothing => {}
        }
        return length;
    }
    let length = letters.max(1);
    if letters > 0 || is_symbol(text[0]) {
        tokens.push(spelled(&text[..length]));
    }
    length
}

/// The letters of a word that a space ends, where no rule but that of words applies; else 0. Most tokens are such words.
fn plain_word(text: &[char]) -> usize {
    let letters = text.iter().take_while(|c| c.is_ascii_alphabetic()).count();
    let split = matches!(letters, 5 | 6) && matches!(text[0].to_ascii_lowercase(), 'c' | 'g' | 'l' | 'w');
    if text.get(letters) == Some(&' ') && !split { letters } else { 0 }
}

/// A match as a token: lower case, spaces that do not separate, no soft hyphens.
fn spelled(text: &[char]) -> String {
    let mut token = String::with_capacity(text.len());
    for &c in text {
        match c {
            '\u{ad}' => {}
            ' ' => token.push('\u{a0}'),
            _ => token.extend(c.to_lowercase()),
        }
    }
    token
}

/// A quotation mark as the Penn Treebank spells it.
fn quoted(mark: &char) -> String {
    match mark {
        '`' | '\u{91}' | '\u{2018}' | '\u{201b}' | '\u{2039}' => "`".into(),
        '\u{92}' | '\u{2019}' | '\u{203a}' => "'".into(),
        '\u{93}' | '\u{201c}' | '\u{ab}' => "``".into(),
        '\u{94}' | '\u{201d}' | '\u{bb}' => "''".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Pairs = Vec<(String, String)>;

    fn differing(pairs: &Pairs) -> Vec<(String, &String, &String)> {
        (pairs.iter())
            .map(|(caption, tokens)| (tokenize_ptb(caption).join(" "), tokens, caption))
            .filter(|(found, tokens, _)| found != *tokens)
            .collect()
    }

    /// What the package makes of sentences, words and random mixtures (`reference/caption_tokens.py`).
    #[test]
    fn tokens_equal_the_packages() {
        let golden: Pairs = serde_json::from_str(include_str!("../../../tests/golden/ptb_tokens.json")).unwrap();
        assert!(golden.len() > 1900);
        let differ = differing(&golden);
        assert!(differ.is_empty(), "{} of {}: {differ:#?}", differ.len(), golden.len());
    }

    /// A list of any length from `reference/caption_tokens.py TEXT OUT`.
    #[test]
    #[ignore = "needs PTB_TOKENS"]
    fn tokens_of_a_list_equal_the_packages() {
        let path = std::env::var_os("PTB_TOKENS").expect("PTB_TOKENS names a list of captions and their tokens");
        let pairs: Pairs = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let differ = differing(&pairs);
        println!("{} of {} captions differ: {differ:#?}", differ.len(), pairs.len());
        assert!(differ.len() * 1000 <= pairs.len());
    }

    /// Words that are taken without the patterns are what the patterns make of them.
    #[test]
    fn plain_words_need_no_pattern() {
        let words = ["dog", "I", "Mr", "No", "wan", "cannot", "gonna", "Lemme", "going", "walks", "etc", "S"];
        for word in words {
            let text: Vec<char> = format!("{word} \n").chars().collect();
            let letters = plain_word(&text);
            let (rule, length) = PATTERNS.longest(&text, &mut States::default()).unwrap();
            let split = matches!(RULES[rule].2, Then::Split(_));
            assert!(
                if letters == 0 { split || word.len() > 4 } else { letters == length - RULES[rule].1 && !split },
                "{word}"
            );
        }
    }

    proptest! {
        /// No text fails; tokens are lower case, not empty and hold no space.
        #[test]
        fn any_text_has_tokens(text in "\\PC*|[ -~\u{a0}-\u{24f}\u{2010}-\u{2060}&;'’.]*") {
            for token in tokenize_ptb(&text) {
                prop_assert!(!token.is_empty() && !token.contains([' ', '\n']) && !DROPPED.contains(&token.as_str()));
            }
        }

        /// A caption's tokens do not depend on what was tokenised before.
        #[test]
        fn tokens_do_not_depend_on_earlier_captions(a in "[a-zA-Z0-9 '.,&;:/#@-]*", b in "[a-zA-Z0-9 '.,&;:/#@-]*") {
            let first = tokenize_ptb(&a);
            tokenize_ptb(&b);
            STATES.take();
            prop_assert_eq!(tokenize_ptb(&a), first);
        }
    }
}
