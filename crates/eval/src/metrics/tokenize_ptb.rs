//! Penn Treebank tokens as caption metrics count them: lower case, without punctuation.
//!
//! Follows Stanford's PTBTokenizer 3.4.1 with `-preserveLines -lowerCase` and the list of tokens that the coco-caption
//! package drops afterwards, for the English of captions. Not followed: SGML tags, smileys, e-mail addresses in brackets.

/// Tokens that the package drops. Its list holds `-LRB-`, but the tokenizer has lowered brackets to `-lrb-` by then, so
/// brackets stay, as they do there.
const DROPPED: [&str; 13] = ["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"];

/// Abbreviations that keep their period.
const ABBREVIATIONS: &[&str] = &[
    "adm", "apr", "assn", "aug", "ave", "bldg", "blvd", "bros", "capt", "cmdr", "co", "col", "comdr", "corp", "cpl",
    "ct", "dec", "dept", "dr", "drs", "ed", "esq", "est", "etc", "feb", "fig", "figs", "fri", "ft", "gen", "gov",
    "hon", "inc", "jan", "jr", "lt", "ltd", "maj", "mfg", "mon", "mr", "mrs", "ms", "messrs", "mt", "nov", "oct", "ph",
    "pres", "prof", "pvt", "rd", "rep", "reps", "rev", "sen", "sens", "sep", "sept", "sgt", "sr", "st", "ste", "thu",
    "thur", "thurs", "tue", "tues", "univ", "vs", "wed",
];

/// Words that are two tokens, and where the first one ends.
const JOINED: [(&str, usize); 6] =
    [("cannot", 3), ("gonna", 3), ("gotta", 3), ("lemme", 3), ("gimme", 3), ("wanna", 3)];

/// Endings that are tokens of their own.
const CONTRACTIONS: [&str; 6] = ["'s", "'m", "'d", "'re", "'ve", "'ll"];

/// The tokens of a caption.
pub fn tokenize_ptb(caption: &str) -> Vec<String> {
    let text: Vec<char> = caption.chars().flat_map(plain).collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at].is_whitespace() {
            at += 1;
            continue;
        }
        let end = token_end(&text, at).max(at + 1);
        push(&text[at..end], &mut tokens);
        at = end;
    }
    tokens.retain(|token| !DROPPED.contains(&token.as_str()));
    tokens
}

/// Typographic quotes, dashes and currency as the tokenizer spells them.
fn plain(c: char) -> impl Iterator<Item = char> {
    let text = match c {
        '\u{2018}' | '\u{2019}' | '\u{201b}' => "'",
        '\u{201c}' | '\u{201d}' => "\"",
        '\u{2013}' | '\u{2014}' => " -- ",
        '\u{2026}' => " ... ",
        '\u{a3}' => "#",
        '\u{20ac}' => "$",
        '\u{a2}' => " cents ",
        '\u{a0}' => " ",
        _ => return [Some(c)].into_iter().flatten().chain("".chars()),
    };
    [None].into_iter().flatten().chain(text.chars())
}

fn push(token: &[char], tokens: &mut Vec<String>) {
    let word: String = token.iter().flat_map(|c| c.to_lowercase()).collect();
    if let Some(&(_, split)) = JOINED.iter().find(|(joined, _)| *joined == word) {
        tokens.extend([word[..split].to_string(), word[split..].to_string()]);
        return;
    }
    tokens.push(match word.as_str() {
        "(" => "-lrb-".into(),
        ")" => "-rrb-".into(),
        "[" => "-lsb-".into(),
        "]" => "-rsb-".into(),
        "{" => "-lcb-".into(),
        "}" => "-rcb-".into(),
        "\"" => "''".into(),
        _ if word.len() > 1 && word.chars().all(|c| c == '-') => "--".into(),
        _ if word.len() > 1 && word.chars().all(|c| c == '.') => "...".into(),
        _ => word,
    });
}

/// Where the token that starts at `at` ends.
fn token_end(text: &[char], at: usize) -> usize {
    let first = text[at];
    let run = |accept: &dyn Fn(char) -> bool| at + text[at..].iter().take_while(|&&c| accept(c)).count();
    match first {
        '-' if text.get(at + 1) == Some(&'-') => run(&|c| c == '-'),
        '.' if text.get(at + 1) == Some(&'.') => run(&|c| c == '.'),
        '!' | '?' => run(&|c| matches!(c, '!' | '?')),
        '-' | '+' | '.' if text.get(at + 1).is_some_and(char::is_ascii_digit) && !glued(text, at) => {
            word_end(text, at + 1)
        }
        '@' if text.get(at + 1).is_some_and(|c| c.is_alphanumeric()) => word_end(text, at + 1),
        '\'' => apostrophe_end(text, at),
        _ if is_word(first) => word_end(text, at),
        _ => at + 1,
    }
}

/// Whether something stands directly before, so that a sign is no sign.
fn glued(text: &[char], at: usize) -> bool {
    at > 0 && is_word(text[at - 1])
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || ('\u{300}'..='\u{36f}').contains(&c)
}

fn starts_with(text: &[char], at: usize, lower: &str) -> bool {
    let mut rest = text[at.min(text.len())..].iter();
    lower.chars().all(|c| rest.next().is_some_and(|found| found.to_ascii_lowercase() == c))
}

/// Whether no word goes on at `at`.
fn boundary(text: &[char], at: usize) -> bool {
    text.get(at).is_none_or(|&c| !is_word(c))
}

/// Tokens that begin with an apostrophe: contractions, 'tis, 'n', decades; else the apostrophe alone.
fn apostrophe_end(text: &[char], at: usize) -> usize {
    for ending in CONTRACTIONS {
        if starts_with(text, at, ending) && boundary(text, at + ending.len()) {
            return at + ending.len();
        }
    }
    if starts_with(text, at, "'n'") {
        return at + 3;
    }
    if starts_with(text, at, "'n") && boundary(text, at + 2) {
        return at + 2;
    }
    for joined in ["'tis", "'twas"] {
        if starts_with(text, at, joined) && boundary(text, at + joined.len()) {
            return at + 2;
        }
    }
    let digits = text[at + 1..].iter().take_while(|c| c.is_ascii_digit()).count();
    if digits == 2 && !glued(text, at) {
        let end = at + 3;
        return if starts_with(text, end, "s") && boundary(text, end + 1) { end + 1 } else { end };
    }
    at + 1
}

/// The end of a word, number, address or abbreviation that starts at `at`.
fn word_end(text: &[char], at: usize) -> usize {
    let space = at + text[at..].iter().take_while(|c| !c.is_whitespace()).count();
    if starts_with(text, at, "http://") || starts_with(text, at, "https://") {
        return space;
    }
    let mut end = at;
    while end < text.len() {
        let c = text[end];
        let next = text.get(end + 1).copied();
        let joins = match c {
            _ if is_word(c) => {
                // n't takes its n from the word: ca|n't.
                if end > at && c.eq_ignore_ascii_case(&'n') && starts_with(text, end, "n't") && boundary(text, end + 3)
                {
                    return end;
                }
                if starts_with(text, at, "n't") && end == at {
                    return at + 3;
                }
                true
            }
            '-' | '/' | '@' => next.is_some_and(is_word),
            '.' | ',' | ':' if next.is_some_and(|c| c.is_ascii_digit()) && text[end - 1].is_ascii_digit() => true,
            '.' => next.is_some_and(char::is_alphanumeric),
            '&' => text[at..end].iter().all(char::is_ascii_uppercase) && next.is_some_and(|c| c.is_ascii_uppercase()),
            '\'' => {
                let contraction = CONTRACTIONS
                    .iter()
                    .any(|ending| starts_with(text, end, ending) && boundary(text, end + ending.len()));
                let letters = text[end - 1].is_alphabetic() && next.is_some_and(char::is_alphabetic);
                if starts_with(text, at, "y'all") {
                    return end + 1;
                }
                !contraction && letters
            }
            _ => false,
        };
        if !joins {
            break;
        }
        end += 1;
    }
    // 6:55pm is a time and a word.
    if let Some(split) = clock_end(&text[at..end]) {
        return at + split;
    }
    if text.get(end) == Some(&'.') && keeps_period(&text[at..end]) { end + 1 } else { end }
}

/// Where the time ends in `6:55pm`.
fn clock_end(word: &[char]) -> Option<usize> {
    let colon = word.iter().position(|&c| c == ':')?;
    let digits = colon + 1 + word[colon + 1..].iter().take_while(|c| c.is_ascii_digit()).count();
    (digits < word.len() && word[digits].is_alphabetic()).then_some(digits)
}

/// Single letters, acronyms and known abbreviations keep the period after them.
fn keeps_period(word: &[char]) -> bool {
    let lower: String = word.iter().flat_map(|c| c.to_lowercase()).collect();
    let acronym = lower.split('.').all(|part| part.chars().count() == 1 && part.chars().all(char::is_alphabetic));
    acronym || lower == "ph.d" || ABBREVIATIONS.contains(&lower.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sentences and what PTBTokenizer and the package make of them (`reference/caption_metrics.py`).
    #[test]
    fn tokens_equal_the_packages() {
        let golden: Vec<(String, String)> =
            serde_json::from_str(include_str!("../../tests/golden/ptb_tokens.json")).unwrap();
        assert!(golden.len() > 30);
        let wrong: Vec<_> = (golden.iter())
            .map(|(caption, tokens)| (tokenize_ptb(caption).join(" "), tokens, caption))
            .filter(|(found, tokens, _)| found != *tokens)
            .collect();
        assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), golden.len());
    }
}
