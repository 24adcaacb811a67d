//! Several indexes of one model and one source → one.

use std::path::{Path, PathBuf};

use gxn_index::{Index, IndexMeta, IndexSettings, IndexWriter, Modality};

use super::notes::{KIND, NOTES, ROOT, SHARD, SOURCE, noted, noted_place, noted_shard, real, seen_from};
use gxn_base::{Error, Result};

/// Makes one index of several of the same model, such as the shares that machines made of a source
/// ([`Shard`](super::Shard)). With `only_parts` items that no part holds are taken out; then all shares of the source must
/// be there. Returns the index and the ids of pictures that were taken out.
///
/// # Errors
/// When there is no part; when the parts, or the index that `dir` holds already, are of several models, sources or kinds,
/// or noted other things of what is indexed; when `dir` is one of the parts, a share, damaged, or cannot be written; when
/// a share is missing or there twice and items would be taken out for it. Nothing is changed then.
pub fn merge_indexes(dir: &Path, parts: &[PathBuf], only_parts: bool) -> Result<(Index, Vec<String>)> {
    let opened: Vec<Index> = parts.iter().map(|part| Ok(Index::open(part)?)).collect::<Result<_>>()?;
    let Some(first) = opened.first() else {
        return Err(Error::invalid("the parts to merge", "none", "at least one index"));
    };
    for part in &opened[1..] {
        require_alike(first, part.dir(), part.meta())?;
    }
    require_target(first, dir, parts)?;
    if only_parts {
        require_all_shares(&opened)?;
    }
    let meta = first.meta();
    let mut extra = meta.extra.clone();
    extra.remove(SHARD);
    for key in [SOURCE, ROOT] {
        if let Some(place) = noted_place(first.dir(), meta, key) {
            extra.insert(key.into(), seen_from(dir, &place).into());
        }
    }
    let settings = IndexSettings { model: meta.model.clone(), space: meta.space, extra };
    let mut writer = IndexWriter::update(dir, settings)?;
    for part in &opened {
        writer.merge(part)?;
    }
    let mut removed = Vec::new();
    if only_parts {
        for side in [Modality::Image, Modality::Text] {
            for id in writer.ids(side)? {
                let mut is_held = false;
                for part in opened.iter().filter(|part| part.meta().collection(side).is_some()) {
                    is_held = is_held || part.row_of(side, &id)?.is_some();
                }
                if !is_held && writer.remove(side, &id)? && side == Modality::Image {
                    removed.push(id);
                }
            }
        }
    }
    Ok((writer.finish()?, removed))
}

/// Refuses an index, at `dir`, that is not of the model and the source of `first`.
fn require_alike(first: &Index, dir: &Path, meta: &IndexMeta) -> Result<()> {
    let (ours, here) = (first.meta(), dir.display());
    if (&meta.model, meta.space) != (&ours.model, ours.space) {
        let expected = format!("{}, that of {}", ours.model, first.dir().display());
        return Err(Error::invalid(format!("model of {here}"), meta.model.clone(), expected)
            .with_hint("make all with one model and its λ: gxn index reindex DIR --model RUN"));
    }
    for key in [SOURCE, ROOT] {
        let (theirs, ours) = (noted_place(dir, meta, key), noted_place(first.dir(), ours, key));
        if theirs != ours {
            let place = |path: Option<PathBuf>| path.map_or("nothing noted".into(), |path| path.display().to_string());
            return Err(Error::invalid(format!("source of {here}"), place(theirs), place(ours))
                .with_hint("merge indexes of one folder or data set; of others, index a folder that holds them all"));
        }
    }
    // What an older version did not note is not held against it.
    let differs = |key: &&str| match (meta.extra.get(*key), ours.extra.get(*key)) {
        (Some(theirs), Some(ours)) => theirs != ours,
        _ => false,
    };
    let others = ours.extra.keys().map(String::as_str).filter(|key| !NOTES.contains(key));
    if let Some(key) = [KIND].into_iter().chain(others).find(differs) {
        let said = |meta: &IndexMeta| meta.extra[key].to_string();
        return Err(Error::invalid(format!("note `{key}` of {here}"), said(meta), said(ours))
            .with_hint("make all with the same options of gxn index"));
    }
    Ok(())
}

/// Refuses to take over an index in `dir` that has nothing to do with the parts, or that cannot be read.
fn require_target(first: &Index, dir: &Path, parts: &[PathBuf]) -> Result<()> {
    let what = || format!("the index to merge into, {}", dir.display());
    const ELSEWHERE: &str = "merge into an index of the whole source, or into a new folder";
    if parts.iter().any(|part| real(part) == real(dir)) {
        return Err(Error::invalid(what(), "one of the parts", "another folder").with_hint(ELSEWHERE));
    }
    if !Index::exists(dir) {
        return Ok(());
    }
    let target = Index::open(dir).map_err(|error| {
        Error::invalid(what(), error.to_string(), "a sound index")
            .with_hint("bring it in order with gxn index SOURCE --index DIR, or remove its folder, and merge again")
    })?;
    if let Some(shard) = noted(target.meta(), SHARD) {
        let found = format!("share {shard} of its source");
        return Err(Error::invalid(what(), found, "one of the whole source").with_hint(ELSEWHERE));
    }
    require_alike(first, dir, target.meta())
}

/// Refuses to take items out for a share that is not looked at.
fn require_all_shares(parts: &[Index]) -> Result<()> {
    let shares = parts.iter().map(|part| noted_shard(part.meta())).collect::<Result<Vec<_>>>()?;
    let Some(of) = shares.iter().flatten().next().map(|shard| shard.of) else { return Ok(()) };
    let named = |at: usize| match shares[at] {
        Some(shard) => format!("{} with share {}/{}", parts[at].dir().display(), shard.number, shard.of),
        None => format!("{} with the whole source", parts[at].dir().display()),
    };
    let is_other = |at: &usize| shares[*at].is_none_or(|shard| shard.of != of);
    let is_second = |at: &usize| shares[..*at].contains(&shares[*at]);
    let missing: Vec<String> = (1..=of)
        .filter(|number| shares.iter().flatten().all(|shard| shard.number != *number))
        .take(NAMED + 1)
        .map(|number| format!("{number}/{of}"))
        .collect();
    let found = if let Some(at) = (0..parts.len()).find(is_other) {
        named(at)
    } else if let Some(at) = (0..parts.len()).find(is_second) {
        format!("{}, once more", named(at))
    } else if let [.., last] = &missing[..] {
        let more = if missing.len() > NAMED { "and more" } else { last };
        let named = missing.iter().take(NAMED.min(missing.len() - 1)).map(String::as_str);
        format!("no share {}", named.chain([more]).collect::<Vec<_>>().join(", "))
    } else {
        return Ok(());
    };
    Err(Error::invalid("the parts to merge with --only-parts", found, format!("each of the {of} shares once"))
        .with_hint("name all shares, or leave --only-parts out: then nothing is taken out"))
}

/// Missing shares that are named.
const NAMED: usize = 8;

#[cfg(test)]
mod tests {
    use gxn_index::{ImageItem, Similarity, Space};
    use serde_json::json;

    use super::*;

    const SPACE: Space = Space { similarity: Similarity::Cosine, lambda: 0.5, dims_abstract: 1, dims_grounded: 1 };

    /// An index of one picture, `id`, of a source.
    fn index(dir: &Path, id: &str, model: &str, notes: serde_json::Value) -> PathBuf {
        let settings = IndexSettings { model: model.into(), space: SPACE, extra: notes.as_object().unwrap().clone() };
        let mut writer = IndexWriter::create(dir, settings).unwrap();
        let item = ImageItem { id: id.into(), path: id.into(), ..Default::default() };
        writer.put_image(&item, &[1.0, 0.5]).unwrap();
        writer.finish().unwrap();
        dir.to_path_buf()
    }

    fn ids(index: &Index) -> Vec<String> {
        index.rows(Modality::Image).map(|row| index.image(row).unwrap().id).collect()
    }

    fn refused(dir: &Path, parts: &[PathBuf], only_parts: bool, said: &[&str]) {
        let before = Index::open(dir).ok().map(|index| (ids(&index), index.meta().clone()));
        let error = merge_indexes(dir, parts, only_parts).unwrap_err();
        let text = format!("{error} hint: {}", error.hint().unwrap_or_default());
        assert!(said.iter().all(|part| text.contains(part)), "{text}");
        assert_eq!(Index::open(dir).ok().map(|index| (ids(&index), index.meta().clone())), before);
    }

    fn share(number: u64, of: u64) -> serde_json::Value {
        json!({"source": "/photos", "root": "/photos", "kind": "pictures", "shard": format!("{number}/{of}")})
    }

    #[test]
    fn the_target_is_looked_at_like_the_parts() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let whole = |source: &str| json!({"source": source, "root": source, "kind": "pictures"});
        let parts = [index(&at("1"), "a", "m", share(1, 2)), index(&at("2"), "b", "m", share(2, 2))];
        let other = index(&at("other"), "x", "m", whole("/elsewhere"));
        refused(
            &other,
            &parts,
            false,
            &["source of", "found /elsewhere, expected /photos", "hint: merge indexes of one"],
        );
        refused(&other, &parts, true, &["found /elsewhere, expected /photos"]);
        let model = index(&at("model"), "x", "n", whole("/photos"));
        refused(&model, &parts, false, &["model of", "found n, expected m", "reindex"]);
        let kind = index(&at("kind"), "x", "m", json!({"source": "/photos", "root": "/photos", "kind": "data set"}));
        refused(&kind, &parts, false, &["note `kind`", "found \"data set\", expected \"pictures\""]);
        let unknown = index(&at("unknown"), "x", "m", json!({}));
        refused(&unknown, &parts, false, &["found nothing noted, expected /photos"]);
        refused(&parts[0], &parts, false, &["found one of the parts, expected another folder"]);
        let third = index(&at("third"), "c", "m", share(1, 3));
        refused(&third, &parts, false, &["found share 1/3 of its source", "the whole source"]);

        // Rows that are gone are no reason to begin anew without a word.
        let damaged = index(&at("damaged"), "x", "m", whole("/photos"));
        let rows = std::fs::read_dir(damaged.join("segments")).unwrap().next().unwrap().unwrap().path();
        let bytes = std::fs::read(&rows).unwrap();
        std::fs::remove_file(&rows).unwrap();
        refused(&damaged, &parts, false, &["the index to merge into", "expected a sound index", "bring it in order"]);
        std::fs::write(&rows, bytes).unwrap();
        assert_eq!(ids(&Index::open(&damaged).unwrap()), ["x"]);

        let target = index(&at("target"), "x", "m", whole("/photos"));
        let (merged, removed) = merge_indexes(&target, &parts, false).unwrap();
        assert_eq!((ids(&merged), removed.len()), (vec!["x".into(), "a".into(), "b".into()], 0));
        let (merged, removed) = merge_indexes(&target, &parts, true).unwrap();
        assert_eq!((ids(&merged).len(), removed), (2, vec!["x".to_string()]));
        assert_eq!(merged.meta().extra.get(SHARD), None);
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
        refused(&to, &[first.clone(), options], false, &["note `options`", "same options"]);
        refused(&to, &[], false, &["the parts to merge: found none"]);
        assert!(!to.exists());
        merge_indexes(&to, &[first], false).unwrap();
    }

    /// A share that is not named would take its pictures out.
    #[test]
    fn only_parts_needs_every_share_once() {
        let folder = tempfile::tempdir().unwrap();
        let part = |name: &str, notes| index(&folder.path().join(name), name, "m", notes);
        let shares: Vec<PathBuf> = (1..=3).map(|n| part(&n.to_string(), share(n, 3))).collect();
        let whole = part("whole", json!({"source": "/photos", "root": "/photos", "kind": "pictures"}));
        let (again, of_two) = (part("again", share(2, 3)), part("of two", share(1, 2)));
        let to = folder.path().join("to");
        merge_indexes(&to, &shares, true).unwrap();
        let [first, second, third] = [0, 1, 2].map(|at| shares[at].clone());
        let hint = "name all shares, or leave --only-parts out";
        refused(&to, std::slice::from_ref(&second), true, &["no share 1/3, 3/3", "each of the 3 shares once", hint]);
        refused(&to, &[first.clone(), second.clone()], true, &["no share 3/3"]);
        refused(&to, &[first.clone(), second.clone(), third.clone(), again], true, &["share 2/3, once more"]);
        refused(&to, &[first.clone(), second.clone(), of_two], true, &["share 1/2"]);
        refused(&to, &[first.clone(), second.clone(), third, whole.clone()], true, &["the whole source"]);
        // Without it nothing is taken out, and any parts do.
        assert_eq!(ids(&merge_indexes(&to, &[first, second], false).unwrap().0).len(), 3);
        assert_eq!(ids(&merge_indexes(&to, &[whole], true).unwrap().0), ["whole"]);
        let many = part("many", share(1, 1000));
        let other = folder.path().join("other");
        refused(
            &other,
            &[many],
            true,
            &["no share 2/1000, 3/1000, 4/1000, 5/1000, 6/1000, 7/1000, 8/1000, 9/1000, and more"],
        );
    }
}
