//! Arguments of `gxn index`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use gxn::retrieve::{IndexOptions, IndexPlace, Shard};
use gxn_base::Result;
use gxn_data::SourceOptions;

use super::{DeviceArgs, ReportFormat, index_place};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct IndexArgs {
    #[command(subcommand)]
    pub command: Option<IndexCommand>,
    /// A folder of images, or a dataset (then its captions can be searched too). Write ./info for a folder that has the name
    /// of a command
    #[arg(required = true)]
    pub source: Option<PathBuf>,
    /// The run, the checkpoint, or the folder of a pretrained encoder; an index that is refreshed knows its own
    #[arg(long, short)]
    pub model: Option<PathBuf>,
    /// Where the index goes: a folder, or a Milvus server as milvus://HOST:PORT/COLLECTION [default: SOURCE/.gxn, or .gxn
    /// beside SOURCE if that is a file]
    #[arg(long, value_name = "INDEX", value_parser = index_place())]
    pub index: Option<IndexPlace>,
    #[command(flatten)]
    pub reading: SourceOptions,
    /// Index every image of the folder, without captions, whatever else lies in it
    #[arg(long, alias = "pictures")]
    pub images_only: bool,
    /// Also read hidden files and folders
    #[arg(long)]
    pub include_hidden: bool,
    /// Skip folders of this name
    #[arg(long, value_name = "NAME")]
    pub exclude_dir: Vec<String>,
    /// Skip images with more pixels [default: 100]
    #[arg(long, value_name = "MP")]
    pub max_image_megapixels: Option<f64>,
    /// Index only shard I of N, such as 2/8, in an index of its own (SOURCE/.gxn-shard-2-of-8); `gxn index merge`
    /// joins them. In a Milvus server all shards share one index
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Replace the index's source, with the options given here alone; items that are not in the new source are deleted
    #[arg(long)]
    pub other_source: bool,
    /// Read every file, also where its size, times and inode are as before
    #[arg(long)]
    pub reread: bool,
    /// Keep running and look for changes every SECONDS, 10 by default (--watch=60)
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "10", require_equals = true)]
    pub watch: Option<f64>,
    #[command(flatten)]
    pub device: DeviceArgs,
}

impl IndexArgs {
    /// The library's options for the flags.
    pub fn options(&self) -> IndexOptions {
        IndexOptions {
            source: self.reading.clone(),
            images_only: self.images_only,
            include_hidden: self.include_hidden,
            excluded_folders: self.exclude_dir.clone(),
            max_megapixels: self.max_image_megapixels,
            shard: self.shard,
            replace_source: self.other_source,
            reread: self.reread,
            repair: false,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// Describe an index
    Info(IndexInfoArgs),
    /// Read everything and check it
    Verify(OneIndex),
    /// Encode what is damaged in an index again, and what is new or changed in its source
    Repair(RepairArgs),
    /// Free the disk space of deleted items
    Compact(OneIndex),
    /// Make the index again with another model, of the same source and options; the old one serves until the new one is
    /// complete. Every file is read
    Reindex(ReindexArgs),
    /// Make one index of several of the same model, such as shards
    Merge(MergeArgs),
    /// Copy an index from a folder into a Milvus server, or back
    Copy(CopyArgs),
    /// Write all embeddings as npy with JSON lines, in clip-retrieval's folders
    Export(ExportArgs),
}

/// An index by its place, with or without the flag that `gxn index` and `gxn search` have for it.
#[derive(Debug, Args)]
pub struct OneIndex {
    /// The index, the folder whose `.gxn` it is, or milvus://HOST:PORT/COLLECTION
    #[arg(value_name = "INDEX", required_unless_present = "index", conflicts_with = "index", value_parser = index_place())]
    place: Option<IndexPlace>,
    /// The same
    #[arg(long, value_name = "INDEX", value_parser = index_place())]
    index: Option<IndexPlace>,
}

impl OneIndex {
    /// The index that is meant.
    pub fn place(&self) -> Result<IndexPlace> {
        self.place.as_ref().or(self.index.as_ref()).expect("one of them is asked for by the arguments").at()
    }
}

#[derive(Debug, Args)]
pub struct IndexInfoArgs {
    #[command(flatten)]
    pub index: OneIndex,
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct RepairArgs {
    #[command(flatten)]
    pub index: OneIndex,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Debug, Args)]
pub struct ReindexArgs {
    #[command(flatten)]
    pub index: OneIndex,
    /// A run, a checkpoint, or the folder of a pretrained encoder
    #[arg(long, short)]
    pub model: PathBuf,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Where the index is, such as MY_PHOTOS/.gxn, or will be
    #[arg(value_parser = index_place())]
    pub index: IndexPlace,
    /// The indexes to merge, of the same source
    #[arg(required = true)]
    pub parts: Vec<PathBuf>,
    /// Delete what no part holds; all shards of the source must be named
    #[arg(long)]
    pub only_parts: bool,
}

#[derive(Debug, Args)]
pub struct CopyArgs {
    /// The index to copy, a folder or milvus://HOST:PORT/COLLECTION
    #[arg(value_parser = index_place())]
    pub from: IndexPlace,
    /// Where the copy goes; what is there already stays
    #[arg(value_parser = index_place())]
    pub to: IndexPlace,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub index: OneIndex,
    /// Where the files go
    #[arg(long, short, value_name = "DIR")]
    pub output: PathBuf,
}
