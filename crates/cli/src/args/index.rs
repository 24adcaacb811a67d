//! Arguments of `gxn index`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use gxn::retrieve::Shard;
use gxn_data::SourceOptions;
use serde::{Deserialize, Serialize};

use super::InfoArgs;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct IndexArgs {
    #[command(subcommand)]
    pub command: Option<IndexCommand>,
    /// A folder of pictures, or a data set (then its captions can be searched too). A folder that is called like a
    /// command: ./info
    #[arg(required = true)]
    pub source: Option<PathBuf>,
    /// The run or checkpoint; an index that is refreshed knows it
    #[arg(long, short)]
    pub model: Option<PathBuf>,
    /// Where the index goes [default: SOURCE/.gxn]
    #[arg(long, value_name = "DIR")]
    pub index: Option<PathBuf>,
    #[command(flatten)]
    pub options: IndexOptions,
    /// Look at one of several equal shares only, such as 2/8, in an index of its own (SOURCE/.gxn-shard-2-of-8); `gxn index
    /// merge` makes one of them
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Let the source, read with the options given here alone, take the place of what the index was made of: what it lacks
    /// leaves the index
    #[arg(long)]
    pub other_source: bool,
    /// Stay and look for changes every so many seconds, ten unless told otherwise (--watch=60)
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "10", require_equals = true)]
    pub watch: Option<f64>,
}

/// What of a source is indexed. The index notes it, for later calls and for `gxn index reindex`.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexOptions {
    #[command(flatten)]
    #[serde(with = "super::stored_source")]
    pub reading: SourceOptions,
    /// Treat the source as a folder of pictures, whatever lies in it
    #[arg(long)]
    pub pictures: bool,
    /// Also look into hidden files and folders
    #[arg(long)]
    pub include_hidden: bool,
    /// Skip folders of this name
    #[arg(long, value_name = "NAME")]
    pub exclude_dir: Vec<String>,
    /// Pictures with more pixels are left out [default: 100]
    #[arg(long, value_name = "MP")]
    pub max_image_megapixels: Option<f64>,
}

/// [`IndexOptions::max_image_megapixels`] where it is not given.
pub const MEGAPIXELS: f64 = 100.0;

#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// Describe an index
    Info(InfoArgs),
    /// Read everything and compare it with its checksums
    Verify(OneIndexArgs),
    /// Take the embeddings of removed items off the disk
    Compact(OneIndexArgs),
    /// Make the index anew with another model, as it was made; the old one serves until the new one is whole
    Reindex(ReindexArgs),
    /// Make one index of several of the same model, such as shards
    Merge(MergeArgs),
    /// Write all embeddings as npy with JSON lines, in clip-retrieval's folders
    Export(ExportArgs),
}

#[derive(Debug, Args)]
pub struct OneIndexArgs {
    /// The index, or the folder whose `.gxn` it is
    pub index: PathBuf,
}

#[derive(Debug, Args)]
pub struct ReindexArgs {
    /// The index, or the folder whose `.gxn` it is
    pub index: PathBuf,
    /// The run or checkpoint
    #[arg(long, short)]
    pub model: PathBuf,
}

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Where the index is, such as MY_PHOTOS/.gxn, or will be
    pub index: PathBuf,
    /// The indexes to take in, of the same source
    #[arg(required = true)]
    pub parts: Vec<PathBuf>,
    /// Take out what no part holds; all shards of the source must be named
    #[arg(long)]
    pub only_parts: bool,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The index, or the folder whose `.gxn` it is
    pub index: PathBuf,
    /// Where the files go
    #[arg(long, short, value_name = "DIR")]
    pub output: PathBuf,
}
