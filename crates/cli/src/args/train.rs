//! Arguments of the commands that train.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use gxn::config::{Stage, former_stage_name};
use gxn_data::SourceOptions;

use super::DeviceArgs;

/// What `--stage` takes; the configuration's `train.stage`.
const STAGES: [Stage; 6] = [Stage::Match, Stage::I2tXe, Stage::I2tMix, Stage::T2iPretrain, Stage::T2i, Stage::I2tT2i];

fn stages() -> PossibleValuesParser {
    PossibleValuesParser::new(STAGES.map(|stage| PossibleValue::new(stage.name()).aliases(former_stage_name(stage))))
}

/// What `--model` takes; the configuration's `look.backbone`.
const BACKBONES: [&str; 6] = ["efficientnet_lite0", "efficientnet_lite2", "resnet50", "resnet152", "vgg19", "small"];

#[derive(Debug, Args)]
pub struct TrainArgs {
    /// A recipe (see `gxn config list`) or a configuration file (TOML)
    #[arg(value_name = "CONFIG")]
    pub config: Option<PathBuf>,
    /// The dataset to train on, in place of data.source
    #[arg(long, value_name = "DATA", help_heading = "Data")]
    pub train_data: Option<String>,
    #[command(flatten, next_help_heading = "Data")]
    pub reading: SourceOptions,
    /// Name of the run; its folder is LOGS/NAME
    #[arg(long, help_heading = "Run")]
    pub name: Option<String>,
    /// Folder of all runs
    #[arg(long, default_value = "runs", value_name = "DIR", help_heading = "Run")]
    pub logs: PathBuf,
    /// Folder of cached CNN features [default: LOGS/features]
    #[arg(long, value_name = "DIR", help_heading = "Run", hide = true)]
    pub features: Option<PathBuf>,
    /// Continue a run: its folder, or `latest` for the last one in LOGS
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "latest", help_heading = "Run")]
    pub resume: Option<String>,
    /// Also write the curves as event files for TensorBoard into the run's folder [default: none; a resumed run goes on as it began]
    #[arg(long, value_name = "PROGRAM", value_parser = ["tensorboard", "none"], help_heading = "Run")]
    pub report_to: Option<String>,
    #[command(flatten, next_help_heading = "Run")]
    pub device: DeviceArgs,
    /// Worker threads [default: all cores]
    #[arg(long, value_name = "N", help_heading = "Run", hide = true)]
    pub workers: Option<usize>,
    /// Compute a sample of the features, run two steps, print time and memory, and stop
    #[arg(long, help_heading = "Run")]
    pub dry_run: bool,
    /// The CNN
    #[arg(long, value_name = "NAME", value_parser = BACKBONES, help_heading = "Model")]
    pub model: Option<String>,
    /// Weight file of the CNN
    #[arg(long, value_name = "PATH", help_heading = "Model", conflicts_with = "init_from")]
    pub pretrained_image: Option<String>,
    /// Start from the weights of a run or checkpoint, and inherit its data, model and matching configuration
    #[arg(long, alias = "start-from", value_name = "RUN", help_heading = "Model")]
    pub init_from: Option<String>,
    /// For stage i2t_t2i: a run of stage t2i whose sentence encoder, generator and discriminator are taken
    #[arg(long, value_name = "RUN", help_heading = "Model", hide = true)]
    pub merge_from: Option<String>,
    /// What to train
    #[arg(long, value_parser = stages(), help_heading = "Training")]
    pub stage: Option<String>,
    /// Passes over the data
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub epochs: Option<u64>,
    /// Images per step
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..), help_heading = "Training")]
    pub batch_size: Option<u64>,
    /// Learning rate
    #[arg(long, value_name = "RATE", help_heading = "Training")]
    pub lr: Option<f64>,
    /// Seed of weights, sampling and dropout
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub seed: Option<u64>,
    /// Set any configuration key, such as --set matching.margin=0.1; the environment variable GXN_MATCHING__MARGIN=0.1
    /// does the same, and options override it
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Configuration")]
    pub set: Vec<String>,
    /// Print the complete configuration and stop
    #[arg(long, help_heading = "Configuration")]
    pub print_config: bool,
}

#[derive(Debug, Args)]
pub struct AblateArgs {
    /// A recipe (flickr8k-ablation) or a file: a configuration with one [[stage]] for each stage (TOML)
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// Train every stage with the seeds 1 to N
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub seeds: u64,
    /// Folder of the runs and of the tables; finished runs are not repeated, interrupted ones continue
    #[arg(long, default_value = "ablation", value_name = "DIR")]
    pub logs: PathBuf,
    /// Folder of cached CNN features [default: LOGS/features]
    #[arg(long, value_name = "DIR")]
    pub features: Option<PathBuf>,
    /// The split that the table is about
    #[arg(long, default_value = "test", value_parser = ["val", "test"])]
    pub split: String,
    /// Set any key of the common tables, such as --set train.batch_size=64
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Print the stages with their controls and stop
    #[arg(long)]
    pub print_plan: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use gxn::config::RunConfig;

    /// More is for the configuration.
    #[test]
    fn twenty_six_flags_at_most() {
        let command = crate::args::Cli::command();
        let train = command.find_subcommand("train").unwrap();
        let visible = |arg: &&clap::Arg| !arg.is_positional() && !arg.is_hide_set();
        let flags: Vec<String> = train.get_arguments().filter(visible).map(|arg| arg.get_id().to_string()).collect();
        assert!(flags.len() <= 26, "{}: {flags:?}", flags.len());
        assert!(train.get_opts().filter(visible).all(|arg| arg.get_help_heading().is_some()));
    }

    #[test]
    fn names_are_those_of_the_configuration() {
        let known =
            |key: &str, name: &str| RunConfig::load(None, &[format!("{key}={name}"), "train.init_from=x".into()]);
        assert!(BACKBONES.iter().all(|name| known("look.backbone", name).is_ok()));
        for stage in STAGES {
            for name in [Some(stage.name()), former_stage_name(stage)].into_iter().flatten() {
                assert_eq!(known("train.stage", name).unwrap().train.stage, stage);
            }
        }
    }
}
