//! The value of a field of an item, and how it compares.

use super::{Comparison, Operator};
use crate::item::{CaptionItem, ImageItem};
use gxn_base::unicode::composed;
use jiff::civil::{Date, Time};
use serde_json::{Number, Value};
use std::cmp::Ordering;
use std::ops::Range;

const DAY_MS: i64 = 24 * 3600 * 1000;
/// No two decimal numbers of up to this many digits are the same f64.
const MOST_DIGITS: usize = 15;

/// The content of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field<'a> {
    Missing,
    Text(&'a str),
    Number(f64),
    /// Milliseconds since 1970.
    Time(i64),
    Json(&'a Value),
}

/// What the values of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldKind {
    Number,
    Time,
    /// A text, or a column of the caller's, which may hold anything.
    Other,
}

impl FieldKind {
    pub(super) fn of(name: &str) -> Self {
        match name.strip_prefix("image.").unwrap_or(name) {
            "size" | "width" | "height" => Self::Number,
            "mtime" => Self::Time,
            _ => Self::Other,
        }
    }
}

/// What an item has under the name of a field, from the narrowest to the widest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ContentKind {
    Number,
    /// A number as a text, as tables have it.
    Digits,
    Other,
}

/// True if the field is a caption's own.
pub(super) fn is_of_caption(name: &str) -> bool {
    ["id", "image_id", "text"].contains(&name)
}

/// Fields that every image has, though a value may not be known.
pub const IMAGE_FIELDS: [&str; 9] = ["id", "path", "folder", "name", "sha256", "size", "mtime", "width", "height"];

/// True if a field of this name is one of [`IMAGE_FIELDS`].
pub fn is_of_image(name: &str) -> bool {
    IMAGE_FIELDS.contains(&name.strip_prefix("image.").unwrap_or(name))
}

/// True if `*` in a value stops at `/`.
pub(super) fn is_path(name: &str) -> bool {
    ["id", "image_id", "path", "folder"].contains(&name.strip_prefix("image.").unwrap_or(name))
}

impl<'a> Field<'a> {
    pub(super) fn of_image(image: &'a ImageItem, name: &str) -> Self {
        let (folder, file) = image.path.rsplit_once('/').unwrap_or(("", &image.path));
        match name.strip_prefix("image.").unwrap_or(name) {
            "id" => Self::Text(&image.id),
            "path" => Self::Text(&image.path),
            "folder" => Self::Text(folder),
            "name" => Self::Text(file),
            "sha256" => Self::Text(&image.sha256).unless(image.sha256.is_empty()),
            "size" => Self::Number(image.size as f64).unless(image.size == 0),
            "mtime" => Self::Time(image.mtime_unix_ms).unless(image.mtime_unix_ms == 0),
            "width" => Self::Number(image.width.into()).unless(image.width == 0),
            "height" => Self::Number(image.height.into()).unless(image.height == 0),
            own => Self::of_columns(&image.meta, own),
        }
    }

    pub(super) fn of_caption(caption: &'a CaptionItem, image: Option<&'a ImageItem>, name: &str) -> Self {
        match name {
            "id" => Self::Text(&caption.id),
            "image_id" => Self::Text(&caption.image_id),
            "text" => Self::Text(&caption.text),
            other => image.map_or(Self::Missing, |image| Self::of_image(image, other)),
        }
    }

    /// A column by its name, or `a.b`, the member `b` of the object `a`.
    fn of_columns(columns: &'a serde_json::Map<String, Value>, name: &str) -> Self {
        let find = |name: &str| {
            let direct = columns.get(name).or_else(|| {
                let mut others = columns.iter().filter(|_| !name.is_ascii());
                others.find(|(other, _)| composed(other) == name).map(|(_, value)| value)
            });
            direct.or_else(|| {
                let mut names = name.split('.');
                let first = columns.get(names.next()?)?;
                names.try_fold(first, |value, name| value.get(name))
            })
        };
        let found = find(name).or_else(|| find(name.strip_prefix("meta.")?));
        found.map_or(Self::Missing, Self::Json)
    }

    fn unless(self, missing: bool) -> Self {
        if missing { Self::Missing } else { self }
    }

    pub(super) fn kind(self) -> Option<ContentKind> {
        Some(match self {
            Self::Missing => return None,
            Self::Number(_) | Self::Json(Value::Number(_)) => ContentKind::Number,
            Self::Text(text) if text.parse::<f64>().is_ok() => ContentKind::Digits,
            Self::Json(Value::String(text)) if text.parse::<f64>().is_ok() => ContentKind::Digits,
            _ => ContentKind::Other,
        })
    }

    pub(super) fn is_there(self) -> bool {
        !matches!(self, Self::Missing | Self::Json(Value::Null | Value::Bool(false)))
    }

    pub(super) fn compare(self, with: &Comparison) -> bool {
        match with.operator {
            Operator::Equal => self.equals(with),
            Operator::Unequal => !self.equals(with),
            Operator::Less => self.order(with).is_some_and(Ordering::is_lt),
            Operator::AtMost => self.order(with).is_some_and(Ordering::is_le),
            Operator::Greater => self.order(with).is_some_and(Ordering::is_gt),
            Operator::AtLeast => self.order(with).is_some_and(Ordering::is_ge),
        }
    }

    fn equals(self, with: &Comparison) -> bool {
        match self {
            Self::Json(Value::Array(elements)) => elements.iter().any(|element| Self::Json(element).equals(with)),
            Self::Json(Value::Bool(is)) => with.plain == if *is { "true" } else { "false" },
            Self::Text(text) => with.glob.fits(&composed(text)),
            Self::Json(Value::String(text)) => with.glob.fits(&composed(text)) || is_same_number(text, &with.value),
            other => other.order(with).is_some_and(Ordering::is_eq),
        }
    }

    /// How it compares with the value; `None` if it cannot.
    fn order(self, with: &Comparison) -> Option<Ordering> {
        match self {
            Self::Number(number) => number.partial_cmp(&with.number?),
            Self::Json(Value::Number(number)) => order_numbers(number, with),
            Self::Time(ms) => Some(with.moment?.order(ms)),
            Self::Text(text) => order_texts(text, with),
            Self::Json(Value::String(text)) => order_texts(text, with),
            Self::Missing | Self::Json(_) => None,
        }
    }
}

/// Whole numbers, such as ids, compare in all their digits; f64 holds 15.
fn order_numbers(number: &Number, with: &Comparison) -> Option<Ordering> {
    match (number.to_string().parse::<i128>(), with.plain.parse::<i128>()) {
        (Ok(number), Ok(value)) => Some(number.cmp(&value)),
        _ => number.as_f64()?.partial_cmp(&with.number?),
    }
}

/// Whether both are decimal numbers, and equal: tables hold `2024.0` for 2024. What has leading zeros, or more than
/// [`MOST_DIGITS`], is a name.
fn is_same_number(a: &str, b: &str) -> bool {
    let number = |text: &str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let has_leading_zero = digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
        let is_plain = digits.starts_with(|first: char| first.is_ascii_digit())
            && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
            && digits.len() <= MOST_DIGITS;
        if is_plain && !has_leading_zero { text.parse::<f64>().ok() } else { None }
    };
    matches!((number(a), number(b)), (Some(a), Some(b)) if a == b)
}

/// Texts that are numbers compare as such, and dates with a year. No word is greater or less than a number.
fn order_texts(text: &str, with: &Comparison) -> Option<Ordering> {
    let begins_as_number = text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
    match (with.number, text.parse::<f64>()) {
        (Some(_), _) if !begins_as_number => None,
        (Some(value), Ok(number)) => number.partial_cmp(&value),
        _ => Some(composed(text).as_ref().cmp(&with.plain)),
    }
}

/// A date: a day, or a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Milliseconds since 1970.
    start: i64,
    end: i64,
}

impl Moment {
    /// Reads `2024-05-31`, `2024-05-31T12:30:00` (UTC), or seconds since 1970.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Ok(seconds) = text.parse::<i64>() {
            return Self::new(seconds.checked_mul(1000)?, 1000);
        }
        let (date, time) = match text.split_once(['T', ' ']) {
            Some((date, time)) => (date, Some(time.strip_suffix('Z').unwrap_or(time))),
            None => (text, None),
        };
        let date = Date::strptime("%Y-%m-%d", date).ok()?;
        let epoch = Date::constant(1970, 1, 1).to_datetime(Time::midnight());
        let at = |time| i64::try_from(date.to_datetime(time).duration_since(epoch).as_millis()).ok();
        match time {
            None => Self::new(at(Time::midnight())?, DAY_MS),
            Some(time) => Self::new(at(Time::strptime("%H:%M:%S", time).ok()?)?, 1000),
        }
    }

    fn new(start: i64, length: i64) -> Option<Self> {
        Some(Self { start, end: start.checked_add(length)? })
    }

    /// First millisecond since 1970, and the first after it.
    pub(super) fn bounds(self) -> Range<i64> {
        self.start..self.end
    }

    #[cfg(test)]
    pub(super) fn starts_with(self, other: Self) -> bool {
        self.start == other.start
    }

    /// How a time compares with it.
    fn order(self, ms: i64) -> Ordering {
        if ms < self.start {
            Ordering::Less
        } else if ms < self.end {
            Ordering::Equal
        } else {
            Ordering::Greater
        }
    }
}
