//! Look, Imagine and Match (GXN; Gu, Cai, Joty, Niu, Wang, CVPR 2018): cross-modal retrieval.
//!
//! The modules follow the flow of data; each uses only those above it.
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | what a run is made of: plain data (it names choices of `data` and `look`) |
//! | [`look`] | LOOK: image and sentence encoders, cached features |
//! | [`imagine`] | IMAGINE: the caption decoder and its losses |
//! | [`model`] | the whole network |
//! | [`matching`] | MATCH: similarity and ranking losses |
//! | [`checkpoint`] | the network, its vocabulary and its preprocessing on disk |
//! | [`evaluate`] | retrieval protocols and reports |
//! | [`train`] | the training loop |
//! | [`retrieve`] | search with words and pictures |
//!
//! # Shape letters
//! `B` batch · `T` padded tokens · `V` vocabulary · `E` word vector · `H` recurrent state · `F` feature ·
//! `D` joint space · `P` grid positions · `S` image side · `N` images · `M` captions · `K` hits.
#![warn(missing_docs)]

pub mod checkpoint;
pub mod config;
pub mod evaluate;
pub mod imagine;
pub mod look;
pub mod matching;
pub mod model;
pub mod retrieve;
pub mod seed;
pub mod train;

pub use gxn_base::{Error, Kind, Remedy, Result};
