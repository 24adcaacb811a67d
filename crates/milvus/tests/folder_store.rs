//! The index in a folder through the trait that it shares with other stores.

use gxn_index::{
    CaptionItem, ImageItem, IndexSettings, Modality, PartKind, QueryPart, SearchOptions, Similarity, Space,
};
use gxn_milvus::{FolderStore, VectorStore, copy_index};

fn settings(model: &str) -> IndexSettings {
    let space = Space { similarity: Similarity::Cosine, lambda: 0.5, dims_abstract: 2, dims_grounded: 1 };
    IndexSettings { model: model.into(), space, extra: Default::default() }
}

fn image(id: &str, number: u8) -> ImageItem {
    let sha256 = format!("{number:064x}");
    ImageItem { id: id.into(), path: format!("{id}.jpg"), sha256, ..Default::default() }
}

fn vector(number: u8) -> [f32; 3] {
    [f32::from(number), 1.0, 0.5]
}

#[test]
fn a_folder_is_a_store() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let mut store = FolderStore::create(&dir, settings("m")).unwrap();
    store.require_model("m").unwrap();
    let error = store.require_model("other").unwrap_err().to_string();
    assert_eq!(error, store.index().require_model("other").unwrap_err().to_string());
    let rows = [vector(1), vector(2), vector(3)].concat();
    let query = vector(3);
    let find = |store: &FolderStore, target: Modality| -> Vec<String> {
        let parts = [QueryPart { vector: &query, weight: 1.0, kind: PartKind::Cross }];
        let hits = store.search(&parts, &SearchOptions::new(target, 9)).unwrap();
        hits.into_iter().map(|hit| hit.id).collect()
    };
    store.put_images(&[image("a", 1), image("b", 2), image("c", 3)], &rows).unwrap();
    assert_eq!(
        (find(&store, Modality::Image).len(), store.count(Modality::Image).unwrap()),
        (0, 0),
        "not before the commit"
    );
    store.commit().unwrap();
    assert_eq!(find(&store, Modality::Image), ["c", "b", "a"]);
    assert_eq!(find(&store, Modality::Text), [""; 0], "there are none");
    let caption = CaptionItem { id: "b#0".into(), image_id: "b".into(), text: "dog".into() };
    store.put_captions(&[caption], &vector(2)).unwrap();
    // Replaced: the same id with another content.
    store.put_images(&[image("a", 9)], &vector(9)).unwrap();
    store.commit().unwrap();
    assert_eq!(
        (find(&store, Modality::Image), find(&store, Modality::Text)),
        (vec!["a".into(), "c".into(), "b".into()], vec!["b#0".into()])
    );

    let error = store.put_images(&[image("d", 4)], &[1.0; 2]).unwrap_err();
    assert_eq!(error.to_string(), "embeddings of 1 items: found 2 values, expected 1 times 3 values");

    let copied = parent.path().join("copy");
    let mut copy = FolderStore::create(&copied, settings("m")).unwrap();
    assert_eq!(copy_index(store.index(), &mut copy).unwrap(), 4);
    assert_eq!(find(&copy, Modality::Image), find(&store, Modality::Image));
    let mut other = FolderStore::create(&parent.path().join("other"), settings("n")).unwrap();
    copy_index(store.index(), &mut other).unwrap_err();

    assert_eq!(store.remove(Modality::Image, &["b", "zebra"]).unwrap(), 1);
    store.commit().unwrap();
    assert_eq!((store.count(Modality::Image).unwrap(), store.count(Modality::Text).unwrap()), (2, 0));
    drop(store);
    assert_eq!(find(&FolderStore::open(&dir).unwrap(), Modality::Image), ["a", "c"]);
}
