//! Hits of equal score.

use crate::sketches::ids_and_scores;
use gxn_index::{ImageItem, IndexWriter, Method, Modality, PartKind, QueryPart, SearchOptions};

/// Where thousands of rows have one score, sketches find some of them, and pages show none twice.
#[test]
fn pages_of_ties_join() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let mut writer = IndexWriter::create(&dir, crate::store::settings("m")).unwrap();
    for number in 0..17_000 {
        let item = ImageItem { sha256: String::new(), ..crate::store::image(&format!("{number:05}"), 0) };
        // Forty that score higher, among many that are equal.
        let content = if number % 400 == 7 { 4 } else { 3 };
        writer.put_image(&item, &crate::store::vector(content)).unwrap();
    }
    writer.make_sketches(0).unwrap();
    let index = writer.finish().unwrap();
    assert_eq!(index.load_sketches(Modality::Image), 17_000);
    let vector = crate::store::vector(9);
    let part = [QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Cross }];
    let exact = |top| {
        let options = SearchOptions { method: Method::Exact, ..SearchOptions::new(Modality::Image, top) };
        ids_and_scores(&index.search_with(&[&part], &options).unwrap()[0])
    };
    for method in [Method::Exact, Method::Sketches] {
        let find = |top, offset| {
            let options = SearchOptions { method, offset, ..SearchOptions::new(Modality::Image, top) };
            ids_and_scores(&index.search_with(&[&part], &options).unwrap()[0])
        };
        for (first, end, page) in [(0, 50, 10), (60, 200, 20), (0, 200, 200)] {
            let pages: Vec<_> = (first..end).step_by(page).flat_map(|offset| find(page, offset)).collect();
            assert_eq!(pages, find(end, 0)[first..], "{method:?} {first}..{end}");
            let ids: std::collections::HashSet<_> = pages.iter().map(|(id, _)| id).collect();
            assert_eq!(ids.len(), end - first, "{method:?}: none twice");
            let scores = |hits: &[(String, u32)]| hits.iter().map(|hit| hit.1).collect::<Vec<_>>();
            assert_eq!(scores(&pages), scores(&exact(end)[first..]), "{method:?}");
        }
        assert_eq!(find(40, 0), exact(40), "those that score higher are all found: {method:?}");
    }
}
