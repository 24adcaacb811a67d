//! [`Patterns`]: the longest match of several regular expressions, compiled to one automaton.

use std::collections::{BTreeSet, HashMap};

use rustc_hash::FxHashMap;

use super::characters::{is_digit, is_letter, is_mark};

/// Steps that [`States`] keeps before it begins again; bounds the memory where a text holds very many characters.
const MOST_STEPS: usize = 1 << 18;

/// Rules tried together: the longest match wins, the earlier rule among equals.
pub(super) struct Patterns {
    nodes: Vec<Node>,
    sets: Vec<Set>,
    start: usize,
}

enum Node {
    /// A character of the set, then another node.
    Take(usize, usize),
    /// Any of these nodes, without a character.
    Any(Vec<usize>),
    /// The end of a rule.
    End(usize),
}

/// What stands between brackets, or one character.
#[derive(Default)]
struct Set {
    negated: bool,
    ranges: Vec<(char, char)>,
    classes: Vec<fn(char) -> bool>,
    /// Its ASCII characters, as bits.
    ascii: u128,
}

impl Set {
    fn has(&self, c: char) -> bool {
        if c.is_ascii() { self.ascii >> u32::from(c) & 1 == 1 } else { self.holds(c) }
    }

    fn holds(&self, c: char) -> bool {
        let found = self.ranges.iter().any(|&(first, last)| (first..=last).contains(&c))
            || self.classes.iter().any(|class| class(c));
        found != self.negated
    }
}

impl Patterns {
    /// Compiles expressions of literals, `.`-free classes `[a-z]` and `[^a-z]`, groups, `|`, `?`, `*`, `+` and `{m,n}`;
    /// `\p` is a letter, `\m` a mark, `\d` a digit, `{NAME}` one of `names`. A pattern that begins with `(?i)` ignores the
    /// case of ASCII letters.
    pub(super) fn new(names: &[(&str, &str)], rules: &[&str]) -> Self {
        let mut patterns = Self { nodes: Vec::new(), sets: Vec::new(), start: 0 };
        let names: HashMap<&str, &str> = names.iter().copied().collect();
        let starts = rules.iter().enumerate().map(|(rule, text)| {
            let end = patterns.add(Node::End(rule));
            let (fold, text) = text.strip_prefix("(?i)").map_or((false, *text), |text| (true, text));
            Parser { patterns: &mut patterns, names: &names, rest: text, fold }.alternatives(end)
        });
        let starts = starts.collect();
        patterns.start = patterns.add(Node::Any(starts));
        patterns
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The rule that matches most of `text` from its start, and how many characters.
    pub(super) fn longest(&self, text: &[char], known: &mut States) -> Option<(usize, usize)> {
        let mut best = None;
        let mut state = known.start(self);
        for (at, &c) in text.iter().enumerate() {
            match known.after(self, state, c) {
                Some(next) => state = next,
                None => break,
            }
            best = known.states[state].ended.map(|rule| (rule, at + 1)).or(best);
        }
        best
    }

    /// Adds a node, or what it leads to without a character.
    fn enter(&self, node: usize, state: &mut State) {
        match &self.nodes[node] {
            Node::Take(..) => {
                state.nodes.insert(node);
            }
            Node::Any(nodes) => nodes.iter().for_each(|&node| self.enter(node, state)),
            Node::End(rule) => state.ended = Some(state.ended.map_or(*rule, |known| known.min(*rule))),
        }
    }
}

/// Where the automaton may stand at once, and the rule that ends here.
#[derive(Default)]
struct State {
    nodes: BTreeSet<usize>,
    ended: Option<usize>,
}

/// The states seen so far: each is worked out once.
#[derive(Default)]
pub(super) struct States {
    states: Vec<State>,
    places: HashMap<BTreeSet<usize>, usize>,
    after: FxHashMap<(usize, char), Option<usize>>,
}

impl States {
    fn start(&mut self, patterns: &Patterns) -> usize {
        if self.after.len() > MOST_STEPS {
            *self = Self::default();
        }
        if self.states.is_empty() {
            let mut state = State::default();
            patterns.enter(patterns.start, &mut state);
            self.states.push(state);
        }
        0
    }

    /// The state after a character, unless nothing matches any more.
    fn after(&mut self, patterns: &Patterns, state: usize, c: char) -> Option<usize> {
        if let Some(&next) = self.after.get(&(state, c)) {
            return next;
        }
        let mut next = State::default();
        for &node in &self.states[state].nodes {
            if let Node::Take(set, then) = patterns.nodes[node]
                && patterns.sets[set].has(c)
            {
                patterns.enter(then, &mut next);
            }
        }
        let alive = next.ended.is_some() || !next.nodes.is_empty();
        let next = alive.then(|| self.place(next));
        self.after.insert((state, c), next);
        next
    }

    fn place(&mut self, state: State) -> usize {
        // Which rule ends is part of a state's identity.
        let mut key = state.nodes.clone();
        key.extend(state.ended.map(|rule| usize::MAX - rule));
        let states = &mut self.states;
        *self.places.entry(key).or_insert_with(|| {
            states.push(state);
            states.len() - 1
        })
    }
}

/// Builds nodes from the end to the start: each part is told what follows it.
struct Parser<'a> {
    patterns: &'a mut Patterns,
    names: &'a HashMap<&'a str, &'a str>,
    rest: &'a str,
    fold: bool,
}

impl<'a> Parser<'a> {
    fn alternatives(&mut self, then: usize) -> usize {
        let parts = split(self.rest);
        let nodes: Vec<usize> = parts.into_iter().map(|part| self.of(part).sequence(then)).collect();
        if let [one] = nodes[..] { one } else { self.patterns.add(Node::Any(nodes)) }
    }

    fn of<'b>(&'b mut self, rest: &'b str) -> Parser<'b> {
        Parser { patterns: self.patterns, names: self.names, rest, fold: self.fold }
    }

    /// Items one after the other; the last one is compiled first.
    fn sequence(&mut self, mut then: usize) -> usize {
        for (item, (least, most)) in items(self.rest).into_iter().rev() {
            match most {
                Some(most) => {
                    for _ in least..most {
                        let once = self.of(item).item(then);
                        then = self.patterns.add(Node::Any(vec![once, then]));
                    }
                }
                None => {
                    let again = self.patterns.add(Node::Any(vec![then]));
                    let once = self.of(item).item(again);
                    if let Node::Any(nodes) = &mut self.patterns.nodes[again] {
                        nodes.push(once);
                    }
                    then = again;
                }
            }
            for _ in 0..least {
                then = self.of(item).item(then);
            }
        }
        then
    }

    /// A group, a name, a class or a character.
    fn item(&mut self, then: usize) -> usize {
        let text = self.rest;
        if let Some(inner) = text.strip_prefix('(') {
            return self.of(&inner[..inner.len() - 1]).alternatives(then);
        }
        if let Some(name) = text.strip_prefix('{') {
            let known = self.names.get(&name[..name.len() - 1]).copied().expect("a pattern's name is defined");
            return self.of(known).alternatives(then);
        }
        let mut set = Set::default();
        match text.strip_prefix('[') {
            Some(inner) => {
                let inner = &inner[..inner.len() - 1];
                let inner = inner.strip_prefix('^').inspect(|_| set.negated = true).unwrap_or(inner);
                self.class(inner, &mut set);
            }
            None => self.class(text, &mut set),
        }
        set.ascii = ('\0'..='\x7f').filter(|&c| set.holds(c)).fold(0, |bits, c| bits | 1 << u32::from(c));
        self.patterns.sets.push(set);
        let set = self.patterns.sets.len() - 1;
        self.patterns.add(Node::Take(set, then))
    }

    /// Adds what stands between brackets.
    fn class(&self, text: &str, set: &mut Set) {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let first = match (c, chars.clone().next()) {
                ('\\', Some(escaped)) => {
                    chars.next();
                    match escaped {
                        'p' => set.classes.push(is_letter),
                        'm' => set.classes.push(is_mark),
                        'd' => set.classes.push(is_digit),
                        sign => set.ranges.push((sign, sign)),
                    }
                    continue;
                }
                _ => c,
            };
            let mut ahead = chars.clone();
            let last = match (ahead.next(), ahead.next()) {
                (Some('-'), Some(last)) => {
                    chars = ahead;
                    last
                }
                _ => first,
            };
            set.ranges.push((first, last));
            if self.fold && first.is_ascii_alphabetic() {
                set.ranges.push((first.to_ascii_lowercase(), last.to_ascii_lowercase()));
                set.ranges.push((first.to_ascii_uppercase(), last.to_ascii_uppercase()));
            }
        }
    }
}

/// The alternatives of an expression: its parts between `|` outside groups and classes.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start, mut class, mut escaped) = (0, 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => {
                escaped = false;
                continue;
            }
            '\\' => escaped = true,
            ']' => class = false,
            _ if class => {}
            '[' => class = true,
            '(' => depth += 1,
            ')' => depth -= 1,
            '|' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The items of a sequence, each with how often it may stand.
fn items(text: &str) -> Vec<(&str, (usize, Option<usize>))> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (item, after) = rest.split_at(item_end(rest));
        let (times, after) = times(after);
        found.push((item, times));
        rest = after;
    }
    found
}

fn item_end(text: &str) -> usize {
    let (mut depth, mut class, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => {
                escaped = true;
                continue;
            }
            ']' => class = false,
            _ if class => continue,
            '[' => class = true,
            '(' | '{' => depth += 1,
            ')' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && !class {
            return at + c.len_utf8();
        }
    }
    text.len()
}

/// How often the item before may stand, and what follows.
fn times(text: &str) -> ((usize, Option<usize>), &str) {
    let mut chars = text.chars();
    match chars.next() {
        Some('?') => ((0, Some(1)), chars.as_str()),
        Some('*') => ((0, None), chars.as_str()),
        Some('+') => ((1, None), chars.as_str()),
        Some('{') if text[1..].starts_with(|c: char| c.is_ascii_digit()) => {
            let (inside, after) = text[1..].split_once('}').expect("a count is closed");
            let number = |text: &str| text.parse().expect("a count is a number");
            match inside.split_once(',') {
                Some((least, most)) => ((number(least), Some(number(most))), after),
                None => ((number(inside), Some(number(inside))), after),
            }
        }
        _ => ((1, Some(1)), text),
    }
}
