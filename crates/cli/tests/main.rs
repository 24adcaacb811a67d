//! The program as people and scripts meet it: arguments in; exit code, stdout and stderr out.
#![allow(clippy::unwrap_used, reason = "a helper of a test may panic")]

mod bad_files;
mod captioning;
mod checkpoints;
mod configuration;
mod damaged_images;
mod data_account;
mod demonstration;
mod devices;
mod evaluation;
mod fixture;
mod full_disk;
mod imagining;
mod indexing;
mod manual;
#[cfg(unix)]
mod milvus;
#[cfg(unix)]
#[path = "../../milvus/tests/server.rs"]
mod milvus_server;
mod odd_names;
mod other_formats;
mod pretrained;
mod queries;
mod refreshing;
mod relevance;
mod repairing;
mod reporting;
mod resuming;
mod score_captions;
mod searching;
mod serving;
mod snapshots;
mod teachers;
#[path = "../../gxn/tests/tiny_dataset.rs"]
mod tiny_dataset;
