//! Patterns with `*`, `**` and `?`.
//!
//! The crate globset has another language: its `?` is one byte, not one character, and its `**` is whole parts of a path
//! only, so that `IMG**.jpg` would stop at `/`, and `2024/**` would not be `2024`.

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Character(char),
    /// `?`: one character.
    One {
        crosses: bool,
    },
    /// `*` and `**`: any number of characters.
    Many {
        crosses: bool,
    },
    /// This many of the next parts may be left out.
    Optional(usize),
}

/// What a pattern lets pass, as far as plain comparisons of texts can express it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// This text alone.
    Text(String),
    /// All texts that start with this one.
    StartsWith(String),
    /// This folder, and all paths below it.
    Within(String),
    /// Some of the texts that start with this one.
    Other(String),
}

impl Glob {
    /// Reads a pattern; in a path `*` and `?` stop at `/`.
    pub(super) fn new(pattern: &str, path: bool) -> Self {
        let characters: Vec<char> = pattern.chars().collect();
        let mut parts = Vec::new();
        let mut at = 0;
        let any = Part::Many { crosses: true };
        while at < characters.len() {
            let rest = &characters[at..];
            let at_start = matches!(parts.last(), None | Some(Part::Character('/')));
            let length = match rest {
                ['\\', escaped, ..] => {
                    parts.push(Part::Character(*escaped));
                    2
                }
                // The folder itself, or what is below it.
                ['/', '*', '*'] if path => {
                    parts.extend([Part::Optional(2), Part::Character('/'), any]);
                    3
                }
                ['*', '*', '/', ..] if path && at_start => {
                    parts.extend([Part::Optional(2), any, Part::Character('/')]);
                    3
                }
                ['*', '*', ..] => {
                    parts.push(any);
                    2
                }
                _ => {
                    parts.push(match rest[0] {
                        '*' => Part::Many { crosses: !path },
                        '?' => Part::One { crosses: !path },
                        other => Part::Character(other),
                    });
                    1
                }
            };
            at += length;
        }
        Self { parts }
    }

    /// What it lets pass.
    pub(super) fn pattern(&self) -> Pattern {
        let literal = self.parts.iter().map_while(|part| part.literal()).count();
        let start = self.parts[..literal].iter().filter_map(|part| part.literal()).collect();
        match &self.parts[literal..] {
            [] => Pattern::Text(start),
            [Part::Many { crosses: true }] => Pattern::StartsWith(start),
            [Part::Optional(2), Part::Character('/'), Part::Many { crosses: true }] => Pattern::Within(start),
            _ => Pattern::Other(start),
        }
    }

    /// True if the whole of `text` fits. Time grows with the product of both lengths, never faster.
    pub(super) fn fits(&self, text: &str) -> bool {
        if self.parts.iter().all(|part| matches!(part, Part::Character(_))) {
            return self.parts.iter().map(|part| part.literal()).eq(text.chars().map(Some));
        }
        // reached[n]: the text so far fits the first n parts.
        let mut reached = vec![false; self.parts.len() + 1];
        let mut next = reached.clone();
        reached[0] = true;
        self.pass_over(&mut reached);
        for character in text.chars() {
            next.fill(false);
            for (at, part) in self.parts.iter().enumerate().filter(|(at, _)| reached[*at]) {
                match part {
                    Part::Character(wanted) => next[at + 1] |= *wanted == character,
                    Part::One { crosses } => next[at + 1] |= *crosses || character != '/',
                    Part::Many { crosses } => next[at] |= *crosses || character != '/',
                    Part::Optional(_) => {}
                }
            }
            std::mem::swap(&mut reached, &mut next);
            self.pass_over(&mut reached);
        }
        reached[self.parts.len()]
    }

    /// Moves on over parts that may stand for nothing.
    fn pass_over(&self, reached: &mut [bool]) {
        for (at, part) in self.parts.iter().enumerate() {
            if reached[at] {
                match part {
                    Part::Many { .. } => reached[at + 1] = true,
                    Part::Optional(parts) => {
                        reached[at + 1] = true;
                        reached[at + 1 + parts] = true;
                    }
                    Part::Character(_) | Part::One { .. } => {}
                }
            }
        }
    }
}

impl Part {
    fn literal(self) -> Option<char> {
        match self {
            Self::Character(character) => Some(character),
            _ => None,
        }
    }
}

/// The value without its backslashes.
pub(super) fn plain(value: &str) -> String {
    let mut characters = value.chars();
    let mut out = String::with_capacity(value.len());
    while let Some(character) = characters.next() {
        out.extend(if character == '\\' { characters.next().or(Some('\\')) } else { Some(character) });
    }
    out
}
