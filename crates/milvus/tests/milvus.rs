//! An index in a real Milvus server beside the embedded one: the same ids in the same order, the same scores.

use crate::clustered_rows::Random;
use crate::comparison::{assert_equal, recall, same_answers, same_filters, same_items};
use crate::data::{DIMS, caption, embedding, embeddings, id, image, settings};
use crate::server::Server;
use gxn_index::{
    CaptionItem, Change, Filter, ImageItem, Index, IndexSettings, IndexWriter, Method, Modality, PartKind, QueryPart,
    SearchOptions, Similarity, Space, VectorStore, VectorStoreWriter, copy_store,
};
use gxn_milvus::{MilvusOptions, MilvusPlace, MilvusStore, MilvusWriter};
use serde_json::json;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

const IMAGES: usize = 2000;

fn put_images(writer: &mut dyn VectorStoreWriter, items: &[ImageItem], rows: &[f32]) {
    for (item, row) in items.iter().zip(rows.chunks_exact(rows.len() / items.len())) {
        writer.put_image(item, row).unwrap();
    }
}

fn fill(mut writer: Box<dyn VectorStoreWriter>, images: &[f32], captions: &[f32]) -> Duration {
    let start = Instant::now();
    put_images(&mut *writer, &(0..IMAGES).map(image).collect::<Vec<_>>(), images);
    for (number, row) in captions.chunks_exact(DIMS).enumerate() {
        writer.put_caption(&caption(number), row).unwrap();
    }
    writer.finish().unwrap();
    start.elapsed()
}

fn writer(place: &MilvusPlace, settings: &IndexSettings, sample_texts: &[f32]) -> Box<MilvusWriter> {
    Box::new(MilvusWriter::update(place, settings.clone(), sample_texts).unwrap())
}

fn embedded_writer(dir: &Path, settings: &IndexSettings) -> Box<IndexWriter> {
    Box::new(IndexWriter::update(dir, settings.clone()).unwrap())
}

fn counts(store: &dyn VectorStore) -> (usize, usize) {
    (store.count(Modality::Image), store.count(Modality::Text))
}

#[test]
fn milvus_equals_the_embedded_index() {
    let Some(mut server) = Server::start("milvus_equals_the_embedded_index") else { return };
    let mut random = Random(7);
    let (images, captions) = (embeddings(&mut random, 0..IMAGES), embeddings(&mut random, 0..IMAGES));
    let folder = tempfile::tempdir().unwrap();
    cosine(&mut server, &folder.path().join("cosine"), &images, &captions);
    for similarity in [Similarity::Order, Similarity::OrderReversed] {
        order(&server, &folder.path().join(format!("{similarity:?}")), similarity, &images, &captions);
    }
    too_many(&server);
    mistakes(&server);
}

fn cosine(server: &mut Server, dir: &Path, images: &[f32], captions: &[f32]) {
    let place = server.place("cosine");
    MilvusStore::drop_index(&place).unwrap();
    let settings = settings(Similarity::Cosine);
    fill(embedded_writer(dir, &settings), images, captions);
    let took = fill(writer(&place, &settings, &[]), images, captions);
    println!("cosine: {} items of {DIMS} values put in {took:?}", 2 * IMAGES);
    let (store, embedded) = (MilvusStore::open(&place).unwrap(), Index::open(dir).unwrap());
    same_answers("cosine", &store, &embedded);
    same_filters(&store, &embedded);
    same_items(&store, &embedded);

    // Replaced, removed; a former embedding must not be found again. With all items read before, and without.
    let moved: Vec<ImageItem> = (100..140)
        .map(|number| ImageItem { sha256: String::new(), path: format!("moved/{number}.png"), ..image(number) })
        .collect();
    let fresh: Vec<f32> = embeddings(&mut Random(77), 1000..1040);
    for (half, rows) in [(0..20, &fresh[..20 * DIMS]), (20..40, &fresh[20 * DIMS..])] {
        let mut to_milvus = writer(&place, &settings, &[]);
        if half.start == 0 {
            to_milvus.expect(&|_| true).unwrap();
        }
        for mut writer in [to_milvus as Box<dyn VectorStoreWriter>, embedded_writer(dir, &settings)] {
            put_images(&mut *writer, &moved[half.clone()], rows);
            for number in (half.start * 10..half.end * 10).step_by(3) {
                assert!(writer.remove(Modality::Image, &id(number)).unwrap());
            }
            assert!(!writer.remove(Modality::Image, "zebra").unwrap());
            assert!(writer.remove(Modality::Text, &format!("{:05}#0", half.start + 2)).unwrap());
            assert!(!writer.remove(Modality::Text, &format!("{:05}#0", half.start + 2)).unwrap());
            writer.finish().unwrap();
        }
    }
    // Renamed: the content is there, under this id or another one.
    let renamed = ImageItem { id: "renamed".into(), path: "renamed.jpg".into(), ..image(501) };
    let touched = ImageItem { mtime_unix_ms: 1, ..image(502) };
    for mut writer in [writer(&place, &settings, &[]) as Box<dyn VectorStoreWriter>, embedded_writer(dir, &settings)] {
        assert_eq!(writer.image_of_content(&image(501).sha256).unwrap(), Some(image(501)));
        assert_eq!(writer.link_image(&renamed).unwrap(), Some(Change::Added));
        assert_eq!(writer.link_image(&touched).unwrap(), Some(Change::Replaced));
        assert_eq!(writer.link_image(&touched).unwrap(), Some(Change::Unchanged));
        let unknown = ImageItem { sha256: "f".repeat(64), ..renamed.clone() };
        assert_eq!(writer.link_image(&unknown).unwrap(), None);
        writer.remove(Modality::Image, &id(501)).unwrap();
        writer.finish().unwrap();
    }
    let (store, embedded) = (MilvusStore::open(&place).unwrap(), Index::open(dir).unwrap());
    assert_eq!(counts(&store), counts(&embedded));
    same_answers("cosine, changed", &store, &embedded);
    same_items(&store, &embedded);

    // Nothing that was acknowledged is lost.
    for mut writer in [writer(&place, &settings, &[]) as Box<dyn VectorStoreWriter>, embedded_writer(dir, &settings)] {
        writer.put_image(&image(9000), &embedding(&mut Random(9), 3)).unwrap();
        writer.commit().unwrap();
        writer.finish().unwrap();
    }
    server.kill();
    server.restart();
    let (store, embedded) = (MilvusStore::open(&place).unwrap(), Index::open(dir).unwrap());
    store.require_model("fingerprint").unwrap();
    assert_eq!(store.meta().extra["model_path"], "runs/demo");
    assert_eq!((store.meta().space, counts(&store)), (embedded.meta().space, counts(&embedded)));
    same_answers("cosine, reopened", &store, &embedded);
    store.verify().unwrap();
    let error = store.require_model("other").unwrap_err();
    let expected = "model for the index milvus:///gxn_test_cosine: found other, expected fingerprint, which made it";
    assert_eq!(error.to_string().replace(server.endpoint.strip_prefix("http://").unwrap(), ""), expected);
    assert!(error.hint().unwrap().contains("the model that made the index"));

    // What the caller stores beside it may change.
    let mut other = settings.clone();
    other.extra.insert("model_path".into(), "runs/moved".into());
    writer(&place, &other, &[]).finish().unwrap();
    assert_eq!(MilvusStore::read_meta(&place).unwrap().unwrap().extra["model_path"], "runs/moved");

    // Inside an async runtime nothing panics.
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async { assert_eq!(counts(&MilvusStore::open(&place).unwrap()), counts(&embedded)) });

    // Another kind of index, filled from the embedded one, and back into a folder.
    let mut place = server.place("hnsw");
    MilvusStore::drop_index(&place).unwrap();
    let object = |value: serde_json::Value| value.as_object().unwrap().clone();
    place.options = MilvusOptions {
        index_kind: "HNSW".into(),
        index_params: object(json!({"M": 16, "efConstruction": 200})),
        search_params: object(json!({"ef": 300})),
        ..Default::default()
    };
    let mut to_milvus = writer(&place, &settings, &[]);
    let copied = copy_store(&embedded, &mut *to_milvus, &|_| Ok(())).unwrap();
    assert_eq!(copied, counts(&embedded));
    let store = (to_milvus as Box<dyn VectorStoreWriter>).finish().unwrap();
    let store =
        MilvusStore::open(&MilvusPlace::new(&place.endpoint, &place.name)).map(|opened| (store, opened)).unwrap().1;
    assert_eq!(store.index_kind(), "HNSW");
    println!("HNSW: recall@10 {}", recall(&store, &embedded, Method::Auto));
    let back = dir.with_extension("back");
    let mut to_folder = embedded_writer(&back, &settings);
    assert_eq!(copy_store(&store, &mut *to_folder, &|_| Ok(())).unwrap(), copied);
    to_folder.finish().unwrap();
    same_answers("copied back", &MilvusStore::open(&server.place("cosine")).unwrap(), &Index::open(&back).unwrap());
    for place in [place, server.place("cosine")] {
        assert!(MilvusStore::drop_index(&place).unwrap());
    }
}

fn order(server: &Server, dir: &Path, similarity: Similarity, images: &[f32], captions: &[f32]) {
    let settings = settings(similarity);
    fill(embedded_writer(dir, &settings), images, captions);
    let embedded = Index::open(dir).unwrap();
    for (surrogate_terms, least) in [(1, 0.97), (3, 0.995)] {
        let mut place = server.place("order");
        MilvusStore::drop_index(&place).unwrap();
        place.options.surrogate_terms = surrogate_terms;
        let took = fill(writer(&place, &settings, &captions[..300 * DIMS]), images, captions);
        let store = MilvusStore::open(&place).unwrap();
        let recall = recall(&store, &embedded, Method::Auto);
        println!("{similarity:?}, {surrogate_terms} terms: put in {took:?}, recall@10 by candidates {recall}");
        assert!(recall >= least, "{recall}");
        if surrogate_terms == 3 {
            same_answers(&format!("{similarity:?}"), &store, &embedded);
            store.verify().unwrap();
        }
    }
    assert!(MilvusStore::drop_index(&server.place("order")).unwrap());
}

/// Equal captions of one image are one hit.
#[test]
fn equal_captions_fold() {
    let Some(server) = Server::start("equal_captions_fold") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (place, settings) = (server.place("fold"), settings(Similarity::Cosine));
    MilvusStore::drop_index(&place).unwrap();
    let row = |number: usize| embedding(&mut Random(5), number);
    for mut writer in
        [writer(&place, &settings, &[]) as Box<dyn VectorStoreWriter>, embedded_writer(folder.path(), &settings)]
    {
        put_images(&mut *writer, &[image(1), image(2)], &[row(1), row(2)].concat());
        for (number, (image_id, text)) in [(1, "a"), (1, "b"), (1, "a"), (2, "a"), (1, "a")].into_iter().enumerate() {
            let caption = CaptionItem { id: format!("c{number}"), image_id: id(image_id), text: text.into() };
            writer.put_caption(&caption, &row(if text == "a" { 3 } else { 4 })).unwrap();
        }
        writer.finish().unwrap();
    }
    let (store, embedded) = (MilvusStore::open(&place).unwrap(), Index::open(folder.path()).unwrap());
    let vector = row(3);
    let query = [QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Same }];
    let options = SearchOptions { fold_captions: true, ..SearchOptions::new(Modality::Text, 10) };
    let found = store.search(&query, &options).unwrap();
    assert_equal(&found, &VectorStore::search(&embedded, &query, &options).unwrap(), "folded");
    assert_eq!(
        found.iter().map(|hit| (hit.id.as_str(), hit.copies)).collect::<Vec<_>>(),
        [("c0", 3), ("c3", 1), ("c1", 1)]
    );
    // Items of one content share a number.
    assert!(found[0].row == found[1].row && found[0].row != found[2].row);
    MilvusStore::drop_index(&place).unwrap();
}

/// What Milvus cannot answer is refused: it looks at no more than 16,384 items.
fn too_many(server: &Server) {
    let place = server.place("many");
    MilvusStore::drop_index(&place).unwrap();
    let space = Space { similarity: Similarity::Cosine, lambda: 1.0, dims_abstract: 2, dims_grounded: 0 };
    let narrow = IndexSettings { space, ..settings(Similarity::Cosine) };
    let rows: Vec<f32> = (0..17_000).flat_map(|number| <[f32; 2]>::from((number as f32 * 1e-4).sin_cos())).collect();
    let mut writer = writer(&place, &narrow, &[]);
    writer.expect(&|_| true).unwrap();
    put_images(&mut *writer, &(0..17_000).map(image).collect::<Vec<_>>(), &rows);
    writer.finish().unwrap();
    let store = MilvusStore::open(&place).unwrap();
    let find = |filter: &str, top: usize, method: Method| {
        let filter = Filter::parse(filter).unwrap();
        let query = [QueryPart { vector: &[0.0, 1.0], weight: 1.0, kind: PartKind::Cross }];
        let options = SearchOptions { filter: Some(&filter), method, ..SearchOptions::new(Modality::Image, top) };
        store.search(&query, &options)
    };
    assert_eq!(find("id=16999", 10, Method::Auto).unwrap()[0].id, "16999", "asked of Milvus");
    assert_eq!(find("lens.f<2", 10, Method::Auto).unwrap().len(), 10, "many pass");
    let error = find("camera=none", 10, Method::Auto).unwrap_err();
    let expected = "search in Milvus with the filter `camera=\"none\"`: found 0 that pass among the 16384 nearest items, expected 10";
    assert_eq!(error.to_string(), expected);
    assert!(error.hint().unwrap().contains("narrow the filter"));
    assert!(find("id", 16_400, Method::Auto).unwrap_err().to_string().ends_with("expected 16400"));
    let error = find("id", 10, Method::Exact).unwrap_err();
    assert_eq!(error.to_string(), "exact search in Milvus: found 17000 images, expected at most 16384");
    assert!(MilvusStore::drop_index(&place).unwrap());
}

fn mistakes(server: &Server) {
    let place = server.place("mistakes");
    MilvusStore::drop_index(&place).unwrap();
    assert!(!MilvusStore::drop_index(&place).unwrap());
    let (cosine, ordered) = (settings(Similarity::Cosine), settings(Similarity::Order));

    let error = MilvusStore::open(&place).unwrap_err();
    assert!(
        error.to_string().ends_with("/gxn_test_mistakes: found none, expected one made by this program"),
        "{error}"
    );
    let error = MilvusStore::open_or_create(&place, &ordered, None).unwrap_err();
    assert!(error.to_string().starts_with("samples for order similarity: found none"), "{error}");
    let mut unknown = place.clone();
    unknown.options.index_kind = "SPIRAL".into();
    match MilvusStore::open_or_create(&unknown, &cosine, None) {
        Err(error) => assert!(error.to_string().starts_with("CreateIndex by the Milvus server http://"), "{error}"),
        // milvus-lite takes any kind.
        Ok(_) => assert!(MilvusStore::drop_index(&place).unwrap()),
    }

    // What was begun and failed is finished.
    let store = MilvusStore::open_or_create(&place, &cosine, None).unwrap();
    assert_eq!(store.index_kind(), "FLAT");
    assert_eq!(MilvusStore::open_or_create(&place, &cosine, None).unwrap().index_kind(), "FLAT");
    let row = vec![0.5; DIMS];
    let query = [QueryPart { vector: &row, weight: 1.0, kind: PartKind::Cross }];
    for target in [Modality::Image, Modality::Text] {
        assert_eq!(store.search(&query, &SearchOptions::new(target, 5)).unwrap(), [], "empty");
    }
    let other = IndexSettings { model: "other".into(), ..cosine.clone() };
    let error = MilvusWriter::update(&place, other, &[]).err().unwrap();
    assert!(error.hint().unwrap().contains("a collection of another name"), "{error}");
    let refused = |act: &dyn Fn(&mut MilvusWriter) -> gxn_index::Result<Change>| {
        let mut writer = writer(&place, &cosine, &[]);
        act(&mut writer).and_then(|_| writer.commit()).unwrap_err().to_string()
    };
    let error = refused(&|writer| writer.put_caption(&caption(3), &row));
    assert!(error.starts_with("image 00003 of a caption: found no such image"), "{error}");
    let error = refused(&|writer| writer.put_image(&image(3), &row[1..]));
    assert!(error.starts_with("embedding of 00003: found 127 values"), "{error}");
    let error = refused(&|writer| writer.put_image(&image(3), &vec![f32::NAN; DIMS]));
    assert!(error.starts_with("embedding of 00003: found NaN at place 0"), "{error}");
    let long = ImageItem { path: "x".repeat(70_000), ..image(3) };
    let error = refused(&|writer| writer.put_image(&long, &row));
    assert!(error.contains("found 70000 bytes, expected at most 65535 bytes"), "{error}");
    assert_eq!(counts(&MilvusStore::open(&place).unwrap()), (0, 0));
    // Twice at once: the last counts.
    let second = ImageItem { path: "second.jpg".into(), ..image(3) };
    let mut writer = writer(&place, &cosine, &[]);
    put_images(&mut *writer, &[image(3), second], &[row.clone(), row.clone()].concat());
    writer.finish().unwrap();
    let store = MilvusStore::open(&place).unwrap();
    let hits = store.search(&query, &SearchOptions::new(Modality::Image, 5)).unwrap();
    assert_eq!((hits.len(), hits[0].path.as_str(), counts(&store)), (1, "second.jpg", (1, 0)));
    let error = store.search(&query, &SearchOptions { lambda: Some(2.0), ..SearchOptions::new(Modality::Image, 5) });
    assert_eq!(error.unwrap_err().to_string(), "λ: found 2, expected 0 to 1");
    let short = [QueryPart { vector: &row[1..], ..query[0] }];
    store.search(&short, &SearchOptions::new(Modality::Image, 5)).unwrap_err();
    assert!(MilvusStore::drop_index(&place).unwrap());
    let error = store.search(&query, &SearchOptions::new(Modality::Image, 5)).unwrap_err();
    assert!(error.to_string().contains("collection"), "{error}");
}

#[test]
fn a_server_that_is_not_there() {
    // Nobody listens where a listener just was.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = MilvusStore::open(&MilvusPlace::new(format!("http://127.0.0.1:{port}"), "x")).unwrap_err();
    assert!(error.to_string().starts_with("DescribeCollection by the Milvus server http://127.0.0.1:"), "{error}");
    assert!(error.hint().unwrap().contains("check the address"), "{error}");
    for endpoint in ["", "127.0.0.1:19530", "ftp://x", "http://"] {
        let error = MilvusStore::open(&MilvusPlace::new(endpoint, "x")).unwrap_err();
        assert!(error.to_string().starts_with("address of the Milvus server: found "), "{error}");
    }
    for name in ["", "1x", "a-b", "ä"] {
        let error = MilvusStore::open(&MilvusPlace::new("http://127.0.0.1:1", name)).unwrap_err();
        assert!(error.to_string().starts_with("name of an index in Milvus: found "), "{error}");
    }
}
