//! The crate as its users see it.

mod data;
mod folder_store;
mod milvus;
