//! `gxn ablate`

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use gxn::checkpoint::Encoder;
use gxn::config::RunConfig;
use gxn::evaluate::encode::{EncodedDataset, Looked, embed_and_describe};
use gxn::train::ablation::Plan;
use gxn::train::preparation::open_configured;
use gxn_base::fs::write_text;
use gxn_data::Split;
use gxn_eval::metrics::Bootstrap;
use gxn_eval::{AblationTable, ArmReports, Protocol, Report, Scoring, SplitScore};
use serde_json::json;

use crate::args::AblateArgs;
use crate::commands::config::config_text;
use crate::commands::{encode, evaluate, split_of, train};
use crate::interrupt::{INTERRUPTED, stop_flag};
use crate::output::{machine_line, print};

/// λ is swept on val in so many steps.
const LAMBDA_STEPS: u8 = 20;

/// Runs what is missing of an ablation and writes its tables.
pub fn ablate(args: &AblateArgs) -> Result<ExitCode> {
    let plan = Plan::read(&config_text(&args.plan)?, &args.set)?;
    if args.print_plan {
        let name = |at: usize| plan.arms[at].name.as_str();
        for (at, arm) in plan.arms.iter().enumerate() {
            let start = arm.start.map_or(String::new(), |start| format!(", from {}", name(start)));
            let merged = arm.merge.map_or(String::new(), |merged| format!(" and {}", name(merged)));
            let control = if arm.control == at { String::new() } else { format!(", control {}", name(arm.control)) };
            print(&format!("{}{start}{merged}{control}\n", arm.name))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    machine_line();
    let stop = stop_flag()?;
    let features = args.features.clone().unwrap_or_else(|| args.logs.join("features"));
    let mut arms: Vec<ArmReports> = (plan.arms.iter())
        .map(|arm| ArmReports {
            name: arm.name.clone(),
            match_steps: 0,
            control: arm.control,
            reports: Vec::new(),
            split_scores: Vec::new(),
        })
        .collect();
    let mut seen = Seen::new();
    for seed in 1..=args.seeds {
        for (at, arm) in arms.iter_mut().enumerate() {
            let run = plan.run(at, &args.logs, seed);
            let file = run.join(format!("ablation_{}.json", args.split));
            let config = plan.config(at, &args.logs, seed)?;
            same_plan(&run, &config)?;
            if !file.is_file() {
                eprintln!("\n{} with seed {seed}", arm.name);
                let outcome = match run.join("last").exists() {
                    true => train::resume_run(&run, &features, stop)?,
                    false => train::train_run(config, &run, &features, stop)?,
                };
                if outcome.interrupted {
                    eprintln!("stopped in {}; run the same command again to continue", run.display());
                    return Ok(ExitCode::from(INTERRUPTED));
                }
                measure(&run, &file, split_of(&args.split), &mut seen, stop)?;
            }
            let (report, split_score, match_steps) = read(&file)?;
            arm.reports.push(report);
            arm.split_scores.extend(split_score);
            arm.match_steps = match_steps;
            if stop.load(Ordering::Relaxed) {
                return Ok(ExitCode::from(INTERRUPTED));
            }
        }
    }
    let table = AblationTable::of(&arms, Bootstrap::default())?;
    let texts =
        [("md", table.markdown()), ("html", table.html()), ("json", format!("{:#}\n", serde_json::to_value(&table)?))];
    for (kind, text) in &texts {
        let path = args.logs.join(format!("ablation_{}.{kind}", args.split));
        write_text(&path, text)?;
        eprintln!("wrote {}", path.display());
    }
    print(&table.markdown())?;
    Ok(ExitCode::SUCCESS)
}

/// Refuses to take a run that was made or begun by another plan for one of this plan's.
fn same_plan(run: &Path, planned: &RunConfig) -> Result<()> {
    let file = run.join("config.toml");
    if !file.is_file() {
        return Ok(());
    }
    let differences = planned.differences(&RunConfig::load(Some(&file), &[])?);
    if differences.is_empty() {
        return Ok(());
    }
    let found: Vec<String> = differences.iter().map(|d| format!("{} = {} and not {}", d.key, d.other, d.own)).collect();
    let place = format!("the run {}", run.display());
    let error = gxn_base::Error::invalid(place, found.join(", "), "the plan's configuration").with_hint(
        "put the plan back, or move this run away, and with it its control and all runs that begin with it, to have them made anew",
    );
    Err(error.into())
}

/// What a CNN saw in a split's pictures: arms that share a CNN need not look again.
type Seen = HashMap<(String, Split), Looked>;

/// Measures a finished run on a split, by both levels, by each alone, and under every λ on val; writes it to `file`.
fn measure(run: &Path, file: &Path, split: Split, seen: &mut Seen, stop: &AtomicBool) -> Result<()> {
    let encoder = Encoder::load(run)?;
    let dataset = open_configured(&encoder.config().data)?;
    let own = gxn::evaluate::encode::scoring(encoder.config());
    let look_fingerprint = encoder.look_fingerprint();
    let mut encoded = |split| -> Result<EncodedDataset> {
        let looked = match seen.entry((look_fingerprint.clone(), split)) {
            Entry::Occupied(looked) => looked.into_mut(),
            Entry::Vacant(place) => place.insert(encode::look_with_progress(&encoder, &dataset, Some(split), stop)?),
        };
        Ok(embed_and_describe(&encoder, &dataset, looked, None)?)
    };
    let measured = encoded(split)?;
    let bootstrap_seed = Bootstrap::default().seed;
    let report = evaluate::report_of(&measured, &encoder, run, &dataset, split, Protocol::Full, own, bootstrap_seed)?;
    let mut split_score = None;
    if encoder.has_grounded_level() {
        let other = if split == Split::Val { None } else { Some(encoded(Split::Val)?) };
        let val = other.as_ref().unwrap_or(&measured);
        let r1 = |lambda: f32| -> gxn::Result<[f64; 2]> {
            let metrics = measured.metrics(Scoring { lambda, ..own })?;
            Ok([metrics.image_to_text.r1, metrics.text_to_image.r1])
        };
        let mut best = (f64::NEG_INFINITY, 0.0);
        for step in 0..=LAMBDA_STEPS {
            let lambda = f64::from(step) / f64::from(LAMBDA_STEPS);
            let rsum = val.metrics(Scoring { lambda: lambda as f32, ..own })?.rsum();
            if rsum > best.0 {
                best = (rsum, lambda);
            }
        }
        split_score = Some(SplitScore { abstract_r1: r1(1.0)?, grounded_r1: r1(0.0)?, best_lambda: best.1 });
    }
    let card = &encoder.checkpoint().card;
    // The first stage's steps are no part of the budget.
    let before: u64 = card.ancestry.iter().skip(1).map(|ancestor| ancestor.match_steps).sum();
    let own_steps = if card.ancestry.is_empty() { 0 } else { card.match_steps.unwrap_or(card.step) };
    let value = json!({
        "report": report,
        "split_score": split_score,
        "match_steps": before + own_steps,
    });
    // Written last and at once: its presence says that the run is finished and measured.
    Ok(write_text(file, &format!("{value}\n"))?)
}

/// Reads what [`measure`] wrote.
fn read(file: &Path) -> Result<(Report, Option<SplitScore>, u64)> {
    let text = std::fs::read_to_string(file).map_err(|e| gxn_base::Error::io("cannot read", file, e))?;
    let mut value: serde_json::Value = serde_json::from_str(&text)?;
    let report = Report::from_json(&value["report"].take().to_string(), &file.display().to_string())?;
    let split_score = serde_json::from_value(value["split_score"].take())?;
    Ok((report, split_score, value["match_steps"].as_u64().unwrap_or(0)))
}
