//! `gxn index` and its commands.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use gxn::checkpoint::Encoder;
use gxn::retrieve::export::export_index;
use gxn::retrieve::retriever::INDEX_FOLDER;
use gxn::retrieve::{
    FolderOptions, IndexJob, IndexReport, IndexSource, Listing, Shard, merge_indexes, noted_as_dataset, noted_model,
    noted_shard, noted_source, refresh_index,
};
use gxn_base::{Kind, Progress};
use gxn_data::{Dataset, ImageLimits};
use gxn_index::{Index, IndexMeta, IndexSettings, IndexWriter, Modality};

use crate::args::{
    ExportArgs, IndexArgs, IndexCommand, IndexOptions, MEGAPIXELS, MergeArgs, OneIndexArgs, ReindexArgs,
};
use crate::commands::index_options::{OPTIONS, Refreshing, lasting, refreshing};
use crate::commands::{info, name_dropped, open_options, report_dropped};
use crate::interrupt::{INTERRUPTED, stop_flag};
use crate::output::{duration, machine_line, plural, print};
use crate::progress::{ProgressLine, rate};

/// Removed pictures, and pictures that stay unseen, that are named.
const NAMED: usize = 5;

/// Creates or refreshes an index, or does what its command says.
pub fn index(args: &IndexArgs) -> Result<ExitCode> {
    match &args.command {
        None => refresh(args),
        Some(IndexCommand::Info(args)) => info::index_info(args, &index_dir(&args.path)?),
        Some(IndexCommand::Verify(args)) => verify(args),
        Some(IndexCommand::Compact(args)) => compact(args),
        Some(IndexCommand::Reindex(args)) => reindex(args),
        Some(IndexCommand::Merge(args)) => merge(args),
        Some(IndexCommand::Export(args)) => export(args),
    }
}

/// An index to be made or refreshed, as the command line or an index's notes have it.
struct Request<'a> {
    source: &'a Path,
    options: &'a IndexOptions,
    dir: &'a Path,
    model: &'a Path,
    shard: Option<Shard>,
    other_source: bool,
    /// Only what changes is worth a line.
    quiet: bool,
}

fn refresh(args: &IndexArgs) -> Result<ExitCode> {
    machine_line();
    let stop = stop_flag()?;
    let source = args.source.as_deref().expect("asked for by the arguments");
    let dir = args.index.clone().unwrap_or_else(|| default_dir(source, args.shard));
    let meta = IndexMeta::read(&dir).ok();
    let Some(model) = args.model.clone().or_else(|| noted_model(meta.as_ref()?)) else {
        let error = gxn_base::Error::invalid("the model of a new index", "none", "a run or checkpoint");
        return Err(error.with_hint("name it with --model").into());
    };
    let noted = meta.as_ref().filter(|_| !args.other_source).and_then(|meta| meta.extra.get(OPTIONS));
    let Refreshing { options, reused, changed } = refreshing(&args.options, noted)?;
    if !reused.is_empty() {
        eprintln!("as before: {}", reused.join(" "));
    }
    if !changed.is_empty() {
        eprintln!("note: from now on {}; pictures that no longer count leave the index", changed.join(", "));
    }
    let encoder = Encoder::load(&model)?;
    let request = Request {
        source,
        options: &options,
        dir: &dir,
        model: &model,
        shard: args.shard,
        other_source: args.other_source,
        quiet: false,
    };
    let Some(report) = refreshed(&encoder, &request, stop)? else { return Ok(ExitCode::from(INTERRUPTED)) };
    say(&report);
    print(&format!("{}\n", dir.display()))?;
    let Some(seconds) = args.watch else { return Ok(ExitCode::SUCCESS) };
    eprintln!("looking for changes every {seconds} s; Ctrl-C ends it");
    let mut before = (report.dropped, report.kept);
    // What was allowed once is not allowed for ever.
    let request = Request { quiet: true, other_source: false, ..request };
    while paused(seconds, stop) {
        // A folder that is away for a moment, or another writer, is no reason to give up.
        match refreshed(&encoder, &request, stop) {
            Ok(None) => break,
            Ok(Some(report)) => {
                let same = report.is_unchanged() && (&report.dropped, &report.kept) == (&before.0, &before.1);
                if !same {
                    say(&report);
                }
                before = (report.dropped, report.kept);
            }
            Err(error) => {
                crate::output::report_error(&error);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists the source and brings its index up to date; `None` if the user stopped it.
fn refreshed(encoder: &Encoder, request: &Request<'_>, stop: &AtomicBool) -> Result<Option<IndexReport>> {
    let Request { source, options, dir, model, shard, other_source, quiet } = *request;
    // A folder may also be a data set (pictures with text files beside them); plain pictures are the usual case.
    let dataset = if options.pictures {
        None
    } else {
        match Dataset::open(source, &open_options(&options.reading)?) {
            Ok(dataset) => Some(dataset),
            Err(error) if source.is_dir() && options.reading.texts.is_none() && !options.reading.strict => {
                let noted = IndexMeta::read(dir).ok().filter(|_| !other_source);
                // Of another source the library says so.
                let here = std::fs::canonicalize(source).ok();
                let noted = noted.filter(|meta| noted_source(dir, meta) == here);
                if noted.as_ref().and_then(noted_as_dataset) == Some(true) {
                    let what = format!("the data set of the index {}", dir.display());
                    return Err(gxn_base::Error::invalid(what, error.to_string(), "a data set, as before")
                        .with_hint("mend it; --other-source goes on without captions, which then leave the index")
                        .into());
                }
                if !quiet {
                    eprintln!(
                        "note: pictures without captions are indexed; `gxn data check {}` says why this is no data set",
                        source.display()
                    );
                }
                None
            }
            Err(error) => return Err(error.into()),
        }
    };
    let mut listing = match &dataset {
        Some(dataset) => {
            if !quiet {
                eprintln!("{}: {} with captions", dataset.name, dataset.format);
                report_dropped(&dataset.dropped);
            }
            if !quiet && source.is_dir() && !dataset.dropped.is_empty() {
                eprintln!("note: --pictures indexes every picture of the folder, without captions");
            }
            Listing::of_dataset(dataset, source)
        }
        None => {
            let folder = FolderOptions { hidden: options.include_hidden, excluded: options.exclude_dir.clone() };
            Listing::of_folder(source, &folder)?
        }
    };
    if let Some(shard) = shard {
        listing = listing.of_shard(shard);
    }
    let megapixels = options.max_image_megapixels.unwrap_or(MEGAPIXELS);
    let job = IndexJob {
        source: match &dataset {
            Some(dataset) => IndexSource::Dataset(dataset, source),
            None => IndexSource::Folder(source),
        },
        listing: &listing,
        shard,
        dir,
        model,
        limits: ImageLimits { max_pixels: (megapixels * 1e6) as u64, ..ImageLimits::default() },
        other_source,
        notes: serde_json::Map::from_iter([(OPTIONS.to_string(), serde_json::to_value(lasting(options)?)?)]),
    };
    match run(encoder, &job, stop) {
        Ok(report) => Ok(Some(report)),
        Err(error) if error.downcast_ref().is_some_and(|e: &gxn_base::Error| e.kind() == Kind::Interrupted) => {
            eprintln!("interrupted; what was done is kept: run the same command again to continue");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Makes or refreshes an index with progress on stderr.
pub fn run(encoder: &Encoder, job: &IndexJob<'_>, stop: &AtomicBool) -> Result<IndexReport> {
    let line = ProgressLine::of("indexing");
    if let Ok(meta) = IndexMeta::read(job.dir)
        && meta.model != encoder.fingerprint()
    {
        line.note("note: another model made this index; it serves until the new one is whole");
    }
    let report = refresh_index(encoder, job, &mut |progress| {
        line.update("images", progress.done, progress.total);
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    line.clear();
    Ok(report?)
}

/// Says what indexing did.
pub fn say(report: &IndexReport) {
    let mut parts = vec![format!("{} unchanged", report.unchanged)];
    for (count, what) in
        [(report.encoded, "encoded"), (report.linked, "copied or moved"), (report.removed.len(), "removed")]
    {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    eprintln!(
        "indexed {} ({}) and {} in {}{}",
        plural(report.images, "image"),
        parts.join(", "),
        plural(report.captions, "caption"),
        duration(report.seconds),
        rate(report.encoded, "image", Duration::from_secs_f64(report.seconds))
            .map_or_else(String::new, |rate| format!(", {rate}"))
    );
    if let [embedded, removed] = report.caption_changes
        && report.caption_changes != [0, 0]
    {
        eprintln!("captions: {embedded} embedded, {removed} removed");
    }
    if !report.removed.is_empty() {
        eprintln!("removed, as the source no longer has them: {}", first_of(&report.removed));
    }
    if !report.kept.is_empty() {
        let count = report.kept.len();
        eprintln!("{count} could not be read and are unchanged: {}", first_of(&report.kept));
    }
    // No other command names the pictures of a folder.
    name_dropped(&report.dropped, usize::MAX);
}

fn first_of(ids: &[String]) -> String {
    let more = if ids.len() > NAMED { ", …" } else { "" };
    ids[..ids.len().min(NAMED)].join(", ") + more
}

/// Waits; false once the user wants to end.
fn paused(seconds: f64, stop: &AtomicBool) -> bool {
    let ticks = (seconds.max(0.1) * 10.0) as u64;
    for _ in 0..ticks {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    !stop.load(Ordering::Relaxed)
}

fn verify(args: &OneIndexArgs) -> Result<ExitCode> {
    let index = Index::open(&index_dir(&args.index)?)?;
    index.verify()?;
    let (images, captions) = (index.count(Modality::Image), index.count(Modality::Text));
    print(&format!("{}: {images} images and {captions} captions are sound\n", index.dir().display()))?;
    Ok(ExitCode::SUCCESS)
}

fn compact(args: &OneIndexArgs) -> Result<ExitCode> {
    let dir = index_dir(&args.index)?;
    let IndexMeta { model, space, extra, .. } = Index::open(&dir)?.meta().clone();
    let mut writer = IndexWriter::update(&dir, IndexSettings { model, space, extra })?;
    let report = writer.compact(0.0)?;
    writer.finish()?;
    print(&format!("{}: {} rows taken out, {} bytes freed\n", dir.display(), report.rows, report.bytes))?;
    Ok(ExitCode::SUCCESS)
}

fn reindex(args: &ReindexArgs) -> Result<ExitCode> {
    machine_line();
    let stop = stop_flag()?;
    let dir = index_dir(&args.index)?;
    let meta = IndexMeta::read(&dir)?;
    let (Some(source), Some(options)) = (noted_source(&dir, &meta), meta.extra.get(OPTIONS)) else {
        let error =
            gxn_base::Error::invalid(format!("notes of {}", dir.display()), "none", "the source it was made of");
        return Err(error.with_hint("an older version made it: use gxn index SOURCE --model NEW --index DIR").into());
    };
    let options: IndexOptions = serde_json::from_value(options.clone())?;
    std::fs::metadata(&source).map_err(|e| gxn_base::Error::io("cannot open", &source, e))?;
    let encoder = Encoder::load(&args.model)?;
    let request = Request {
        source: &source,
        options: &options,
        dir: &dir,
        model: &args.model,
        shard: noted_shard(&meta)?,
        other_source: false,
        quiet: false,
    };
    let Some(report) = refreshed(&encoder, &request, stop)? else { return Ok(ExitCode::from(INTERRUPTED)) };
    say(&report);
    print(&format!("{}\n", dir.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn merge(args: &MergeArgs) -> Result<ExitCode> {
    let parts: Vec<PathBuf> = args.parts.iter().map(|part| index_dir(part)).collect::<Result<_>>()?;
    let (index, removed) = merge_indexes(&args.index, &parts, args.only_parts)?;
    eprintln!(
        "{} images and {} captions of {} indexes, {} taken out",
        index.count(Modality::Image),
        index.count(Modality::Text),
        parts.len(),
        removed.len()
    );
    print(&format!("{}\n", args.index.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn export(args: &ExportArgs) -> Result<ExitCode> {
    let index = Index::open(&index_dir(&args.index)?)?;
    let (images, captions) = export_index(&index, &args.output)?;
    eprintln!("{images} images and {captions} captions, {} values each", index.meta().space.dims());
    print(&format!("{}\n", args.output.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The index at `path` or in its `.gxn`; not one further up, as search would take it.
pub fn index_dir(path: &Path) -> Result<PathBuf> {
    let places = [path.to_path_buf(), path.join(INDEX_FOLDER)];
    if let Some(dir) = places.iter().find(|dir| Index::exists(dir)) {
        return Ok(dir.clone());
    }
    let (found, hint) = if places.iter().any(|dir| Index::is_begun(dir)) {
        ("one whose making was interrupted", "run the same `gxn index` command again: it goes on where it was")
    } else if path.exists() {
        ("none", "make one with `gxn index DIR --model RUN`, or name the folder that it is in")
    } else {
        ("no such folder", "look at the path")
    };
    Err(gxn_base::Error::invalid(format!("the index in {}", path.display()), found, "an index").with_hint(hint).into())
}

/// `SOURCE/.gxn`, or beside a file; of a share `.gxn-shard-I-of-N`.
fn default_dir(source: &Path, shard: Option<Shard>) -> PathBuf {
    let folder = if source.is_dir() { source } else { source.parent().unwrap_or(Path::new(".")) };
    match shard {
        Some(Shard { number, of }) => folder.join(format!("{INDEX_FOLDER}-shard-{number}-of-{of}")),
        None => folder.join(INDEX_FOLDER),
    }
}
