//! `gxn search`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use gxn::encoder::Encoder;
use gxn::retrieve::query::is_image_path;
use gxn::retrieve::{Content, Found, IndexPlace, Query, RankedHit, Ranking, Reranking, Retriever, model_of};
use gxn_base::unicode::printable;
use gxn_base::words::{counted, first_few};
use gxn_data::has_image_extension;
use gxn_index::filter::IMAGE_FIELDS;
use gxn_index::{Filter, Method, SearchOptions};

use crate::args::{HitFormat, SearchArgs};
use crate::commands::note_unknown_words;
use crate::exit::ExitCode;
use crate::output::{NOTHING_FOUND, print};

/// Searches an index.
pub fn search(args: &SearchArgs) -> Result<ExitCode> {
    if let Some(least) = args.min_relevance {
        // Refused before anything is loaded.
        Found::default().keep_relevant(least)?;
    }
    let (words, place) = words_and_place(args)?;
    for word in words.iter().filter(|word| !is_image_path(word)) {
        let path = Path::new(word);
        if path.is_file() && has_image_extension(path) {
            eprintln!("note: {word} is taken as words; the image is ./{word}");
        } else if path.is_file() {
            eprintln!("note: {word} is taken as words, though there is a file of that name");
        } else if word.contains('/') && !path.exists() {
            eprintln!("note: {word} is taken as words: there is no such file or folder");
        }
    }
    let query = query(words, args)?;
    let filter = args.filter.as_deref().map(Filter::parse).transpose()?;
    let index = match &args.index {
        Some(index) => index.at()?,
        None => place.find()?,
    };
    let path = match &args.model {
        Some(path) => path.clone(),
        None => model_of(&index)?,
    };
    let encoder = Encoder::load_on(&path, &args.device.open()?)?.with_prompts(&args.prompt)?;
    let retriever = Retriever::with_encoder(&index, Arc::new(encoder))?;
    let options = SearchOptions {
        offset: args.offset,
        filter: filter.as_ref(),
        lambda: args.lambda,
        method: if args.exact { Method::Exact } else { Method::Auto },
        ..SearchOptions::new(args.target, args.top)
    };
    let reranking = |candidates| Reranking { candidates: candidates as usize, weight: args.rerank_weight };
    let ranking = Ranking { keep_hubs: args.keep_hubs, rerank: args.rerank.map(reranking) };
    let mut found = retriever.search_ranked(&query, &options, ranking)?;
    note(&found);
    let best = args.min_relevance.map(|least| found.keep_relevant(least)).transpose()?.flatten();
    if args.min_relevance.is_none() && found.probably_none {
        eprintln!("note: probably nothing here matches; one query in twenty that has a match scores as low");
    }
    show(&found, args)?;
    if found.hits.is_empty() {
        eprintln!("{}", why_nothing(&found, &query, best, args.offset));
        return Ok(ExitCode::from(NOTHING_FOUND));
    }
    Ok(ExitCode::SUCCESS)
}

/// The query of all arguments. A number that was taken as a weight is reported: it may have been meant as words.
fn query(words: &[String], args: &SearchArgs) -> Result<Query> {
    let mut query = Query::parse(words)?;
    for (texts, sign) in [(&args.add, 1.0), (&args.subtract, -1.0)] {
        for text in texts {
            query.add(text, sign)?;
        }
    }
    if let Some(command) = &args.decode_cmd {
        query.decode_files(command)?;
    }
    for part in query.parts.iter().filter(|part| part.is_weight_written) {
        if let Content::Text(text) = &part.content {
            eprintln!("note: {} is the weight of \"{}\"", part.weight.abs(), printable(text));
        }
    }
    Ok(query)
}

/// What the user should know of the query and its filter.
fn note(found: &Found) {
    let list = |texts: &[String]| printable(&first_few(texts)).into_owned();
    note_unknown_words(&found.unknown_words);
    if !found.without_words.is_empty() && !found.hits.is_empty() {
        eprintln!("note: left out, as there is no word in it: {}", list(&found.without_words));
    }
    if !found.unknown_fields.is_empty() {
        let columns = match found.columns.as_slice() {
            [] => String::new(),
            columns => format!(" the columns of your data are {};", printable(&columns.join(", "))),
        };
        eprintln!(
            "note: no image of the index has {};{columns} all images have {}",
            list(&found.unknown_fields),
            IMAGE_FIELDS.join(" ")
        );
    }
}

fn why_nothing(found: &Found, query: &Query, best: Option<f32>, offset: usize) -> String {
    if found.cancels_out {
        return "nothing found: the parts of the query cancel each other out".into();
    }
    if found.without_words.len() == query.parts.len() {
        return format!("nothing found: there is no word in {}", printable(&first_few(&found.without_words)));
    }
    match best {
        Some(best) if offset > 0 => {
            format!("nothing more matches: the best hit from {} on is relevant with probability {best:.3}", offset + 1)
        }
        Some(best) => format!("nothing here matches: the best hit is relevant with probability {best:.3}"),
        None => "nothing found".into(),
    }
}

/// Prints the hits in the format that is asked for.
fn show(found: &Found, args: &SearchArgs) -> Result<()> {
    let format = if args.filepath_only || args.null { HitFormat::Paths } else { args.format };
    if args.null {
        return print(&found.hits.iter().map(|hit| format!("{}\0", hit.path)).collect::<String>());
    }
    let broken = found.hits.iter().filter(|hit| hit.path.contains(['\n', '\r'])).count();
    if format == HitFormat::Paths && broken > 0 {
        eprintln!(
            "note: {} with a line break in it; --null (-0) ends each path with a zero byte",
            counted(broken, "path")
        );
    }
    print(&render(found, format)?)
}

/// Hits as text, paths or JSON lines. Text is for people, and what would change their terminal is escaped.
pub fn render(found: &Found, format: HitFormat) -> Result<String> {
    let line = |hit: &RankedHit| match format {
        HitFormat::Paths => Ok(format!("{}\n", hit.path)),
        HitFormat::Text => {
            let caption = hit.caption.as_ref().map_or(String::new(), |caption| format!("  {}", printable(caption)));
            let copies = match hit.copies {
                Some(copies) if copies > 1 => format!("  ({copies} times)"),
                _ => String::new(),
            };
            let relevance = hit.relevance.map_or(String::new(), |p| format!("  {:>5.1} %", 100.0 * p));
            let path = printable(&hit.path);
            Ok(format!("{:>4}  {:>8.4}{relevance}  {path}{caption}{copies}\n", hit.rank, hit.score))
        }
        HitFormat::Jsonl => Ok(format!("{}\n", serde_json::to_value(hit)?)),
    };
    found.hits.iter().map(line).collect()
}

/// The words of the query, and where to search. Unless that is named by a flag, it may be the last of several arguments,
/// not behind a sign: a folder, the file of a dataset whose index lies beside it, or the address of an index in a server.
fn words_and_place(args: &SearchArgs) -> gxn_base::Result<(&[String], IndexPlace)> {
    let words = &args.query[..];
    let here = || Ok((words, Path::new(".").into()));
    if let Some(dir) = &args.dir {
        return match IndexPlace::parse(dir.as_os_str())? {
            IndexPlace::Folder(dir) => Ok((words, folder_of(&dir).into())),
            server => Ok((words, server)),
        };
    }
    let [query @ .., last] = words else { return here() };
    if !query.is_empty()
        && args.index.is_none()
        && let server @ IndexPlace::Milvus(_) = IndexPlace::parse(last.as_ref())?
    {
        return Ok((query, server));
    }
    let path = Path::new(last);
    let is_dataset = || {
        let is_named = path.extension().is_some() || last.contains('/');
        path.is_file() && is_named && !has_image_extension(path)
    };
    let is_behind_sign = matches!(query.last().map(String::as_str), Some("+" | "-") | None);
    if args.index.is_some() || is_behind_sign || !(path.is_dir() || is_dataset()) {
        return here();
    }
    // Words in quotes are known to be the whole query.
    let is_word = |word: &String| !word.contains(['/', ' ']) && word != "." && word != "..";
    if words.iter().all(is_word) {
        let (kind, query) = (if path.is_dir() { "folder" } else { "dataset" }, query.join(" "));
        eprintln!("note: searching the {kind} {last} for: {query}; with -C, all arguments are words");
    }
    Ok((query, folder_of(path).into()))
}

/// The folder whose index is meant: the one named, or that of a dataset's file.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if path.is_file() && folder.as_os_str().is_empty() => ".".into(),
        Some(folder) if path.is_file() => folder.to_path_buf(),
        _ => path.to_path_buf(),
    }
}
