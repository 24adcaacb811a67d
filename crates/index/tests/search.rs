//! Searching an index.

use crate::fixture::write;
use gxn_index::{Filter, ImageItem, Index, IndexWriter, Modality, PartKind, QueryPart, SearchOptions};

fn index() -> (tempfile::TempDir, Index) {
    let dir = tempfile::tempdir().unwrap();
    let index = write(&dir.path().join("index"), "m");
    (dir, index)
}

fn cross(vector: &[f32]) -> QueryPart<'_> {
    QueryPart { vector, weight: 1.0, kind: PartKind::Cross }
}

/// Image a = (1, 0 | 0.5, 0.5, 0.25) against caption rows: v − t whatever is stored. Caption 0 lies above: 0.
/// Caption 1: h 0.25² · 0.25, l (0.25² + 0.25²) · 0.75 → −0.015625 − 0.09375.
#[test]
fn images_find_captions() {
    let (_dir, index) = index();
    let image = index.row(Modality::Image, 0).unwrap();
    let hits = index.search(&[cross(&image)], Modality::Text, 2, 0).unwrap();
    assert_eq!(hits[0].id, "a#0");
    assert_eq!(hits[0].path, "a.jpg");
    assert_eq!(hits[0].caption.as_ref().unwrap().text, "un café");
    assert_eq!((hits[0].score, hits[1].score), (0.0, -0.109375));
    assert_eq!((hits[1].parts.abstract_level, hits[1].parts.grounded_level), (-0.015625, -0.09375));
}

#[test]
fn a_stored_image_finds_itself() {
    let (_dir, index) = index();
    for row in 0..3 {
        let vector = index.row(Modality::Image, row).unwrap();
        let part = QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Same };
        let hits = index.search(&[part], Modality::Image, 1, 0).unwrap();
        assert_eq!(hits[0].row, row);
        assert!((hits[0].score - 1.0).abs() < 1e-6);
    }
}

/// Weights add up: the score of both parts is the weighted sum of the parts' scores.
#[test]
fn parts_add_up_and_pages_join() {
    let (_dir, index) = index();
    let (text, image) = (index.row(Modality::Text, 0).unwrap(), index.row(Modality::Image, 2).unwrap());
    let score = |parts: &[QueryPart<'_>]| {
        let mut hits = index.search(parts, Modality::Image, 3, 0).unwrap();
        hits.sort_by_key(|h| h.row);
        hits.into_iter().map(|h| h.score).collect::<Vec<_>>()
    };
    let same = QueryPart { vector: &image, weight: 1.0, kind: PartKind::Same };
    let both = [QueryPart { weight: 2.0, ..cross(&text) }, QueryPart { weight: -0.5, ..same }];
    let expected: Vec<f32> =
        score(&[cross(&text)]).iter().zip(score(&[same])).map(|(a, b)| 2.0 * a - 0.5 * b).collect();
    for (found, expected) in score(&both).iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
    }
    let all = index.search(&both, Modality::Image, 3, 0).unwrap();
    let pages: Vec<_> = (0..4).flat_map(|offset| index.search(&both, Modality::Image, 1, offset).unwrap()).collect();
    assert_eq!(all, pages);
    assert_eq!(index.search_many(&[&both, &[same]], Modality::Image, 3, 0).unwrap()[0], all);
    assert!(index.search(&both, Modality::Image, usize::MAX, usize::MAX).unwrap().is_empty());
}

#[test]
fn unusable_queries_are_explained() {
    let (_dir, index) = index();
    let message = |parts: &[QueryPart<'_>]| index.search(parts, Modality::Image, 3, 0).unwrap_err().to_string();
    assert_eq!(message(&[]), "query: found no parts, expected at least one text or image");
    let short = message(&[cross(&[1.0; 4])]);
    assert_eq!(short, "part 1 of the query: found 4 values, expected 5 values, as the index has");
    assert!(
        message(&[cross(&[0.0, 0.0, f32::NAN, 0.0, 0.0])]).starts_with("value 2 of part 1 of the query: found NaN")
    );
    assert!(message(&[QueryPart { weight: f32::INFINITY, ..cross(&[1.0; 5]) }]).contains("weight of part 1"));
}

#[test]
fn rows_that_are_not_there() {
    let (_dir, index) = index();
    assert_eq!(
        index.row(Modality::Image, 3).unwrap_err().to_string(),
        "row: found 3, expected a row of one of the 3 images"
    );
    index.image(9).unwrap_err();
    index.caption(4).unwrap_err();
    assert_eq!(index.row_of(Modality::Image, "zebra").unwrap(), None);
}

/// Two of four items pass; two that share a row are distinguished; a filter's second result comes from the cache.
#[test]
fn filters_narrow_the_search() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let mut writer = IndexWriter::create(&dir, crate::store::settings("m")).unwrap();
    for (id, number, width) in [("x/a", 1, 10), ("x/b", 2, 20), ("y/c", 2, 30), ("y/d", 4, 40)] {
        let item = ImageItem { width, ..crate::store::image(id, number) };
        writer.put_image(&item, &crate::store::vector(number)).unwrap();
        let caption = gxn_index::CaptionItem { id: id.into(), image_id: id.into(), text: format!("text {width}") };
        writer.put_caption(&caption, &crate::store::vector(number)).unwrap();
    }
    let index = writer.finish().unwrap();
    let vector = crate::store::vector(4);
    let find = |target: Modality, filter: &str, offset: usize| -> Vec<String> {
        let filter = Filter::parse(filter).unwrap();
        let options = SearchOptions { offset, filter: Some(&filter), ..SearchOptions::new(target, 9) };
        let hits = index.search_with(&[&[cross(&vector)]], &options).unwrap().remove(0);
        hits.into_iter().map(|hit| hit.id).collect()
    };
    for _ in 0..2 {
        assert_eq!(find(Modality::Image, "folder=x", 0), ["x/b", "x/a"]);
        assert_eq!(find(Modality::Image, "folder=y", 0), ["y/d", "y/c"]);
        assert_eq!(find(Modality::Image, "folder=y", 1), ["y/c"]);
        assert_eq!(find(Modality::Image, "width>=20", 0), ["y/d", "x/b", "y/c"]);
        assert_eq!(find(Modality::Image, "width>99", 0), [""; 0]);
        assert_eq!(find(Modality::Text, "width>=20 and text!='text 40'", 0), ["x/b", "y/c"]);
    }
    // λ can differ from query to query; with 1 the grounded level counts nothing.
    let options = SearchOptions { lambda: Some(1.0), ..SearchOptions::new(Modality::Image, 1) };
    let hits = index.search_with(&[&[cross(&vector)]], &options).unwrap().remove(0);
    assert_eq!((hits[0].score, hits[0].parts.grounded_level), (17.0, 0.0));
    let options = SearchOptions { lambda: Some(1.5), ..options };
    assert_eq!(index.search_with(&[], &options).unwrap_err().to_string(), "λ: found 1.5, expected 0 to 1");
}
