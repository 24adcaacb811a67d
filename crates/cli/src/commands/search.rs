//! `gxn search`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use gxn::retrieve::query::is_image_path;
use gxn::retrieve::{Found, Query, RankedHit, Retriever, find_index, index_at};
use gxn_index::{Filter, Method, Modality, SearchOptions};

use crate::args::{HitFormat, SearchArgs, Target};
use crate::output::{NOTHING_FOUND, print};

/// Fields of a filter that every image has.
const FIELDS: &str = "id path folder name sha256 size mtime width height";

/// Searches an index.
pub fn search(args: &SearchArgs) -> Result<ExitCode> {
    if let Some(least) = args.min_relevance {
        // Refused before anything is loaded.
        Found::default().keep_relevant(least)?;
    }
    let (words, dir) = match args.index {
        Some(_) => (&args.query[..], args.dir.clone()),
        None => query_and_dir(&args.query, &args.dir),
    };
    for word in words.iter().filter(|word| Path::new(word).is_file() && !is_image_path(word)) {
        eprintln!("note: {word} is taken as words; the image is ./{word}");
    }
    let mut query = Query::parse(words)?;
    for (texts, sign) in [(&args.add, 1.0), (&args.subtract, -1.0)] {
        for text in texts {
            query.add(text, sign)?;
        }
    }
    if let Some(command) = &args.decode_cmd {
        query.decode_files(command)?;
    }
    let index = match &args.index {
        Some(index) => index_at(index)?,
        None => find_index(&dir)?,
    };
    let retriever = Retriever::open(&index, args.model.as_deref())?;
    let format = if args.filepath_only { HitFormat::Paths } else { args.format };
    let filter = args.filter.as_deref().map(Filter::parse).transpose()?;
    let options = SearchOptions {
        offset: args.offset,
        filter: filter.as_ref(),
        lambda: args.lambda,
        method: if args.exact { Method::Exact } else { Method::Auto },
        ..SearchOptions::new(modality(args.target), args.top)
    };
    let mut found = retriever.search(&query, &options)?;
    if !found.unknown_words.is_empty() {
        eprintln!("note: the model has never seen: {}", found.unknown_words.join(", "));
    }
    if !found.unknown_fields.is_empty() {
        eprintln!("note: no image of the index has {}; all have {FIELDS}", found.unknown_fields.join(", "));
    }
    let best = args.min_relevance.map(|least| found.keep_relevant(least)).transpose()?.flatten();
    if args.min_relevance.is_none() && found.probably_none {
        eprintln!("note: probably nothing here matches; one query in twenty that has a match scores as low");
    }
    print(&render(&found, format)?)?;
    if found.hits.is_empty() {
        match best {
            Some(best) => eprintln!("nothing here matches: the best hit is relevant with probability {best:.3}"),
            None => eprintln!("nothing found"),
        }
        return Ok(ExitCode::from(NOTHING_FOUND));
    }
    Ok(ExitCode::SUCCESS)
}

fn modality(target: Target) -> Modality {
    match target {
        Target::Image => Modality::Image,
        Target::Text => Modality::Text,
    }
}

/// Hits as text, paths or JSON lines.
pub fn render(found: &Found, format: HitFormat) -> Result<String> {
    let line = |hit: &RankedHit| match format {
        HitFormat::Paths => Ok(format!("{}\n", hit.path)),
        HitFormat::Text => {
            let caption = hit.caption.as_ref().map_or(String::new(), |caption| format!("  {caption}"));
            let relevance = hit.relevance.map_or(String::new(), |p| format!("  {:>5.1} %", 100.0 * p));
            Ok(format!("{:>4}  {:>8.4}{relevance}  {}{caption}\n", hit.rank, hit.score, hit.path))
        }
        HitFormat::Jsonl => Ok(format!("{}\n", serde_json::to_value(hit)?)),
    };
    found.hits.iter().map(line).collect()
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
