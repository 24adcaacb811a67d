//! `gxn info`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use gxn::checkpoint::Encoder;
use gxn::retrieve::retriever::INDEX_FOLDER;
use gxn_index::{Index, IndexMeta};
use serde_json::{Value, json};

use crate::args::{InfoArgs, ReportFormat};
use crate::output::print;

/// Describes a checkpoint, a run or an index.
pub fn info(args: &InfoArgs) -> Result<ExitCode> {
    let facts = match index_in(&args.path) {
        Some(index) => index_facts(&Index::open(&index)?),
        None => model_facts(&gxn::checkpoint::resolve(&args.path)?)?,
    };
    match args.format {
        ReportFormat::Json => print(&format!("{}\n", serde_json::to_string_pretty(&facts)?))?,
        ReportFormat::Text => print(&as_text(&facts, 0))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The index at `path` or in its `.gxn`; not one further up, as search would take it.
fn index_in(path: &Path) -> Option<PathBuf> {
    [path.to_path_buf(), path.join(INDEX_FOLDER)].into_iter().find(|dir| IndexMeta::read(dir).is_ok())
}

fn model_facts(folder: &Path) -> Result<Value> {
    let encoder = Encoder::load(folder)?;
    let checkpoint = encoder.checkpoint();
    Ok(json!({
        "kind": "checkpoint",
        "path": folder.display().to_string(),
        "fingerprint": encoder.fingerprint(),
        "backbone": checkpoint.config.look.backbone.to_string(),
        "input": checkpoint.input,
        "similarity": checkpoint.config.matching.similarity,
        "lambda": encoder.lambda(),
        "levels": checkpoint.config.matching.levels,
        "embed_dim": encoder.dim(),
        "words": checkpoint.vocabulary.len(),
        "card": checkpoint.card,
    }))
}

fn index_facts(index: &Index) -> Value {
    let meta = index.meta();
    json!({
        "kind": "index",
        "path": index.dir().display().to_string(),
        "model": meta.model,
        "model_path": meta.extra.get("model_path"),
        "pictures_below": meta.extra.get("root"),
        "space": meta.space,
        "images": meta.images.count,
        "captions": meta.captions.as_ref().map_or(0, |c| c.count),
        "created_unix_s": meta.created_unix_s,
    })
}

/// `key: value` lines, tables indented.
fn as_text(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match value {
                Value::Object(inner) if !inner.is_empty() => format!("{indent}{key}:\n{}", as_text(value, depth + 1)),
                Value::String(text) => format!("{indent}{key}: {text}\n"),
                other => format!("{indent}{key}: {other}\n"),
            })
            .collect(),
        other => format!("{indent}{other}\n"),
    }
}
