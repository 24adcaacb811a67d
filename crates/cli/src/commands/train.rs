//! `gxn train`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use gxn::config::RunConfig;
use gxn::retrieve::calibration::calibrate_run;
use gxn::train::picture_steps::PictureFigures;
use gxn::train::steps::CaptionFigures;
use gxn::train::{Event, Outcome, Trainer};
use gxn_base::Progress;
use gxn_data::SourceOptions;
use serde_json::Value;

use crate::args::TrainArgs;
use crate::commands::config::config_text;
use crate::interrupt::{INTERRUPTED, stop_flag};
use crate::output::{duration, machine_line, print};
use crate::progress::ProgressLine;

/// Trains or continues a run.
pub fn train(args: &TrainArgs) -> Result<ExitCode> {
    if let Some(threads) = args.workers {
        set_threads(threads)?;
    }
    let features = args.features.clone().unwrap_or_else(|| args.logs.join("features"));
    if let Some(run) = &args.resume {
        let run = match (run.as_str(), &args.name) {
            ("latest", Some(name)) => args.logs.join(name),
            ("latest", None) => latest(&args.logs)?,
            _ => PathBuf::from(run),
        };
        same_configuration(args, &run)?;
        machine_line();
        eprintln!("continuing {}", run.display());
        let stop = stop_flag()?;
        return finish(&run, resume_run(&run, &features, stop)?);
    }
    let text = args.config.as_deref().map(config_text).transpose()?;
    let config = gxn::train::configuration(text.as_ref(), &overrides(args)?)?;
    if args.print_config {
        print(&config.to_toml())?;
        return Ok(ExitCode::SUCCESS);
    }
    machine_line();
    let stop = stop_flag()?;
    if args.dry_run {
        return dry_run(config, &features, stop);
    }
    let run = args.logs.join(args.name.clone().unwrap_or_else(|| default_name(args.config.as_deref())));
    finish(&run, train_run(config, &run, &features, stop)?)
}

/// Trains a new run in the folder `run`, with progress on stderr.
pub fn train_run(config: RunConfig, run: &Path, features: &Path, stop: &AtomicBool) -> Result<Outcome> {
    let mut report = Reporter::new();
    let mut trainer = Trainer::new(config, run, features, stop, &mut |event| report.event(&event))?;
    Ok(trainer.run(stop, &mut |event| report.event(&event))?)
}

/// Continues the run in the folder `run`, with progress on stderr.
pub fn resume_run(run: &Path, features: &Path, stop: &AtomicBool) -> Result<Outcome> {
    let mut report = Reporter::new();
    let mut trainer = Trainer::resume(run, features, stop, &mut |event| report.event(&event))?;
    Ok(trainer.run(stop, &mut |event| report.event(&event))?)
}

fn finish(run: &Path, outcome: Outcome) -> Result<ExitCode> {
    if outcome.interrupted {
        eprintln!("saved after step {}; continue with: gxn train --resume {}", outcome.step, run.display());
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if let Err(error) = calibrate_run(run, &ProgressLine::of("calibrating")) {
        // The run is whole without it.
        eprintln!("note: relevance is not calibrated ({error}); try again with: gxn calibrate {} DATA", run.display());
    }
    eprintln!(
        "best epoch {} with val rsum {:.1}: {}",
        outcome.best_epoch,
        outcome.best_rsum,
        run.join("best").display()
    );
    print(&format!("{}\n", run.join("best").display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs two batches in a throw-away folder and says what a whole run would take.
fn dry_run(mut config: RunConfig, features: &Path, stop: &AtomicBool) -> Result<ExitCode> {
    let planned = config.train.epochs;
    config.train.epochs = planned.max(1);
    let scratch = tempfile::tempdir()?;
    let mut report = Reporter::new();
    let mut trainer =
        Trainer::new(config, &scratch.path().join("run"), features, stop, &mut |event| report.event(&event))?;
    let steps = trainer.steps_per_epoch();
    // The first step also warms caches and allocates: the last one counts.
    let (mut step, mut rewards) = (0.0, 0.0);
    trainer.rehearse(2, &mut |event| {
        if let Event::Step { seconds, captions, .. } = event {
            (step, rewards) = (seconds, captions.map_or(0.0, |figures| figures.reward_seconds));
        }
    })?;
    let rewards = match rewards {
        0.0 => String::new(),
        seconds => format!("rewards: {:.3} s of the step ({:.1} %)\n", seconds, 100.0 * seconds / step),
    };
    let memory = peak_memory_mib().map_or("unknown".to_string(), |mib| format!("{mib:.0} MiB"));
    print(&format!(
        "step: {:.3} s, {steps} steps an epoch, {planned} epochs: about {} without validation\n{rewards}peak memory so far: {memory}\n",
        step,
        duration(step * (steps * planned) as f64)
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Peak resident memory of this process, where the system tells.
fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// Turns events into lines.
struct Reporter {
    line: ProgressLine,
    recent: f64,
    rsum: Option<f64>,
}

impl Reporter {
    fn new() -> Self {
        Self { line: ProgressLine::of("extracting features"), recent: 0.0, rsum: None }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Note(text) => self.line.note(text),
            Event::Features { done, total, .. } => {
                self.line.update("images", *done, *total);
            }
            Event::Step { step, total, epoch, loss, learning_rate, captions, pictures, seconds, .. } => {
                self.recent = if self.recent == 0.0 { *seconds } else { 0.95 * self.recent + 0.05 * seconds };
                let left = total.saturating_sub(*step) as f64 * self.recent;
                let rsum = self.rsum.map_or(String::new(), |r| format!(", val rsum {r:.1}"));
                self.line.show(&format!(
                    "epoch {epoch}, step {step}/{total}, loss {loss:.4}{}{}{rsum}, lr {learning_rate:.2e}, {:.2} s/step, {} left",
                    captions.as_ref().map_or(String::new(), caption_figures),
                    pictures.as_ref().map_or(String::new(), picture_figures),
                    self.recent,
                    duration(left)
                ));
            }
            Event::Epoch { epoch, loss, captions, pictures, validation, best, seconds } => {
                self.rsum = Some(validation.rsum);
                let m = &validation.metrics;
                let loss = loss.map_or(String::new(), |l| {
                    let words = captions.as_ref().map_or(String::new(), caption_figures);
                    let drawn = pictures.as_ref().map_or(String::new(), picture_figures);
                    format!("loss {l:.4}{words}{drawn}, ")
                });
                let drawn = validation.pictures.map_or(String::new(), |p| {
                    format!(
                        ", pictures differ {:.3} by noise {:.3} by sentence, own photo at {:.1} %",
                        p.same_sentence,
                        p.other_sentence,
                        100.0 * p.own_photo
                    )
                });
                let spoken = validation.captions.map_or(String::new(), |c| {
                    format!(", captions BLEU-4 {:.3} ROUGE-L {:.3} CIDEr {:.3}", c.bleu[3], c.rouge_l, c.cider)
                });
                self.line.note(&format!(
                    "epoch {epoch}: {loss}val rsum {:.1}, image→text {:.1}/{:.1}/{:.1}, text→image {:.1}/{:.1}/{:.1}{spoken}{drawn}, {}{}",
                    validation.rsum,
                    m.image_to_text.r1,
                    m.image_to_text.r5,
                    m.image_to_text.r10,
                    m.text_to_image.r1,
                    m.text_to_image.r5,
                    m.text_to_image.r10,
                    duration(*seconds),
                    if *best { " (best)" } else { "" }
                ));
            }
            Event::Alarm(alarm) => self.line.note(&format!("warning: {alarm}")),
        }
    }
}

/// The caption loss, and rewards where there are some.
fn caption_figures(figures: &CaptionFigures) -> String {
    let xe = format!(", caption xe {:.3}", figures.cross_entropy);
    match figures.reward + figures.baseline > 0.0 {
        true => format!("{xe}, reward {:.3} against {:.3}", figures.reward, figures.baseline),
        false => xe,
    }
}

/// The losses of discriminator and generator, and how often the discriminator is right.
fn picture_figures(figures: &PictureFigures) -> String {
    format!(
        ", D {:.3} G {:.3} KL {:.3}, D right {:.0}/{:.0}/{:.0} %",
        figures.discriminator,
        figures.generator,
        figures.divergence,
        100.0 * figures.real_right,
        100.0 * figures.fake_right,
        100.0 * figures.wrong_right
    )
}

/// What the flags set, in the order of precedence: environment, flags, `--set`.
fn overrides(args: &TrainArgs) -> Result<Vec<String>> {
    let texts = [
        ("data.source", args.train_data.clone()),
        ("look.backbone", args.model.clone()),
        ("look.weights", args.pretrained_image.clone()),
        ("train.stage", args.stage.clone()),
        ("train.start_from", args.init_from.clone()),
        ("train.merge_from", args.merge_from.clone()),
    ];
    let numbers = [
        ("train.epochs", args.epochs.map(|epochs| epochs.to_string())),
        ("train.batch_size", args.batch_size.map(|pairs| pairs.to_string())),
        ("train.learning_rate", args.lr.map(|rate| format!("{rate:?}"))),
        ("train.seed", args.seed.map(|seed| seed.to_string())),
    ];
    // A JSON string is a TOML string too; Rust's `{:?}` is not where it escapes rare characters.
    let texts = texts.map(|(key, text)| (key, text.map(|text| serde_json::Value::from(text).to_string())));
    let flags = texts.into_iter().chain(numbers).filter_map(|(key, value)| Some(format!("{key}={}", value?)));
    let mut pairs: Vec<String> = from_environment().into_iter().chain(flags).collect();
    differing(
        "data",
        &serde_json::to_value(&args.reading)?,
        &serde_json::to_value(SourceOptions::default())?,
        &mut pairs,
    );
    pairs.extend(args.set.iter().cloned());
    Ok(pairs)
}

/// What differs from the default, as `key=value`.
fn differing(key: &str, value: &Value, default: &Value, pairs: &mut Vec<String>) {
    match (value, default) {
        (Value::Object(values), Value::Object(defaults)) => {
            values.iter().for_each(|(name, value)| differing(&format!("{key}.{name}"), value, &defaults[name], pairs));
        }
        _ if value != default => pairs.push(format!("{key}={value}")),
        _ => {}
    }
}

/// `GXN_TRAIN__EPOCHS=5` stands for `--set train.epochs=5`, before every flag.
fn from_environment() -> Vec<String> {
    let mut pairs: Vec<String> = std::env::vars_os()
        .filter_map(|(name, value)| {
            let key = name.to_str()?.strip_prefix("GXN_").filter(|key| key.contains("__"))?.to_ascii_lowercase();
            Some(format!("{}={}", key.replace("__", "."), value.to_str()?))
        })
        .collect();
    pairs.sort();
    pairs
}

/// A resumed run keeps its configuration: asking for another one is refused rather than passed over.
fn same_configuration(args: &TrainArgs, run: &Path) -> Result<()> {
    let (asked, kept) = (overrides(args)?, run.join("config.toml"));
    if (args.config.is_none() && asked.is_empty()) || !kept.is_file() {
        return Ok(());
    }
    let own = RunConfig::load(Some(&kept), &[])?;
    let wanted = match &args.config {
        Some(config) => gxn::train::configuration(Some(&config_text(config)?), &asked)?,
        None => RunConfig::load(Some(&kept), &asked)?,
    };
    let (own, wanted) = (own.to_toml(), wanted.to_toml());
    let Some((old, new)) = own.lines().zip(wanted.lines()).find(|(old, new)| old != new) else { return Ok(()) };
    Err(gxn_base::Error::invalid("the configuration of a resumed run", new, format!("{old}, as in {}", kept.display()))
        .with_hint("leave the configuration away to continue the run as it is, or start a new one with another --name")
        .into())
}

fn default_name(config: Option<&Path>) -> String {
    config.and_then(Path::file_stem).map_or_else(|| "run".to_string(), |stem| stem.to_string_lossy().into_owned())
}

/// The run in `logs` whose `last` checkpoint is the newest.
fn latest(logs: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(logs).map_err(|e| gxn_base::Error::io("cannot read", logs, e))?;
    let runs = entries.flatten().map(|entry| entry.path()).filter(|run| run.join("last").exists());
    let newest = runs.max_by_key(|run| std::fs::metadata(run.join("last")).and_then(|m| m.modified()).ok());
    newest.ok_or_else(|| {
        gxn_base::Error::invalid(
            logs.display().to_string(),
            "no run that can be continued",
            "a run with a `last` checkpoint",
        )
        .with_hint("name the run's folder with --resume RUN, or the folder of runs with --logs")
        .into()
    })
}

fn set_threads(threads: usize) -> Result<()> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    Ok(())
}
