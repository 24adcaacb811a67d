//! Look, Imagine and Match (GXN; Gu, Cai, Joty, Niu, Wang, CVPR 2018): cross-modal retrieval.
//!
//! Train on captioned images, index a folder, search it with words and images:
//!
//! ```no_run
//! use gxn::prelude::*;
//! use std::path::Path;
//! # use std::sync::Arc;
//!
//! # fn main() -> Result<()> {
//! let config = RunConfig::load(Some("configs/own.toml".as_ref()), &["data.source=captions.jsonl".into()])?;
//! let (run, features) = (Path::new("runs/own"), Path::new("runs/features"));
//! gxn::train::run(config, run, features, &())?;
//!
//! let encoder = Arc::new(Encoder::load(run)?);
//! let (photos, index) = (Path::new("photos"), Path::new("photos/.gxn"));
//! refresh(&encoder, photos, index, &IndexOptions::default(), &())?;
//! let retriever = Retriever::with_encoder(index, encoder)?;
//! let found = retriever.search(&"two dogs on a beach".into(), &SearchOptions::new(Modality::Image, 10))?;
//! found.hits.iter().for_each(|hit| println!("{:.3} {}", hit.score, hit.path));
//! # Ok(())
//! # }
//! ```
//!
//! The folder `examples` of this crate has programs that run in seconds and need no data: `train`, `index_and_search`,
//! `evaluate_embeddings`, `score_captions`, `generate`.
//!
//! The modules follow the flow of data; each uses only those above it.
//!
//! | module | holds |
//! |---|---|
//! | [`device`] | what computes: the CPU, or a GPU |
//! | [`config`] | what a run is made of: plain data |
//! | [`look`] | LOOK: image and sentence encoders, cached features |
//! | [`imagine`] | IMAGINE: caption decoder, image generator and discriminator, and their losses |
//! | [`matching`] | MATCH: similarity and ranking losses |
//! | [`model`] | the whole network |
//! | [`checkpoint`] | the network, its vocabulary and its preprocessing on disk |
//! | [`encoder`] | a checkpoint ready to embed, caption and generate |
//! | [`evaluate`] | a dataset through a model: embeddings, captions, generated images |
//! | [`train`] | the training loop, Algorithm 1 |
//! | [`ablation`] | several stages and their controls, trained, measured and compared |
//! | [`retrieve`] | indexes of images and captions, search with words and images |
//! | [`explain`] | why a text and an image have their score |
//! | [`seed`] | randomness as a function of seed, epoch and step |
//! | [`prelude`] | what most programs need, of all crates |
//!
//! The crates below are re-exported, so that one dependency is enough: [`base`] (errors, progress), [`data`] (datasets in
//! every format), [`eval`] (metrics, protocols, reports; for the embeddings and captions of any model), [`ops`] (fused
//! tensor operations) and [`index`] (the vector store).
//!
//! # Features `cuda`, `wgpu`, `vulkan`, `metal`
//! Compile the tensor framework for GPUs as well, which [`device`] then opens by name; drivers are loaded at run time. A build
//! with them still computes on the CPU unless a GPU is named.
//!
//! # Shape letters
//! `B` batch · `T` padded tokens · `V` vocabulary · `E` word vector · `H` recurrent state · `F` feature ·
//! `D` joint space · `S` image side · `N` images · `M` captions · `K` hits.
#![warn(missing_docs)]

pub mod ablation;
pub mod checkpoint;
pub mod config;
pub mod device;
pub mod encoder;
pub mod evaluate;
pub mod explain;
pub mod imagine;
pub mod look;
pub mod matching;
pub mod model;
pub mod prelude;
pub mod retrieve;
pub mod seed;
pub mod train;

pub use gxn_base::{self as base, Error, Kind, Remedy, Result};
pub use {gxn_data as data, gxn_eval as eval, gxn_index as index, gxn_ops as ops};
