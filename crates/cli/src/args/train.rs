//! Arguments of the commands that train.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Configuration (TOML); see configs/
    pub config: Option<PathBuf>,
    /// The data, in place of data.source
    #[arg(long, value_name = "SRC")]
    pub train_data: Option<String>,
    /// Folder of the pictures
    #[arg(long, value_name = "DIR")]
    pub images: Option<String>,
    /// Folder of the caption files, when pictures and captions lie in two folders with equal stems
    #[arg(long, value_name = "DIR")]
    pub texts: Option<String>,
    /// Give splits anew by content, such as hash:0.9/0.05/0.05
    #[arg(long, value_name = "RULE")]
    pub split_by: Option<String>,
    /// Column of the picture in a CSV or TSV table
    #[arg(long, value_name = "NAME")]
    pub csv_img_key: Option<String>,
    /// Column of the caption in a CSV or TSV table
    #[arg(long, value_name = "NAME")]
    pub csv_caption_key: Option<String>,
    /// Separator of a table
    #[arg(long, value_name = "CHAR")]
    pub csv_separator: Option<String>,
    /// Name of the run; its folder is LOGS/NAME
    #[arg(long)]
    pub name: Option<String>,
    /// Folder of runs
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub logs: PathBuf,
    /// Folder of cached CNN features [default: LOGS/features]
    #[arg(long, value_name = "DIR")]
    pub features: Option<PathBuf>,
    /// Continue a run: its folder, or `latest` for the last one in LOGS
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "latest")]
    pub resume: Option<String>,
    /// What is trained: match, i2t_xe, i2t_mix, t2i_pretrain, t2i, i2t_t2i
    #[arg(long)]
    pub stage: Option<String>,
    /// Start from the weights of this run or checkpoint; its data, look, matching and imagine tables are the defaults
    #[arg(long, alias = "start-from", value_name = "RUN")]
    pub init_from: Option<String>,
    /// For stage i2t_t2i: a run of stage t2i whose sentence side, generator and discriminator are taken
    #[arg(long, value_name = "RUN")]
    pub merge_from: Option<String>,
    /// Set any key of the configuration, such as --set look.sentence.hidden=512 (in the environment, before all flags:
    /// GXN_LOOK__SENTENCE__HIDDEN=512)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Epochs
    #[arg(long, alias = "num_epochs")]
    pub epochs: Option<String>,
    /// Pairs per step
    #[arg(long, alias = "batch_size")]
    pub batch_size: Option<String>,
    /// First learning rate
    #[arg(long, alias = "learning_rate")]
    pub lr: Option<String>,
    /// Seed of weights, sampling and dropout
    #[arg(long)]
    pub seed: Option<String>,
    /// Weight file of the CNN
    #[arg(long, value_name = "PATH")]
    pub pretrained_image: Option<String>,
    /// The CNN: efficientnet_lite0, efficientnet_lite2, resnet50, resnet152, vgg19, small
    #[arg(long, alias = "cnn_type", value_name = "NAME")]
    pub model: Option<String>,
    /// Train the CNN too
    #[arg(long)]
    pub finetune: bool,
    /// order, order_reversed or cosine
    #[arg(long, value_name = "NAME")]
    pub measure: Option<String>,
    /// Margin of the hinge losses
    #[arg(long)]
    pub margin: Option<String>,
    /// Hardest negatives (VSE++)
    #[arg(long, alias = "max_violation")]
    pub max_violation: bool,
    /// Width of the joint space
    #[arg(long, alias = "embed_size", hide = true)]
    pub embed_size: Option<String>,
    /// Width of word vectors
    #[arg(long, alias = "word_dim", hide = true)]
    pub word_dim: Option<String>,
    /// Global gradient norm
    #[arg(long, alias = "grad_clip", alias = "grad-clip-norm", hide = true)]
    pub grad_clip: Option<String>,
    /// Epochs between cuts of the learning rate
    #[arg(long, alias = "lr_update", hide = true)]
    pub lr_update: Option<String>,
    /// Decoupled weight decay
    #[arg(long, hide = true)]
    pub wd: Option<String>,
    /// Steps of linear warm-up
    #[arg(long, hide = true)]
    pub warmup: Option<String>,
    /// Epochs of summed negatives before the hardest
    #[arg(long, alias = "vse_mean_warmup_epochs", hide = true)]
    pub vse_mean_warmup_epochs: Option<String>,
    /// Layers of the GRUs: 1
    #[arg(long, alias = "num_layers", hide = true, value_parser = ["1"])]
    pub num_layers: Option<String>,
    /// Train on Karpathy's restval images too (the default)
    #[arg(long, alias = "use_restval", hide = true)]
    pub use_restval: bool,
    /// Worker threads [default: all cores]
    #[arg(long)]
    pub workers: Option<usize>,
    /// Run two batches, print memory and the projected time, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Print the resolved configuration and stop
    #[arg(long)]
    pub print_config: bool,
}

#[derive(Debug, Args)]
pub struct AblateArgs {
    /// Plan (TOML): a configuration with one [[stage]] for each stage; see configs/flickr8k-ablation.toml
    pub plan: PathBuf,
    /// Seeds 1 to so many
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub seeds: u64,
    /// Folder of the runs and of the tables; finished runs are not repeated, interrupted ones continue
    #[arg(long, default_value = "ablation", value_name = "DIR")]
    pub logs: PathBuf,
    /// Folder of cached CNN features [default: LOGS/features]
    #[arg(long, value_name = "DIR")]
    pub features: Option<PathBuf>,
    /// Which split the table is about
    #[arg(long, default_value = "test", value_parser = ["val", "test"])]
    pub split: String,
    /// Set any key of the common tables, such as --set train.batch_size=64
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print the arms with their controls and stop
    #[arg(long)]
    pub print_plan: bool,
}
