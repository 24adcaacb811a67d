//! `gxn demo`: the whole main job on rendered images, with the same calls as any data.

mod report;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use gxn::config::RunConfig;
use gxn::device::DeviceChoice;
use gxn::encoder::Encoder;
use gxn::evaluate::Measurement;
use gxn::retrieve::{INDEX_FOLDER, IndexOptions, Query, RankedHit, Refresh, Retriever};
use gxn::train::{Trainer, configuration};
use gxn_base::Kind;
use gxn_base::fs::write_text;
use gxn_data::{CheckOptions, Dataset, SourceOptions, Split};
use gxn_eval::Report;
use gxn_eval::metrics::Bootstrap;
use gxn_index::{Modality, SearchOptions};

use crate::args::{DemoArgs, HitFormat, ReportFormat};
use crate::commands::config::config_text;
use crate::commands::{data, index, search, train};
use crate::demo_scenes;
use crate::exit::ExitCode;
use crate::interrupt::{INTERRUPTED, stop_flag};
use crate::output::{machine_line, print};
use crate::progress::ProgressLine;
use report::Searched;

/// Searches that are shown, before one for a caption of the test split.
const SEARCHES: [&str; 2] = ["a red circle", "three small yellow stars"];
/// A model that learned nothing has about chance; the demo fails below this multiple of it.
const TIMES_CHANCE: f64 = 5.0;
/// Among fewer test images chance alone finds so much that the multiple says nothing.
const ENOUGH_IMAGES: usize = 100;

/// The stages of training: recipe, name of the run.
const STAGES: [(&str, &str); 2] = [("demo", "demo"), ("demo-captions", "captions")];

/// Where the demo's files are.
struct Folders {
    dir: PathBuf,
    images: PathBuf,
    runs: PathBuf,
}

/// Renders, checks, trains, evaluates, indexes, searches and reports.
pub fn demo(args: &DemoArgs) -> Result<ExitCode> {
    machine_line(Some(DeviceChoice::CPU))?;
    stop_flag()?;
    let folders = Folders::of(&args.dir);
    let Folders { images, .. } = &folders;
    remove_earlier(&args.dir, args.force)?;
    eprintln!("1/8 rendering {} captioned scenes into {}", args.images, images.display());
    let source = demo_scenes::render(images, args.seed, args.images)?;
    let dataset = Dataset::open(&source, &SourceOptions::default())?;

    eprintln!("2/8 gxn data check {}", source.display());
    let healthy = data::report(&dataset, &CheckOptions::default(), ReportFormat::Text)?;
    if !healthy {
        bail!("the rendered dataset failed its check");
    }
    for stage in 0..STAGES.len() {
        if let Some(stopped) = train_stage(stage, &source, &folders, args.seed)? {
            return Ok(stopped);
        }
    }
    let run = folders.run(STAGES.len() - 1);
    eprintln!("5/8 gxn evaluate {} {} --split test", run.display(), source.display());
    let encoder = Encoder::load(&run)?.with_feature_cache()?;
    let report = evaluate(&encoder, &run, &dataset, args.seed)?;

    let index_dir = images.join(INDEX_FOLDER);
    eprintln!("6/8 gxn index {} --model {}", images.display(), run.display());
    let plan = Refresh::plan(&source, &index_dir, &IndexOptions::default())?;
    let Some(indexed) = index::run(&plan, &encoder)? else { return Ok(ExitCode::from(INTERRUPTED)) };
    index::print_report(&indexed);

    let searches = search_some(images, &index_dir, &dataset)?;
    write_report(&folders, &report, &searches, &encoder, &dataset)?;
    print(&next_steps(images))?;
    judge(&report)
}

impl Folders {
    fn of(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf(), images: dir.join("images"), runs: dir.join("runs") }
    }

    fn run(&self, stage: usize) -> PathBuf {
        self.runs.join(STAGES[stage].1)
    }
}

/// Trains one stage from the run of the one before; an exit code where it was interrupted.
fn train_stage(stage: usize, source: &Path, folders: &Folders, seed: u64) -> Result<Option<ExitCode>> {
    let (recipe, step, run) = (STAGES[stage].0, stage + 3, folders.run(stage));
    let before = stage.checked_sub(1).map(|before| folders.run(before));
    match &before {
        None => eprintln!("{step}/8 gxn train {recipe} --train-data {}", source.display()),
        Some(before) => eprintln!("{step}/8 gxn train {recipe} --init-from {}", before.display()),
    }
    let config = config(recipe, source, before.as_deref(), seed)?;
    let reporter = train::Reporter::new();
    let trained = Trainer::new(config, &run, &folders.runs.join("features"), &reporter)
        .and_then(|mut trainer| trainer.run(&reporter));
    match trained {
        Err(error) if error.kind() == Kind::Interrupted => {
            eprintln!("stopped; continue with: gxn train --resume {}", run.display());
            Ok(Some(ExitCode::from(INTERRUPTED)))
        }
        trained => {
            trained?;
            Ok(None)
        }
    }
}

fn config(recipe: &str, source: &Path, init_from: Option<&Path>, seed: u64) -> Result<RunConfig> {
    let recipe = config_text(Path::new(recipe))?;
    let text = |path: &Path| serde_json::Value::from(path.display().to_string());
    let mut set = vec![format!("data.source={}", text(source)), format!("train.seed={seed}")];
    set.extend(init_from.map(|run| format!("train.init_from={}", text(run))));
    Ok(configuration(Some(&recipe), &set)?)
}

fn evaluate(encoder: &Encoder, run: &Path, dataset: &Dataset, seed: u64) -> Result<Report> {
    let bootstrap = Bootstrap { seed, ..Bootstrap::default() };
    let line = ProgressLine::of("encoding");
    let report = Measurement { bootstrap, ..Measurement::new(encoder, run, dataset, Split::Test) }.run(&line);
    line.clear();
    let report = report?;
    print(&report.text())?;
    let (rsum, chance) = (report.metrics.rsum(), chance_rsum(report.n_images, report.n_captions));
    print(&format!("test rsum {rsum:.1}, chance {chance:.1}: {:.1} times chance\n", rsum / chance))?;
    Ok(report)
}

/// Fails where the model learned next to nothing.
fn judge(report: &Report) -> Result<ExitCode> {
    let (rsum, chance) = (report.metrics.rsum(), chance_rsum(report.n_images, report.n_captions));
    if report.n_images < ENOUGH_IMAGES {
        eprintln!("note: {} test images are too few to judge the model by; --images 800 has enough", report.n_images);
    } else if rsum < TIMES_CHANCE * chance {
        bail!("test rsum {rsum:.1} is below {TIMES_CHANCE} times chance ({chance:.1})");
    }
    Ok(ExitCode::SUCCESS)
}

/// The rsum of random ranks: an image has `captions / images` right answers among all captions, a caption one among all
/// images.
fn chance_rsum(images: usize, captions: usize) -> f64 {
    let (n, m) = (images as f64, captions as f64);
    let right = m / n;
    [1.0, 5.0, 10.0]
        .into_iter()
        .map(|k: f64| {
            // No right answer among k of m drawn without replacement.
            let missed: f64 = (0..k as usize).map(|i| ((m - right - i as f64) / (m - i as f64)).max(0.0)).product();
            100.0 * (1.0 - missed) + 100.0 * (k / n).min(1.0)
        })
        .sum()
}

fn search_some<'a>(images: &Path, index_dir: &Path, dataset: &'a Dataset) -> Result<Vec<Searched<'a>>> {
    let retriever = Retriever::open(index_dir, None)?;
    let search_one = |words: &'a str| {
        eprintln!("7/8 gxn search \"{words}\" {} --top 3", images.display());
        let found = retriever.search(&Query::from(words), &SearchOptions::new(Modality::Image, 3))?;
        let captions: Vec<String> = found.hits.iter().map(|hit| first_caption(hit, dataset)).collect();
        let mut shown = found.clone();
        // A reader can judge a hit without opening the image.
        for (hit, caption) in shown.hits.iter_mut().zip(&captions) {
            hit.path = format!("{}  ({caption})", hit.path);
        }
        print(&format!("\"{words}\"\n{}", search::render(&shown, HitFormat::Text)?))?;
        Ok(Searched { words, hits: found.hits, captions })
    };
    let test_image = dataset.split_indices(Split::Test).into_iter().next();
    let caption = test_image.and_then(|at| dataset.captions_of(at).next());
    let caption = caption.map(|at| dataset.captions[at].text.as_str());
    SEARCHES.into_iter().chain(caption).map(search_one).collect()
}

fn first_caption(hit: &RankedHit, dataset: &Dataset) -> String {
    let image = dataset.images.iter().position(|image| image.id == hit.id);
    let caption = image.and_then(|at| dataset.captions.get(dataset.captions_of(at).start));
    caption.map_or_else(String::new, |caption| caption.text.clone())
}

fn write_report(
    folders: &Folders,
    report: &Report,
    searches: &[Searched<'_>],
    encoder: &Encoder,
    dataset: &Dataset,
) -> Result<()> {
    let path = folders.dir.join("report.html");
    eprintln!("8/8 writing {}", path.display());
    let (i2t, t2i) = (report.metrics.image_to_text, report.metrics.text_to_image);
    let summary = format!(
        "Trained from scratch on {} rendered scenes. Of {} test images, {:.0} % find one of their captions first, and {:.0} % of \
         the captions find their image first.",
        dataset.images.len(),
        report.n_images,
        i2t.r1,
        t2i.r1
    );
    let runs: Vec<PathBuf> = (0..STAGES.len()).map(|stage| folders.run(stage)).collect();
    let runs: Vec<&Path> = runs.iter().map(PathBuf::as_path).collect();
    write_text(&path, &report::report(&summary, searches, encoder, dataset, &runs)?)?;
    Ok(())
}

/// Makes room for a new demo, if the user wants it. Folders that no demo wrote are never touched.
fn remove_earlier(dir: &Path, force: bool) -> Result<()> {
    let folders = ["images", "runs"].map(|name| dir.join(name));
    if !folders.iter().any(|folder| folder.exists()) {
        return Ok(());
    }
    let refuse = |found: &str, hint: &str| {
        let error =
            gxn_base::Error::conflict(dir.display().to_string(), found, "a new or empty folder").with_hint(hint);
        Err(error.into())
    };
    if !dir.join("images/images/scene_0000.png").is_file() {
        return refuse("images or runs that are not a demo's", "name another folder");
    }
    if !force {
        return refuse("an earlier demo", "start over with --force, or name another folder");
    }
    for folder in folders.iter().filter(|folder| folder.exists()) {
        std::fs::remove_dir_all(folder).map_err(|e| gxn_base::Error::io("cannot remove", folder, e))?;
    }
    Ok(())
}

fn next_steps(images: &Path) -> String {
    format!("In a browser: gxn serve {}\n", images.display()) + OWN_IMAGES
}

const OWN_IMAGES: &str = "\
With your own images:
  gxn data init                       # what a dataset looks like, in every format
  gxn data check MY_DATA              # is it all right?
  gxn train own --train-data MY_DATA --pretrained-image WEIGHTS --name mine
  gxn evaluate runs/mine MY_DATA --split test
  gxn index MY_PHOTOS --model runs/mine
  gxn search \"two dogs on the beach\" MY_PHOTOS
";

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten images, one caption each: R@1 10 %, R@5 50 %, R@10 100 %, both directions.
    #[test]
    fn chance_of_ten_pairs() {
        assert!((chance_rsum(10, 10) - 320.0).abs() < 1e-9);
    }

    #[test]
    fn the_embedded_configuration_is_valid() {
        let config = config("demo", Path::new("somewhere"), None, 3).unwrap();
        assert_eq!((config.data.source.as_str(), config.train.seed), ("somewhere", 3));
    }
}
