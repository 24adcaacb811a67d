//! Whatever lies in the files of an index, readers and writers give an answer.

use crate::fixture::{committed, copy};
use gxn_index::{
    Filter, Index, IndexMeta, IndexSettings, IndexWriter, Kind, Modality, PartKind, QueryPart, SearchOptions,
};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
enum Change {
    Flip { file: usize, at: prop::sample::Index, with: u8 },
    Cut { file: usize, at: prop::sample::Index },
    Overwrite { file: usize, at: prop::sample::Index, bytes: Vec<u8> },
    Swap { files: [usize; 2] },
    Remove { file: usize },
}

fn changes() -> impl Strategy<Value = Change> {
    let (file, at) = (0usize..4, any::<prop::sample::Index>);
    prop_oneof![
        8 => (file.clone(), at(), 1u8..).prop_map(|(file, at, with)| Change::Flip { file, at, with }),
        2 => (file.clone(), at()).prop_map(|(file, at)| Change::Cut { file, at }),
        4 => (file.clone(), at(), prop::collection::vec(any::<u8>(), 1..40))
            .prop_map(|(file, at, bytes)| Change::Overwrite { file, at, bytes }),
        1 => [0usize..4, 0usize..4].prop_map(|files| Change::Swap { files }),
        1 => file.prop_map(|file| Change::Remove { file }),
    ]
}

fn apply(dir: &Path, change: &Change) {
    let files: [PathBuf; 4] =
        ["meta.json", "catalogue.redb", "segments/images-2.f16", "segments/captions-1.f16"].map(|name| dir.join(name));
    let edit = |file: usize, work: &dyn Fn(&mut Vec<u8>)| {
        if let Ok(mut bytes) = fs::read(&files[file])
            && !bytes.is_empty()
        {
            work(&mut bytes);
            fs::write(&files[file], bytes).unwrap();
        }
    };
    match change {
        Change::Flip { file, at, with } => edit(*file, &|bytes| {
            let at = at.index(bytes.len());
            bytes[at] ^= with;
        }),
        Change::Cut { file, at } => edit(*file, &|bytes| bytes.truncate(at.index(bytes.len()))),
        Change::Overwrite { file, at, bytes: new } => edit(*file, &|bytes| {
            let at = at.index(bytes.len());
            let end = bytes.len().min(at + new.len());
            bytes[at..end].copy_from_slice(&new[..end - at]);
        }),
        Change::Swap { files: [a, b] } => {
            if let (Ok(one), Ok(two)) = (fs::read(&files[*a]), fs::read(&files[*b])) {
                fs::write(&files[*a], two).unwrap();
                fs::write(&files[*b], one).unwrap();
            }
        }
        Change::Remove { file } => drop(fs::remove_file(&files[*file])),
    }
}

/// All that a reader can be asked; what it found, if it could.
fn read(dir: &Path) -> Option<Vec<String>> {
    let index = Index::open(dir).ok()?;
    let vector = vec![0.5; index.meta().space.dims()];
    let part = QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Cross };
    let filter = Filter::parse("width>1 or camera=none").unwrap();
    let mut found = Vec::new();
    for target in [Modality::Image, Modality::Text] {
        for filter in [None, Some(&filter)] {
            let options = SearchOptions { filter, fold_captions: true, ..SearchOptions::new(target, 9) };
            found.push(format!("{:?}", index.search_with(&[&[part]], &options).ok()?));
        }
        index.unknown_fields(target, &filter).ok()?;
    }
    index
        .export_images(|row, item, vector| {
            found.push(format!("{row} {item:?} {vector:?}"));
            Ok::<_, gxn_index::Error>(())
        })
        .ok()?;
    Some(found)
}

fn settings(meta: &IndexMeta) -> IndexSettings {
    IndexSettings { model: meta.model.clone(), space: meta.space, extra: meta.extra.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn damaged_files_give_an_answer(changes in prop::collection::vec(changes(), 1..4)) {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("index");
        copy(&committed("v3"), &dir);
        let (sound, meta) = (read(&dir).unwrap(), IndexMeta::read(&dir).unwrap());
        changes.iter().for_each(|change| apply(&dir, change));
        let found = read(&dir);
        // Damage that `verify` does not find is none.
        if let Ok(index) = Index::open(&dir)
            && index.verify().is_ok()
        {
            prop_assert_eq!(found, Some(sound.clone()));
        }
        // A repair gives back what was there, after what is damaged was put again, or begins a new index, or refuses.
        match IndexWriter::repair(&dir, settings(&meta)) {
            Ok(mut writer) => {
                let damaged = writer.release_damaged().unwrap();
                let is_whole = damaged.images.is_empty() && damaged.captions.is_empty() && writer.meta().images.count > 0;
                let index = writer.finish().unwrap();
                if is_whole {
                    index.verify().unwrap();
                    drop(index);
                    prop_assert_eq!(read(&dir), Some(sound));
                }
            }
            Err(error) => prop_assert_ne!(error.kind(), Kind::Interrupted),
        }
    }
}
