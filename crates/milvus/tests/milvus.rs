//! An index in a real Milvus server beside the embedded one: the same ids in the same order, the same scores.
//!
//! `GXN_MILVUS_LITE` names the executable `milvus-lite`, which is started here; `GXN_MILVUS_ENDPOINT` a server that runs
//! already. `milvus.sh` sets them.

use crate::clustered_rows::Random;
use crate::data::{DIMS, caption, embedding, embeddings, id, image, queries, settings};
use gxn_index::{
    Filter, ImageItem, IndexSettings, Method, Modality, PartKind, QueryPart, SearchOptions, Similarity, Space,
};
use gxn_milvus::{FolderStore, MilvusOptions, MilvusPlace, MilvusStore, Samples, StoreHit, VectorStore, copy_index};
use serde_json::json;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const IMAGES: usize = 2000;
const SIDES: [Modality; 2] = [Modality::Image, Modality::Text];

/// A server on loopback.
struct Server {
    endpoint: String,
    program: Option<(PathBuf, tempfile::TempDir, u16, Child)>,
}

impl Server {
    /// `None` if none is named.
    fn start(test: &str) -> Option<Self> {
        if let Ok(endpoint) = std::env::var("GXN_MILVUS_ENDPOINT") {
            let server = Self { endpoint, program: None };
            server.wait();
            return Some(server);
        }
        let Some(program) = std::env::var_os("GXN_MILVUS_LITE").map(PathBuf::from) else {
            println!("skipped {test}: GXN_MILVUS_LITE names no milvus-lite, GXN_MILVUS_ENDPOINT no server");
            return None;
        };
        let data = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = spawn(&program, &data, port);
        let server = Self { endpoint: format!("http://127.0.0.1:{port}"), program: Some((program, data, port, child)) };
        server.wait();
        Some(server)
    }

    /// Ends it without a warning and starts it on the same data. False if it is not ours.
    fn kill_and_restart(&mut self) -> bool {
        let Some((program, data, port, child)) = &mut self.program else { return false };
        child.kill().unwrap();
        child.wait().unwrap();
        *child = spawn(program, data, *port);
        self.wait();
        true
    }

    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(120);
        while let Err(error) = MilvusStore::drop_index(&self.place("probe")) {
            assert!(Instant::now() < end, "no server: {error}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn place(&self, name: &str) -> MilvusPlace {
        MilvusPlace::new(&self.endpoint, format!("gxn_test_{name}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((_, _, _, child)) = &mut self.program {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn(program: &PathBuf, data: &tempfile::TempDir, port: u16) -> Child {
    let mut command = Command::new(program);
    command.args(["server", "--host", "127.0.0.1", "--port", &port.to_string(), "--data-dir"]).arg(data.path());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn fill(store: &mut dyn VectorStore, images: &[f32], captions: &[f32]) -> Duration {
    let start = Instant::now();
    store.put_images(&(0..IMAGES).map(image).collect::<Vec<_>>(), images).unwrap();
    store.put_captions(&(0..IMAGES).map(caption).collect::<Vec<_>>(), captions).unwrap();
    store.commit().unwrap();
    start.elapsed()
}

/// Same items, scores within 1e-5; returns the largest difference.
fn assert_equal(found: &[StoreHit], expected: &[StoreHit], what: &str) -> f32 {
    let ids = |hits: &[StoreHit]| hits.iter().map(|hit| hit.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(found), ids(expected), "{what}");
    let mut largest = 0.0f32;
    for (found, expected) in found.iter().zip(expected) {
        largest = largest.max((found.score - expected.score).abs());
        assert_eq!((&found.path, &found.caption), (&expected.path, &expected.caption), "{what}");
        let (a, b) = (found.parts, expected.parts);
        largest = largest.max((a.abstract_level - b.abstract_level).abs());
        largest = largest.max((a.grounded_level - b.grounded_level).abs());
    }
    assert!(largest <= 1e-5, "{what}: {largest}");
    largest
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

fn cosine(server: &mut Server, dir: &std::path::Path, images: &[f32], captions: &[f32]) {
    let place = server.place("cosine");
    MilvusStore::drop_index(&place).unwrap();
    let settings = settings(Similarity::Cosine);
    let mut embedded = FolderStore::create(dir, settings.clone()).unwrap();
    let mut store = MilvusStore::create(&place, &settings, &MilvusOptions::default(), None).unwrap();
    fill(&mut embedded, images, captions);
    let took = fill(&mut store, images, captions);
    println!("cosine: {} items of {DIMS} values put in {took:?}", 2 * IMAGES);
    same_answers("cosine", &store, &embedded);
    same_filters(&store, &embedded);

    // Replaced, added, removed; a former embedding must not be found again.
    let moved: Vec<ImageItem> = (100..140)
        .map(|number| ImageItem { sha256: String::new(), path: format!("moved/{number}.png"), ..image(number) })
        .collect();
    let fresh: Vec<f32> = embeddings(&mut Random(77), 1000..1040);
    let gone: Vec<String> = (0..400).step_by(3).map(id).collect();
    let mut gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    gone.push("zebra");
    for store in [&mut store as &mut dyn VectorStore, &mut embedded] {
        store.put_images(&moved, &fresh).unwrap();
        assert_eq!(store.remove(Modality::Image, &gone).unwrap(), 134);
        assert_eq!(store.remove(Modality::Text, &["00001#0", "zebra"]).unwrap(), 1);
        store.commit().unwrap();
        assert_eq!((store.count(Modality::Image).unwrap(), store.count(Modality::Text).unwrap()), (1866, 1865));
    }
    same_answers("cosine, changed", &store, &embedded);

    // Nothing that was acknowledged is lost.
    store.put_images(&[image(9000)], &embedding(&mut Random(9), 3)).unwrap();
    embedded.put_images(&[image(9000)], &embedding(&mut Random(9), 3)).unwrap();
    embedded.commit().unwrap();
    if server.kill_and_restart() {
        println!("cosine: killed and restarted");
    }
    let store = MilvusStore::open(&place).unwrap();
    store.require_model("fingerprint").unwrap();
    assert_eq!(store.extra()["model_path"], "runs/demo");
    assert_eq!((store.space(), store.count(Modality::Image).unwrap()), (embedded.space(), 1867));
    same_answers("cosine, reopened", &store, &embedded);
    let error = store.require_model("other").unwrap_err();
    let expected =
        format!("{}: found other, expected fingerprint, which made it", "model for the index gxn_test_cosine of ");
    assert_eq!(error.to_string().replace(&server.endpoint, ""), expected);
    assert!(error.hint().unwrap().contains("the model that made the index"));

    // Inside an async runtime nothing panics.
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async { assert_eq!(MilvusStore::open(&place).unwrap().count(Modality::Image).unwrap(), 1867) });

    // Another kind of index, filled from the embedded one.
    let place = server.place("hnsw");
    MilvusStore::drop_index(&place).unwrap();
    let object = |value: serde_json::Value| value.as_object().unwrap().clone();
    let options = MilvusOptions {
        index_kind: "HNSW".into(),
        index_params: object(json!({"M": 16, "efConstruction": 200})),
        search_params: object(json!({"ef": 300})),
        ..Default::default()
    };
    let mut store = MilvusStore::create(&place, &settings, &options, None).unwrap();
    assert_eq!(copy_index(embedded.index(), &mut store).unwrap(), 1867 + 1865);
    println!("HNSW: recall@10 {}", recall(&store, &embedded, Method::Auto));
    for place in [place, server.place("cosine")] {
        assert!(MilvusStore::drop_index(&place).unwrap());
    }
}

fn order(server: &Server, dir: &std::path::Path, similarity: Similarity, images: &[f32], captions: &[f32]) {
    let place = server.place("order");
    let settings = settings(similarity);
    let mut embedded = FolderStore::create(dir, settings.clone()).unwrap();
    fill(&mut embedded, images, captions);
    let samples = Some(Samples { images: &images[..300 * DIMS], captions: &captions[..300 * DIMS] });
    for (surrogate_terms, least) in [(1, 0.97), (3, 0.995)] {
        MilvusStore::drop_index(&place).unwrap();
        let options = MilvusOptions { surrogate_terms, ..Default::default() };
        let mut store = MilvusStore::create(&place, &settings, &options, samples).unwrap();
        let took = fill(&mut store, images, captions);
        let recall = recall(&store, &embedded, Method::Auto);
        println!("{similarity:?}, {surrogate_terms} terms: put in {took:?}, recall@10 by candidates {recall}");
        assert!(recall >= least, "{recall}");
        if surrogate_terms == 3 {
            let store = MilvusStore::open(&place).unwrap();
            same_answers(&format!("{similarity:?}"), &store, &embedded);
        }
    }
    assert!(MilvusStore::drop_index(&place).unwrap());
}

/// Both stores find the same for all queries, sides, pages and λ; order similarity by all items.
fn same_answers(what: &str, store: &MilvusStore, embedded: &FolderStore) {
    let method = if store.space().similarity == Similarity::Cosine { Method::Auto } else { Method::Exact };
    // milvus-lite takes its time to give away all rows.
    let count = if method == Method::Exact { 12 } else { 30 };
    let vectors: Vec<Vec<f32>> =
        (0..count).map(|number| embedding(&mut Random(500 + number as u64), number * 13)).collect();
    let (mut largest, mut took, mut took_embedded, mut asked) = (0.0f32, Duration::ZERO, Duration::ZERO, 0);
    for (number, parts) in queries(&vectors).iter().enumerate() {
        for target in SIDES {
            let lambda = [None, Some(1.0), Some(0.15)][number % 3];
            let offset = [0, 0, 5, 60][number % 4];
            let options = SearchOptions { offset, lambda, method, ..SearchOptions::new(target, 10) };
            let start = Instant::now();
            let found = store.search(parts, &options).unwrap();
            took += start.elapsed();
            let start = Instant::now();
            let expected = embedded.search(parts, &options).unwrap();
            took_embedded += start.elapsed();
            asked += 1;
            largest = largest.max(assert_equal(&found, &expected, what));
        }
    }
    let per = |took: Duration| took.as_secs_f64() * 1e3 / f64::from(asked);
    println!(
        "{what}: {asked} queries equal, scores within {largest:e}, {:.2} ms each, embedded {:.2} ms",
        per(took),
        per(took_embedded)
    );
}

/// Share of the embedded index's ten best that the store finds; the scores of those are the same.
fn recall(store: &MilvusStore, embedded: &FolderStore, method: Method) -> f64 {
    let vectors: Vec<Vec<f32>> =
        (0..50).map(|number| embedding(&mut Random(900 + number as u64), number * 13)).collect();
    let (mut found, mut wanted) = (0, 0);
    for parts in queries(&vectors) {
        for target in SIDES {
            let options = SearchOptions { method, ..SearchOptions::new(target, 10) };
            let hits = store.search(&parts, &options).unwrap();
            assert_eq!(hits.len(), 10);
            assert!(hits.is_sorted_by(|a, b| a.score >= b.score));
            for expected in embedded.search(&parts, &options).unwrap() {
                wanted += 1;
                if let Some(hit) = hits.iter().find(|hit| hit.id == expected.id) {
                    found += 1;
                    assert!((hit.score - expected.score).abs() <= 1e-5);
                }
            }
        }
    }
    f64::from(found) / f64::from(wanted)
}

fn same_filters(store: &MilvusStore, embedded: &FolderStore) {
    let of_images = [
        "folder=1/**",
        "folder=1/2",
        "folder=1",
        "folder=**/2",
        "path=1/2/**",
        "path=*/2/IMG_00*.jpg",
        "path<1/5",
        "name=IMG_00*",
        "name!=IMG_00*",
        "name=*7.jpg",
        "name=IMG_0?11.jpg",
        "width>=1000 and height<800",
        "width",
        "not width",
        "width!=1000",
        "width=0",
        "width<=1499.5",
        "width>-1.5",
        "size>1e6",
        "size=600000",
        "mtime",
        "not mtime",
        "mtime>=2024-05-31",
        "mtime=2024-05-31",
        "mtime!=2024-05-31",
        "mtime<1970-01-01",
        "mtime>-6 and mtime<2000-01-01",
        "sha256",
        "not sha256",
        "sha256=*1f",
        "sha256=''",
        "id=00016",
        "id<9",
        "id<a",
        "id>='00017 \"'",
        "id=01517*",
        "camera=Pixel*",
        "camera='Pixel 8' and width>500",
        "camera!=X100",
        "raw",
        "not raw",
        "tags=cat",
        "lens.f<2",
        "not (camera=X100 or folder=1/**)",
        "not (camera=X100 and folder=1/**)",
        "(name=*7.jpg or width=500) and not name=IMG_01*",
        "nothing",
        "image.width=500",
        "id=00016 or id=00018 or camera=none",
    ];
    let of_captions = [
        "text=a*",
        "text='a dog 16 \"runs\"\n'",
        "text=*16*",
        "text<b",
        "image_id=00016",
        "image_id=00017*",
        "id=00016#0",
        "folder=1/** and text=the*",
        "camera=Pixel* and not width",
        "image.id=00016",
        "text",
        "not text",
    ];
    let vectors: Vec<Vec<f32>> =
        (0..3).map(|number| embedding(&mut Random(700 + number as u64), number * 13)).collect();
    let mut hits = 0;
    let start = Instant::now();
    for (target, filters) in [(Modality::Image, of_images.as_slice()), (Modality::Text, of_captions.as_slice())] {
        for (number, text) in filters.iter().enumerate() {
            let filter = Filter::parse(text).unwrap();
            let parts = &queries(&vectors)[number % 3];
            for top in [10, if number % 5 == 0 { 400 } else { 55 }] {
                let options = SearchOptions { filter: Some(&filter), ..SearchOptions::new(target, top) };
                let found = store.search(parts, &options).unwrap_or_else(|e| panic!("{text}: {e}"));
                assert_equal(&found, &embedded.search(parts, &options).unwrap(), text);
                hits += found.len();
            }
        }
    }
    println!("{} filters equal, {hits} hits, in {:?}", of_images.len() + of_captions.len(), start.elapsed());
}

/// What Milvus cannot answer is refused: it looks at no more than 16,384 items.
fn too_many(server: &Server) {
    let place = server.place("many");
    MilvusStore::drop_index(&place).unwrap();
    let space = Space { similarity: Similarity::Cosine, lambda: 1.0, dims_abstract: 2, dims_grounded: 0 };
    let narrow = IndexSettings { space, ..settings(Similarity::Cosine) };
    let mut store = MilvusStore::create(&place, &narrow, &MilvusOptions::default(), None).unwrap();
    let rows: Vec<f32> = (0..17_000).flat_map(|number| <[f32; 2]>::from((number as f32 * 1e-4).sin_cos())).collect();
    store.put_images(&(0..17_000).map(image).collect::<Vec<_>>(), &rows).unwrap();
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
    let (cosine, options) = (settings(Similarity::Cosine), MilvusOptions::default());
    let ordered = settings(Similarity::Order);

    let error = MilvusStore::open(&place).unwrap_err();
    assert!(error.to_string().starts_with("collection gxn_test_mistakes_images of "), "{error}");
    assert!(error.hint().unwrap().starts_with("make the index first"));
    let error = MilvusStore::create(&place, &ordered, &options, None).unwrap_err();
    assert!(error.to_string().starts_with("samples for order similarity: found none"), "{error}");
    let unknown = MilvusOptions { index_kind: "SPIRAL".into(), ..Default::default() };
    match MilvusStore::create(&place, &cosine, &unknown, None) {
        Err(error) => assert!(error.to_string().starts_with("CreateIndex by the Milvus server http://"), "{error}"),
        // milvus-lite takes any kind.
        Ok(_) => assert!(MilvusStore::drop_index(&place).unwrap()),
    }

    // What failed left nothing behind.
    let mut store = MilvusStore::create(&place, &cosine, &options, None).unwrap();
    let error = MilvusStore::create(&place, &cosine, &options, None).unwrap_err();
    assert!(error.to_string().ends_with("found one that is there already, expected none"), "{error}");
    let row = vec![0.5; DIMS];
    let query = [QueryPart { vector: &row, weight: 1.0, kind: PartKind::Cross }];
    for target in SIDES {
        assert_eq!(store.search(&query, &SearchOptions::new(target, 5)).unwrap(), [], "empty");
    }
    let error = store.put_captions(&[caption(3)], &row).unwrap_err();
    assert!(error.to_string().starts_with("image 00003 of a caption: found no such image"), "{error}");
    let error = store.put_images(&[image(3)], &row[1..]).unwrap_err();
    assert!(error.to_string().starts_with("embeddings of 1 items: found 127 values"), "{error}");
    let error = store.put_images(&[image(3)], &vec![f32::NAN; DIMS]).unwrap_err();
    assert!(error.to_string().starts_with("embedding of 00003: found NaN at place 0"), "{error}");
    let long = ImageItem { path: "x".repeat(70_000), ..image(3) };
    let error = store.put_images(&[long], &row).unwrap_err();
    assert!(error.to_string().contains("found 70000 bytes, expected at most 65535 bytes"), "{error}");
    assert_eq!(store.count(Modality::Image).unwrap(), 0);
    store.put_images(&[], &[]).unwrap();
    // Twice at once: the last counts.
    let second = ImageItem { path: "second.jpg".into(), ..image(3) };
    store.put_images(&[image(3), second], &[row.clone(), row.clone()].concat()).unwrap();
    let hits = store.search(&query, &SearchOptions::new(Modality::Image, 5)).unwrap();
    assert_eq!((hits.len(), hits[0].path.as_str(), store.count(Modality::Image).unwrap()), (1, "second.jpg", 1));
    let error = store.search(&query, &SearchOptions { lambda: Some(2.0), ..SearchOptions::new(Modality::Image, 5) });
    assert_eq!(error.unwrap_err().to_string(), "λ: found 2, expected 0 to 1");
    let short = [QueryPart { vector: &row[1..], ..query[0] }];
    store.search(&short, &SearchOptions::new(Modality::Image, 5)).unwrap_err();
    assert!(MilvusStore::drop_index(&place).unwrap());
    let error = store.count(Modality::Image).unwrap_err();
    assert!(error.to_string().contains("collection"), "{error}");
}

#[test]
fn a_server_that_is_not_there() {
    // Nobody listens where a listener just was.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = MilvusStore::open(&MilvusPlace::new(format!("http://127.0.0.1:{port}"), "x")).unwrap_err();
    assert!(error.to_string().starts_with("DescribeCollection by the Milvus server http://127.0.0.1:"), "{error}");
    assert!(error.hint().unwrap().contains("milvus-lite server --host 127.0.0.1"), "{error}");
    for endpoint in ["", "127.0.0.1:19530", "https://localhost", "ftp://x", "http://"] {
        let error = MilvusStore::open(&MilvusPlace::new(endpoint, "x")).unwrap_err();
        assert!(error.to_string().starts_with("address of the Milvus server: found "), "{error}");
    }
    for name in ["", "1x", "a-b", "ä"] {
        let error = MilvusStore::open(&MilvusPlace::new("http://127.0.0.1:1", name)).unwrap_err();
        assert!(error.to_string().starts_with("name of an index in Milvus: found "), "{error}");
    }
}
