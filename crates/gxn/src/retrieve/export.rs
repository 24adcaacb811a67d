//! An index → npy files and JSON lines, in the folders that clip-retrieval has.

use std::io::Write;
use std::path::Path;

use gxn_index::{Index, Side};
use serde::Serialize;

use super::indexer::ROOT;
use crate::data::atomic::write_atomically;
use crate::evaluate::npy::write_npy_rows;
use crate::{Error, Result};

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
    let root = index.meta().extra.get(ROOT).and_then(|root| root.as_str());
    let root = root.map(|root| index.dir().join(root)).map(|root| root.canonicalize().unwrap_or(root));
    let shown = |path: &str| root.as_ref().map_or(path.to_string(), |root| root.join(path).display().to_string());
    let images = export_side(index, Side::Image, out, ["img_emb", "metadata"], |row| {
        let items = index.images_of(row)?;
        Ok(items.iter().map(|item| line(&ImageLine { image_path: shown(&item.path), item })).collect())
    })?;
    if index.meta().captions.is_none() {
        return Ok((images, 0));
    }
    let captions = export_side(index, Side::Caption, out, ["text_emb", "text_metadata"], |row| {
        let items = index.captions_of(row)?;
        Ok(items.iter().map(|c| line(&CaptionLine { caption: &c.text, id: &c.id, image_id: &c.image_id })).collect())
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

fn line(item: &impl Serialize) -> String {
    serde_json::to_string(item).expect("items are plain data")
}

/// Writes one side; `lines` gives the lines of a row's items.
fn export_side(
    index: &Index,
    side: Side,
    out: &Path,
    [vectors, facts]: [&str; 2],
    lines: impl Fn(usize) -> Result<Vec<String>>,
) -> Result<usize> {
    let place = |folder: &str, kind: &str| -> Result<_> {
        let dir = out.join(folder);
        std::fs::create_dir_all(&dir).map_err(|e| Error::io("cannot make the folder", &dir, e))?;
        Ok(dir.join(format!("{folder}_0.{kind}")))
    };
    let (vector_file, fact_file) = (place(vectors, "npy")?, place(facts, "jsonl")?);
    // (row, number of its items), in the order of the lines.
    let mut rows: Vec<(usize, usize)> = Vec::new();
    let mut damage = None;
    let written = write_atomically(&fact_file, |file| {
        for row in index.rows(side) {
            match lines(row) {
                Ok(lines) => {
                    lines.iter().try_for_each(|line| writeln!(file, "{line}"))?;
                    rows.push((row, lines.len()));
                }
                Err(error) => {
                    damage = Some(error);
                    return Err(std::io::Error::other("an item is damaged"));
                }
            }
        }
        Ok(())
    });
    damage.map_or(written, Err)?;
    let total = rows.iter().map(|(_, count)| count).sum();
    let vectors = rows.iter().flat_map(|&(row, count)| (0..count).map(move |_| Ok(index.row(side, row)?)));
    write_npy_rows(&vector_file, total, index.meta().space.dims(), vectors)?;
    Ok(total)
}
