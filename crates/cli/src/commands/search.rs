//! `gxn search`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use gxn::retrieve::query::Content;
use gxn::retrieve::{Found, Part, Retriever, find_index, parse_query, query};
use gxn_data::{UNKNOWN, tokenize};
use gxn_index::{Filter, Hit, Method, Modality, SearchOptions};
use serde_json::json;

use crate::args::{HitFormat, SearchArgs, Target};
use crate::commands::index::index_dir;
use crate::output::{NOTHING_FOUND, print};

/// Fields of a filter that every picture has.
const FIELDS: &str = "id path folder name sha256 size mtime width height";

/// Searches an index.
pub fn search(args: &SearchArgs) -> Result<ExitCode> {
    if let Some(least) = args.min_relevance.filter(|least| !(0.0..=1.0).contains(least)) {
        let error = gxn_base::Error::invalid("--min-relevance", least.to_string(), "a probability, 0 to 1");
        return Err(error.into());
    }
    let (words, dir) = match args.index {
        Some(_) => (&args.query[..], args.dir.clone()),
        None => query_and_dir(&args.query, &args.dir),
    };
    for word in words.iter().filter(|word| Path::new(word).is_file() && !is_path(word)) {
        eprintln!("note: {word} is taken as words; the picture is ./{word}");
    }
    let mut parts = parse_query(words)?;
    for (texts, sign) in [(&args.add, 1.0), (&args.subtract, -1.0)] {
        for text in texts {
            parts.push(query::part(text, sign)?);
        }
    }
    let index = match &args.index {
        Some(index) => index_dir(index)?,
        None => find_index(&dir)?,
    };
    let retriever = Retriever::open(&index, args.model.as_deref())?;
    let strange = unknown_words(&retriever, &parts);
    if !strange.is_empty() {
        eprintln!("note: the model has never seen: {}", strange.join(", "));
    }
    let format = if args.filepath_only { HitFormat::Paths } else { args.format };
    let filter = args.filter.as_deref().map(Filter::parse).transpose()?;
    let options = SearchOptions {
        offset: args.offset,
        filter: filter.as_ref(),
        lambda: args.lambda,
        method: if args.exact { Method::Exact } else { Method::Auto },
        ..SearchOptions::new(side(args.target), args.top)
    };
    let mut found = retriever.search(&parts, &options)?;
    if let Some(filter) = &filter {
        let unknown = retriever.index().unknown_fields(options.target, filter)?;
        if !unknown.is_empty() {
            eprintln!("note: no picture of the index has {}; all have {FIELDS}", unknown.join(", "));
        }
    }
    let best = found.relevance.as_ref().and_then(|relevance| relevance.first().copied());
    if let Some(least) = args.min_relevance {
        keep_relevant(&mut found, least, retriever.calibration().is_some())?;
    } else if found.probably_none {
        eprintln!("note: probably nothing here matches; one query in twenty that has a match scores as low");
    }
    print(&render(&found, format, args.offset))?;
    if found.hits.is_empty() {
        match best {
            Some(best) if args.min_relevance.is_some() => {
                eprintln!("nothing here matches: the best hit is relevant with probability {best:.3}");
            }
            _ => eprintln!("nothing found"),
        }
        return Ok(ExitCode::from(NOTHING_FOUND));
    }
    Ok(ExitCode::SUCCESS)
}

/// Leaves out hits below `least`.
fn keep_relevant(found: &mut Found, least: f32, is_calibrated: bool) -> Result<()> {
    let Some(relevance) = &mut found.relevance else {
        const KNOWN: &str =
            "one sentence that looks for pictures or one picture that looks for captions, with the model's λ";
        let (found, expected, hint) = match is_calibrated {
            false => ("a query without probabilities", "a calibrated model", "calibrate it: gxn calibrate MODEL DATA"),
            true => ("a query that the calibration says nothing of", KNOWN, "ask for one thing, or leave it out"),
        };
        return Err(gxn_base::Error::invalid("--min-relevance", found, expected).with_hint(hint).into());
    };
    // Probabilities fall with the rank.
    let kept = relevance.iter().take_while(|&&p| p >= least).count();
    relevance.truncate(kept);
    found.hits.truncate(kept);
    Ok(())
}

fn side(target: Target) -> Modality {
    match target {
        Target::Image => Modality::Image,
        Target::Text => Modality::Text,
    }
}

/// Hits as text, paths or JSON lines.
pub fn render(found: &Found, format: HitFormat, offset: usize) -> String {
    let relevance = |at: usize| found.relevance.as_ref().map(|relevance| relevance[at]);
    let line = |(at, hit): (usize, &Hit)| match format {
        HitFormat::Paths => format!("{}\n", hit.path),
        HitFormat::Text => {
            let caption = hit.caption.as_ref().map_or(String::new(), |c| format!("  {}", c.text));
            let relevance = relevance(at).map_or(String::new(), |p| format!("  {:>5.1} %", 100.0 * p));
            format!("{:>4}  {:>8.4}{relevance}  {}{caption}\n", offset + at + 1, hit.score, hit.path)
        }
        HitFormat::Jsonl => {
            let mut value = json!({
                "rank": offset + at + 1,
                "id": hit.id,
                "path": hit.path,
                "score": hit.score,
                "relevance": relevance(at),
                "parts": {"abstract": hit.parts.abstract_level, "grounded": hit.parts.grounded_level},
            });
            if let Some(caption) = &hit.caption {
                value["caption"] = caption.text.clone().into();
                value["image_id"] = caption.image_id.clone().into();
            }
            format!("{value}\n")
        }
    };
    found.hits.iter().enumerate().map(line).collect()
}

/// Words of the query that were not among the training captions': all mean the same to the model.
fn unknown_words(retriever: &Retriever, parts: &[Part]) -> Vec<String> {
    let vocabulary = &retriever.encoder().checkpoint().vocabulary;
    let texts = parts.iter().filter_map(|part| match &part.content {
        Content::Text(text) => Some(text),
        Content::Picture(_) => None,
    });
    texts.flat_map(|text| tokenize(text)).filter(|word| vocabulary.number(word) == UNKNOWN).collect()
}

/// Whether the query takes `word` as the path of a picture.
fn is_path(word: &str) -> bool {
    ["./", "../", "/", "~/", "file://"].iter().any(|start| word.starts_with(start))
}

/// A folder as the last of several words, not behind a sign, is where to search.
fn query_and_dir<'a>(words: &'a [String], dir: &Path) -> (&'a [String], PathBuf) {
    if let [query @ .., last] = words
        && !query.is_empty()
        && !matches!(query.last().map(String::as_str), Some("+" | "-"))
        && Path::new(last).is_dir()
    {
        // Words in quotes are known to be the whole query.
        let is_word = |word: &String| !word.contains(['/', ' ']) && word != "." && word != "..";
        if words.iter().all(is_word) {
            eprintln!("note: searching the folder {last} for: {}; in quotes, all are words", query.join(" "));
        }
        return (query, PathBuf::from(last));
    }
    (words, dir.to_path_buf())
}
