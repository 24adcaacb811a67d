//! `gxn index` and its commands.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use gxn::encoder::Encoder;
use gxn::retrieve::{
    IndexOptions, IndexPlace, IndexReport, Refresh, copy_index, default_index, export_index, index_at, merge_indexes,
};
use gxn_base::{Kind, Progress};
use gxn_index::{IndexWriter, Modality, VectorStore};

use crate::args::{CopyArgs, ExportArgs, IndexArgs, IndexCommand, MergeArgs, OneIndex, ReindexArgs, RepairArgs};
use crate::commands::index_options::print_resolved;
use crate::commands::{hint_at_decoding, info, name_dropped, report_account};
use crate::exit::ExitCode;
use crate::interrupt::{INTERRUPTED, stop_flag};
use crate::output::{duration, machine_line, print};
use crate::progress::{ProgressLine, rate};
use gxn_base::unicode::printable;
use gxn_base::words::{counted, first_few};

/// Creates or refreshes an index, or does what its command says.
pub fn index(args: &IndexArgs) -> Result<ExitCode> {
    match &args.command {
        None => refresh(args),
        Some(IndexCommand::Info(args)) => info::index_info(&args.index.place()?, args.format),
        Some(IndexCommand::Verify(args)) => verify(args),
        Some(IndexCommand::Repair(args)) => repair(args),
        Some(IndexCommand::Compact(args)) => compact(args),
        Some(IndexCommand::Reindex(args)) => reindex(args),
        Some(IndexCommand::Merge(args)) => merge(args),
        Some(IndexCommand::Copy(args)) => copy(args),
        Some(IndexCommand::Export(args)) => export(args),
    }
}

fn refresh(args: &IndexArgs) -> Result<ExitCode> {
    machine_line(args.device.device)?;
    let stop = stop_flag()?;
    let source = args.source.as_deref().expect("asked for by the arguments");
    let place = args.index.clone().unwrap_or_else(|| default_index(source, args.shard).into());
    let options = args.options();
    let plan = Refresh::plan(source, &place, &options)?;
    let Some(model) = args.model.as_deref().or_else(|| plan.model()) else {
        let error = gxn_base::Error::invalid("the model of a new index", "none", "a run or checkpoint");
        return Err(error.with_hint("name it with --model").into());
    };
    print_resolved(plan.resolved());
    let encoder = Encoder::load_on(model, &args.device.open()?)?.with_feature_cache()?;
    let Some(report) = run(&plan, &encoder)? else { return Ok(ExitCode::from(INTERRUPTED)) };
    finish(&report, source, &place)?;
    if let Some(seconds) = args.watch {
        // What was allowed once is not allowed for ever.
        let options = IndexOptions { replace_source: false, reread: false, ..options };
        watch(source, &place, &options, &encoder, seconds, report, stop);
    }
    Ok(ExitCode::SUCCESS)
}

/// Refreshes the index every so often until the user stops it; only what changes is worth a line.
fn watch(
    source: &Path,
    place: &IndexPlace,
    options: &IndexOptions,
    encoder: &Encoder,
    seconds: f64,
    mut before: IndexReport,
    stop: &AtomicBool,
) {
    eprintln!("looking for changes every {seconds} s; Ctrl-C ends it");
    while paused(seconds, stop) {
        let line = ProgressLine::of("indexing");
        let outcome = Refresh::plan(source, place, options).and_then(|plan| plan.run(encoder, &WithoutNotes(&line)));
        line.clear();
        match outcome {
            Ok(report) => {
                let same = (&report.dropped, &report.kept) == (&before.dropped, &before.kept);
                if !report.is_unchanged() || !same {
                    print_report(&report);
                }
                before = report;
            }
            Err(error) if error.kind() == Kind::Interrupted => break,
            // A folder that is away for a moment, or another writer, is no reason to give up.
            Err(error) => drop(crate::output::report_error(&error.into())),
        }
    }
}

/// Notes on what a watched folder is are not repeated.
struct WithoutNotes<'a>(&'a ProgressLine);

impl Progress for WithoutNotes<'_> {
    fn update(&self, unit: &'static str, done: usize, total: usize) {
        self.0.update(unit, done, total);
    }

    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}

/// Brings an index up to date with progress on stderr; `None` if the user stopped it.
pub fn run(plan: &Refresh, encoder: &Encoder) -> Result<Option<IndexReport>> {
    let line = ProgressLine::of("indexing");
    let outcome = plan.run(encoder, &line);
    line.clear();
    match outcome {
        Ok(report) => Ok(Some(report)),
        Err(error) if error.kind() == Kind::Interrupted => {
            eprintln!("interrupted; what was done is kept: run the same command again to continue");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn finish(report: &IndexReport, source: &Path, place: &IndexPlace) -> Result<()> {
    report_account(&report.account);
    if source.is_dir() && !report.account.dropped.is_empty() {
        eprintln!("note: --images-only indexes every image of the folder, without captions");
    }
    print_report(report);
    print(&format!("{place}\n"))
}

/// Prints what indexing did.
pub fn print_report(report: &IndexReport) {
    let changes = [(report.encoded, "encoded"), (report.linked, "copied or moved"), (report.removed.len(), "removed")];
    let changes = changes.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
    let rate = rate(report.encoded, "image", Duration::from_secs_f64(report.seconds));
    eprintln!(
        "indexed {} ({} unchanged{}) and {} in {}{}",
        counted(report.images, "image"),
        report.unchanged,
        changes.collect::<String>(),
        counted(report.captions, "caption"),
        duration(report.seconds),
        rate.map_or_else(String::new, |rate| format!(", {rate}"))
    );
    if report.captions_encoded + report.captions_removed > 0 {
        eprintln!("captions: {} encoded, {} removed", report.captions_encoded, report.captions_removed);
    }
    if !report.removed.is_empty() {
        eprintln!("removed, as the source no longer has them: {}", printable(&first_few(&report.removed)));
    }
    if !report.kept.is_empty() {
        let kept = counted(report.kept.len(), "image");
        eprintln!("{kept} could not be read, nothing changed there: {}", printable(&first_few(&report.kept)));
    }
    if !report.without_path.is_empty() {
        let (images, first) = (counted(report.without_path.len(), "image"), first_few(&report.without_path));
        eprintln!(
            "note: {images} with a name that is not UTF-8: search shows a path that does not exist: {}",
            printable(&first)
        );
    }
    if !report.wordless.is_empty() {
        let captions = counted(report.wordless.len(), "caption");
        eprintln!("left out, as there is no word in them: {captions}: {}", printable(&first_few(&report.wordless)));
    }
    if !report.hidden_columns.is_empty() {
        let reached: Vec<String> = report.hidden_columns.iter().map(|name| format!("meta.{name}")).collect();
        eprintln!(
            "note: images have fields of the same names as columns of your data: --where reaches the columns as {}",
            printable(&reached.join(", "))
        );
    }
    // No other command names the images of a folder.
    name_dropped(&report.dropped, usize::MAX);
    hint_at_decoding(report.undecoded);
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

/// Encodes what is damaged again, then checks that nothing is left.
fn repair(args: &RepairArgs) -> Result<ExitCode> {
    machine_line(args.device.device)?;
    stop_flag()?;
    let place = args.index.place()?;
    place.require_folder("repair")?;
    let plan = Refresh::repair(&place)?;
    let model = plan.model().ok_or_else(|| {
        gxn_base::Error::not_found("the model of the index", "none stored", "a run or checkpoint")
            .with_remedy(gxn_base::Remedy::IndexAgain)
    })?;
    let encoder = Encoder::load_on(model, &args.device.open()?)?.with_feature_cache()?;
    let Some(report) = run(&plan, &encoder)? else { return Ok(ExitCode::from(INTERRUPTED)) };
    finish(&report, plan.source(), &place)?;
    place.open()?.verify()?;
    Ok(ExitCode::SUCCESS)
}

fn verify(args: &OneIndex) -> Result<ExitCode> {
    let place = args.place()?;
    let index = place.open()?;
    index.verify()?;
    print(&format!("{place}: {} are sound\n", contents(&*index)))?;
    Ok(ExitCode::SUCCESS)
}

fn compact(args: &OneIndex) -> Result<ExitCode> {
    let place = args.place()?;
    let dir = place.require_folder("compact")?;
    let mut writer = IndexWriter::change(dir)?;
    let report = writer.compact(0.0)?;
    writer.finish()?;
    let rows = counted(report.rows as usize, "row");
    print(&format!("{}: {rows} deleted, {} bytes freed\n", dir.display(), report.bytes))?;
    Ok(ExitCode::SUCCESS)
}

fn reindex(args: &ReindexArgs) -> Result<ExitCode> {
    machine_line(args.device.device)?;
    stop_flag()?;
    let place = args.index.place()?;
    // In a server the new model's index would take the old one's place before it is whole.
    place.require_folder("make with another model")?;
    let plan = Refresh::again(&place)?;
    let encoder = Encoder::load_on(&args.model, &args.device.open()?)?.with_feature_cache()?;
    let Some(report) = run(&plan, &encoder)? else { return Ok(ExitCode::from(INTERRUPTED)) };
    finish(&report, plan.source(), &place)?;
    Ok(ExitCode::SUCCESS)
}

fn merge(args: &MergeArgs) -> Result<ExitCode> {
    let parts: Vec<PathBuf> = args.parts.iter().map(|part| Ok(index_at(part)?)).collect::<Result<_>>()?;
    let (index, removed) = merge_indexes(args.index.require_folder("merge into")?, &parts, args.only_parts)?;
    eprintln!("merged {}: {}, {} removed", counted(parts.len(), "index"), contents(&index), removed.len());
    print(&format!("{}\n", args.index))?;
    Ok(ExitCode::SUCCESS)
}

fn copy(args: &CopyArgs) -> Result<ExitCode> {
    stop_flag()?;
    let from = args.from.at()?;
    let line = ProgressLine::of("copying");
    let copied = copy_index(&from, &args.to, &line);
    line.clear();
    let (images, captions) = match copied {
        Err(error) if error.kind() == Kind::Interrupted => {
            eprintln!("interrupted; the same command copies everything again");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        copied => copied?,
    };
    eprintln!("copied {} and {}", counted(images, "image"), counted(captions, "caption"));
    print(&format!("{}\n", args.to))?;
    Ok(ExitCode::SUCCESS)
}

fn export(args: &ExportArgs) -> Result<ExitCode> {
    let place = args.index.place()?;
    let (images, captions) = export_index(&place, &args.output)?;
    let (dims, captions) = (place.meta()?.space.dims(), counted(captions, "caption"));
    eprintln!("exported {} and {captions}, {dims} values each", counted(images, "image"));
    print(&format!("{}\n", args.output.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn contents(index: &dyn VectorStore) -> String {
    let [images, captions] = [Modality::Image, Modality::Text].map(|modality| index.count(modality));
    format!("{} and {}", counted(images, "image"), counted(captions, "caption"))
}
