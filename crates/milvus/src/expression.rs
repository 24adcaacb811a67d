//! A filter as the boolean expression of a server that knows texts, whole numbers and plain comparisons, as Milvus does.
//!
//! What such an expression cannot express is left open: everything passes it that passes the filter, and unless the
//! expression is exact the results must be tested again. The server has the text fields `id path folder name sha256`
//! of images and `id image_id text` of captions, and the whole numbers `size mtime_ms width height`, 0 if not known.

use gxn_base::Modality;
use gxn_index::Filter;
use gxn_index::filter::{Comparison, Condition, Operator, Pattern};

/// f64 holds whole numbers up to here.
const EXACT: f64 = (1u64 << 53) as f64;

/// What an expression lets pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Everything,
    Nothing,
    Some(String),
}

/// What passes at least all items that pass the filter, and whether it passes no others.
pub(crate) fn bound(filter: &Filter, modality: Modality) -> (Bound, bool) {
    let mut exact = true;
    let bound = condition(filter.condition(), modality, true, &mut exact);
    (bound, exact)
}

/// An expression that passes at least what the condition does (`wide`), or at most that. `exact` becomes false where it
/// differs.
fn condition(filter: &Condition, modality: Modality, wide: bool, exact: &mut bool) -> Bound {
    match filter {
        Condition::All(parts) => all(parts.iter().map(|part| condition(part, modality, wide, exact)).collect()),
        Condition::Any(parts) => any(parts.iter().map(|part| condition(part, modality, wide, exact)).collect()),
        Condition::Not(part) => not(condition(part, modality, !wide, exact)),
        Condition::Has(name) => has(modality, name).unwrap_or_else(|| open(wide, exact)),
        Condition::Compare(with) if with.operator() == Operator::Unequal => {
            not(comparison(with, Operator::Equal, modality, !wide, exact))
        }
        Condition::Compare(with) => comparison(with, with.operator(), modality, wide, exact),
    }
}

fn comparison(with: &Comparison, operator: Operator, modality: Modality, wide: bool, exact: &mut bool) -> Bound {
    let bound = match Column::of(modality, with.field()) {
        Some(Column::Text { name, empty_is_missing }) => {
            let compared = match operator {
                Operator::Equal => text_equal(with, name, wide, exact),
                // Numbers compare as such, and texts in a normal form that the server does not know.
                _ => None,
            };
            let there = if empty_is_missing { Bound::Some(format!("{name} != \"\"")) } else { Bound::Everything };
            compared.map(|compared| all(vec![there, compared]))
        }
        Some(Column::Number { name }) => with.number().map_or(Some(Bound::Nothing), |n| number(name, operator, n)),
        Some(Column::Time { name }) => Some(with.moment().map_or(Bound::Nothing, |moment| {
            let (start, end) = (moment.start, moment.end);
            let compared = match operator {
                Operator::Less => format!("{name} < {start}"),
                Operator::AtMost => format!("{name} < {end}"),
                Operator::Greater => format!("{name} >= {end}"),
                Operator::AtLeast => format!("{name} >= {start}"),
                Operator::Equal | Operator::Unequal => format!("{name} >= {start} and {name} < {end}"),
            };
            Bound::Some(format!("({name} != 0 and {compared})"))
        })),
        None => None,
    };
    bound.unwrap_or_else(|| open(wide, exact))
}

/// `None` if the server, which knows no normal form, cannot compare it.
fn text_equal(with: &Comparison, name: &str, wide: bool, exact: &mut bool) -> Option<Bound> {
    let starting = |start: &str| {
        let end = after(start)?;
        Some(format!("({name} >= {} and {name} < {})", quoted(start), quoted(&end)))
    };
    match with.pattern() {
        Pattern::Text(text) if is_normal(&text) => Some(Bound::Some(format!("{name} == {}", quoted(&text)))),
        Pattern::StartsWith(start) if start.is_empty() => Some(Bound::Everything),
        Pattern::Within(folder) if is_normal(&folder) => {
            let below = starting(&format!("{folder}/"))?;
            Some(Bound::Some(format!("({name} == {} or {below})", quoted(&folder))))
        }
        Pattern::StartsWith(start) if is_normal(&start) && !takes_marks(&start) => starting(&start).map(Bound::Some),
        Pattern::StartsWith(start) | Pattern::Other(start) if wide && !start.is_empty() && is_normal(&start) => {
            *exact = false;
            starting(&start).map(Bound::Some)
        }
        _ => None,
    }
}

/// True if a text that is equal to `text` in normal form C has its very characters: three signs outside ASCII have their
/// normal form in it.
fn is_normal(text: &str) -> bool {
    text.is_ascii() && !text.contains(['K', ';', '`'])
}

/// True if a mark may follow `start` that makes another character of its last one.
fn takes_marks(start: &str) -> bool {
    start.ends_with(|last: char| last.is_ascii_alphabetic() || "<=>".contains(last))
}

/// Where the server has a field.
enum Column {
    Text { name: &'static str, empty_is_missing: bool },
    Number { name: &'static str },
    Time { name: &'static str },
}

impl Column {
    /// `None` for the caller's own columns and, of captions, for fields of their image.
    fn of(modality: Modality, field: &str) -> Option<Self> {
        let text = |name| Some(Self::Text { name, empty_is_missing: false });
        match modality {
            Modality::Image => match field.strip_prefix("image.").unwrap_or(field) {
                "id" => text("id"),
                "path" => text("path"),
                "folder" => text("folder"),
                "name" => text("name"),
                "sha256" => Some(Self::Text { name: "sha256", empty_is_missing: true }),
                "size" => Some(Self::Number { name: "size" }),
                "width" => Some(Self::Number { name: "width" }),
                "height" => Some(Self::Number { name: "height" }),
                "mtime" => Some(Self::Time { name: "mtime_ms" }),
                _ => None,
            },
            Modality::Text => match field {
                "id" => text("id"),
                "image_id" => text("image_id"),
                "text" => text("text"),
                _ => None,
            },
        }
    }
}

fn has(modality: Modality, field: &str) -> Option<Bound> {
    Some(match Column::of(modality, field)? {
        Column::Text { empty_is_missing: false, .. } => Bound::Everything,
        Column::Text { name, .. } => Bound::Some(format!("{name} != \"\"")),
        Column::Number { name } | Column::Time { name } => Bound::Some(format!("{name} != 0")),
    })
}

/// A whole number compared with `value`; 0 is a missing one, which compares with nothing.
fn number(name: &str, operator: Operator, value: f64) -> Option<Bound> {
    if value.abs() > EXACT {
        return None;
    }
    let (floor, ceil) = (value.floor() as i64, value.ceil() as i64);
    let compared = match operator {
        Operator::Less => format!("{name} < {ceil}"),
        Operator::AtMost => format!("{name} <= {floor}"),
        Operator::Greater => format!("{name} > {floor}"),
        Operator::AtLeast => format!("{name} >= {ceil}"),
        Operator::Equal | Operator::Unequal if floor != ceil => return Some(Bound::Nothing),
        Operator::Equal | Operator::Unequal => format!("{name} == {floor}"),
    };
    Some(Bound::Some(format!("({name} != 0 and {compared})")))
}

fn open(wide: bool, exact: &mut bool) -> Bound {
    *exact = false;
    if wide { Bound::Everything } else { Bound::Nothing }
}

fn all(parts: Vec<Bound>) -> Bound {
    joined(parts, " and ", &Bound::Nothing, &Bound::Everything)
}

fn any(parts: Vec<Bound>) -> Bound {
    joined(parts, " or ", &Bound::Everything, &Bound::Nothing)
}

/// One part that is `decides` decides; those that are `neutral` have no effect.
fn joined(parts: Vec<Bound>, word: &str, decides: &Bound, neutral: &Bound) -> Bound {
    if parts.contains(decides) {
        return decides.clone();
    }
    let mut expressions: Vec<String> = parts
        .into_iter()
        .filter_map(|part| match part {
            Bound::Some(expression) => Some(expression),
            _ => None,
        })
        .collect();
    match expressions.len() {
        0 => neutral.clone(),
        1 => Bound::Some(expressions.remove(0)),
        _ => Bound::Some(format!("({})", expressions.join(word))),
    }
}

fn not(part: Bound) -> Bound {
    match part {
        Bound::Everything => Bound::Nothing,
        Bound::Nothing => Bound::Everything,
        Bound::Some(expression) => Bound::Some(format!("not ({expression})")),
    }
}

/// The text in double quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// The first text after all that start with `start`; servers compare bytes, whose order is that of the characters.
fn after(start: &str) -> Option<String> {
    let last = start.chars().next_back()?;
    let next = match u32::from(last) {
        // The gap of what is no character.
        0xd7ff => '\u{e000}',
        code => char::from_u32(code + 1)?,
    };
    Some(format!("{}{next}", &start[..start.len() - last.len_utf8()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(modality: Modality, filter: &str) -> (String, bool) {
        let (bound, exact) = bound(&Filter::parse(filter).unwrap(), modality);
        let text = match bound {
            Bound::Everything => "everything".into(),
            Bound::Nothing => "nothing".into(),
            Bound::Some(expression) => expression,
        };
        (text, exact)
    }

    #[test]
    fn what_servers_know_is_exact() {
        for (filter, expected) in [
            ("folder=a/b", "folder == \"a/b\""),
            ("folder=a/**", "(folder == \"a\" or (folder >= \"a/\" and folder < \"a0\"))"),
            ("name=IMG_*", "(name >= \"IMG_\" and name < \"IMG`\")"),
            ("name!=IMG_*", "not ((name >= \"IMG_\" and name < \"IMG`\"))"),
            ("name=*", "everything"),
            ("name='a\\\\b\\\"'", "name == \"a\\\\b\\\"\""),
            ("sha256=ab", "(sha256 != \"\" and sha256 == \"ab\")"),
            ("width>=1000", "(width != 0 and width >= 1000)"),
            ("width<3.5", "(width != 0 and width < 4)"),
            ("width>-1.5", "(width != 0 and width > -2)"),
            ("width=3.5", "nothing"),
            ("not width", "not (width != 0)"),
            ("mtime=1970-01-02", "(mtime_ms != 0 and mtime_ms >= 86400000 and mtime_ms < 172800000)"),
            ("width=1 and (height=2 or id)", "(width != 0 and width == 1)"),
            ("width=0.5 or height=2", "(height != 0 and height == 2)"),
        ] {
            assert_eq!(expression(Modality::Image, filter), (expected.to_string(), true), "{filter}");
        }
        assert_eq!(expression(Modality::Text, "text='dog *' and image_id=x").0.matches(" and ").count(), 2);
    }

    /// `not` turns what must be wide into what must be narrow.
    #[test]
    fn the_rest_is_left_open() {
        for (modality, filter, expected) in [
            (Modality::Image, "camera=x", "everything"),
            (Modality::Image, "not camera=x", "everything"),
            (Modality::Image, "width=1 and not camera=x", "(width != 0 and width == 1)"),
            (Modality::Image, "not (width=1 and camera=x)", "everything"),
            (Modality::Image, "not (width=1 or camera=x)", "not ((width != 0 and width == 1))"),
            (Modality::Image, "name=IMG*.jpg", "(name >= \"IMG\" and name < \"IMH\")"),
            (Modality::Image, "name!=IMG*.jpg", "everything"),
            (Modality::Image, "path=IMG*", "(path >= \"IMG\" and path < \"IMH\")"),
            (Modality::Image, "name=IMG*", "(name >= \"IMG\" and name < \"IMH\")"),
            (Modality::Image, "name!=IMG*", "everything"),
            (Modality::Image, "name=caf\u{e9}.png", "everything"),
            (Modality::Image, "name=K", "everything"),
            (Modality::Image, "name<7", "everything"),
            (Modality::Image, "path<m", "everything"),
            (Modality::Image, "size>1e300", "everything"),
            (Modality::Text, "folder=a and text=dog", "text == \"dog\""),
        ] {
            assert_eq!(expression(modality, filter), (expected.to_string(), false), "{filter}");
        }
    }

    #[test]
    fn the_text_after() {
        assert_eq!(after("ab").as_deref(), Some("ac"));
        assert_eq!(after("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!((after("\u{10ffff}"), after("")), (None, None));
    }
}
