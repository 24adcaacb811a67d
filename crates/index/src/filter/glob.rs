//! Patterns with `*`, `**` and `?`.

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
    /// The next so many parts may be left out.
    Optional(usize),
}

/// What follows the first characters of a pattern.
// milvus: used by gxn-milvus
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    /// Any characters at all.
    Anything,
    /// Nothing, or `/` and any characters.
    Below,
    Other,
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

    /// The characters that each fitting text starts with, and what comes after them.
    // milvus: used by gxn-milvus
    pub(super) fn shape(&self) -> (String, Rest) {
        let literal = self.parts.iter().map_while(|part| part.literal()).count();
        let start = self.parts[..literal].iter().filter_map(|part| part.literal()).collect();
        let rest = match &self.parts[literal..] {
            [] => Rest::Nothing,
            [Part::Many { crosses: true }] => Rest::Anything,
            [Part::Optional(2), Part::Character('/'), Part::Many { crosses: true }] => Rest::Below,
            _ => Rest::Other,
        };
        (start, rest)
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

    /// Goes on over parts that may stand for nothing.
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
