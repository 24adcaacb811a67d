//! Indexes through the library: what a source is, what is encoded, what a retriever finds and when it looks again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use gxn::prelude::*;
use gxn::retrieve::{INDEX_FOLDER, Provenance, SourceKind};
use gxn_index::{IndexMeta, IndexSettings, IndexWriter};
use serde_json::{Value, json};

use crate::tiny_dataset::tiny_dataset;
use crate::training::{run_to_end, start, tiny_config};

/// A model that every test shares; what it is worth does not matter here.
fn encoder() -> Arc<Encoder> {
    static MODEL: OnceLock<(tempfile::TempDir, Arc<Encoder>)> = OnceLock::new();
    let load = || {
        let folder = tempfile::tempdir().unwrap();
        let mut config = tiny_config(&tiny_dataset(folder.path()), false);
        config.train.epochs = 1;
        run_to_end(start(&config, &folder.path().join("run")));
        let encoder = Arc::new(Encoder::load(&folder.path().join("run")).unwrap());
        (folder, encoder)
    };
    MODEL.get_or_init(load).1.clone()
}

/// A folder with the tiny dataset's 24 images, without captions.
fn photos(folder: &Path) -> PathBuf {
    tiny_dataset(folder);
    folder.join("images")
}

fn index(source: &Path) -> Result<IndexReport> {
    refresh(&encoder(), source, source.join(INDEX_FOLDER), &IndexOptions::default(), &())
}

fn first_ids(retriever: &Retriever, query: Query) -> Vec<String> {
    let found = retriever.search(&query, &SearchOptions::new(Modality::Image, 5)).unwrap();
    found.hits.into_iter().map(|hit| hit.id).collect()
}

/// What the work reports.
#[derive(Default)]
struct Recorder {
    notes: Mutex<Vec<String>>,
    updates: Mutex<Vec<(&'static str, usize, usize)>>,
}

impl Progress for Recorder {
    fn update(&self, unit: &'static str, done: usize, total: usize) {
        self.updates.lock().unwrap().push((unit, done, total));
    }

    fn note(&self, message: &str) {
        self.notes.lock().unwrap().push(message.to_owned());
    }
}

#[test]
fn what_a_source_is_is_found_out_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (photos, seen) = (photos(folder.path()), Recorder::default());
    let dir = photos.join(INDEX_FOLDER);
    let options = IndexOptions::default();
    let report = refresh(&encoder(), &photos, &dir, &options, &seen).unwrap();
    assert_eq!((report.kind, report.images, report.encoded, report.captions), (SourceKind::Images, 24, 24, 0));
    assert!(seen.notes.lock().unwrap()[0].starts_with("indexing images without captions"));
    assert_eq!(*seen.updates.lock().unwrap(), [("images", 0, 24), ("images", 24, 24)]);

    // A text beside an image makes a dataset of the folder; its index stays that of images.
    std::fs::write(photos.join("red_0.txt"), "a red patch\n").unwrap();
    let error = index(&photos).unwrap_err();
    assert_eq!((error.kind(), error.remedy()), (Kind::Conflict, Some(&Remedy::KeepImages)));
    let only_images = IndexOptions { images_only: true, ..options.clone() };
    assert_eq!(refresh(&encoder(), &photos, &dir, &only_images, &()).unwrap().unchanged, 24);
    assert!(index(&photos).unwrap().is_unchanged(), "the index stores that");
    let replace = IndexOptions { replace_source: true, ..options.clone() };
    let report = refresh(&encoder(), &photos, &dir, &replace, &()).unwrap();
    assert_eq!((report.kind, report.images, report.captions, report.removed.len()), (SourceKind::Dataset, 1, 1, 23));
    assert_eq!(report.account.dropped.len(), 23);

    // Nor is the index of a dataset made one of images because the data has a fault.
    for name in ["one.csv", "two.csv"] {
        std::fs::write(photos.join(name), "image,caption\nred_0.png,x\n").unwrap();
    }
    let error = index(&photos).unwrap_err();
    assert_eq!((error.kind(), error.remedy()), (Kind::Conflict, Some(&Remedy::FixDataset)));
    let elsewhere = refresh(&encoder(), folder.path(), &dir, &options, &()).unwrap_err();
    assert_eq!((elsewhere.kind(), elsewhere.remedy()), (Kind::Conflict, Some(&Remedy::ReplaceSource)));
}

/// Copies, files that exchange their names, a file that cannot be decoded and its copy, all in one batch.
#[test]
fn one_batch_with_everything_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path());
    let at = |name: &str| photos.join(name);
    std::fs::copy(at("red_0.png"), at("a copy.png")).unwrap();
    for name in ["broken.png", "broken too.png"] {
        std::fs::write(at(name), "no image").unwrap();
    }
    let report = index(&photos).unwrap();
    assert_eq!((report.images, report.encoded, report.linked, report.dropped.len()), (25, 24, 1, 2));
    let embedding = |name: &str| {
        let index = Index::open(&photos.join(INDEX_FOLDER)).unwrap();
        index.row(Modality::Image, index.row_of(Modality::Image, name).unwrap().unwrap()).unwrap()
    };
    let (red, blue) = (embedding("red_1.png"), embedding("blue_1.png"));
    assert_eq!(embedding("a copy.png"), embedding("red_0.png"));
    std::fs::rename(at("red_1.png"), at("x")).unwrap();
    std::fs::rename(at("blue_1.png"), at("red_1.png")).unwrap();
    std::fs::rename(at("x"), at("blue_1.png")).unwrap();
    let now = std::time::SystemTime::now();
    for name in ["red_1.png", "blue_1.png"] {
        std::fs::File::options().write(true).open(at(name)).unwrap().set_modified(now).unwrap();
    }
    let report = index(&photos).unwrap();
    assert_eq!((report.images, report.removed.len(), report.unchanged), (25, 0, 23));
    assert_eq!((embedding("red_1.png"), embedding("blue_1.png")), (blue, red));
}

#[test]
fn an_index_of_before_options_had_a_version_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path());
    std::fs::copy(photos.join("red_0.png"), photos.join(".hidden.png")).unwrap();
    let dir = photos.join(INDEX_FOLDER);
    index(&photos).unwrap();
    let IndexMeta { model, space, mut extra, .. } = IndexMeta::read(&dir).unwrap();
    extra["options"] = json!({"reading": {"no_restval": false}, "include_hidden": true, "exclude_dir": []});
    IndexWriter::update(&dir, IndexSettings { model, space, extra }).unwrap().finish().unwrap();

    let plan = Refresh::plan(&photos, &dir, &IndexOptions::default()).unwrap();
    let reused: Vec<&str> = plan.resolved().reused.iter().map(|setting| setting.name.as_str()).collect();
    assert_eq!(reused, ["include_hidden"]);
    assert_eq!(plan.run(&encoder(), &()).unwrap().images, 25);
    let meta = IndexMeta::read(&dir).unwrap();
    assert_eq!(meta.extra["options"]["version"], 2);
    let provenance = Provenance::of(&(&dir).into(), &meta).unwrap();
    assert!(provenance.options().unwrap().unwrap().include_hidden);
    assert_eq!(Refresh::again(&dir).unwrap().run(&encoder(), &()).unwrap().unchanged, 25);
}

#[test]
fn a_cancelled_refresh_keeps_what_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path());
    let dir = photos.join(INDEX_FOLDER);
    let stop = AtomicBool::new(true);
    let error = refresh(&encoder(), &photos, &dir, &IndexOptions::default(), &stop).unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
    assert!(Retriever::with_encoder(&dir, encoder()).is_err(), "half an index is none");
    let report = index(&photos).unwrap();
    assert_eq!((report.unchanged, report.encoded), (24, 0));
}

#[test]
fn one_model_serves_several_indexes_and_every_form_of_an_image() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (photos(one.path()), photos(two.path()));
    std::fs::remove_file(second.join("red_0.png")).unwrap();
    let open = |photos: &Path| {
        index(photos).unwrap();
        Retriever::with_encoder(photos.join(INDEX_FOLDER), encoder()).unwrap()
    };
    let (first_retriever, second_retriever) = (open(&first), open(&second));
    assert!(Arc::ptr_eq(first_retriever.encoder(), second_retriever.encoder()));

    let path = first.join("red_0.png");
    let bytes = std::fs::read(&path).unwrap();
    let pixels = image::load_from_memory(&bytes).unwrap().into_rgb8();
    let of_file = first_ids(&first_retriever, Content::File(path).into());
    assert_eq!(of_file[0], "red_0.png");
    assert_eq!(first_ids(&first_retriever, Content::Bytes(bytes.clone()).into()), of_file);
    assert_eq!(first_ids(&first_retriever, Content::Pixels(pixels).into()), of_file);
    let elsewhere = std::thread::scope(|scope| {
        scope.spawn(|| first_ids(&second_retriever, Content::Bytes(bytes).into())).join().unwrap()
    });
    assert!(!elsewhere.contains(&"red_0.png".to_owned()));
    let error = first_retriever.search(&Content::Bytes(vec![1, 2]).into(), &SearchOptions::new(Modality::Image, 1));
    assert_eq!(error.unwrap_err().kind(), Kind::Invalid);
    let captions = first_retriever.search(&"red".into(), &SearchOptions::new(Modality::Text, 1)).unwrap_err();
    assert_eq!((captions.kind(), captions.remedy()), (Kind::Unsupported, Some(&Remedy::IndexDataset)));
}

#[test]
fn a_retriever_looks_again_when_its_index_changed() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path());
    index(&photos).unwrap();
    let mut retriever = Retriever::with_encoder(photos.join(INDEX_FOLDER), encoder()).unwrap();
    assert!(!retriever.refresh().unwrap());
    std::fs::remove_file(photos.join("red_0.png")).unwrap();
    index(&photos).unwrap();
    assert_eq!(retriever.index().count(Modality::Image), 24, "a snapshot until it looks again");
    assert!(retriever.refresh().unwrap());
    assert_eq!(retriever.index().count(Modality::Image), 23);
    assert!(!retriever.refresh().unwrap());
}

#[test]
fn results_are_json() {
    let folder = tempfile::tempdir().unwrap();
    let source = tiny_dataset(folder.path());
    let dir = folder.path().join("index");
    let report = refresh(&encoder(), &source, &dir, &IndexOptions::default(), &()).unwrap();
    let report = serde_json::to_value(&report).unwrap();
    assert_eq!((&report["kind"], &report["images"], &report["captions"]), (&json!("dataset"), &json!(24), &json!(48)));

    let retriever = Retriever::with_encoder(&dir, encoder()).unwrap();
    let options = SearchOptions { offset: 2, ..SearchOptions::new(Modality::Text, 3) };
    let found = retriever.search(&"a red patch beside a zeppelin".into(), &options).unwrap();
    assert!(found.unknown_words.contains(&"zeppelin".to_owned()), "{:?}", found.unknown_words);
    let json = serde_json::to_value(&found).unwrap();
    let hit: BTreeMap<&str, &Value> =
        json["hits"][0].as_object().unwrap().iter().map(|(key, value)| (key.as_str(), value)).collect();
    let keys = ["caption", "copies", "id", "image_id", "parts", "path", "rank", "relevance", "score"];
    assert_eq!(hit.keys().copied().collect::<Vec<_>>(), keys);
    assert_eq!((hit["rank"], hit["relevance"]), (&json!(3), &Value::Null));
    assert!(hit["parts"]["abstract"].is_number() && Path::new(hit["path"].as_str().unwrap()).is_absolute());
}

#[test]
fn a_relevance_that_nobody_knows_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path());
    index(&photos).unwrap();
    let retriever = Retriever::with_encoder(photos.join(INDEX_FOLDER), encoder()).unwrap();
    let mut found = retriever.search(&"red".into(), &SearchOptions::new(Modality::Image, 3)).unwrap();
    let error = found.keep_relevant(0.5).unwrap_err();
    assert_eq!((error.kind(), error.remedy()), (Kind::Unsupported, Some(&Remedy::Calibrate)));
    assert_eq!(found.keep_relevant(2.0).unwrap_err().kind(), Kind::Invalid);
    assert_eq!(found.hits.len(), 3);
}
