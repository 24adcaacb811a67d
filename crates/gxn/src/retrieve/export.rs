//! An index → npy files and JSON lines, in the folders that clip-retrieval has.

use std::io::Write;
use std::path::Path;
use std::sync::mpsc::sync_channel;

use gxn_index::{Modality, VectorStore};
use serde::Serialize;

use super::location::IndexPlace;
use super::provenance::{shown_path, stored_root};
use gxn_base::fs::{build_folder_atomically, write_atomically};
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
/// When the index is damaged, is changed meanwhile in its server, or `out` holds anything or cannot be written; then nothing is.
pub fn export_index(place: &IndexPlace, out: &Path) -> Result<(usize, usize)> {
    let mut counts = (0, 0);
    build_folder_atomically(out, |folder| {
        counts = write_export(place, folder)?;
        Ok(())
    })?;
    Ok(counts)
}

fn write_export(place: &IndexPlace, out: &Path) -> Result<(usize, usize)> {
    let index = place.open()?;
    let root = stored_root(place, index.meta());
    let [images, captions] = [Modality::Image, Modality::Text].map(|modality| index.count(modality));
    export_modality(&*index, images, out, ["img_emb", "metadata"], &|keep| {
        index.each_image(&mut |item, row| {
            let image_path = shown_path(root.as_deref(), &item.path);
            keep(json(&ImageLine { image_path, item: &item }), row)
        })
    })?;
    if captions > 0 {
        export_modality(&*index, captions, out, ["text_emb", "text_metadata"], &|keep| {
            index.each_caption(&mut |item, row| {
                let line = CaptionLine { caption: &item.text, id: &item.id, image_id: &item.image_id };
                keep(json(&line), row)
            })
        })?;
    }
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

/// Takes the line and the row of an item.
type Keep<'a> = &'a mut dyn FnMut(String, &[f32]) -> Result<()>;

/// Rows that wait to be written.
const WAITING: usize = 256;

/// Writes the `count` items of one modality; `visit` gives all of them to what keeps them.
fn export_modality(
    index: &dyn VectorStore,
    count: usize,
    out: &Path,
    [vectors, facts]: [&str; 2],
    visit: &(dyn Fn(Keep<'_>) -> Result<()> + Sync),
) -> Result<()> {
    let place = |folder: &str, kind: &str| -> Result<_> {
        let dir = out.join(folder);
        std::fs::create_dir_all(&dir).map_err(|e| Error::io("cannot make the folder", &dir, e))?;
        Ok(dir.join(format!("{folder}_0.{kind}")))
    };
    let (vector_file, fact_file) = (place(vectors, "npy")?, place(facts, "jsonl")?);
    let (sender, rows) = sync_channel(WAITING);
    // One thread reads and writes the lines, the other the rows.
    std::thread::scope(|scope| {
        let lines = scope.spawn(|| {
            let sender = sender;
            let mut failed = None;
            let written = write_atomically(&fact_file, |file| {
                let visited = visit(&mut |line, row| {
                    writeln!(file, "{line}").map_err(|e| Error::io("cannot write", &fact_file, e))?;
                    // Nobody receives it where the rows could not be written, which says why.
                    let _ = sender.send(Ok(row.to_vec()));
                    Ok(())
                });
                visited.map_err(|error| {
                    failed = Some(error);
                    std::io::Error::other("not all items could be written")
                })
            });
            failed.map_or(written, Err)
        });
        let vectors = write_npy_rows(&vector_file, count, index.meta().space.dims(), rows.into_iter());
        lines.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(vectors)
    })
}
