//! Adding, replacing, renaming, removing, compacting: an index against a plain map that does the same.

use gxn_index::{
    CaptionItem, Change, ImageItem, Index, IndexSettings, IndexWriter, Modality, PartKind, QueryPart, Similarity, Space,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub fn settings(model: &str) -> IndexSettings {
    let space = Space { similarity: Similarity::Cosine, lambda: 0.5, dims_abstract: 2, dims_grounded: 1 };
    IndexSettings { model: model.into(), space, extra: Default::default() }
}

/// The content `number` under the name `id`.
pub fn image(id: &str, number: u8) -> ImageItem {
    let sha256 = format!("{number:064x}");
    ImageItem { id: id.into(), path: format!("{id}.jpg"), sha256, size: 7, ..Default::default() }
}

pub fn vector(number: u8) -> [f32; 3] {
    [f32::from(number), 1.0, 0.5]
}

fn caption(id: &str, image_id: &str, text: &str) -> CaptionItem {
    CaptionItem { id: id.into(), image_id: image_id.into(), text: text.into() }
}

fn ids(index: &Index, parts: &[QueryPart<'_>], modality: Modality) -> Vec<String> {
    index.search(parts, modality, 100, 0).unwrap().into_iter().map(|hit| hit.id).collect()
}

#[test]
fn of_two_equal_files_one_can_go_and_the_other_stays() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let mut writer = IndexWriter::create(&dir, settings("m")).unwrap();
    writer.put_image(&image("b", 5), &vector(5)).unwrap();
    writer.put_image(&image("a", 5), &vector(5)).unwrap();
    writer.put_image(&image("c", 9), &vector(9)).unwrap();
    assert_eq!((writer.meta().images.count, writer.meta().images.rows), (3, 2));
    let index = writer.finish().unwrap();
    let vector = index.row(Modality::Image, 0).unwrap();
    let part = [QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Same }];
    assert_eq!(ids(&index, &part, Modality::Image), ["a", "b", "c"]);
    assert_eq!(index.images_of(0).unwrap().len(), 2);
    let second = index.search(&part, Modality::Image, 1, 1).unwrap();
    assert_eq!((second[0].id.as_str(), second[0].row), ("b", 0));

    let mut writer = IndexWriter::update(&dir, settings("m")).unwrap();
    assert!(writer.remove(Modality::Image, "a").unwrap());
    assert!(!writer.remove(Modality::Image, "a").unwrap());
    writer.commit().unwrap();
    assert_eq!(writer.meta().images.dead_rows, 0);
    assert_eq!(ids(&Index::open(&dir).unwrap(), &part, Modality::Image), ["b", "c"]);
    assert!(writer.remove(Modality::Image, "b").unwrap());
    writer.commit().unwrap();
    assert_eq!((writer.meta().images.rows, writer.meta().images.dead_rows), (1, 1));
    assert_eq!(ids(&Index::open(&dir).unwrap(), &part, Modality::Image), ["c"]);
    // The reader that was open all the time sees what it saw.
    assert_eq!(ids(&index, &part, Modality::Image), ["a", "b", "c"]);
    // Its content is known no longer.
    assert_eq!(writer.link_image(&image("d", 5)).unwrap(), None);
    assert_eq!(writer.link_image(&image("d", 9)).unwrap(), Some(Change::Added));
    let index = writer.finish().unwrap();
    assert_eq!(ids(&index, &part, Modality::Image), ["c", "d"]);
    assert_eq!(index.meta().images.dead_rows, 0, "compacted at the end");
    index.verify().unwrap();
}

#[test]
fn captions_follow_their_image() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let mut writer = IndexWriter::create(&dir, settings("m")).unwrap();
    writer.put_image(&image("a", 1), &vector(1)).unwrap();
    writer.put_image(&image("b", 2), &vector(2)).unwrap();
    writer.put_caption(&caption("a#0", "a", "a dog"), &vector(3)).unwrap();
    writer.put_caption(&caption("a#1", "a", "two dogs"), &vector(4)).unwrap();
    writer.put_caption(&caption("b#0", "b", "a dog"), &vector(3)).unwrap();
    writer.finish().unwrap().verify().unwrap();

    let mut writer = IndexWriter::update(&dir, settings("m")).unwrap();
    let taken = writer.rename_image("a", &image("b", 1)).unwrap_err();
    assert_eq!(taken.to_string(), "id b: found the same id twice, expected ids that differ");
    writer.rename_image("a", &image("x/a", 9)).unwrap_err();
    assert!(writer.rename_image("a", &image("x/a", 1)).unwrap());
    assert!(!writer.rename_image("a", &image("x/a", 1)).unwrap());
    writer.commit().unwrap();
    let index = Index::open(&dir).unwrap();
    assert_eq!(
        (index.count(Modality::Image), index.count(Modality::Text), index.meta().captions.unwrap().rows),
        (2, 3, 2)
    );
    let vector = vector(3);
    let part = [QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Same }];
    let hits = index.search(&part, Modality::Text, 2, 0).unwrap();
    let found: Vec<_> = hits.iter().map(|hit| (hit.id.as_str(), hit.path.as_str())).collect();
    assert_eq!(found, [("a#0", "x/a.jpg"), ("b#0", "b.jpg")]);

    writer.remove(Modality::Image, "x/a").unwrap();
    assert_eq!(writer.ids(Modality::Text).unwrap(), ["b#0"]);
    let orphan = caption("z", "x/a", "a cat");
    writer.put_caption(&orphan, &vector).unwrap();
    assert!(writer.commit().unwrap_err().to_string().starts_with("image x/a of a caption"));
    writer.remove(Modality::Text, "z").unwrap();
    let index = writer.finish().unwrap();
    index.verify().unwrap();
    assert_eq!((index.count(Modality::Image), index.count(Modality::Text)), (1, 1));
}

/// The image of a caption is missed even if the caption was written before an interruption.
#[test]
fn captions_without_image_are_noticed_in_the_end() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let mut writer = IndexWriter::update(&dir, settings("m")).unwrap();
    writer.put_image(&image("a", 1), &vector(1)).unwrap();
    writer.put_caption(&caption("a#0", "a", "a dog"), &vector(3)).unwrap();
    writer.put_caption(&caption("b#0", "b", "a cat"), &vector(4)).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let error = IndexWriter::update(&dir, settings("m")).unwrap().finish().unwrap_err();
    assert_eq!(error.to_string(), "image b of a caption: found no such image, expected an image of the index");
    assert!(!Index::exists(&dir));
    let mut writer = IndexWriter::update(&dir, settings("m")).unwrap();
    writer.put_image(&image("b", 2), &vector(2)).unwrap();
    writer.finish().unwrap().verify().unwrap();
}

/// A new model's index is made beside the old one, survives an interruption, and takes over at once.
#[test]
fn another_model_takes_over_at_the_end() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let mut writer = IndexWriter::update(&dir, settings("old")).unwrap();
    writer.put_image(&image("a", 1), &vector(1)).unwrap();
    writer.commit().unwrap();
    assert!(!Index::exists(&dir), "an unfinished first index");
    drop(writer);
    let mut writer = IndexWriter::update(&dir, settings("old")).unwrap();
    assert_eq!(writer.ids(Modality::Image).unwrap(), ["a"], "it goes on");
    assert_eq!(writer.put_image(&image("a", 1), &vector(1)).unwrap(), Change::Unchanged);
    writer.finish().unwrap();

    let mut writer = IndexWriter::update(&dir, settings("new")).unwrap();
    writer.put_image(&image("b", 1), &vector(2)).unwrap();
    writer.commit().unwrap();
    drop(writer);
    assert_eq!(Index::open(&dir).unwrap().meta().model, "old");
    Index::open(&dir).unwrap().verify().unwrap();
    let mut writer = IndexWriter::update(&dir, settings("new")).unwrap();
    assert_eq!(writer.ids(Modality::Image).unwrap(), ["b"]);
    writer.put_image(&image("c", 3), &vector(3)).unwrap();
    let index = writer.finish().unwrap();
    index.verify().unwrap();
    assert_eq!((index.meta().model.as_str(), index.count(Modality::Image)), ("new", 2));
    let rows = std::fs::read_dir(dir.join("segments")).unwrap().count();
    assert_eq!(rows, 1, "the old rows are gone");
}

#[test]
fn shards_become_one_index() {
    let parent = tempfile::tempdir().unwrap();
    let mut shards = Vec::new();
    for shard in 0..3u8 {
        let mut writer = IndexWriter::create(&parent.path().join(shard.to_string()), settings("m")).unwrap();
        for number in 0..4 {
            let number = number * 3 + shard;
            let id = format!("{number:02}");
            writer.put_image(&image(&id, number), &vector(number)).unwrap();
            writer.put_caption(&caption(&id, &id, &format!("text {}", number / 2)), &vector(number)).unwrap();
        }
        shards.push(writer.finish().unwrap());
    }
    let mut writer = IndexWriter::create(&parent.path().join("all"), settings("m")).unwrap();
    for shard in &shards {
        assert_eq!(writer.merge(shard).unwrap(), 8);
    }
    assert_eq!(writer.merge(&shards[0]).unwrap(), 0);
    let all = writer.finish().unwrap();
    all.verify().unwrap();
    assert_eq!((all.count(Modality::Image), all.count(Modality::Text)), (12, 12));
    for number in 0..12u8 {
        let row = all.row_of(Modality::Image, &format!("{number:02}")).unwrap().unwrap();
        assert_eq!(all.row(Modality::Image, row).unwrap(), vector(number));
    }
    let mut other = IndexWriter::create(&parent.path().join("other"), settings("n")).unwrap();
    assert!(other.merge(&all).unwrap_err().to_string().contains("found m, expected n"));
}

/// Rows keep their order, so that hits of equal score do.
#[test]
fn compaction_changes_no_answer() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let mut writer = IndexWriter::create(&dir, settings("m")).unwrap();
    // Five rows of 64 bytes a file, and its header.
    writer.set_file_bytes(128 + 320);
    for number in 0..23u8 {
        let item = ImageItem { sha256: String::new(), ..image(&format!("{:02}", 40 - number), number) };
        writer.put_image(&item, &vector(number % 3)).unwrap();
    }
    writer.finish().unwrap();
    let mut writer = IndexWriter::update(&dir, settings("m")).unwrap();
    for number in (0..23).filter(|n| [1, 3, 5, 6, 7, 8, 9, 20, 21].contains(n)) {
        writer.remove(Modality::Image, &format!("{:02}", 40 - number)).unwrap();
    }
    writer.commit().unwrap();
    let before = Index::open(&dir).unwrap();
    let vector = vector(1);
    let part = [QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Cross }];
    let hits = before.search(&part, Modality::Image, 100, 0).unwrap();
    assert_eq!(hits.len(), 14);
    let none = writer.compact(1.0).unwrap();
    assert_eq!(none.files, 0);
    let some = writer.compact(0.5).unwrap();
    assert_eq!((some.files, some.rows, some.bytes), (2, 7, 448), "the second file, of dead rows alone, and the last");
    let rest = writer.compact(0.0).unwrap();
    assert_eq!((rest.files, rest.rows), (1, 2));
    let after = writer.finish().unwrap();
    after.verify().unwrap();
    let again = after.search(&part, Modality::Image, 100, 0).unwrap();
    let ids_and_scores =
        |hits: &[gxn_index::Hit]| hits.iter().map(|h| (h.id.clone(), h.score.to_bits())).collect::<Vec<_>>();
    assert_eq!(ids_and_scores(&again), ids_and_scores(&hits));
    assert_eq!(ids_and_scores(&before.search(&part, Modality::Image, 100, 0).unwrap()), ids_and_scores(&hits));
    assert_eq!(after.meta().images.dead_rows, 0);
}

/// While one thread changes, commits and compacts, others open, search and verify what they see; it is always the
/// content after one of the commits: of the numbers 0 to 9 those that are not the last digit of the commit.
#[test]
fn readers_work_beside_a_writer() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let mut writer = IndexWriter::create(&dir, settings("m")).unwrap();
    let put = |writer: &mut IndexWriter, round: u8| {
        for number in 0..10 {
            if number == round % 10 {
                writer.remove(Modality::Image, &number.to_string()).unwrap();
            } else {
                // Another content in every round, so that rows die.
                let content = round % 20 * 10 + number;
                writer.put_image(&image(&number.to_string(), content), &vector(number)).unwrap();
            }
        }
    };
    put(&mut writer, 0);
    writer.finish().unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut opened = 0;
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let index = Index::open(&dir).unwrap();
                        let vector = vector(1);
                        let part = [QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Cross }];
                        let found = ids(&index, &part, Modality::Image);
                        assert_eq!(found.len(), 9, "{found:?}");
                        for (at, pair) in found.windows(2).enumerate() {
                            assert!(pair[0] > pair[1], "place {at} of {found:?}");
                        }
                        for row in index.rows(Modality::Image) {
                            let item = index.image(row).unwrap();
                            assert_eq!(index.row(Modality::Image, row).unwrap()[0].to_string(), item.id);
                        }
                        opened += 1;
                    }
                    opened
                })
            })
            .collect();
        let mut writer = IndexWriter::update(&dir, settings("m")).unwrap();
        writer.set_file_bytes(128 + 64 * 7);
        for round in 1..60 {
            put(&mut writer, round);
            writer.commit().unwrap();
            if round % 3 == 0 {
                writer.compact(0.0).unwrap();
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let opened: u32 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        println!("opened {opened} times");
        assert!(opened > 2);
    });
    Index::open(&dir).unwrap().verify().unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Link(u8, u8),
    Remove(u8),
    Rename(u8, u8),
    Caption(u8, u8, u8),
    RemoveCaption(u8),
    Commit,
    Compact,
    Reopen,
    Abandon,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (id, content) = (0u8..8, 0u8..6);
    let step = prop_oneof![
        6 => (id.clone(), content.clone()).prop_map(|(i, c)| Step::Put(i, c)),
        2 => (id.clone(), content.clone()).prop_map(|(i, c)| Step::Link(i, c)),
        4 => id.clone().prop_map(Step::Remove),
        2 => (id.clone(), id.clone()).prop_map(|(a, b)| Step::Rename(a, b)),
        3 => (id.clone(), id.clone(), content).prop_map(|(c, i, t)| Step::Caption(c, i, t)),
        1 => id.prop_map(Step::RemoveCaption),
        3 => Just(Step::Commit),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
        1 => Just(Step::Abandon),
    ];
    prop::collection::vec(step, 0..40)
}

/// Images: id → content; captions: id → image and text.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    images: BTreeMap<String, u8>,
    captions: BTreeMap<String, (String, u8)>,
}

impl Model {
    fn of(dir: &Path) -> Self {
        let index = Index::open(dir).unwrap();
        index.verify().unwrap();
        let mut model = Self::default();
        for row in index.rows(Modality::Image) {
            for item in index.images_of(row).unwrap() {
                let number = u8::from_str_radix(&item.sha256, 16).unwrap();
                assert_eq!(index.row(Modality::Image, row).unwrap(), vector(number));
                assert!(model.images.insert(item.id, number).is_none());
            }
        }
        for row in index.rows(Modality::Text) {
            for item in index.captions_of(row).unwrap() {
                let number: u8 = item.text.parse().unwrap();
                assert_eq!(index.row(Modality::Text, row).unwrap(), vector(100 + number));
                assert!(model.captions.insert(item.id, (item.image_id, number)).is_none());
            }
        }
        assert_eq!(index.count(Modality::Image), model.images.len());
        model
    }

    fn apply(&mut self, writer: &mut IndexWriter, step: &Step) {
        match step {
            Step::Put(id, content) => {
                let id = id.to_string();
                let change = writer.put_image(&image(&id, *content), &vector(*content)).unwrap();
                let expected = match self.images.insert(id, *content) {
                    None => Change::Added,
                    Some(former) if former == *content => Change::Unchanged,
                    Some(_) => Change::Replaced,
                };
                assert_eq!(change, expected);
            }
            Step::Link(id, content) => {
                let held = self.images.values().any(|held| held == content);
                assert_eq!(writer.link_image(&image(&id.to_string(), *content)).unwrap().is_some(), held);
                if held {
                    self.images.insert(id.to_string(), *content);
                }
            }
            Step::Remove(id) => {
                let id = id.to_string();
                assert_eq!(writer.remove(Modality::Image, &id).unwrap(), self.images.remove(&id).is_some());
                self.captions.retain(|_, (image, _)| *image != id);
            }
            Step::Rename(from, to) => {
                let (from, to) = (from.to_string(), to.to_string());
                let Some(&content) = self.images.get(&from) else { return };
                let renamed = writer.rename_image(&from, &image(&to, content));
                if from != to && self.images.contains_key(&to) {
                    renamed.unwrap_err();
                    return;
                }
                assert!(renamed.unwrap());
                self.images.remove(&from);
                self.images.insert(to.clone(), content);
                for (image, _) in self.captions.values_mut().filter(|(image, _)| *image == from) {
                    image.clone_from(&to);
                }
            }
            Step::Caption(id, image, text) => {
                let (id, image) = (id.to_string(), image.to_string());
                if self.images.contains_key(&image) {
                    let item = caption(&id, &image, &text.to_string());
                    writer.put_caption(&item, &vector(100 + text)).unwrap();
                    self.captions.insert(id, (image, *text));
                }
            }
            Step::RemoveCaption(id) => {
                let id = id.to_string();
                assert_eq!(writer.remove(Modality::Text, &id).unwrap(), self.captions.remove(&id).is_some());
            }
            _ => unreachable!("not a change"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn an_index_equals_a_map(steps in steps(), file_bytes in 190u64..530) {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("index");
        IndexWriter::create(&dir, settings("m")).unwrap().finish().unwrap();
        let open = || {
            let mut writer = IndexWriter::update(&dir, settings("m")).unwrap();
            writer.set_file_bytes(file_bytes);
            writer
        };
        let mut writer = open();
        let (mut now, mut committed) = (Model::default(), Model::default());
        for step in &steps {
            match step {
                Step::Commit | Step::Compact | Step::Reopen => {
                    match step {
                        Step::Commit => writer.commit().unwrap(),
                        Step::Compact => drop(writer.compact(0.2).unwrap()),
                        _ => {
                            writer.commit().unwrap();
                            drop(writer);
                            writer = open();
                        }
                    }
                    committed = now.clone();
                }
                Step::Abandon => {
                    drop(writer);
                    now = committed.clone();
                    prop_assert_eq!(&Model::of(&dir), &committed);
                    writer = open();
                }
                change => now.apply(&mut writer, change),
            }
            let ids: BTreeSet<String> = writer.ids(Modality::Image).unwrap().into_iter().collect();
            prop_assert_eq!(ids, now.images.keys().cloned().collect());
        }
        writer.finish().unwrap();
        prop_assert_eq!(&Model::of(&dir), &now);
    }
}
