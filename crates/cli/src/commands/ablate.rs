//! `gxn ablate`

use anyhow::Result;
use gxn::ablation::{Ablation, AblationPlan};
use gxn_base::Kind;

use crate::args::AblateArgs;
use crate::commands::config::config_text;
use crate::commands::{split_of, train};
use crate::exit::ExitCode;
use crate::interrupt::stop_flag;
use crate::output::{machine_line, print};
use crate::progress::ProgressLine;

/// Runs what is missing of an ablation and writes its tables.
pub fn ablate(args: &AblateArgs) -> Result<ExitCode> {
    let device = args.device.device.map(|device| format!("train.device={device}"));
    let set: Vec<String> = device.into_iter().chain(args.set.iter().cloned()).collect();
    let plan = AblationPlan::read(&config_text(&args.plan)?, &set)?;
    if args.print_plan {
        print(&plan.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    machine_line(args.device.device)?;
    stop_flag()?;
    let features = args.features.clone().unwrap_or_else(|| args.logs.join("features"));
    let ablation = Ablation { plan: &plan, seeds: args.seeds, logs: &args.logs, split: split_of(&args.split) };
    let line = ProgressLine::of("encoding");
    let table = ablation.run(&line, |job| {
        line.clear();
        eprintln!("\n{} with seed {}", job.name, job.seed);
        let run = job.run;
        let outcome = job.train(&features, &train::Reporter::new());
        if outcome.as_ref().is_err_and(|error| error.kind() == Kind::Interrupted) {
            eprintln!("stopped in {}; run the same command again to continue", run.display());
        }
        outcome
    });
    line.clear();
    let table = table?;
    for ending in ["md", "html", "json"] {
        eprintln!("wrote {}", args.logs.join(format!("ablation_{}.{ending}", args.split)).display());
    }
    print(&table.markdown())?;
    Ok(ExitCode::SUCCESS)
}
