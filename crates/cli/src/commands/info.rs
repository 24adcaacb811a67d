//! `gxn info`

use std::path::{Path, PathBuf};

use anyhow::Result;
use gxn::encoder::Encoder;
use gxn::retrieve::{Calibration, INDEX_FOLDER, IndexPlace, Provenance, SourceKind};
use gxn_index::{Index, IndexMeta, Modality};
use serde_json::{Value, json};

use crate::args::{InfoArgs, ReportFormat};
use crate::exit::ExitCode;
use crate::output::{print, printable_lines};

/// Describes a checkpoint, a run, a pretrained encoder or an index.
pub fn info(args: &InfoArgs) -> Result<ExitCode> {
    let is_index = |dir: &PathBuf| Index::exists(dir) && IndexMeta::is_of_index(dir) || Index::is_begun(dir);
    let place = IndexPlace::parse(args.path.as_os_str())?;
    let facts = match &place {
        IndexPlace::Milvus(_) => index_facts(&place)?,
        // Not one further up, as search would take it.
        IndexPlace::Folder(path) if [path.clone(), path.join(INDEX_FOLDER)].iter().any(is_index) => {
            index_facts(&place.at()?)?
        }
        IndexPlace::Folder(path) => model_facts(path)?,
    };
    show(&facts, args.format)
}

/// Describes the index at `place`.
pub fn index_info(place: &IndexPlace, format: ReportFormat) -> Result<ExitCode> {
    show(&index_facts(place)?, format)
}

pub fn show(facts: &Value, format: ReportFormat) -> Result<ExitCode> {
    match format {
        ReportFormat::Json => print(&format!("{}\n", serde_json::to_string_pretty(facts)?))?,
        ReportFormat::Text => print(&printable_lines(&as_text(facts, 0)))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn model_facts(folder: &Path) -> Result<Value> {
    let encoder = Encoder::load(folder)?;
    if let Some(pretrained) = encoder.pretrained() {
        return Ok(super::encoder::facts(pretrained, encoder.fingerprint()));
    }
    let trained = encoder.trained()?;
    let config = trained.config();
    let (look, prior) = (&config.look, config.matching.prior);
    // Of the images, either a CNN or an encoder says something.
    let of_cnn = |value: Value| if look.encoder.is_some() { Value::Null } else { value };
    Ok(json!({
        "kind": "checkpoint",
        "path": gxn::checkpoint::resolve(folder)?.display().to_string(),
        "fingerprint": encoder.fingerprint(),
        "image_encoder": look.encoder,
        "text_encoder": look.sentence.encoder,
        "begins_as_encoder": prior.then_some(true),
        "backbone": of_cnn(look.backbone.to_string().into()),
        "input": of_cnn(json!(trained.pipeline())),
        "similarity": config.matching.similarity,
        "lambda": encoder.lambda(),
        "levels": config.matching.levels,
        "embed_dim": encoder.dim(),
        "calibrated": Calibration::load(folder, &encoder).is_ok_and(|found| found.is_some()),
        "words": trained.vocabulary().len(),
        "card": trained.card(),
    }))
}

fn index_facts(place: &IndexPlace) -> Result<Value> {
    let index = place.open()?;
    let meta = index.meta();
    let provenance = Provenance::of(place, meta)?;
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let mut facts = json!({
        "kind": "index",
        "path": place.to_string(),
        "model": meta.model,
        "model_path": path(&provenance.model),
        "source": path(&provenance.source),
        "dataset": provenance.kind.map(|kind| kind == SourceKind::Dataset),
        "format": provenance.format,
        "shard": provenance.shard.map(|shard| shard.to_string()),
        "options": provenance.options().ok().flatten(),
        "images_below": path(&provenance.root),
        "space": meta.space,
        "images": index.count(Modality::Image),
        "captions": index.count(Modality::Text),
    });
    if let (Some(index), Value::Object(facts)) = (index.folder(), &mut facts) {
        let dead_rows = |modality| meta.collection(modality).map_or(0, |collection| collection.dead_rows);
        let both =
            |of: &dyn Fn(Modality) -> Value| json!({"images": of(Modality::Image), "captions": of(Modality::Text)});
        facts.insert("rows".into(), both(&|modality| index.rows(modality).count().into()));
        facts.insert("dead_rows".into(), both(&|modality| dead_rows(modality).into()));
        facts.insert("rows_with_sketches".into(), both(&|modality| index.sketched_rows(modality).into()));
        facts.insert("bytes".into(), bytes_below(index.dir()).into());
        facts.insert("created_unix_s".into(), meta.created_unix_s.into());
    }
    Ok(facts)
}

/// Bytes of all files in a folder and its folders.
fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_below(&entry.path()),
        found => found.map_or(0, |found| found.len()),
    });
    bytes.sum()
}

/// `key: value` lines, tables indented; what is not known is left out.
fn as_text(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| match value {
                Value::Object(inner) if !inner.is_empty() => format!("{indent}{key}:\n{}", as_text(value, depth + 1)),
                Value::String(text) => format!("{indent}{key}: {text}\n"),
                other => format!("{indent}{key}: {other}\n"),
            })
            .collect(),
        other => format!("{indent}{other}\n"),
    }
}
