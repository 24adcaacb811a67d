//! What a run has stored beside its curves, as HTML: alarms, samples, and the card of its best checkpoint.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::history::{History, number};
use crate::checkpoint::{Ancestor, Card, fingerprint_of, read_json, resolve, short};
use crate::evaluate::caption_page::figure;
use gxn_base::{Error, Result};
use gxn_eval::html::escape;

/// Sheets of generated images on a page at most, evenly spread over the epochs.
const MOST_SHEETS: usize = 6;

/// An alarm, perhaps raised after several epochs.
struct Raised<'a> {
    first: f64,
    last: f64,
    times: usize,
    /// As it was raised last.
    text: &'a str,
}

/// What was wrong while it was trained, with what helps. Alarms that differ in their numbers only are one.
pub(super) fn alarms(history: &History) -> String {
    let without_numbers = |text: &str| text.replace(|letter: char| letter.is_ascii_digit() || letter == '.', "");
    let mut all: Vec<Raised<'_>> = Vec::new();
    for line in &history.alarms {
        let Some((step, text)) = number(line, "step").zip(line.get("alarm").and_then(Value::as_str)) else { continue };
        match all.iter_mut().find(|raised| without_numbers(raised.text) == without_numbers(text)) {
            Some(raised) => (raised.last, raised.times, raised.text) = (step, raised.times + 1, text),
            None => all.push(Raised { first: step, last: step, times: 1, text }),
        }
    }
    let item = |Raised { first, last, times, text }: &Raised<'_>| {
        let again = if *times > 1 { format!(" ({times} times, last after step {last})") } else { String::new() };
        format!("<li>after step {first}{again}: {}</li>\n", escape(text))
    };
    let items: String = all.iter().map(item).collect();
    if items.is_empty() { "<p>none</p>\n".into() } else { format!("<ul>\n{items}</ul>\n") }
}

/// Sheets of generated images, the first and the last among them.
pub(super) fn samples(run: &Path) -> Result<String> {
    let sheets = sheets(run);
    let figures = spread(sheets.len()).map(|at| sheet(&sheets[at])).collect::<Result<String>>()?;
    if figures.is_empty() {
        return Ok(String::new());
    }
    Ok(format!(
        "<h2>Generated images</h2>\n<p>Images that the model generated after some epochs, from the same captions and the same \
         noise each time. They show what it expects; none is a photograph.</p>\n<div class=\"row\">{figures}</div>\n"
    ))
}

/// Places of at most [`MOST_SHEETS`] of `count` sheets.
fn spread(count: usize) -> impl Iterator<Item = usize> {
    let shown = count.min(MOST_SHEETS);
    (0..shown).map(move |at| at * (count - 1) / (shown - 1).max(1))
}

/// The files of `samples/` in the order of their epochs.
fn sheets(run: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(run.join("samples")).into_iter().flatten().flatten();
    let is_sheet = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "png") && path.is_file();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_sheet).collect();
    paths.sort();
    paths
}

fn sheet(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|error| Error::io("cannot read", path, error))?;
    let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().replace('_', " "));
    Ok(figure(&format!("data:image/png;base64,{}", STANDARD.encode(bytes)), &name, &escape(&name)))
}

/// Where the best checkpoint comes from, and its validation result. A damaged one does not cost the page.
pub(super) fn card(run: &Path) -> String {
    let Ok(folder) = resolve(run) else { return "<p>There is no checkpoint yet.</p>\n".into() };
    described(&folder).unwrap_or_else(|error| format!("<p>{}</p>\n", escape(&error.to_string())))
}

fn described(folder: &Path) -> Result<String> {
    let card: Card = read_json(&folder.join("card.json"))?;
    let ancestor = |a: &Ancestor| format!("{} ({}, {} steps)", short(&a.fingerprint), a.stage.name(), a.steps);
    let begun = card.ancestry.iter().map(ancestor).collect::<Vec<_>>().join(", then ");
    let facts = [
        ("fingerprint", fingerprint_of(folder)?),
        ("data", format!("{}, hash {}", card.dataset, card.data_sha)),
        ("trained on", format!("{} images with {} captions", card.train_images, card.train_captions)),
        ("seed", card.seed.to_string()),
        ("steps", format!("{} in {} epochs", card.step, card.epoch)),
        ("steps of matching", card.match_steps.map_or_else(|| "not counted".into(), |steps| steps.to_string())),
        ("begun with", if begun.is_empty() { "new weights".into() } else { begun }),
        ("program", card.program.clone()),
        ("licence", card.licence_note.clone()),
    ];
    let facts: String =
        facts.iter().map(|(name, text)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(text))).collect();
    Ok(format!("<dl>\n{facts}</dl>\n{}", validation(&card)))
}

/// Every number of the validation; recalls are percent.
fn validation(card: &Card) -> String {
    let row = |(name, value): (&String, &Value)| {
        let value = value.as_f64().map_or_else(|| value.to_string(), |value| format!("{value:.4}"));
        format!("<tr><td>{}</td><td>{}</td></tr>\n", escape(name), escape(&value))
    };
    let rows: String = card.validation.iter().map(row).collect();
    if rows.is_empty() {
        return "<p>This checkpoint was not validated.</p>\n".into();
    }
    format!("<details><summary>Its validation result</summary>\n<table>\n{rows}</table>\n</details>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_sheet_are_shown() {
        let of = |count| spread(count).collect::<Vec<_>>();
        assert_eq!(of(11), [0, 2, 4, 6, 8, 10]);
        assert_eq!((of(0), of(1), of(3)), (vec![], vec![0], vec![0, 1, 2]));
    }
}
