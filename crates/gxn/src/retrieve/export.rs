//! An index → npy files and JSON lines, in the folders that clip-retrieval has.

use std::io::Write;
use std::path::Path;

use gxn_index::{Index, Modality};
use serde::Serialize;

use super::provenance::{shown_path, stored_root};
use gxn_base::fs::write_atomically;
use gxn_base::{Error, Result};
use gxn_eval::write_npy_rows;

/// Writes the embeddings of all items with what is known of them; returns how many images and captions there are.
///
/// | file | holds |
/// |---|---|
/// | `img_emb/img_emb_0.npy` | `[v_h ; v_l]` of every image, `<f4` |
/// | `metadata/metadata_0.jsonl` | of every image, in the same order: `image_path` and the item's columns |
/// | `text_emb/text_emb_0.npy` | `[t_h ; t_l]` of every caption, if captions were indexed |
/// | `text_metadata/text_metadata_0.jsonl` | of every caption: `caption`, `id`, `image_id` |
///
/// Unlike clip-retrieval, which has pairs, an image with five captions is one image row and five caption rows. Images of
/// equal content have a row each.
///
/// # Errors
/// When the index is damaged or `out` cannot be written.
pub fn export_index(index: &Index, out: &Path) -> Result<(usize, usize)> {
    let root = stored_root(index.dir(), index.meta());
    let images = export_modality(index, Modality::Image, out, ["img_emb", "metadata"], |line| {
        index.export_images(|row, item, _| {
            line(row, json(&ImageLine { image_path: shown_path(root.as_deref(), &item.path), item: &item }))
        })
    })?;
    if index.meta().captions.is_none() {
        return Ok((images, 0));
    }
    let captions = export_modality(index, Modality::Text, out, ["text_emb", "text_metadata"], |line| {
        index.export_captions(|row, item, _| {
            line(row, json(&CaptionLine { caption: &item.text, id: &item.id, image_id: &item.image_id }))
        })
    })?;
    Ok((images, captions))
}

#[derive(Serialize)]
struct ImageLine<'a> {
    image_path: String,
    #[serde(flatten)]
    item: &'a gxn_index::ImageItem,
}

#[derive(Serialize)]
struct CaptionLine<'a> {
    caption: &'a str,
    id: &'a str,
    image_id: &'a str,
}

fn json(item: &impl Serialize) -> String {
    serde_json::to_string(item).expect("items are plain data")
}

/// Takes the row and the line of an item.
type Lines<'a> = &'a mut dyn FnMut(usize, String) -> Result<()>;

/// Writes the items of one modality; `visit` gives the lines of all items.
fn export_modality(
    index: &Index,
    modality: Modality,
    out: &Path,
    [vectors, facts]: [&str; 2],
    visit: impl FnOnce(Lines<'_>) -> Result<()>,
) -> Result<usize> {
    let place = |folder: &str, kind: &str| -> Result<_> {
        let dir = out.join(folder);
        std::fs::create_dir_all(&dir).map_err(|e| Error::io("cannot make the folder", &dir, e))?;
        Ok(dir.join(format!("{folder}_0.{kind}")))
    };
    let (vector_file, fact_file) = (place(vectors, "npy")?, place(facts, "jsonl")?);
    // In the order of the lines.
    let mut rows: Vec<usize> = Vec::new();
    let mut failed = None;
    let written = write_atomically(&fact_file, |file| {
        let visited = visit(&mut |row, line| {
            rows.push(row);
            writeln!(file, "{line}").map_err(|e| Error::io("cannot write", &fact_file, e))
        });
        visited.map_err(|error| {
            failed = Some(error);
            std::io::Error::other("not all items could be written")
        })
    });
    failed.map_or(written, Err)?;
    let vectors = rows.iter().map(|&row| index.row(modality, row));
    write_npy_rows(&vector_file, rows.len(), index.meta().space.dims(), vectors)?;
    Ok(rows.len())
}
