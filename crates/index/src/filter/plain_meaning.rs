//! Filters beside a plain evaluation of what they say.

use super::Filter;
use crate::item::ImageItem;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::cmp::Ordering;

#[derive(Clone, Debug)]
enum Plain {
    Has(String),
    Compare(String, &'static str, String),
    Not(Box<Plain>),
    All(Vec<Plain>),
    Any(Vec<Plain>),
}

/// As a user might write it.
fn written(plain: &Plain) -> String {
    let joined = |parts: &[Plain], word| parts.iter().map(written).collect::<Vec<_>>().join(word);
    match plain {
        Plain::Has(field) => field.clone(),
        Plain::Compare(field, operator, value) => format!("{field}{operator}'{value}'"),
        Plain::Not(part) => format!("not {}", written(part)),
        Plain::All(parts) => format!("({})", joined(parts, " AND ")),
        Plain::Any(parts) => format!("({})", joined(parts, " or ")),
    }
}

fn holds(plain: &Plain, image: &ImageItem) -> bool {
    match plain {
        Plain::Has(field) => !matches!(value(image, field), None | Some(Value::Null | Value::Bool(false))),
        Plain::Compare(field, operator, wanted) => {
            let is_time = field == "mtime";
            let found = value(image, field);
            let order = || found.as_ref().and_then(|found| order(found, wanted, is_time));
            let equals = || found.as_ref().is_some_and(|found| equals(found, wanted, is_time));
            match *operator {
                "=" => equals(),
                "!=" => !equals(),
                "<" => order() == Some(Ordering::Less),
                ">" => order() == Some(Ordering::Greater),
                "<=" => order().is_some_and(|order| order != Ordering::Greater),
                _ => order().is_some_and(|order| order != Ordering::Less),
            }
        }
        Plain::Not(part) => !holds(part, image),
        Plain::All(parts) => parts.iter().all(|part| holds(part, image)),
        Plain::Any(parts) => parts.iter().any(|part| holds(part, image)),
    }
}

/// What the image has; a time as its milliseconds.
fn value(image: &ImageItem, field: &str) -> Option<Value> {
    let known = |number: i64| (number != 0).then(|| json!(number));
    match field {
        "width" => known(image.width.into()),
        "size" => known(image.size as i64),
        "mtime" => known(image.mtime_unix_ms),
        "name" => Some(json!(image.path.rsplit('/').next().unwrap())),
        "path" => Some(json!(image.path)),
        own => image.meta.get(own).cloned(),
    }
}

fn equals(found: &Value, wanted: &str, is_time: bool) -> bool {
    match found {
        Value::Array(elements) => elements.iter().any(|element| equals(element, wanted, is_time)),
        Value::Bool(is) => wanted == is.to_string(),
        Value::String(text) => {
            let whole = |text: &str| text.parse::<i32>().ok().filter(|number| number.to_string() == text);
            text == wanted || whole(text.strip_suffix(".0").unwrap_or(text)).is_some_and(|n| Some(n) == whole(wanted))
        }
        other => order(other, wanted, is_time) == Some(Ordering::Equal),
    }
}

fn order(found: &Value, wanted: &str, is_time: bool) -> Option<Ordering> {
    let number = wanted.parse::<f64>().ok();
    match found {
        Value::Number(ms) if is_time => {
            // Seconds, or a day of January 1970.
            let (start, length) = match wanted.strip_prefix("1970-01-0") {
                Some(day) => ((day.parse::<i64>().unwrap() - 1) * 86_400_000, 86_400_000),
                None => (wanted.parse::<i64>().unwrap() * 1000, 1000),
            };
            let ms = ms.as_i64().unwrap();
            Some(if ms < start { Ordering::Less } else { (ms - start - length + 1).max(0).cmp(&0) })
        }
        Value::Number(found) => found.as_f64().unwrap().partial_cmp(&number?),
        Value::String(text) => match (text.parse::<f64>(), number) {
            (Ok(found), Some(number)) => found.partial_cmp(&number),
            (Err(_), Some(_)) if !text.starts_with(|first: char| first.is_ascii_digit()) => None,
            _ => Some(text.as_str().cmp(wanted)),
        },
        _ => None,
    }
}

fn filters() -> impl Strategy<Value = Plain> {
    let operator = prop::sample::select(vec!["=", "!=", "<", "<=", ">", ">="]);
    let number = prop::sample::select(vec!["0", "1", "2", "-1", "1.5", "2e0"]).prop_map(String::from);
    let time = prop::sample::select(vec!["1970-01-01", "1970-01-02", "86400", "0", "-1"]).prop_map(String::from);
    let text = prop::sample::select(vec!["a", "b", "1", "2", "true", "a/b", "a b", ""]).prop_map(String::from);
    let field = |names: &[&'static str]| prop::sample::select(names.to_vec()).prop_map(String::from);
    let leaf = prop_oneof![
        field(&["width", "mtime", "own", "other", "gone", "path"]).prop_map(Plain::Has),
        (field(&["width", "size"]), operator.clone(), number).prop_map(|(f, o, v)| Plain::Compare(f, o, v)),
        (Just("mtime".to_string()), operator.clone(), time).prop_map(|(f, o, v)| Plain::Compare(f, o, v)),
        (field(&["own", "other", "gone", "path", "name"]), operator, text)
            .prop_map(|(f, o, v)| Plain::Compare(f, o, v)),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Plain::All),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Plain::Any),
            inner.prop_map(|part| Plain::Not(Box::new(part))),
        ]
    })
}

fn images() -> impl Strategy<Value = ImageItem> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop::sample::select(vec![json!(0), json!(1), json!(2), json!(1.5), json!(-1)]),
        prop::sample::select(vec!["a", "b", "1", "2.0", "true", ""]).prop_map(Value::from),
    ];
    let column = prop_oneof![
        3 => scalar.clone(),
        1 => prop::collection::vec(scalar, 0..3).prop_map(Value::from),
        1 => Just(json!({"a": 1})),
    ];
    let columns = prop::collection::btree_map(prop::sample::select(vec!["own", "other"]), column, 0..3);
    let path = prop::sample::select(vec!["a", "b", "a/b", "1", "2"]);
    let time = prop::sample::select(vec![0, 1, -1, -1000, -1001, 86_399_999, 86_400_000, 86_400_999, 86_401_000]);
    (0u32..3, 0u64..3, time, path, columns).prop_map(|(width, size, mtime_unix_ms, path, columns)| {
        let meta: Map<String, Value> = columns.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        ImageItem { width, size, mtime_unix_ms, path: path.into(), meta, ..Default::default() }
    })
}

proptest! {
    #[test]
    fn filters_equal_their_plain_meaning(plain in filters(), image in images()) {
        let text = written(&plain);
        let filter = Filter::parse(&text).unwrap();
        prop_assert_eq!(filter.passes_image(&image), holds(&plain, &image), "{}", text);
        let again = Filter::parse(&filter.to_string()).unwrap();
        prop_assert_eq!(again.passes_image(&image), holds(&plain, &image), "{}", filter);
    }
}
