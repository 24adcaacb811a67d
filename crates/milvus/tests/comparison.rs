//! A store in a server beside the embedded index: the same items, hits and scores.

use crate::clustered_rows::Random;
use crate::data::{caption, embedding, id, image, queries};
use gxn_index::{Filter, Hit, Index, Method, Modality, SearchOptions, Similarity, VectorStore};
use gxn_milvus::MilvusStore;
use std::time::{Duration, Instant};

const SIDES: [Modality; 2] = [Modality::Image, Modality::Text];

/// Same items, scores within 1e-5; returns the largest difference.
pub fn assert_equal(found: &[Hit], expected: &[Hit], what: &str) -> f32 {
    let ids = |hits: &[Hit]| hits.iter().map(|hit| hit.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(found), ids(expected), "{what}");
    let mut largest = 0.0f32;
    for (found, expected) in found.iter().zip(expected) {
        largest = largest.max((found.score - expected.score).abs());
        assert_eq!((&found.path, &found.caption), (&expected.path, &expected.caption), "{what}");
        assert_eq!(found.copies, expected.copies, "{what}");
        let (a, b) = (found.parts, expected.parts);
        largest = largest.max((a.abstract_level - b.abstract_level).abs());
        largest = largest.max((a.grounded_level - b.grounded_level).abs());
    }
    assert!(largest <= 1e-5, "{what}: {largest}");
    largest
}

/// Both stores hold the same items with the same embeddings.
pub fn same_items(store: &MilvusStore, embedded: &Index) {
    let all = |store: &dyn VectorStore| {
        let (mut images, mut captions) = (Vec::new(), Vec::new());
        store
            .each_image(&mut |item, row| {
                images.push((item, row.to_vec()));
                Ok(())
            })
            .unwrap();
        store
            .each_caption(&mut |item, row| {
                captions.push((item, row.to_vec()));
                Ok(())
            })
            .unwrap();
        images.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        captions.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        (images, captions)
    };
    assert!(all(store) == all(embedded));
    let (a, b) = (id(1700), id(17));
    for store in [store as &dyn VectorStore, embedded] {
        assert_eq!(store.image_of_id(&b).unwrap().unwrap().path, image(17).path);
        assert!(store.image_of_id("zebra").unwrap().is_none());
        assert_eq!(store.captions_of_image(&b).unwrap(), [caption(17)]);
    }
    let ids = [a.as_str(), "zebra", b.as_str()];
    let rows = store.embeddings(Modality::Image, &ids).unwrap();
    assert_eq!(rows, VectorStore::embeddings(embedded, Modality::Image, &ids).unwrap());
    assert!(rows[0].is_some() && rows[1].is_none());
}

/// Both stores find the same for all queries, sides, pages and λ; order similarity by all items.
pub fn same_answers(what: &str, store: &MilvusStore, embedded: &Index) {
    let method = if store.meta().space.similarity == Similarity::Cosine { Method::Auto } else { Method::Exact };
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
            let expected = VectorStore::search(embedded, parts, &options).unwrap();
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
pub fn recall(store: &MilvusStore, embedded: &Index, method: Method) -> f64 {
    let vectors: Vec<Vec<f32>> =
        (0..50).map(|number| embedding(&mut Random(900 + number as u64), number * 13)).collect();
    let (mut found, mut wanted) = (0, 0);
    for parts in queries(&vectors) {
        for target in SIDES {
            let options = SearchOptions { method, ..SearchOptions::new(target, 10) };
            let hits = store.search(&parts, &options).unwrap();
            assert_eq!(hits.len(), 10);
            assert!(hits.is_sorted_by(|a, b| a.score >= b.score));
            for expected in VectorStore::search(embedded, &parts, &options).unwrap() {
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

pub fn same_filters(store: &MilvusStore, embedded: &Index) {
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
                assert_equal(&found, &VectorStore::search(embedded, parts, &options).unwrap(), text);
                hits += found.len();
            }
        }
    }
    println!("{} filters equal, {hits} hits, in {:?}", of_images.len() + of_captions.len(), start.elapsed());
}
