//! Arguments of `gxn serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use gxn::retrieve::IndexPlace;

use super::{DeviceArgs, index_place};

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The index, the folder whose `.gxn` it is, or a folder below; or milvus://HOST:PORT/COLLECTION
    #[arg(default_value = ".", value_name = "INDEX | FOLDER", value_parser = index_place())]
    pub place: IndexPlace,
    /// The run, checkpoint or encoder's folder, if it is no longer where it was when it made the index
    #[arg(long, short)]
    pub model: Option<PathBuf>,
    /// Address and port; beyond this machine a key is needed
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The key that callers have to send as `Authorization: Bearer KEY`; better in the environment, where other users do not see
    /// it
    #[arg(long, value_name = "KEY", env = "GXN_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// Listen beyond this machine without a key
    #[arg(long)]
    pub insecure: bool,
    /// Refuse to add and remove images and to write relevance.tsv
    #[arg(long)]
    pub read_only: bool,
    /// Folder of the runs and reports to show [default: runs]
    #[arg(long, value_name = "DIR")]
    pub runs: Option<PathBuf>,
    /// Dataset whose check to show
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<PathBuf>,
    /// Write the log as JSON lines; GXN_LOG=debug adds a line for each request
    #[arg(long)]
    pub json_log: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
}
