//! [`copy_index`]: an index → another place, a folder or a Milvus server.

use gxn_base::{Error, Kind, Progress, Result};
use gxn_index::{IndexSettings, Modality, Similarity, VectorStore, copy_store};

use super::location::IndexPlace;
use super::provenance::Provenance;

/// Captions whose embeddings the tables of order similarity are fitted to.
const SAMPLE: usize = 256;

/// Puts all images and captions of the index at `from` into that at `to`, which is made if there is none. What `to` holds
/// beside them stays. Returns the number of images and captions.
///
/// # Errors
/// When either place cannot be opened, `to` is of another model, or `progress` cancels; the same call begins again, and what
/// it finds there is replaced by the same.
pub fn copy_index(from: &IndexPlace, to: &IndexPlace, progress: &dyn Progress) -> Result<(usize, usize)> {
    let index = from.open()?;
    let meta = index.meta();
    let mut extra = meta.extra.clone();
    extra.retain(|key, _| !Provenance::KEYS.contains(&key.as_str()));
    let provenance = Provenance::of(from, meta)?;
    let shard = provenance.shard.filter(|_| matches!(to, IndexPlace::Folder(_)));
    extra.extend(Provenance { shard, ..provenance }.to_extra(to));
    let settings = IndexSettings { model: meta.model.clone(), space: meta.space, extra };
    let mut writer = to.update(settings, || sample(&*index))?;
    writer.expect(&|_| true)?;
    let total = index.count(Modality::Image) + index.count(Modality::Text);
    let copied = copy_store(&*index, &mut *writer, &|done| {
        progress.update("items", done, total);
        if progress.cancelled() { Err(Error::interrupted()) } else { Ok(()) }
    })?;
    writer.finish()?;
    Ok(copied)
}

/// Embeddings of some captions, of images where there are none.
fn sample(index: &dyn VectorStore) -> Result<Vec<f32>> {
    if index.meta().space.similarity == Similarity::Cosine {
        return Ok(Vec::new());
    }
    let most = SAMPLE * index.meta().space.dims();
    let captions = first_rows(most, |take| index.each_caption(&mut |_, row| take(row)))?;
    if captions.is_empty() { first_rows(most, |take| index.each_image(&mut |_, row| take(row))) } else { Ok(captions) }
}

/// The first rows of a visit, `most` values.
fn first_rows(most: usize, visit: impl FnOnce(&mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()>) -> Result<Vec<f32>> {
    let mut rows = Vec::new();
    let visited = visit(&mut |row| {
        rows.extend_from_slice(row);
        // Only an error ends a visit.
        if rows.len() < most { Ok(()) } else { Err(Error::interrupted()) }
    });
    match visited {
        Err(error) if error.kind() != Kind::Interrupted => Err(error),
        _ => Ok(rows),
    }
}
