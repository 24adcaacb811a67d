//! Damaged rows are found, released and replaced, and nothing else is.

use gxn_index::{
    CaptionItem, DamagedItems, ImageItem, Index, IndexSettings, IndexWriter, Modality, Remedy, Similarity, Space,
};
use std::fs;
use std::path::{Path, PathBuf};

const HEADER: usize = 128;
const RECORD: usize = 64;

fn settings() -> IndexSettings {
    let space = Space { similarity: Similarity::Cosine, lambda: 0.5, dims_abstract: 1, dims_grounded: 1 };
    IndexSettings { model: "m".into(), space, extra: Default::default() }
}

fn image(id: &str, content: char) -> ImageItem {
    let sha256 = content.to_string().repeat(64);
    ImageItem { id: id.into(), path: format!("{id}.jpg"), sha256, ..Default::default() }
}

fn caption(id: &str) -> CaptionItem {
    CaptionItem { id: format!("{id}#0"), image_id: id.into(), text: format!("a {id}") }
}

const IMAGES: [(&str, char, [f32; 2]); 5] = [
    ("a", 'a', [1.0, 0.5]),
    ("b", 'b', [0.5, 1.0]),
    ("b2", 'b', [0.5, 1.0]),
    ("c", 'c', [0.25, 1.0]),
    ("d", 'd', [1.0, 1.0]),
];

/// Four rows of images, of which one has two items, and a caption of `a`. Returns the row files.
fn write(dir: &Path) -> [PathBuf; 2] {
    let mut writer = IndexWriter::create(dir, settings()).unwrap();
    for (id, content, row) in IMAGES {
        writer.put_image(&image(id, content), &row).unwrap();
    }
    writer.put_caption(&caption("a"), &[0.5, 0.5]).unwrap();
    writer.finish().unwrap();
    let file = |name: &str| {
        let mut files = fs::read_dir(dir.join("segments")).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name)).unwrap()
    };
    [file("images"), file("captions")]
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

fn ids<const N: usize>(ids: [&str; N]) -> std::collections::HashSet<String> {
    ids.map(String::from).into()
}

/// Repairs the index by putting the damaged items, and only those, again.
fn repair(dir: &Path) -> DamagedItems {
    let mut writer = IndexWriter::repair(dir, settings()).unwrap();
    let damaged = writer.release_damaged().unwrap();
    for (id, content, row) in IMAGES {
        if damaged.images.contains(id) && writer.link_image(&image(id, content)).unwrap().is_none() {
            writer.put_image(&image(id, content), &row).unwrap();
        }
    }
    if damaged.captions.contains("a#0") {
        assert_eq!(writer.link_caption(&caption("a")).unwrap(), None);
        writer.put_caption(&caption("a"), &[0.5, 0.5]).unwrap();
    }
    let index = writer.finish().unwrap();
    index.verify().unwrap();
    for (id, _, row) in IMAGES {
        let at = index.row_of(Modality::Image, id).unwrap().unwrap();
        assert_eq!(index.row(Modality::Image, at).unwrap(), row, "{id}");
    }
    assert_eq!((index.count(Modality::Image), index.count(Modality::Text)), (5, 1));
    assert_eq!((index.meta().images.rows, index.meta().images.dead_rows), (4, 0));
    assert_eq!(index.caption(index.row_of(Modality::Text, "a#0").unwrap().unwrap()).unwrap(), caption("a"));
    damaged
}

#[test]
fn every_flipped_bit_costs_its_own_row_alone() {
    let images = |found: &DamagedItems| found.images.clone();
    let parent = tempfile::tempdir().unwrap();
    for (at, expected) in [
        (HEADER + 1, ids(["a"])),
        (HEADER + RECORD + 60, ids(["b", "b2"])),
        (HEADER + 2 * RECORD + 40, ids(["c"])),
        (HEADER + 4 * RECORD - 1, ids(["d"])),
        // The header is known from the catalogue.
        (0, ids([])),
        (8, ids([])),
        (33, ids([])),
        (HEADER - 1, ids([])),
    ] {
        let dir = parent.path().join(at.to_string());
        let [path, _] = write(&dir);
        flip(&path, at);
        let error = Index::open(&dir).and_then(|index| index.verify()).unwrap_err();
        // A header of another version is that of another program, as far as a reader can tell.
        assert!(at == 8 || error.remedy() == Some(&Remedy::RepairIndex), "{at}: {error:?}");
        assert_eq!(images(&repair(&dir)), expected, "byte {at}");
        assert_eq!(repair(&dir), DamagedItems::default());
    }
    let dir = parent.path().join("captions");
    let [_, path] = write(&dir);
    flip(&path, HEADER + 3);
    let found = repair(&dir);
    assert_eq!((found.images, found.captions), (ids([]), ids(["a#0"])));
}

/// Two sound rows that changed places: which they are cannot be known.
#[test]
fn rows_in_the_wrong_places_are_all_replaced() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let [path, _] = write(&dir);
    let mut bytes = fs::read(&path).unwrap();
    let (first, second) = bytes[HEADER..].split_at_mut(RECORD);
    first.swap_with_slice(&mut second[..RECORD]);
    fs::write(&path, bytes).unwrap();
    assert_eq!(repair(&dir).images, ids(["a", "b", "b2", "c", "d"]));
}

/// What could not be put again stays, is searched as before, and is found damaged once more.
#[test]
fn what_is_not_put_again_stays_damaged() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let [path, _] = write(&dir);
    flip(&path, HEADER + 1);
    let mut writer = IndexWriter::repair(&dir, settings()).unwrap();
    assert_eq!(writer.release_damaged().unwrap().images, ids(["a"]));
    let index = writer.finish().unwrap();
    assert_eq!(index.count(Modality::Image), 5);
    assert_eq!(index.verify().unwrap_err().remedy(), Some(&Remedy::RepairIndex));
    assert_eq!(repair(&dir).images, ids(["a"]));
}

#[test]
fn a_damaged_catalogue_makes_a_new_index() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    write(&dir);
    let path = dir.join("catalogue.redb");
    let good = fs::read(&path).unwrap();
    let is_noticed = |at: &usize| {
        let mut bytes = good.clone();
        bytes[*at] ^= 4;
        fs::write(&path, bytes).unwrap();
        Index::open(&dir).is_ok_and(|index| index.verify().is_err())
    };
    // One that opening does not notice.
    let at = (0..good.len()).step_by(101).find(is_noticed).unwrap();
    assert!(is_noticed(&at));
    let mut writer = IndexWriter::repair(&dir, settings()).unwrap();
    assert_eq!(writer.release_damaged().unwrap(), DamagedItems::default());
    assert_eq!(writer.meta().images.count, 0);
    for (id, content, row) in IMAGES {
        writer.put_image(&image(id, content), &row).unwrap();
    }
    writer.finish().unwrap().verify().unwrap();
}
