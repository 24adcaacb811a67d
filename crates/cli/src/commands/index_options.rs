//! The options of `gxn index` as flags, and back.

use gxn::retrieve::options::{Changed, Resolved, Setting};
use serde_json::Value;

/// The flag of an option of the library.
const FLAGS: [(&str, &str); 12] = [
    ("source.images", "--images"),
    ("source.texts", "--texts"),
    ("source.split_by", "--split-by"),
    ("source.use_restval", "--no-restval"),
    ("source.csv.image", "--csv-img-key"),
    ("source.csv.caption", "--csv-caption-key"),
    ("source.csv.separator", "--csv-separator"),
    ("source.strict", "--strict"),
    ("images_only", "--images-only"),
    ("include_hidden", "--include-hidden"),
    ("excluded_folders", "--exclude-dir"),
    ("max_megapixels", "--max-image-megapixels"),
];

/// Prints which stored options hold though they were not given, and which were changed.
pub fn print_resolved(resolved: &Resolved) {
    if !resolved.reused.is_empty() {
        let mut flags: Vec<String> = resolved.reused.iter().map(as_given).collect();
        flags.sort();
        eprintln!("as before: {}", flags.join(" "));
    }
    if !resolved.changed.is_empty() {
        let mut changes: Vec<String> = resolved.changed.iter().map(change).collect();
        changes.sort();
        eprintln!("note: from now on {}; images that no longer count are deleted from the index", changes.join(", "));
    }
}

fn change(Changed { now, before }: &Changed) -> String {
    let before = match before {
        Some(value) => as_given(&Setting { name: now.name.clone(), value: value.clone() }),
        None => format!("no {}", flag(&now.name)),
    };
    format!("{} (before: {before})", as_given(now))
}

fn flag(name: &str) -> &str {
    FLAGS.iter().find(|(own, _)| *own == name).map_or(name, |(_, flag)| flag)
}

/// As on the command line.
fn as_given(Setting { name, value }: &Setting) -> String {
    let flag = flag(name);
    let with = |value: &Value| match value {
        Value::String(text) => format!("{flag} {text}"),
        Value::Bool(_) => flag.to_owned(),
        other => format!("{flag} {other}"),
    };
    match value {
        Value::Array(values) => values.iter().map(with).collect::<Vec<_>>().join(" "),
        value => with(value),
    }
}

#[cfg(test)]
mod tests {
    use gxn::retrieve::IndexOptions;

    use super::*;

    /// Names of all options, as the library joins them.
    fn names(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| {
                names(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, found);
            }),
            _ => found.push(path.to_owned()),
        }
    }

    #[test]
    fn every_option_has_a_flag() {
        let mut found = Vec::new();
        names(&serde_json::to_value(IndexOptions::default()).unwrap(), "", &mut found);
        assert_eq!(found, FLAGS.map(|(name, _)| name.to_owned()));
    }

    #[test]
    fn options_are_shown_as_flags() {
        let stored = IndexOptions {
            include_hidden: true,
            excluded_folders: vec!["a".into(), "b".into()],
            ..IndexOptions::default()
        };
        let mut given = IndexOptions { excluded_folders: vec!["c".into()], ..IndexOptions::default() };
        given.source.csv.image = Some("file".into());
        let resolved = given.resolve(Some(&stored)).unwrap();
        assert_eq!(resolved.reused.iter().map(as_given).collect::<Vec<_>>(), ["--include-hidden"]);
        assert_eq!(
            resolved.changed.iter().map(change).collect::<Vec<_>>(),
            [
                "--csv-img-key file (before: no --csv-img-key)",
                "--exclude-dir c (before: --exclude-dir a --exclude-dir b)"
            ]
        );
    }
}
