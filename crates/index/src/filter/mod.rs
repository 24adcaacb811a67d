//! [`Filter`]: which items a search may find, such as `folder=2024/** and (width>=1000 or camera="Pixel 8") and not name=*.gif`.
//!
//! ```text
//! filter     = all { "or" all }
//! all        = one { "and" one }
//! one        = "not" one | "(" filter ")" | field | field ("=" | "!=" | "<" | "<=" | ">" | ">=") value
//! field      = a name of letters, digits and _-.:/, or any name in quotes
//! value      = a word, or "…" or '…' with \ before a quote, a backslash or a wildcard that means itself
//! ```
//!
//! Fields of images are `id`, `path`, `folder` (of the path), `name` (its last part), `sha256`, `size` (bytes), `mtime`,
//! `width`, `height`, and any other name is a column of the caller's own (`a.b` looks into objects; `meta.NAME` if the
//! name is one of those above). Of captions they are `id`, `image_id`, `text`; all else are fields of their image, as is
//! `image.NAME`, for use if the name is one of the three.
//!
//! In a value compared by `=` or `!=`, `*` stands for any characters and `?` for one; in `id`, `image_id`, `path` and
//! `folder` neither stands for `/`, but `**` does, and `2024/**` is `2024` too. Numbers compare as numbers, `mtime` with
//! a date such as `2024-05-31` (UTC; all of that day is equal to it) or seconds since 1970; any other value for them is an
//! error. Other texts compare by their characters, in Unicode's normal form C. A list is equal to a value if one of its elements is. What an item does not have is not equal to anything,
//! nor smaller or larger. A field alone is true if it is there and not `false`.

mod glob;
mod parse;
mod value;

pub use value::{IMAGE_FIELDS, is_of_image};

use crate::item::{CaptionItem, ImageItem};
use glob::Glob;
use gxn_base::unicode::composed;
use gxn_base::{Error, Modality, Result};
use std::fmt;
use std::ops::Range;
use value::{Field, Moment};

pub use glob::Pattern;
pub(crate) use value::ContentKind;

/// A parsed filter; see [`Filter::parse`] for the language.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    condition: Condition,
    /// A caption alone cannot answer.
    needs_image: bool,
}

/// The syntax tree of a filter, for stores that translate it into their own language.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Every one of these.
    All(Vec<Condition>),
    /// At least one of these.
    Any(Vec<Condition>),
    /// All but this.
    Not(Box<Condition>),
    /// The field of this name is there and not `false`.
    Has(String),
    /// A field compared with a value.
    Compare(Comparison),
}

/// A field compared with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    field: String,
    operator: Operator,
    /// As written between quotes.
    value: String,
    // The value as a number, a date, a pattern, and a plain text.
    number: Option<f64>,
    moment: Option<Moment>,
    glob: Glob,
    plain: String,
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Filter {
    /// Reads a filter such as `folder=2024/** and (width>=1000 or camera="Pixel 8") and not name=*.gif`.
    ///
    /// `=`, `!=`, `<`, `<=`, `>`, `>=`, `and`, `or`, `not`, parentheses; a field alone is true for items that have it.
    /// Fields are `id path folder name sha256 size mtime width height` of images, `id image_id text` of captions (all
    /// else are fields of their image, `image.NAME` in any case), and the caller's own columns. `*` and `?` are wildcards,
    /// which in paths stop at `/`; `**` does not. `mtime` is compared with dates such as `2024-05-31`.
    ///
    /// # Errors
    /// If the text is no filter, or a number or a time is compared with something else; the error names the place.
    pub fn parse(text: &str) -> Result<Self> {
        let condition = parse::parse(text)?;
        let needs_image = condition.needs_image();
        Ok(Self { condition, needs_image })
    }

    /// The syntax tree.
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// The fields that neither images nor, where these are the target, captions have of themselves: columns of
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

    /// Comparisons of this field with something that is not a number.
    pub(crate) fn compared_with_text(&self, field: &str) -> Vec<&Comparison> {
        let mut comparisons = Vec::new();
        self.condition.comparisons(&mut comparisons);
        comparisons.retain(|with| with.field == field && with.number.is_none());
        comparisons
    }

    /// True if the filter lets the image pass.
    pub fn passes_image(&self, image: &ImageItem) -> bool {
        self.condition.holds(&|name| Field::of_image(image, name))
    }

    /// True if the filter lets the caption pass; `image`, to which it belongs, is called if the filter has a field of it.
    ///
    /// # Errors
    /// Those of `image`.
    pub fn passes_caption<E>(
        &self,
        caption: &CaptionItem,
        image: impl FnOnce() -> std::result::Result<ImageItem, E>,
    ) -> std::result::Result<bool, E> {
        let image = if self.needs_image { Some(image()?) } else { None };
        Ok(self.condition.holds(&|name| Field::of_caption(caption, image.as_ref(), name)))
    }
}

/// What the image has under the name of a field; `None` for nothing.
pub(crate) fn content_kind(image: &ImageItem, name: &str) -> Option<ContentKind> {
    Field::of_image(image, name).kind()
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

    fn comparisons<'a>(&'a self, found: &mut Vec<&'a Comparison>) {
        match self {
            Self::All(conditions) | Self::Any(conditions) => conditions.iter().for_each(|c| c.comparisons(found)),
            Self::Not(condition) => condition.comparisons(found),
            Self::Has(_) => {}
            Self::Compare(comparison) => found.push(comparison),
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

    fn needs_image(&self) -> bool {
        match self {
            Self::All(conditions) | Self::Any(conditions) => conditions.iter().any(Self::needs_image),
            Self::Not(condition) => condition.needs_image(),
            Self::Has(name) => !value::is_of_caption(name),
            Self::Compare(comparison) => !value::is_of_caption(&comparison.field),
        }
    }
}

impl Comparison {
    fn new(field: String, operator: Operator, value: String) -> Self {
        let normal = composed(&value);
        let plain = glob::plain(&normal);
        let number = plain.parse().ok().filter(|number: &f64| number.is_finite());
        let moment = Moment::parse(&plain);
        let glob = Glob::new(&normal, value::is_path(&field));
        Self { field, operator, value, number, moment, glob, plain }
    }

    /// Name of the field.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// How it is compared.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// True for `<` and the like.
    pub(crate) fn is_ordered(&self) -> bool {
        !matches!(self.operator, Operator::Equal | Operator::Unequal)
    }

    /// The value as it was written, without quotes.
    pub fn written(&self) -> &str {
        &self.value
    }

    /// The value as a text in normal form C, to which `<` and the like compare.
    pub fn text(&self) -> &str {
        &self.plain
    }

    /// The value as a pattern, with which `=` and `!=` compare texts in normal form C.
    pub fn pattern(&self) -> Pattern {
        self.glob.pattern()
    }

    /// The value as a number, if it is one.
    pub fn number(&self) -> Option<f64> {
        self.number
    }

    /// The value as a time, if it is one: first millisecond since 1970 UTC, and the first after it.
    pub fn moment(&self) -> Option<Range<i64>> {
        self.moment.map(Moment::bounds)
    }
}

impl Operator {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
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
            Self::Has(name) => f.write_str(&parse::shown_field(name)),
            Self::Compare(Comparison { field, operator, value, .. }) => {
                write!(f, "{}{}\"{}\"", parse::shown_field(field), operator.symbol(), parse::quoted(value))
            }
        }
    }
}

#[cfg(test)]
mod plain_meaning;
#[cfg(test)]
mod tests;
