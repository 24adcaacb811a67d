//! One file for each group of routes.

pub(crate) mod health;
pub(crate) mod index;
pub(crate) mod items;
pub(crate) mod models;
pub(crate) mod openapi;
pub(crate) mod page;
pub(crate) mod query;
pub(crate) mod search;
