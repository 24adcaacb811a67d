//! `gxn train`

use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use gxn::config::RunConfig;
use gxn::device::DeviceChoice;
use gxn::train::algorithm::{caption, discriminator, generator, matching};
use gxn::train::caption_task::{BLEU, CIDER, ROUGE_L};
use gxn::train::event::{EpochReport, StepReport};
use gxn::train::image_task::{OTHER_SENTENCE, OWN_PHOTO, SAME_SENTENCE};
use gxn::train::metrics::NamedMetrics;
use gxn::train::{Event, FeatureEstimate, Outcome, ReportTo, ResumeOptions, TrainObserver, Trainer};
use gxn_base::fs::write_text;
use gxn_base::words::counted;
use gxn_base::{Error, Kind, Progress};
use gxn_data::SourceOptions;
use serde_json::Value;

use crate::args::TrainArgs;
use crate::commands::config::{begins_with_a_run, config_text};
use crate::commands::report::PAGE;
use crate::exit::ExitCode;
use crate::interrupt::{INTERRUPTED, stop_flag};
use crate::output::{duration, machine_line, print};
use crate::progress::ProgressLine;

/// Trains or continues a run.
pub fn train(args: &TrainArgs) -> Result<ExitCode> {
    if let Some(threads) = args.workers {
        set_threads(threads)?;
    }
    let features_in = |logs: &Path| args.features.clone().unwrap_or_else(|| logs.join("features"));
    if let Some(run) = &args.resume {
        if args.reading.decode_cmd.is_some() {
            return Err(Error::unsupported("a decode command", "given to a resumed run", "a new run")
                .with_hint(
                    "write the images in a known format first: gxn data convert DATA OUT --copy-images --decode-cmd …",
                )
                .into());
        }
        let run = match (run.as_str(), &args.name) {
            ("latest", Some(name)) => args.logs.join(name),
            ("latest", None) => latest(&args.logs)?,
            _ => PathBuf::from(run),
        };
        // Those of a run lie beside it, wherever it is.
        let features = features_in(run.parent().unwrap_or(&args.logs));
        let options = same_configuration(args, &run)?;
        machine_line(options.device.or_else(|| own_device(&run)))?;
        eprintln!("continuing {}", run.display());
        stop_flag()?;
        let reporter = Reporter::new();
        let trainer = Trainer::resume_with(&run, &options, &features, &reporter)?;
        if trainer.is_over() {
            eprintln!("all epochs are done; to train further: gxn train RECIPE --init-from {}", run.display());
        }
        return report_outcome(trained(trainer, args, &reporter), &run, &reporter);
    }
    let text = args.config.as_deref().map(config_text).transpose()?;
    let mut config = gxn::train::configuration(text.as_ref(), &overrides(args)?)?;
    // Not among the overrides: no configuration holds a command.
    config.data.options.decode_cmd.clone_from(&args.reading.decode_cmd);
    if args.print_config {
        print(&config.to_toml())?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(recipe) = args.config.as_deref().filter(|_| config.train.init_from.is_none())
        && begins_with_a_run(recipe)
    {
        let what = format!("the recipe {}", recipe.display());
        return Err(Error::invalid(what, "no run to begin with", "a trained run: --init-from RUN").into());
    }
    machine_line(args.device.device.or_else(|| named(config.train.device)))?;
    stop_flag()?;
    let reporter = Reporter::new();
    let features = features_in(&args.logs);
    if args.dry_run {
        return dry_run(&config, &features, &reporter);
    }
    let run = args.logs.join(name(args)?);
    // A run that is refused leaves what is there as it is.
    let trainer = Trainer::new(config, &run, &features, &reporter)?;
    report_outcome(trained(trainer, args, &reporter), &run, &reporter)
}

/// The name of a new run, which lies below the folder of runs.
fn name(args: &TrainArgs) -> Result<String> {
    let Some(name) = &args.name else { return Ok(default_name(args.config.as_deref())) };
    let is_below = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !is_below {
        let expected = format!("the name of a folder to make in {}", args.logs.display());
        return Err(Error::invalid("--name", format!("{name:?}"), expected)
            .with_hint("--logs names another folder for runs")
            .into());
    }
    Ok(name.clone())
}

/// Trains to the end, with curves for another program where that is asked for.
fn trained(trainer: Trainer, args: &TrainArgs, reporter: &Reporter) -> gxn::Result<Outcome> {
    let report_to = match args.report_to.as_deref() {
        None => ReportTo::AsBefore,
        Some("tensorboard") => ReportTo::Tensorboard,
        Some(_) => ReportTo::Nothing,
    };
    gxn::train::complete(trainer.reporting_to(report_to), reporter)
}

/// Prints where the best checkpoint of the run in the folder `run` is, or how to continue it.
fn report_outcome(outcome: gxn::Result<Outcome>, run: &Path, reporter: &Reporter) -> Result<ExitCode> {
    write_page(run);
    let outcome = match outcome {
        Err(error) if error.kind() == Kind::Interrupted && reporter.saved_step() > 0 => {
            let step = reporter.saved_step();
            eprintln!("saved after step {step}; continue with: gxn train --resume {}", run.display());
            return Ok(ExitCode::from(INTERRUPTED));
        }
        outcome => outcome?,
    };
    let not_calibrated = reporter.not_calibrated();
    if let Some((_, reason)) = &not_calibrated {
        let command = format!("gxn calibrate {} DATA", run.display());
        eprintln!("note: the run is complete, but relevance is not calibrated ({reason}); do it with: {command}");
    }
    let best = run.join("best");
    eprintln!("best epoch {} with val rsum {:.1}: {}", outcome.best_epoch, outcome.best_rsum, best.display());
    print(&format!("{}\n", best.display()))?;
    let interrupted = not_calibrated.is_some_and(|(kind, _)| kind == Kind::Interrupted);
    Ok(if interrupted { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

/// Writes the page of what was trained; a run is whole without it.
fn write_page(run: &Path) {
    let path = run.join(PAGE);
    let how = format!("Nothing was measured for this page yet. Do it with: gxn report {}", run.display());
    match gxn::train::run_page(run, Err(&how)).and_then(|page| write_text(&path, &page)) {
        Ok(()) => eprintln!("curves: {}", path.display()),
        Err(error) if run.join("log.jsonl").exists() => eprintln!("note: no page of curves ({error})"),
        Err(_) => {}
    }
}

/// Runs two batches on a sample and prints what a whole run would take.
fn dry_run(config: &RunConfig, features: &Path, reporter: &Reporter) -> Result<ExitCode> {
    let planned = config.train.epochs;
    let mut begun = config.clone();
    begun.train.epochs = planned.max(1);
    let found = gxn::train::rehearse(begun, 2, features, reporter)?;
    let steps = found.steps_per_epoch;
    // The first step also warms caches and allocates: the last one counts.
    let last = found.steps.last();
    let seconds = last.map_or(0.0, |report| report.seconds);
    let rewards = match last.and_then(|report| report.metrics.get(caption::REWARD_SECONDS)) {
        Some(own) if own > 0.0 => format!("rewards: {own:.3} s of the step ({:.1} %)\n", 100.0 * own / seconds),
        _ => String::new(),
    };
    let memory = peak_memory_mib().map_or("unknown".to_string(), |mib| format!("{mib:.0} MiB"));
    print(&found.features.map_or(String::new(), |features| feature_line(&features)))?;
    print(&format!(
        "step: {seconds:.3} s, {steps} steps per epoch, {planned} epochs: about {} without validation\n{rewards}peak memory so far: {memory}\n",
        duration(seconds * (steps * planned) as f64)
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// What computing the features of all images would take.
fn feature_line(features: &FeatureEstimate) -> String {
    let FeatureEstimate { images, seconds_per_image, .. } = features;
    let missing = features.missing().round() as usize;
    let of_all = format!("{missing} of {}", counted(*images, "image"));
    let time = duration(features.seconds());
    format!("features: {of_all} to compute, {seconds_per_image:.3} s each: about {time}\n")
}

/// Peak resident memory of this process, where the system tells.
fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// Turns the events of a run into lines on stderr; Ctrl-C cancels it.
pub struct Reporter {
    line: ProgressLine,
    lines: Mutex<Lines>,
    saved_step: AtomicU64,
    not_calibrated: Mutex<Option<(Kind, String)>>,
}

/// Fewer steps say little about the time of all.
const ENOUGH_STEPS: usize = 3;

/// What the lines of steps remember.
#[derive(Default)]
struct Lines {
    /// Steps that were reported.
    steps: usize,
    /// Seconds of a recent step.
    recent: f64,
    rsum: Option<f64>,
}

impl Reporter {
    /// A reporter that has nothing to report yet.
    pub fn new() -> Self {
        Self {
            line: ProgressLine::of("training"),
            lines: Mutex::default(),
            saved_step: AtomicU64::new(0),
            not_calibrated: Mutex::default(),
        }
    }

    /// The step after which a cancelled run was saved; 0 where it was not.
    fn saved_step(&self) -> u64 {
        self.saved_step.load(Ordering::Relaxed)
    }

    /// Why the run was not calibrated.
    fn not_calibrated(&self) -> Option<(Kind, String)> {
        self.not_calibrated.lock().expect("no reporter panicked").take()
    }
}

impl Progress for Reporter {
    fn update(&self, unit: &'static str, done: usize, total: usize) {
        self.line.update(unit, done, total);
    }

    fn note(&self, message: &str) {
        self.line.note(message);
    }

    fn cancelled(&self) -> bool {
        self.line.cancelled()
    }
}

impl TrainObserver for Reporter {
    fn event(&self, event: &Event) {
        let mut lines = self.lines.lock().expect("no reporter panicked");
        match event {
            Event::Step(report) => self.line.show(&lines.step(report)),
            Event::Epoch(report) => self.line.note(&lines.epoch(report)),
            Event::Alarm(alarm) => self.line.note(&format!("warning: {alarm}")),
            Event::Stopped { step } => self.saved_step.store(*step, Ordering::Relaxed),
            Event::NotCalibrated(error) => {
                *self.not_calibrated.lock().expect("no reporter panicked") = Some((error.kind(), error.to_string()));
            }
        }
    }
}

impl Lines {
    fn step(&mut self, report: &StepReport) -> String {
        let StepReport { step, total, epoch, loss, learning_rate, metrics, seconds, .. } = report;
        self.steps += 1;
        // The first step also warms caches and allocates: it counts only until there is another.
        self.recent = if self.steps <= 2 { *seconds } else { 0.95 * self.recent + 0.05 * seconds };
        let left = total.saturating_sub(*step) as f64 * self.recent;
        let left = if self.steps < ENOUGH_STEPS { String::new() } else { format!(", {} left", duration(left)) };
        let rsum = self.rsum.map_or(String::new(), |r| format!(", val rsum {r:.1}"));
        format!(
            "epoch {epoch}, step {step}/{total}, loss {loss:.4}{}{rsum}, lr {learning_rate:.2e}, {:.2} s/step{left}",
            losses(metrics),
            self.recent,
        )
    }

    fn epoch(&mut self, report: &EpochReport) -> String {
        let EpochReport { epoch, loss, metrics, validation, best, seconds, .. } = report;
        self.rsum = Some(validation.rsum);
        let (i2t, t2i) = (&validation.metrics.image_to_text, &validation.metrics.text_to_image);
        let loss = loss.map_or(String::new(), |loss| format!("loss {loss:.4}{}, ", losses(metrics)));
        format!(
            "epoch {epoch}: {loss}val rsum {:.1}, image→text {:.1}/{:.1}/{:.1}, text→image {:.1}/{:.1}/{:.1}{}, {}{}",
            validation.rsum,
            i2t.r1,
            i2t.r5,
            i2t.r10,
            t2i.r1,
            t2i.r5,
            t2i.r10,
            generated(&validation.generated),
            duration(*seconds),
            if *best { " (best)" } else { "" }
        )
    }
}

/// The losses of the generators, and how often the discriminator is right.
fn losses(metrics: &NamedMetrics) -> String {
    let get = |name| metrics.get(name).unwrap_or(0.0);
    let mut text = String::new();
    if let Some(distillation) = metrics.get(matching::DISTILLATION) {
        text += &format!(", distillation {distillation:.3}");
    }
    if let Some(xe) = metrics.get(caption::CROSS_ENTROPY) {
        text += &format!(", caption xe {xe:.3}");
        let (reward, baseline) = (get(caption::REWARD), get(caption::BASELINE));
        if reward + baseline > 0.0 {
            text += &format!(", reward {reward:.3} against {baseline:.3}");
        }
    }
    if let Some(loss) = metrics.get(discriminator::LOSS) {
        text += &format!(
            ", D {loss:.3} G {:.3} KL {:.3}, D right {:.0}/{:.0}/{:.0} %",
            get(generator::LOSS),
            get(generator::DIVERGENCE),
            100.0 * get(discriminator::REAL_RIGHT),
            100.0 * get(discriminator::FAKE_RIGHT),
            100.0 * get(discriminator::WRONG_RIGHT)
        );
    }
    text
}

/// How good the captions and images of the validation split are.
fn generated(metrics: &NamedMetrics) -> String {
    let get = |name| metrics.get(name).unwrap_or(0.0);
    let mut text = String::new();
    if let Some(cider) = metrics.get(CIDER) {
        text += &format!(", captions BLEU-4 {:.3} ROUGE-L {:.3} CIDEr {cider:.3}", get(BLEU[3]), get(ROUGE_L));
    }
    if let Some(same) = metrics.get(SAME_SENTENCE) {
        text += &format!(
            ", images differ {same:.3} by noise {:.3} by sentence, own photo at {:.1} %",
            get(OTHER_SENTENCE),
            100.0 * get(OWN_PHOTO)
        );
    }
    text
}

/// What the flags set, in the order of precedence: environment, flags, `--set`.
fn overrides(args: &TrainArgs) -> Result<Vec<String>> {
    let texts = [
        ("data.source", args.train_data.clone()),
        ("look.backbone", args.model.clone()),
        ("look.weights", args.pretrained_image.clone()),
        ("train.stage", args.stage.clone()),
        ("train.init_from", args.init_from.clone()),
        ("train.merge_from", args.merge_from.clone()),
        ("train.device", args.device.device.map(|device| device.to_string())),
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

/// A resumed run keeps its configuration: asking for another one is refused rather than passed over. Its data may lie elsewhere
/// now and another device may compute; returns what was asked for. Whether they are the same data is for the run to find out.
fn same_configuration(args: &TrainArgs, run: &Path) -> Result<ResumeOptions> {
    let (asked, kept) = (overrides(args)?, run.join("config.toml"));
    if (args.config.is_none() && asked.is_empty()) || !kept.is_file() {
        return Ok(ResumeOptions::default());
    }
    let own = RunConfig::load_stored(&kept)?;
    let mut wanted = match &args.config {
        Some(config) => gxn::train::configuration(Some(&config_text(config)?), &asked)?,
        None => RunConfig::load_stored_with(&kept, &asked)?,
    }
    .with_absolute_paths()
    .filled_from(&own);
    let asks_device = asked.iter().any(|pair| pair.starts_with("train.device="));
    let device = asks_device.then_some(wanted.train.device);
    wanted.train.device = own.train.device;
    let data = wanted.data.clone();
    wanted.data.source.clone_from(&own.data.source);
    wanted.data.options.images.clone_from(&own.data.options.images);
    wanted.data.options.texts.clone_from(&own.data.options.texts);
    let is_elsewhere = wanted.data != data;
    let (own, wanted) = (own.with_absolute_paths().to_toml(), wanted.with_absolute_paths().to_toml());
    let Some((old, new)) = own.lines().zip(wanted.lines()).find(|(old, new)| old != new) else {
        return Ok(ResumeOptions { data: is_elsewhere.then_some(data), device });
    };
    Err(Error::conflict("the configuration of a resumed run", new, format!("{old}, as in {}", kept.display()))
        .with_hint("leave the configuration away to continue the run as it is, or start a new one with another --name")
        .into())
}

/// The device that the run in the folder `run` is configured for, if it is another one than the CPU.
fn own_device(run: &Path) -> Option<DeviceChoice> {
    named(RunConfig::load_stored(&run.join("config.toml")).ok()?.train.device)
}

/// A device that somebody chose: the CPU is what stands there otherwise.
fn named(device: DeviceChoice) -> Option<DeviceChoice> {
    (!device.is_cpu()).then_some(device)
}

fn default_name(config: Option<&Path>) -> String {
    config.and_then(Path::file_stem).map_or_else(|| "run".to_string(), |stem| stem.to_string_lossy().into_owned())
}

/// The run in `logs` whose `last` checkpoint is the newest.
fn latest(logs: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(logs).map_err(|e| Error::io("cannot read", logs, e))?;
    let runs = entries.flatten().map(|entry| entry.path()).filter(|run| run.join("last").exists());
    let newest = runs.max_by_key(|run| std::fs::metadata(run.join("last")).and_then(|m| m.modified()).ok());
    newest.ok_or_else(|| {
        let found = "no run that can be continued";
        Error::not_found(logs.display().to_string(), found, "a run with a `last` checkpoint")
            .with_hint("name the run's folder with --resume RUN, or the folder of runs with --logs")
            .into()
    })
}

fn set_threads(threads: usize) -> Result<()> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    Ok(())
}
