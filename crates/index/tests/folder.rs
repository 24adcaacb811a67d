//! The folder on disk: replaced whole or not at all, and never trusted.

use crate::clustered_rows::Random;
use crate::fixture::write;
use crate::sketches::embedding;
use gxn_index::{
    CaptionItem, ImageItem, Index, IndexSettings, IndexWriter, Modality, PartKind, QueryPart, Similarity, Space,
};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

fn settings() -> IndexSettings {
    let space = Space { similarity: Similarity::Cosine, lambda: 1.0, dims_abstract: 2, dims_grounded: 0 };
    IndexSettings { model: "new".into(), space, extra: Default::default() }
}

/// As the fixture's.
fn order_settings() -> IndexSettings {
    let similarity = Similarity::Order;
    let space = Space { similarity, lambda: 0.25, dims_abstract: 2, dims_grounded: 3 };
    IndexSettings { space, ..settings() }
}

fn image(id: &str) -> ImageItem {
    ImageItem { id: id.into(), path: id.into(), width: 1, height: 1, ..Default::default() }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn a_dropped_writer_leaves_the_old_index_and_a_finished_one_replaces_it() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let reader = write(&dir, "old");
    let before = files(&dir);
    let mut writer = IndexWriter::create(&dir, settings()).unwrap();
    writer.put_image(&image("x"), &[1.0, 0.0]).unwrap();
    assert_eq!(Index::open(&dir).unwrap().meta().model, "old");
    drop(writer);
    assert_eq!(files(&dir), before);
    Index::open(&dir).unwrap().verify().unwrap();

    let mut writer = IndexWriter::create(&dir, settings()).unwrap();
    writer.put_image(&image("x"), &[1.0, 0.0]).unwrap();
    let new = writer.finish().unwrap();
    new.verify().unwrap();
    assert_eq!((new.meta().model.as_str(), new.count(Modality::Image), new.count(Modality::Text)), ("new", 1, 0));
    assert_eq!(files(&dir).len(), 4, "meta.json, lock, catalogue and the new rows: {:?}", files(&dir));
    // The reader that was open before still has its own rows.
    assert_eq!(reader.row(Modality::Image, 1).unwrap(), [0.0, 1.0, 0.25, 0.75, 0.5]);
    assert_eq!(reader.image(1).unwrap().id, "b");
}

#[test]
fn an_abandoned_first_index_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    drop(IndexWriter::create(&dir, settings()).unwrap());
    assert!(!dir.exists());
    let empty = IndexWriter::create(&dir, settings()).unwrap().finish().unwrap();
    assert_eq!(empty.count(Modality::Image), 0);
}

#[test]
fn a_killed_writers_rows_are_swept() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    write(&dir, "old");
    let before: Vec<_> = files(&dir).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    fs::write(dir.join("segments/images-77.f16"), "half a row").unwrap();
    let rows = dir.join("segments/images-2.f16");
    fs::write(&rows, [fs::read(&rows).unwrap(), vec![1; 77]].concat()).unwrap();
    fs::write(dir.join("meta.json.new"), "{").unwrap();
    assert_eq!(Index::open(&dir).unwrap().meta().model, "old");
    Index::open(&dir).unwrap().verify().unwrap();
    drop(IndexWriter::update(&dir, IndexSettings { model: "old".into(), ..order_settings() }).unwrap());
    assert!(!dir.join("segments/images-77.f16").exists());
    for (bytes, path) in before.iter().filter(|(_, path)| path.extension().is_some_and(|e| e == "f16")) {
        assert_eq!(&fs::read(path).unwrap(), bytes);
    }
}

#[test]
fn a_second_writer_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = IndexWriter::create(dir.path(), settings()).unwrap();
    let error = IndexWriter::create(dir.path(), settings()).unwrap_err();
    assert!(error.to_string().contains("found another program writing it"), "{error}");
    assert!(error.hint().unwrap().contains("wait"));
    first.finish().unwrap();
    IndexWriter::create(dir.path(), settings()).unwrap();
}

#[test]
fn a_folder_of_other_things_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [("cat.jpg", "jpeg"), ("meta.json", "{\"format\": \"other\"}")] {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        let error = IndexWriter::create(dir.path(), settings()).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
        assert_eq!(files(dir.path()), std::slice::from_ref(&path));
        fs::remove_file(path).unwrap();
    }
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    IndexWriter::create(&file, settings()).unwrap_err();
    assert!(Index::open(&file).unwrap_err().to_string().starts_with("cannot read "));
}

#[test]
fn items_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = IndexWriter::create(dir.path(), settings()).unwrap();
    writer.put_image(&image("x"), &[1.0, 0.0]).unwrap();
    let nan = writer.put_image(&image("y"), &[1.0, f32::NAN]).unwrap_err();
    assert!(nan.to_string().starts_with("embedding of y: found NaN at place 1"), "{nan}");
    writer.put_image(&image("y"), &[1.0, 0.5]).unwrap();
    let caption = CaptionItem { id: "c".into(), image_id: "z".into(), text: "words".into() };
    writer.put_caption(&caption, &[0.0, 1.0]).unwrap();
    let orphan = writer.finish().unwrap_err();
    assert_eq!(orphan.to_string(), "image z of a caption: found no such image, expected an image of the index");
    assert!(!Index::exists(dir.path()));
}

#[test]
fn a_foreign_model_is_refused_by_both_names() {
    let dir = tempfile::tempdir().unwrap();
    let index = write(dir.path(), "abc123");
    let error = index.require_model("fff000").unwrap_err();
    assert!(error.to_string().contains("found fff000, expected abc123"), "{error}");
    assert!(error.hint().unwrap().contains("index the images again"));
}

/// Flipped bits are found by verify, unless they lie where nothing is kept: then the index is still the same.
#[test]
fn damage_is_found() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    write(&dir, "m");
    let content = content_of(&dir).unwrap();
    let (mut found, mut harmless) = (0, 0);
    for path in files(&dir).into_iter().filter(|p| !p.ends_with("lock")) {
        let good = fs::read(&path).unwrap();
        let catalogue = path.ends_with("catalogue.redb");
        let step = if catalogue { good.len() / 60 } else { 7 };
        for cut in (0..good.len()).step_by(step).chain([good.len() - 1]) {
            fs::write(&path, &good[..cut]).unwrap();
            // meta.json without its last newline is whole.
            let whole = path.ends_with("meta.json") && cut + 1 == good.len();
            match content_of(&dir) {
                // The end of the catalogue may be free pages.
                Ok(found) => assert!(found == content && (whole || catalogue), "{} cut at {cut}", path.display()),
                Err(_) => assert!(!whole),
            }
        }
        for at in (0..good.len()).step_by(if catalogue { 499 } else { 5 }) {
            let mut bad = good.clone();
            bad[at] ^= 0x11;
            fs::write(&path, &bad).unwrap();
            match Index::open(&dir).and_then(|index| index.verify()) {
                Err(_) => found += 1,
                Ok(()) => {
                    harmless += 1;
                    let name = path.display();
                    assert!(!name.to_string().ends_with("f16"), "{name} changed at {at}");
                    assert_eq!(content_of(&dir).unwrap(), content, "{name} changed at {at}");
                }
            }
        }
        fs::remove_file(&path).unwrap();
        assert!(Index::open(&dir).unwrap_err().kind() == gxn_index::Kind::NotFound);
        fs::write(&path, &good).unwrap();
    }
    println!("{found} changes found, {harmless} in unused places");
    assert_eq!(content_of(&dir).unwrap(), content);
}

/// All that a reader can learn of an index.
fn content_of(dir: &Path) -> gxn_index::Result<String> {
    let index = Index::open(dir)?;
    let mut content = format!("{:?}", index.meta());
    for modality in [Modality::Image, Modality::Text] {
        for row in index.rows(modality) {
            let part = QueryPart { vector: &index.row(modality, row)?, weight: 1.0, kind: PartKind::Same };
            content += &format!("{:?}", index.search(&[part], modality, 9, 0)?);
        }
    }
    content += &index.rows(Modality::Image).map(|row| format!("{:?}", index.image(row))).collect::<String>();
    Ok(content)
}

#[test]
fn another_version_says_so() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "m");
    let path = dir.path().join("meta.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"version\": 3", "\"version\": 4")).unwrap();
    let error = Index::open(dir.path()).unwrap_err();
    assert!(error.to_string().ends_with("found 4, expected 2 to 3"), "{error}");
    // Of a later version nothing is known: nothing is touched.
    let content = |paths: &[PathBuf]| -> Vec<Vec<u8>> { paths.iter().map(|path| fs::read(path).unwrap()).collect() };
    let before = files(dir.path());
    let bytes = content(&before);
    for open in [IndexWriter::create, IndexWriter::update] {
        let error = open(dir.path(), IndexSettings { model: "m".into(), ..order_settings() }).unwrap_err();
        assert!(error.to_string().ends_with("found 4, expected 2 to 3"), "{error}");
        assert!(error.hint().unwrap().contains("another version of this program"), "{error}");
        assert_eq!((files(dir.path()), content(&before)), (before.clone(), bytes.clone()));
    }
    // One of an earlier version may be replaced, and stays until then.
    fs::write(&path, text.replace("\"version\": 3", "\"version\": 1")).unwrap();
    let error = Index::open(dir.path()).unwrap_err();
    assert!(error.hint().unwrap().contains("index again"), "{error}");
    let before = files(dir.path());
    let writer = IndexWriter::create(dir.path(), settings()).unwrap();
    assert!(before.iter().all(|path| path.exists()));
    writer.finish().unwrap();
    assert_eq!(Index::open(dir.path()).unwrap().meta().model, "new");
    // So may a damaged one.
    fs::write(&path, &text[..30]).unwrap();
    IndexWriter::create(dir.path(), settings()).unwrap().finish().unwrap().verify().unwrap();
    for garbage in [&b""[..], b"garbage", &[0x5a; 70_000]] {
        fs::write(dir.path().join("catalogue.redb"), garbage).unwrap();
        Index::open(dir.path()).unwrap_err();
        let mut writer = IndexWriter::update(dir.path(), settings()).unwrap();
        writer.put_image(&image("x"), &[1.0, 0.0]).unwrap();
        writer.finish().unwrap().verify().unwrap();
        assert!(!dir.path().join("catalogue.damaged").exists());
    }
}

/// Until another index is finished, a damaged catalogue and all its row files stay: who has a copy can bring it back.
#[test]
fn a_damaged_index_stays_until_another_is_in_its_place() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    write(&dir, "m");
    let content = content_of(&dir).unwrap();
    let catalogue = dir.join("catalogue.redb");
    let good = fs::read(&catalogue).unwrap();
    let rows: Vec<PathBuf> = files(&dir.join("segments"));
    let bytes: Vec<Vec<u8>> = rows.iter().map(|path| fs::read(path).unwrap()).collect();
    let all_there = || rows.iter().zip(&bytes).all(|(path, bytes)| fs::read(path).is_ok_and(|now| now == *bytes));
    let mut random = Random(3);
    let mut garbage = vec![vec![], vec![0; 5000], good[..good.len() / 2].to_vec(), good[..4096].to_vec()];
    garbage.extend((0..6).map(|_| {
        embedding(&mut random, 5).iter().cycle().take(3000).flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()
    }));
    for (number, garbage) in garbage.iter().enumerate() {
        fs::write(&catalogue, garbage).unwrap();
        Index::open(&dir).unwrap_err();
        // Dropped without a commit: everything is as it was. An empty file is a new catalogue to the database.
        let mut writer = IndexWriter::update(&dir, settings()).unwrap();
        writer.put_image(&image("x"), &[1.0, 0.0]).unwrap();
        drop(writer);
        assert!(all_there() && files(&dir.join("segments")).len() == rows.len(), "{number}");
        assert!(garbage.is_empty() || fs::read(&catalogue).unwrap() == *garbage, "{number}");
        assert!(!dir.join("catalogue.damaged").exists());
    }
    // A catalogue that is lost is no reason either.
    fs::remove_file(&catalogue).unwrap();
    let mut writer = IndexWriter::update(&dir, settings()).unwrap();
    writer.put_image(&image("x"), &[1.0, 0.0]).unwrap();
    writer.commit().unwrap();
    drop(writer);
    drop(IndexWriter::update(&dir, settings()).unwrap());
    assert!(all_there());
    fs::remove_file(&catalogue).unwrap();
    fs::write(&catalogue, &garbage[5]).unwrap();
    // Committed, but not finished: the next writer goes on, and still nothing is removed.
    let mut writer = IndexWriter::update(&dir, settings()).unwrap();
    writer.put_image(&image("x"), &[1.0, 0.0]).unwrap();
    writer.commit().unwrap();
    drop(writer);
    assert!(all_there() && dir.join("catalogue.damaged").exists());
    let mut writer = IndexWriter::update(&dir, settings()).unwrap();
    assert_eq!(writer.meta().images.count, 1);
    writer.put_image(&image("y"), &[0.0, 1.0]).unwrap();
    assert!(all_there());
    let new = writer.finish().unwrap();
    new.verify().unwrap();
    assert_eq!(new.count(Modality::Image), 2);
    assert!(!dir.join("catalogue.damaged").exists() && rows.iter().all(|path| !path.exists()));
    // And an index that comes back is the old one.
    fs::remove_dir_all(&dir).unwrap();
    write(&dir, "m");
    fs::write(&catalogue, &garbage[5]).unwrap();
    drop(IndexWriter::update(&dir, settings()).unwrap());
    fs::write(&catalogue, &good).unwrap();
    assert_eq!(content_of(&dir).unwrap().len(), content.len());
}

/// Whatever stands in the catalogue, opening, reading and writing give an answer.
#[test]
fn any_catalogue_gives_an_answer() {
    let parent = tempfile::tempdir().unwrap();
    let good = parent.path().join("good");
    write(&good, "m");
    let bytes = fs::read(good.join("catalogue.redb")).unwrap();
    let dir = parent.path().join("index");
    let ran = |bytes: &[u8]| {
        crate::fixture::copy(&good, &dir);
        fs::write(dir.join("catalogue.redb"), bytes).unwrap();
        let _ = content_of(&dir);
        if let Ok(mut writer) = IndexWriter::update(&dir, IndexSettings { model: "m".into(), ..order_settings() }) {
            let _ = writer.put_image(&image("x"), &[1.0, 0.0, 0.5, 0.5, 0.25]);
            let _ = writer.finish().map(|index| index.verify());
        }
        fs::remove_dir_all(&dir).unwrap();
    };
    for cut in (0..bytes.len()).step_by(bytes.len() / 12) {
        ran(&bytes[..cut]);
    }
    let config = ProptestConfig { cases: 64, ..ProptestConfig::default() };
    proptest!(config, |(at in any::<prop::sample::Index>(), length in 1usize..300, seed in any::<u64>())| {
        let mut bytes = bytes.clone();
        let at = at.index(bytes.len());
        let mut state = seed;
        for byte in bytes.iter_mut().skip(at).take(length) {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            *byte ^= (state >> 56) as u8;
        }
        ran(&bytes);
    });
}

/// A good meta.json with one byte changed may still be one; searching it must not panic.
#[test]
fn a_changed_meta_never_panics() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "m");
    let path = dir.path().join("meta.json");
    let good = fs::read(&path).unwrap();
    proptest!(|(at in any::<prop::sample::Index>(), byte in any::<u8>())| {
        let mut bytes = good.clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        fs::write(&path, &bytes).unwrap();
        if let Ok(index) = Index::open(dir.path()) {
            let vector = index.row(Modality::Image, 0).unwrap();
            let part = QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Cross };
            prop_assert_eq!(index.search(&[part], Modality::Image, 5, 0).unwrap().len(), 3);
        }
    });
}
