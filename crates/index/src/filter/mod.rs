//! Which items a search may find: `folder=2024/** and (width>=1000 or camera="Pixel 8") and not name=*.gif`.
//!
//! ```text
//! filter     = all { "or" all }
//! all        = one { "and" one }
//! one        = "not" one | "(" filter ")" | field | field ("=" | "!=" | "<" | "<=" | ">" | ">=") value
//! value      = a word, or "…" or '…' with \ before a quote, a backslash or a wildcard that means itself
//! ```
//!
//! Fields of images are `id`, `path`, `folder` (of the path), `name` (its last part), `sha256`, `size` (bytes), `mtime`,
//! `width`, `height`, and any other name is a column of the caller's own (`a.b` looks into objects; `meta.NAME` if the
//! name is one of those above). Of captions they are `id`, `image_id`, `text`; all else is asked of their image, and
//! `image.NAME` if the name is one of the three.
//!
//! In a value compared by `=` or `!=`, `*` stands for any characters and `?` for one; in `id`, `image_id`, `path` and
//! `folder` neither stands for `/`, but `**` does, and `2024/**` is `2024` too. Numbers compare as numbers, `mtime` with
//! a date such as `2024-05-31` (UTC; all of that day is equal to it) or seconds since 1970, other texts by their
//! characters. A list is equal to a value if one of its elements is. What an item does not have is not equal to anything,
//! nor smaller or larger. A field alone asks whether it is there and not `false`.

mod glob;
mod parse;
mod value;

use crate::item::{CaptionItem, ImageItem};
use glob::Glob;
use gxn_base::Modality;
use gxn_base::{Error, Result};
use std::fmt;
use value::{Field, Moment};

/// A parsed filter; see [`Filter::parse`] for the language.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    condition: Condition,
    /// A field that captions do not have is asked for.
    asks_image: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Has(String),
    Compare(Comparison),
}

#[derive(Clone, Debug, PartialEq)]
struct Comparison {
    field: String,
    operator: Operator,
    /// As written between quotes.
    value: String,
    // What the value is where a number, a date, a pattern, or a plain text is wanted.
    number: Option<f64>,
    moment: Option<Moment>,
    glob: Glob,
    plain: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Filter {
    /// Reads a filter such as `folder=2024/** and (width>=1000 or camera="Pixel 8") and not name=*.gif`.
    ///
    /// `=`, `!=`, `<`, `<=`, `>`, `>=`, `and`, `or`, `not`, parentheses; a field alone asks whether an item has it.
    /// Fields are `id path folder name sha256 size mtime width height` of images, `id image_id text` of captions (all
    /// else is asked of their image, `image.NAME` in any case), and the caller's own columns. `*` and `?` are wildcards,
    /// which in paths stop at `/`; `**` does not. `mtime` is compared with dates such as `2024-05-31`.
    ///
    /// # Errors
    /// If the text is no filter; the error names the place.
    pub fn parse(text: &str) -> Result<Self> {
        let condition = parse::parse(text)?;
        let asks_image = condition.asks_image();
        Ok(Self { condition, asks_image })
    }

    /// The fields asked for that neither images nor, where these are the target, captions have of themselves: columns of
    /// the caller's, or misspelt. Each once.
    pub(crate) fn columns(&self, target: Modality) -> Vec<&str> {
        let mut fields = Vec::new();
        self.condition.fields(&mut fields);
        let is_own = |field: &str| value::is_of_image(field) || target == Modality::Text && value::is_of_caption(field);
        let mut columns: Vec<&str> = fields.into_iter().filter(|field| !is_own(field)).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// True if the filter lets the image pass.
    pub fn passes_image(&self, image: &ImageItem) -> bool {
        self.condition.holds(&|name| Field::of_image(image, name))
    }

    /// True if the filter lets the caption pass; `image`, to which it belongs, is called for if a field of it is asked
    /// for.
    ///
    /// # Errors
    /// Those of `image`.
    pub fn passes_caption<E>(
        &self,
        caption: &CaptionItem,
        image: impl FnOnce() -> std::result::Result<ImageItem, E>,
    ) -> std::result::Result<bool, E> {
        let image = if self.asks_image { Some(image()?) } else { None };
        Ok(self.condition.holds(&|name| Field::of_caption(caption, image.as_ref(), name)))
    }
}

/// True if the image has something under the name of a field.
pub(crate) fn has_field(image: &ImageItem, name: &str) -> bool {
    !matches!(Field::of_image(image, name), Field::Missing)
}

impl std::str::FromStr for Filter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl Condition {
    fn holds<'a>(&self, field: &impl Fn(&str) -> Field<'a>) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(field)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(field)),
            Self::Not(condition) => !condition.holds(field),
            Self::Has(name) => field(name).is_there(),
            Self::Compare(comparison) => field(&comparison.field).compare(comparison),
        }
    }

    fn fields<'a>(&'a self, fields: &mut Vec<&'a str>) {
        match self {
            Self::All(conditions) | Self::Any(conditions) => conditions.iter().for_each(|c| c.fields(fields)),
            Self::Not(condition) => condition.fields(fields),
            Self::Has(name) => fields.push(name),
            Self::Compare(comparison) => fields.push(&comparison.field),
        }
    }

    fn asks_image(&self) -> bool {
        match self {
            Self::All(conditions) | Self::Any(conditions) => conditions.iter().any(Self::asks_image),
            Self::Not(condition) => condition.asks_image(),
            Self::Has(name) => !value::is_of_caption(name),
            Self::Compare(comparison) => !value::is_of_caption(&comparison.field),
        }
    }
}

impl Comparison {
    fn new(field: String, operator: Operator, value: String) -> Self {
        let plain = glob::plain(&value);
        let number = plain.parse().ok().filter(|number: &f64| number.is_finite());
        let moment = Moment::parse(&plain);
        let glob = Glob::new(&value, value::is_path(&field));
        Self { field, operator, value, number, moment, glob, plain }
    }
}

impl Operator {
    fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}

/// The filter in its own language: parsing it gives the same filter.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, conditions: &[Self], word: &str| {
            for (at, condition) in conditions.iter().enumerate() {
                if at > 0 {
                    write!(f, " {word} ")?;
                }
                match condition {
                    Self::All(_) | Self::Any(_) => write!(f, "({condition})")?,
                    other => other.fmt(f)?,
                }
            }
            Ok(())
        };
        match self {
            Self::All(conditions) => joined(f, conditions, "and"),
            Self::Any(conditions) => joined(f, conditions, "or"),
            Self::Not(condition) => match condition.as_ref() {
                Self::All(_) | Self::Any(_) => write!(f, "not ({condition})"),
                other => write!(f, "not {other}"),
            },
            Self::Has(name) => f.write_str(name),
            Self::Compare(Comparison { field, operator, value, .. }) => {
                write!(f, "{field}{}\"{}\"", operator.symbol(), parse::quoted(value))
            }
        }
    }
}

#[cfg(test)]
mod tests;
