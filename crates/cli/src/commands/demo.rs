//! `gxn demo`: the whole main job on rendered images, with the same calls as any data.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use gxn::config::RunConfig;
use gxn::encoder::Encoder;
use gxn::evaluate::Measurement;
use gxn::retrieve::{INDEX_FOLDER, IndexOptions, Query, RankedHit, Refresh, Retriever};
use gxn::train::Trainer;
use gxn_base::Kind;
use gxn_data::{CheckOptions, Dataset, SourceOptions, Split};
use gxn_eval::metrics::Bootstrap;
use gxn_index::{Modality, SearchOptions};

use crate::args::{DemoArgs, HitFormat, ReportFormat};
use crate::commands::config::config_text;
use crate::commands::{data, index, search, train};
use crate::demo_scenes;
use crate::interrupt::{INTERRUPTED, stop_flag};
use crate::output::{machine_line, print};
use crate::progress::ProgressLine;

/// Searches that are shown.
const SEARCHES: [&str; 3] =
    ["a red circle", "two blue squares on a striped background", "a green star left of a yellow triangle"];
/// A model that learned nothing has about chance; the demo fails below this multiple of it.
const TIMES_CHANCE: f64 = 5.0;
/// Among fewer test images chance alone finds so much that the multiple says nothing.
const ENOUGH_IMAGES: usize = 100;

/// Renders, checks, trains, evaluates, indexes and searches.
pub fn demo(args: &DemoArgs) -> Result<ExitCode> {
    machine_line();
    stop_flag()?;
    let (images, logs) = (args.dir.join("images"), args.dir.join("runs"));
    remove_earlier(&args.dir, args.force)?;
    eprintln!("1/6 rendering {} captioned scenes into {}", args.images, images.display());
    let source = demo_scenes::render(&images, args.seed, args.images)?;
    let dataset = Dataset::open(&source, &SourceOptions::default())?;

    eprintln!("2/6 gxn data check {}", source.display());
    let healthy = data::report(&dataset, &CheckOptions::default(), ReportFormat::Text)?;
    if !healthy {
        bail!("the rendered dataset failed its check");
    }

    eprintln!("3/6 gxn train demo --train-data {}", source.display());
    let config = config(&source, args.seed)?;
    let run = logs.join("demo");
    let reporter = train::Reporter::new();
    let trained =
        Trainer::new(config, &run, &logs.join("features"), &reporter).and_then(|mut trainer| trainer.run(&reporter));
    match trained {
        Err(error) if error.kind() == Kind::Interrupted => {
            eprintln!("stopped; continue with: gxn train --resume {}", run.display());
            return Ok(ExitCode::from(INTERRUPTED));
        }
        trained => trained?,
    };

    eprintln!("4/6 gxn evaluate {} {} --split test", run.display(), source.display());
    let encoder = Encoder::load(&run)?.with_feature_cache()?;
    let bootstrap = Bootstrap { seed: args.seed, ..Bootstrap::default() };
    let line = ProgressLine::of("encoding");
    let report = Measurement { bootstrap, ..Measurement::new(&encoder, &run, &dataset, Split::Test) }.run(&line);
    line.clear();
    let report = report?;
    print(&report.text())?;
    let rsum = report.metrics.rsum();
    let chance = chance_rsum(report.n_images, report.n_captions);
    print(&format!("test rsum {rsum:.1}, chance {chance:.1}: {:.1} times chance\n", rsum / chance))?;

    let index_dir = images.join(INDEX_FOLDER);
    eprintln!("5/6 gxn index {} --model {}", images.display(), run.display());
    let plan = Refresh::plan(&source, &index_dir, &IndexOptions::default())?;
    let Some(indexed) = index::run(&plan, &encoder)? else { return Ok(ExitCode::from(INTERRUPTED)) };
    index::print_report(&indexed);

    search_some(&images, &index_dir, &dataset)?;
    print(&next_steps())?;
    if report.n_images < ENOUGH_IMAGES {
        eprintln!("note: {} test images are too few to judge the model by; --images 800 has enough", report.n_images);
    } else if rsum < TIMES_CHANCE * chance {
        bail!("test rsum {rsum:.1} is below {TIMES_CHANCE} times chance ({chance:.1})");
    }
    Ok(ExitCode::SUCCESS)
}

fn config(source: &Path, seed: u64) -> Result<RunConfig> {
    let recipe = config_text(Path::new("demo"))?;
    let name = serde_json::Value::from(source.display().to_string());
    let set = [format!("data.source={name}"), format!("train.seed={seed}")];
    Ok(RunConfig::parse(Some(&recipe), &set)?)
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

fn search_some(images: &Path, index_dir: &Path, dataset: &Dataset) -> Result<()> {
    let retriever = Retriever::open(index_dir, None)?;
    for sentence in SEARCHES {
        eprintln!("6/6 gxn search \"{sentence}\" {} --top 3", images.display());
        let mut found = retriever.search(&Query::from(sentence), &SearchOptions::new(Modality::Image, 3))?;
        describe(&mut found.hits, dataset);
        print(&format!("\"{sentence}\"\n{}", search::render(&found, HitFormat::Text)?))?;
    }
    Ok(())
}

/// Shows the first caption beside each hit, so that a reader can judge it without opening the image.
fn describe(hits: &mut [RankedHit], dataset: &Dataset) {
    for hit in hits {
        let image = dataset.images.iter().position(|image| image.id == hit.id);
        let caption = image.and_then(|at| dataset.captions.get(dataset.captions_of(at).start));
        if let Some(caption) = caption {
            hit.path = format!("{}  ({})", hit.path, caption.text);
        }
    }
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

fn next_steps() -> String {
    "
With your own images:
  gxn data init                       # what a dataset looks like, in every format
  gxn data check MY_DATA              # is it all right?
  gxn train own --train-data MY_DATA --pretrained-image WEIGHTS --name mine
  gxn evaluate runs/mine MY_DATA --split test
  gxn index MY_PHOTOS --model runs/mine
  gxn search \"two dogs on the beach\" MY_PHOTOS
"
    .trim_start_matches('\n')
    .to_string()
}

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
        let config = config(Path::new("somewhere"), 3).unwrap();
        assert_eq!((config.data.source.as_str(), config.train.seed), ("somewhere", 3));
    }
}
