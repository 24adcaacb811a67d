//! What of a source is indexed: as a call asks for it, and as the index notes it for the calls that do not.

use anyhow::Result;
use serde_json::{Map, Value};

use crate::args::IndexOptions;

/// What the index notes of the options that it was made with.
pub const OPTIONS: &str = "options";

/// The options of a call that refreshes an index.
#[derive(Debug)]
pub struct Refreshing {
    /// Those given, and of the others those noted.
    pub options: IndexOptions,
    /// Noted ones that hold though they were not given, as on the command line.
    pub reused: Vec<String>,
    /// Given ones that are others than those noted, with what was.
    pub changed: Vec<String>,
}

/// The options with paths that mean the same from every working folder.
pub fn lasting(options: &IndexOptions) -> Result<IndexOptions> {
    let mut lasting = options.clone();
    for path in [&mut lasting.reading.images, &mut lasting.reading.texts].into_iter().flatten() {
        *path = std::path::absolute(&*path)?;
    }
    Ok(lasting)
}

/// `given` beside what an index noted. An option that is not given holds as it was noted: who leaves one out means "as
/// before", and a picture must not leave an index because of that.
pub fn refreshing(given: &IndexOptions, noted: Option<&Value>) -> Result<Refreshing> {
    let mut now = serde_json::to_value(lasting(given)?)?;
    let (mut reused, mut changed) = (Vec::new(), Vec::new());
    if let (Value::Object(now), Some(Value::Object(noted))) = (&mut now, noted) {
        take_over(now, noted, &mut reused, &mut changed);
    }
    reused.sort();
    changed.sort();
    Ok(Refreshing { options: serde_json::from_value(now)?, reused, changed })
}

fn take_over(
    now: &mut Map<String, Value>,
    noted: &Map<String, Value>,
    reused: &mut Vec<String>,
    changed: &mut Vec<String>,
) {
    for (name, now) in now {
        let before = noted.get(name).unwrap_or(&Value::Null);
        match (now, before) {
            (Value::Object(now), Value::Object(before)) => take_over(now, before, reused, changed),
            (Value::Object(now), _) => take_over(now, &Map::new(), reused, changed),
            (now, before) if now == before => reused.extend(is_given(now).then(|| flag(name, now))),
            (now, before) if is_given(now) => {
                let before = if is_given(before) { flag(name, before) } else { format!("no --{}", dashed(name)) };
                changed.push(format!("{} (before: {before})", flag(name, now)));
            }
            // An option that was unknown then is as if it were not given.
            (_, Value::Null) => {}
            (now, before) => {
                reused.extend(is_given(before).then(|| flag(name, before)));
                *now = before.clone();
            }
        }
    }
}

/// Whether a value is more than what stands for an option that was left out.
fn is_given(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(values) => !values.is_empty(),
        _ => true,
    }
}

fn dashed(name: &str) -> String {
    name.replace('_', "-")
}

/// As on the command line.
fn flag(name: &str, value: &Value) -> String {
    let name = dashed(name);
    match value {
        Value::Bool(_) => format!("--{name}"),
        Value::Array(values) => values.iter().map(|value| flag(&name, value)).collect::<Vec<_>>().join(" "),
        Value::String(text) => format!("--{name} {text}"),
        other => format!("--{name} {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_given_is_as_noted() {
        let none = IndexOptions::default();
        let noted = serde_json::to_value(IndexOptions {
            include_hidden: true,
            exclude_dir: vec!["a".into(), "b".into()],
            ..IndexOptions::default()
        });
        let noted = noted.unwrap();
        let same = refreshing(&none, Some(&noted)).unwrap();
        assert_eq!(serde_json::to_value(&same.options).unwrap(), noted);
        assert_eq!(same.reused, ["--exclude-dir a --exclude-dir b", "--include-hidden"]);
        assert!(same.changed.is_empty());

        let mut given = IndexOptions { exclude_dir: vec!["c".into()], pictures: true, ..IndexOptions::default() };
        given.reading.csv.image = Some("file".into());
        let other = refreshing(&given, Some(&noted)).unwrap();
        assert!(other.options.include_hidden && other.options.pictures);
        assert_eq!((other.options.exclude_dir.len(), other.reused), (1, vec!["--include-hidden".to_string()]));
        assert_eq!(
            other.changed,
            [
                "--csv-img-key file (before: no --csv-img-key)",
                "--exclude-dir c (before: --exclude-dir a --exclude-dir b)",
                "--pictures (before: no --pictures)"
            ]
        );
        // A new index, and one whose notes lack an option.
        assert!(refreshing(&given, None).unwrap().changed.is_empty());
        let older = refreshing(&none, Some(&json!({"include_hidden": true}))).unwrap();
        assert!(older.changed.is_empty());
        assert!(older.options.include_hidden && older.options.max_image_megapixels.is_none());
        assert!(refreshing(&none, Some(&json!({"include_hidden": 7}))).is_err());
    }
}
