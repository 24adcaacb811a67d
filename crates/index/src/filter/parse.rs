//! Reading and quoting the filter language.

use super::glob::plain;
use super::value::FieldKind;
use super::{Comparison, Condition, Operator};
use gxn_base::unicode::composed;
use gxn_base::{Error, Result};
use std::borrow::Cow;

/// Parentheses and `not`s inside each other.
const DEEPEST: usize = 64;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// Something without quotes.
    Word(String),
    /// Between quotes; `\` before the quote is gone, before all else still there.
    Quoted(String),
    Operator(Operator),
    Open,
    Close,
}

/// Reads a whole filter.
pub(super) fn parse(text: &str) -> Result<Condition> {
    let mut parser = Parser { text, tokens: tokens(text)?, at: 0 };
    let condition = parser.any(0)?;
    match parser.tokens.get(parser.at) {
        None => Ok(condition),
        Some(_) => Err(parser.error("`and`, `or` or the end")),
    }
}

/// The value as it is written between double quotes.
pub(super) fn quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => out.push_str("\\\""),
            // What follows is taken as it is, and so must the pair be.
            '\\' => {
                out.push('\\');
                out.push(characters.next().unwrap_or('\\'));
            }
            other => out.push(other),
        }
    }
    out
}

/// Token and the byte where it starts.
fn tokens(text: &str) -> Result<Vec<(Token, usize)>> {
    let mut tokens = Vec::new();
    let mut rest = text.char_indices().peekable();
    while let Some((start, first)) = rest.next() {
        let mut follows = |wanted| rest.next_if(|(_, c)| *c == wanted).is_some();
        let token = match first {
            c if c.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            '=' => {
                follows('=');
                Token::Operator(Operator::Equal)
            }
            '<' if follows('=') => Token::Operator(Operator::AtMost),
            '<' => Token::Operator(Operator::Less),
            '>' if follows('=') => Token::Operator(Operator::AtLeast),
            '>' => Token::Operator(Operator::Greater),
            '!' if follows('=') => Token::Operator(Operator::Unequal),
            '!' => return Err(at(text, start, "`!`", "`!=` or `not`")),
            '"' | '\'' => Token::Quoted(quotation(text, start, first, &mut rest)?),
            _ => {
                let mut word = String::from(first);
                while let Some((_, c)) = rest.next_if(|(_, c)| !c.is_whitespace() && !"()=<>!\"'".contains(*c)) {
                    word.push(c);
                }
                Token::Word(word)
            }
        };
        tokens.push((token, start));
    }
    Ok(tokens)
}

fn quotation(text: &str, start: usize, quote: char, rest: &mut impl Iterator<Item = (usize, char)>) -> Result<String> {
    let mut value = String::new();
    let end = || at(text, start, "a quote without its end", "a second quote");
    loop {
        match rest.next().ok_or_else(end)?.1 {
            c if c == quote => return Ok(value),
            '\\' => match rest.next().ok_or_else(end)?.1 {
                c @ ('"' | '\'') => value.push(c),
                other => value.extend(['\\', other]),
            },
            other => value.push(other),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(Token, usize)>,
    at: usize,
}

impl Parser<'_> {
    fn any(&mut self, depth: usize) -> Result<Condition> {
        self.joined("or", Condition::Any, |parser| parser.joined("and", Condition::All, |parser| parser.one(depth)))
    }

    /// One part, or several with `word` between them.
    fn joined(
        &mut self,
        word: &str,
        join: fn(Vec<Condition>) -> Condition,
        part: impl Fn(&mut Self) -> Result<Condition>,
    ) -> Result<Condition> {
        let mut parts = vec![part(self)?];
        while self.keyword(word) {
            parts.push(part(self)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { join(parts) })
    }

    fn one(&mut self, depth: usize) -> Result<Condition> {
        if depth > DEEPEST {
            return Err(self.error("fewer than 64 of them inside each other"));
        }
        if self.keyword("not") {
            return Ok(Condition::Not(Box::new(self.one(depth + 1)?)));
        }
        let token = self.tokens.get(self.at).map(|(token, _)| token.clone());
        match token {
            Some(Token::Open) => {
                self.at += 1;
                let condition = self.any(depth + 1)?;
                if self.tokens.get(self.at).map(|(token, _)| token) != Some(&Token::Close) {
                    return Err(self.error("`)`, `and` or `or`"));
                }
                self.at += 1;
                Ok(condition)
            }
            Some(Token::Word(field)) if is_field(&composed(&field)) => {
                self.at += 1;
                self.comparison(composed(&field).into_owned())
            }
            Some(Token::Quoted(field)) if !field.is_empty() => {
                self.at += 1;
                self.comparison(plain(&composed(&field)))
            }
            _ => Err(self.error("the name of a field, `not` or `(`")),
        }
    }

    fn comparison(&mut self, field: String) -> Result<Condition> {
        let Some((Token::Operator(operator), _)) = self.tokens.get(self.at) else { return Ok(Condition::Has(field)) };
        let operator = *operator;
        self.at += 1;
        match self.tokens.get(self.at).cloned() {
            Some((Token::Word(value) | Token::Quoted(value), start)) => {
                self.at += 1;
                let comparison = Comparison::new(field, operator, value);
                self.require_kind(&comparison, start)?;
                Ok(Condition::Compare(comparison))
            }
            _ => Err(self.error("a value, in quotes if it has spaces or parentheses")),
        }
    }

    /// Refuses a value that no number, or no time, can be compared with: the answer would be the same for every item.
    fn require_kind(&self, comparison: &Comparison, start: usize) -> Result<()> {
        let (kind, expected) = match FieldKind::of(&comparison.field) {
            FieldKind::Number if comparison.number.is_none() => ("number", "a value such as 1000"),
            FieldKind::Time if comparison.moment.is_none() => {
                ("time", "a date such as 2024-05-31 or 2024-05-31T12:30:00 (UTC), or seconds since 1970")
            }
            _ => return Ok(()),
        };
        let what = format!("`{}` is a {kind} ({})", comparison.field, place(self.text, start));
        let found: String = comparison.value.chars().take(30).collect();
        Err(Error::invalid(what, format!("`{found}`"), expected)
            .with_hint(format!("`{}` alone tests whether it is known", comparison.field)))
    }

    fn keyword(&mut self, wanted: &str) -> bool {
        let found =
            matches!(self.tokens.get(self.at), Some((Token::Word(word), _)) if word.eq_ignore_ascii_case(wanted));
        self.at += usize::from(found);
        found
    }

    fn error(&self, expected: &str) -> Error {
        match self.tokens.get(self.at) {
            None => at(self.text, self.text.len(), "its end", expected),
            Some((_, start)) => {
                let word: String =
                    self.text[*start..].split_whitespace().next().unwrap_or("").chars().take(30).collect();
                at(self.text, *start, &format!("`{word}`"), expected)
            }
        }
    }
}

/// The name of a field as it is written.
pub(super) fn shown_field(name: &str) -> Cow<'_, str> {
    if is_field(name) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// A name that is no keyword.
fn is_field(word: &str) -> bool {
    let keyword = ["and", "or", "not"].iter().any(|keyword| word.eq_ignore_ascii_case(keyword));
    !keyword && !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "_-.:/".contains(c))
}

/// Where in the filter `start` is, in words.
fn place(text: &str, start: usize) -> String {
    let place = text[..start].chars().count() + 1;
    let shown: String = text.chars().take(200).collect();
    format!("place {place} of the filter `{shown}`")
}

fn at(text: &str, start: usize, found: &str, expected: &str) -> Error {
    Error::invalid(place(text, start), found, expected)
        .with_hint("a filter looks like: folder=2024/** and (width>=1000 or not camera=\"Pixel 8\")")
}
