//! Several indexes of one model and one source → one.

use std::path::{Path, PathBuf};

use gxn_index::{Index, IndexMeta, IndexSettings, IndexWriter, Modality};

use super::location::real;
use super::provenance::Provenance;
use gxn_base::{Error, Remedy, Result};

/// Missing shards that are named.
const NAMED: usize = 8;

/// Makes one index of several of the same model, such as the shards that machines made of a source
/// ([`Shard`](super::Shard)). With `only_parts` items that no part holds are deleted; then all shards of the source must be
/// there. Returns the index and the ids of images that were deleted.
///
/// # Errors
/// When there is no part; when the parts, or the index that `dir` holds already, are of several models, sources or kinds,
/// or were made with other options; when `dir` is one of the parts, a shard, damaged, or cannot be written; when a shard is
/// missing or there twice and items would be deleted for it. Nothing is changed then.
pub fn merge_indexes(dir: &Path, parts: &[PathBuf], only_parts: bool) -> Result<(Index, Vec<String>)> {
    let parts: Vec<Part> = parts.iter().map(|part| Part::open(part)).collect::<Result<_>>()?;
    let Some((first, others)) = parts.split_first() else {
        return Err(Error::invalid("the parts to merge", "none", "at least one index"));
    };
    others.iter().try_for_each(|part| part.require_like(first))?;
    require_target(dir, &parts)?;
    if only_parts {
        require_all_shards(&parts)?;
    }
    let IndexMeta { model, space, extra, .. } = first.index.meta().clone();
    // What a caller stored beside the provenance is kept as the first part has it.
    let mut extra = extra;
    extra.retain(|key, _| !Provenance::KEYS.contains(&key.as_str()));
    extra.extend(Provenance { shard: None, ..first.provenance.clone() }.to_extra(&dir.into()));
    let mut writer = IndexWriter::update(dir, IndexSettings { model, space, extra })?;
    for part in &parts {
        writer.merge(&part.index)?;
    }
    let removed = if only_parts { remove_others(&mut writer, &parts)? } else { Vec::new() };
    Ok((writer.finish()?, removed))
}

/// Deletes what no part holds; returns the ids of images.
fn remove_others(writer: &mut IndexWriter, parts: &[Part]) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for modality in [Modality::Image, Modality::Text] {
        let holders: Vec<&Index> =
            parts.iter().map(|part| &part.index).filter(|index| index.meta().collection(modality).is_some()).collect();
        for id in writer.ids(modality)? {
            let mut is_held = false;
            for index in &holders {
                is_held = is_held || index.row_of(modality, &id)?.is_some();
            }
            if !is_held && writer.remove(modality, &id)? && modality == Modality::Image {
                removed.push(id);
            }
        }
    }
    Ok(removed)
}

/// An index with where it comes from.
struct Part {
    index: Index,
    provenance: Provenance,
}

impl Part {
    fn open(dir: &Path) -> Result<Self> {
        let index = Index::open(dir)?;
        Ok(Self { provenance: Provenance::of(&dir.into(), index.meta())?, index })
    }

    /// Refuses an index that is not of the model, the source and the options of `first`.
    fn require_like(&self, first: &Self) -> Result<()> {
        let (theirs, ours, dir) = (self.index.meta(), first.index.meta(), self.index.dir());
        if (&theirs.model, theirs.space) != (&ours.model, ours.space) {
            let expected = format!("{}, that of {}", ours.model, first.index.dir().display());
            return Err(Error::conflict(format!("model of {}", dir.display()), theirs.model.clone(), expected)
                .with_remedy(Remedy::Reindex));
        }
        self.provenance.require_like(dir, &first.provenance)
    }
}

/// Refuses to take over an index in `dir` that has nothing to do with the parts, or that cannot be read.
fn require_target(dir: &Path, parts: &[Part]) -> Result<()> {
    const ELSEWHERE: &str = "merge into an index of the whole source, or into a new folder";
    let conflict = |found: String, expected: &str| {
        Error::conflict(format!("the index to merge into, {}", dir.display()), found, expected)
    };
    if parts.iter().any(|part| real(part.index.dir()) == real(dir)) {
        return Err(conflict("one of the parts".into(), "another folder").with_hint(ELSEWHERE));
    }
    if !Index::exists(dir) {
        return Ok(());
    }
    let target = Part::open(dir).map_err(|error| {
        let what = format!("the index to merge into, {}", dir.display());
        Error::new(error.kind(), what, error.in_full(), "a sound index").with_remedy(Remedy::IndexAgain)
    })?;
    if let Some(shard) = target.provenance.shard {
        return Err(conflict(format!("shard {shard} of its source"), "one of the whole source").with_hint(ELSEWHERE));
    }
    target.require_like(&parts[0])
}

/// Refuses to delete items for a shard that is not among the parts.
fn require_all_shards(parts: &[Part]) -> Result<()> {
    let shards: Vec<_> = parts.iter().map(|part| part.provenance.shard).collect();
    let Some(count) = shards.iter().flatten().next().map(|shard| shard.count) else { return Ok(()) };
    let name = |at: usize| match shards[at] {
        Some(shard) => format!("{} with shard {shard}", parts[at].index.dir().display()),
        None => format!("{} with the whole source", parts[at].index.dir().display()),
    };
    let is_other = |at: &usize| shards[*at].is_none_or(|shard| shard.count != count);
    let is_second = |at: &usize| shards[..*at].contains(&shards[*at]);
    let is_missing = |index: &u64| shards.iter().flatten().all(|shard| shard.index != *index);
    let missing: Vec<String> =
        (1..=count).filter(is_missing).take(NAMED + 1).map(|index| format!("{index}/{count}")).collect();
    let found = if let Some(at) = (0..parts.len()).find(is_other) {
        name(at)
    } else if let Some(at) = (0..parts.len()).find(is_second) {
        format!("{}, which is there twice", name(at))
    } else if missing.is_empty() {
        return Ok(());
    } else {
        let more = if missing.len() > NAMED { ", and more" } else { "" };
        format!("no shard {}{more}", missing[..missing.len().min(NAMED)].join(", "))
    };
    Err(Error::conflict("the parts to merge", found, format!("each of the {count} shards once"))
        .with_remedy(Remedy::AllParts))
}

#[cfg(test)]
pub(super) mod tests {
    use gxn_index::{ImageItem, Similarity, Space};
    use serde_json::json;

    use super::*;

    const SPACE: Space = Space { similarity: Similarity::Cosine, lambda: 0.5, dims_abstract: 1, dims_grounded: 1 };

    /// An index of one image, `id`, of a source.
    pub(in crate::retrieve) fn index(dir: &Path, id: &str, model: &str, extra: serde_json::Value) -> PathBuf {
        let settings = IndexSettings { model: model.into(), space: SPACE, extra: extra.as_object().unwrap().clone() };
        let mut writer = IndexWriter::create(dir, settings).unwrap();
        let item = ImageItem { id: id.into(), path: id.into(), ..Default::default() };
        writer.put_image(&item, &[1.0, 0.5]).unwrap();
        writer.finish().unwrap();
        dir.to_path_buf()
    }

    pub(in crate::retrieve) fn ids(index: &Index) -> Vec<String> {
        index.rows(Modality::Image).map(|row| index.image(row).unwrap().id).collect()
    }

    fn refused(dir: &Path, parts: &[PathBuf], only_parts: bool, parts_of_message: &[&str]) {
        let before = Index::open(dir).ok().map(|index| (ids(&index), index.meta().clone()));
        let error = merge_indexes(dir, parts, only_parts).unwrap_err();
        let text = format!("{error} hint: {}", error.hint().unwrap_or_default());
        assert!(parts_of_message.iter().all(|part| text.contains(part)), "{text}");
        assert_eq!(Index::open(dir).ok().map(|index| (ids(&index), index.meta().clone())), before);
    }

    fn shard(index: u64, count: u64) -> serde_json::Value {
        json!({"source": "/photos", "root": "/photos", "kind": "pictures", "shard": format!("{index}/{count}")})
    }

    #[test]
    fn the_target_must_be_like_the_parts() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let whole = |source: &str| json!({"source": source, "root": source, "kind": "pictures"});
        let parts = [index(&at("1"), "a", "m", shard(1, 2)), index(&at("2"), "b", "m", shard(2, 2))];
        let other = index(&at("other"), "x", "m", whole("/elsewhere"));
        refused(
            &other,
            &parts,
            false,
            &["source of", "found /elsewhere, expected /photos", "hint: merge indexes of one folder"],
        );
        refused(&other, &parts, true, &["found /elsewhere, expected /photos"]);
        let model = index(&at("model"), "x", "n", whole("/photos"));
        refused(&model, &parts, false, &["model of", "found n, expected m", "make the index again"]);
        let kind = index(&at("kind"), "x", "m", json!({"source": "/photos", "root": "/photos", "kind": "data set"}));
        refused(
            &kind,
            &parts,
            false,
            &["what ", "found a dataset, images with captions, expected images without captions"],
        );
        let unknown = index(&at("unknown"), "x", "m", json!({}));
        refused(&unknown, &parts, false, &["found none stored, expected /photos"]);
        refused(&parts[0], &parts, false, &["found one of the parts, expected another folder"]);
        let third = index(&at("third"), "c", "m", shard(1, 3));
        refused(&third, &parts, false, &["found shard 1/3 of its source", "the whole source"]);

        // Rows that are gone are no reason to start again without a word.
        let damaged = index(&at("damaged"), "x", "m", whole("/photos"));
        let rows = std::fs::read_dir(damaged.join("segments")).unwrap().next().unwrap().unwrap().path();
        let bytes = std::fs::read(&rows).unwrap();
        std::fs::remove_file(&rows).unwrap();
        refused(&damaged, &parts, false, &["the index to merge into", "expected a sound index", "index again"]);
        std::fs::write(&rows, bytes).unwrap();
        assert_eq!(ids(&Index::open(&damaged).unwrap()), ["x"]);

        let target = index(&at("target"), "x", "m", whole("/photos"));
        let (merged, removed) = merge_indexes(&target, &parts, false).unwrap();
        assert_eq!((ids(&merged), removed.len()), (vec!["x".into(), "a".into(), "b".into()], 0));
        let (merged, removed) = merge_indexes(&target, &parts, true).unwrap();
        assert_eq!((ids(&merged).len(), removed), (2, vec!["x".to_string()]));
        assert_eq!(merged.meta().extra.get("shard"), None);
    }

    #[test]
    fn parts_of_several_models_sources_or_options_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let first = index(&at("1"), "a", "m", json!({"source": "/photos", "options": {"include_hidden": true}}));
        let model = index(&at("2"), "b", "n", json!({"source": "/photos"}));
        let source = index(&at("3"), "b", "m", json!({"source": "/others"}));
        let options = index(&at("4"), "b", "m", json!({"source": "/photos", "options": {"include_hidden": false}}));
        let to = at("to");
        refused(&to, &[first.clone(), model], false, &["model of"]);
        refused(&to, &[first.clone(), source], false, &["source of"]);
        refused(&to, &[first.clone(), options], false, &["options of", "the same options"]);
        refused(&to, &[], false, &["the parts to merge: found none"]);
        assert!(!to.exists());
        merge_indexes(&to, &[first], false).unwrap();
    }

    /// The images of a shard that is not named would be deleted.
    #[test]
    fn only_parts_needs_every_shard_once() {
        let folder = tempfile::tempdir().unwrap();
        let part = |name: &str, extra| index(&folder.path().join(name), name, "m", extra);
        let shards: Vec<PathBuf> = (1..=3).map(|n| part(&n.to_string(), shard(n, 3))).collect();
        let whole = part("whole", json!({"source": "/photos", "root": "/photos", "kind": "pictures"}));
        let (again, of_two) = (part("again", shard(2, 3)), part("of two", shard(1, 2)));
        let to = folder.path().join("to");
        merge_indexes(&to, &shards, true).unwrap();
        let [first, second, third] = [0, 1, 2].map(|at| shards[at].clone());
        let hint = "name all parts, or keep";
        refused(&to, std::slice::from_ref(&second), true, &["no shard 1/3, 3/3", "each of the 3 shards once", hint]);
        refused(&to, &[first.clone(), second.clone()], true, &["no shard 3/3"]);
        refused(
            &to,
            &[first.clone(), second.clone(), third.clone(), again],
            true,
            &["shard 2/3, which is there twice"],
        );
        refused(&to, &[first.clone(), second.clone(), of_two], true, &["shard 1/2"]);
        refused(&to, &[first.clone(), second.clone(), third, whole.clone()], true, &["the whole source"]);
        // Without it nothing is deleted, and any parts do.
        assert_eq!(ids(&merge_indexes(&to, &[first, second], false).unwrap().0).len(), 3);
        assert_eq!(ids(&merge_indexes(&to, &[whole], true).unwrap().0), ["whole"]);
        let many = part("many", shard(1, 1000));
        let other = folder.path().join("other");
        refused(
            &other,
            &[many],
            true,
            &["no shard 2/1000, 3/1000, 4/1000, 5/1000, 6/1000, 7/1000, 8/1000, 9/1000, and more"],
        );
    }
}
