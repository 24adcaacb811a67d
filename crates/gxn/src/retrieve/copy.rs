//! [`copy_index`]: an index → another place, a folder or a Milvus server.

use std::path::PathBuf;

use gxn_base::{Error, Kind, Progress, Result};
use gxn_index::{Index, IndexMeta, IndexSettings, Modality, Similarity, VectorStore, copy_store};

use super::location::IndexPlace;
use super::provenance::Provenance;

/// Captions whose embeddings the tables of order similarity are fitted to.
const SAMPLE: usize = 256;

/// Puts all images and captions of the index at `from` into that at `to`, which is made if there is none. What `to` holds
/// beside them stays. Returns the number of images and captions.
///
/// # Errors
/// When either place cannot be opened, `to` is of another model or source, or `progress` cancels; the same call begins again,
/// and what it finds there is replaced by the same.
pub fn copy_index(from: &IndexPlace, to: &IndexPlace, progress: &dyn Progress) -> Result<(usize, usize)> {
    let index = from.open()?;
    let meta = index.meta();
    let mut extra = meta.extra.clone();
    extra.retain(|key, _| !Provenance::KEYS.contains(&key.as_str()));
    let provenance = Provenance::of(from, meta)?;
    require_target(to, meta, &provenance)?;
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

/// Refuses an index at `to` whose items the copy would delete, or whose paths it would make wrong.
fn require_target(to: &IndexPlace, meta: &IndexMeta, provenance: &Provenance) -> Result<()> {
    let there = match to {
        IndexPlace::Folder(dir) if !Index::exists(dir) => return Ok(()),
        place => place.meta(),
    };
    let there = match there {
        Err(error) if error.kind() == Kind::NotFound && matches!(to, IndexPlace::Milvus(_)) => return Ok(()),
        other => other?,
    };
    let conflict = |what: &str, found: String, expected: String| {
        Err(Error::conflict(format!("{what} of the index {to}"), found, expected)
            .with_hint("copy to a new place, or to an index of the same model and source"))
    };
    if (&there.model, there.space) != (&meta.model, meta.space) {
        return conflict("model", there.model, meta.model.clone());
    }
    let before = Provenance::of(to, &there)?;
    for (found, expected) in [(before.source, &provenance.source), (before.root, &provenance.root)] {
        if found != *expected {
            let name =
                |path: &Option<PathBuf>| path.as_ref().map_or("none stored".into(), |path| path.display().to_string());
            return conflict("source", name(&found), name(expected));
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::merge::tests::{ids, index};
    use super::*;

    #[test]
    fn a_copy_keeps_what_is_there_or_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str, id: &str, model: &str, source: &str| {
            index(&folder.path().join(name), id, model, json!({"source": source, "root": source, "kind": "pictures"}))
        };
        let from = of("from", "a", "m", "/photos");
        for (to, parts) in [
            (of("model", "x", "n", "/photos"), "model of the index"),
            (of("source", "x", "m", "/elsewhere"), "found /elsewhere, expected /photos"),
        ] {
            let before = Index::open(&to).unwrap().meta().clone();
            let error = copy_index(&(&from).into(), &(&to).into(), &()).unwrap_err().to_string();
            assert!(error.contains(parts), "{error}");
            let after = Index::open(&to).unwrap();
            assert_eq!((ids(&after), after.meta()), (vec!["x".to_string()], &before));
        }
        let to = of("to", "x", "m", "/photos");
        copy_index(&(&from).into(), &(&to).into(), &()).unwrap();
        assert_eq!(ids(&Index::open(&to).unwrap()), ["x", "a"]);
        let new = folder.path().join("new");
        copy_index(&(&from).into(), &(&new).into(), &()).unwrap();
        assert_eq!(ids(&Index::open(&new).unwrap()), ["a"]);
    }
}
