//! Hits by way of 8-bit codes beside the exact ones.

use gxn_index::{
    CaptionItem, Filter, Hit, ImageItem, Index, IndexSettings, IndexWriter, Method, Modality, PartKind, QueryPart,
    SearchOptions, Similarity, Space,
};
use std::fs;
use std::path::Path;

pub const LEVEL: usize = 96;
const ROWS: usize = 4000;

pub struct Random(pub u64);

impl Random {
    /// Near enough to a bell.
    fn next(&mut self) -> f32 {
        let mut uniform = || {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 40) as f32 / (1u64 << 24) as f32
        };
        uniform() + uniform() + uniform() - 1.5
    }

    /// Two levels of length 1, near one of 50 centres.
    pub fn embedding(&mut self, number: usize) -> Vec<f32> {
        let mut centre = Random(number as u64 % 50 + 1);
        let mut row: Vec<f32> = (0..2 * LEVEL).map(|_| centre.next() + 0.8 * self.next()).collect();
        for level in row.chunks_exact_mut(LEVEL) {
            let length = level.iter().map(|v| v * v).sum::<f32>().sqrt();
            level.iter_mut().for_each(|v| *v /= length);
        }
        row
    }
}

/// Images and captions in several files, the last rows without codes.
fn build(dir: &Path, similarity: Similarity) -> Index {
    let space = Space { similarity, lambda: 0.4, dims_abstract: LEVEL, dims_grounded: LEVEL };
    let settings = IndexSettings { model: "m".into(), space, extra: Default::default() };
    let mut random = Random(7);
    let add = |writer: &mut IndexWriter, random: &mut Random, numbers: std::ops::Range<usize>| {
        writer.set_file_bytes(700 << 10);
        for number in numbers {
            let id = format!("{number:05}");
            let path = format!("{}/{id}.jpg", number % 3);
            let embedding = random.embedding(number);
            writer.push_image(&ImageItem { id: id.clone(), path, ..Default::default() }, &embedding).unwrap();
            let caption = CaptionItem { id: id.clone(), image_id: id.clone(), text: id };
            writer.push_caption(&caption, &random.embedding(number)).unwrap();
        }
    };
    let mut writer = IndexWriter::create(dir, settings.clone()).unwrap();
    add(&mut writer, &mut random, 0..ROWS - 50);
    writer.finish().unwrap();
    let mut writer = IndexWriter::update(dir, settings.clone()).unwrap();
    assert!(writer.make_codes(0).unwrap() >= 4);
    assert_eq!(writer.make_codes(0).unwrap(), 0);
    add(&mut writer, &mut random, ROWS - 50..ROWS);
    for number in (0..ROWS).step_by(37) {
        writer.remove(Modality::Image, &format!("{number:05}")).unwrap();
    }
    let index = writer.finish().unwrap();
    index.verify().unwrap();
    assert_eq!((index.coded_rows(Modality::Image), index.coded_rows(Modality::Text)), (ROWS - 50, ROWS - 50));
    index
}

pub fn told(hits: &[Hit]) -> Vec<(String, u32)> {
    hits.iter().map(|hit| (hit.id.clone(), hit.score.to_bits())).collect()
}

#[test]
fn candidates_hold_the_best_and_scores_are_exact() {
    for similarity in [Similarity::Cosine, Similarity::Order, Similarity::OrderReversed] {
        let parent = tempfile::tempdir().unwrap();
        let index = build(&parent.path().join("index"), similarity);
        let filter = Filter::parse("folder=1").unwrap();
        let mut random = Random(8);
        let vectors: Vec<Vec<f32>> = (0..60).map(|number| random.embedding(number * 13)).collect();
        // A text, a text less another, a text with a picture.
        let part = |at: usize, weight, kind| QueryPart { vector: &vectors[at], weight, kind };
        let queries: Vec<Vec<QueryPart<'_>>> = (0..20)
            .map(|at| match at % 3 {
                0 => vec![part(at, 1.0, PartKind::Cross)],
                1 => vec![part(at, 1.0, PartKind::Cross), part(at + 20, -0.3, PartKind::Cross)],
                _ => vec![part(at, 1.0, PartKind::Cross), part(at + 40, 0.8, PartKind::Same)],
            })
            .collect();
        let queries: Vec<&[QueryPart<'_>]> = queries.iter().map(Vec::as_slice).collect();
        for target in [Modality::Image, Modality::Text] {
            for filter in [None, Some(&filter)] {
                for lambda in [None, Some(0.9)] {
                    let find = |method| {
                        let options = SearchOptions { filter, lambda, method, ..SearchOptions::new(target, 10) };
                        index.search_with(&queries, &options).unwrap()
                    };
                    let (exact, near) = (find(Method::Exact), find(Method::Candidates));
                    let (mut found, mut all) = (0, 0);
                    for (exact, near) in exact.iter().zip(&near) {
                        let (exact, near) = (told(exact), told(near));
                        assert_eq!(exact.len(), 10);
                        all += exact.len();
                        found += exact.iter().filter(|hit| near.contains(hit)).count();
                    }
                    println!("{similarity:?} {target:?} filter {} λ {lambda:?}: {found} of {all}", filter.is_some());
                    assert!(found * 1000 >= all * 995, "{found} of {all}");
                    assert_eq!(find(Method::Auto), exact, "so few are read exactly");
                    // One alone is as among others.
                    let options =
                        SearchOptions { filter, lambda, method: Method::Candidates, ..SearchOptions::new(target, 10) };
                    assert_eq!(index.search_with(&queries[..1], &options).unwrap()[0], near[0]);
                }
            }
        }
    }
}

/// Rows of equal score come in the same order either way, and pages join.
#[test]
fn ties_are_stable() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let mut writer = IndexWriter::create(&dir, crate::store::settings("m")).unwrap();
    writer.set_file_bytes(128 + 64 * 100);
    for number in 0..1000 {
        let item = ImageItem { sha256: String::new(), ..crate::store::image(&format!("{number:04}"), 0) };
        writer.push_image(&item, &crate::store::vector((number % 4) as u8)).unwrap();
    }
    writer.make_codes(0).unwrap();
    let index = writer.finish().unwrap();
    let vector = crate::store::vector(9);
    let part = [QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Cross }];
    let find = |method, top, offset| {
        let options = SearchOptions { method, offset, ..SearchOptions::new(Modality::Image, top) };
        told(&index.search_with(&[&part], &options).unwrap()[0])
    };
    let all = find(Method::Exact, 300, 0);
    assert_eq!(all[0].0, "0003");
    assert_eq!(find(Method::Candidates, 300, 0), all);
    let pages: Vec<_> = (0..300).step_by(50).flat_map(|offset| find(Method::Candidates, 50, offset)).collect();
    assert_eq!(pages, all);
}

/// Where thousands of rows have one score, a way by candidates finds some of them, and pages show none twice.
#[test]
fn pages_of_ties_join_by_any_way() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let mut writer = IndexWriter::create(&dir, crate::store::settings("m")).unwrap();
    for number in 0..17_000 {
        let item = ImageItem { sha256: String::new(), ..crate::store::image(&format!("{number:05}"), 0) };
        // Forty that score higher, among many that are equal.
        let content = if number % 400 == 7 { 4 } else { 3 };
        writer.push_image(&item, &crate::store::vector(content)).unwrap();
    }
    writer.make_codes(0).unwrap();
    writer.make_sketches(0).unwrap();
    let index = writer.finish().unwrap();
    assert_eq!(index.load_sketches(Modality::Image), 17_000);
    let vector = crate::store::vector(9);
    let part = [QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Cross }];
    let exact = |top| {
        let options = SearchOptions { method: Method::Exact, ..SearchOptions::new(Modality::Image, top) };
        told(&index.search_with(&[&part], &options).unwrap()[0])
    };
    for method in [Method::Exact, Method::Candidates, Method::Sketches] {
        let find = |top, offset| {
            let options = SearchOptions { method, offset, ..SearchOptions::new(Modality::Image, top) };
            told(&index.search_with(&[&part], &options).unwrap()[0])
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

/// Codes that are gone or damaged are done without, named by verify, and made again.
#[test]
fn search_does_without_codes() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let index = build(&dir, Similarity::Cosine);
    let vector = Random(9).embedding(3);
    let part = [QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Cross }];
    let options = SearchOptions { method: Method::Candidates, ..SearchOptions::new(Modality::Image, 10) };
    let expected = told(&index.search_with(&[&part], &options).unwrap()[0]);
    let codes: Vec<_> = fs::read_dir(dir.join("segments"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "i8"))
        .collect();
    for (number, path) in codes.iter().enumerate() {
        if number % 2 == 0 {
            fs::remove_file(path).unwrap();
        } else {
            let bytes = fs::read(path).unwrap();
            fs::remove_file(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }
    }
    let without = Index::open(&dir).unwrap();
    assert_eq!((without.coded_rows(Modality::Image), without.coded_rows(Modality::Text)), (0, 0));
    assert_eq!(told(&without.search_with(&[&part], &options).unwrap()[0]), expected);
    let error = without.verify().unwrap_err();
    assert!(error.to_string().contains(".i8") && error.hint().unwrap().contains("remove it"), "{error}");
    let settings = IndexSettings { model: "m".into(), space: index.meta().space, extra: Default::default() };
    let mut writer = IndexWriter::update(&dir, settings).unwrap();
    assert_eq!(writer.make_codes(0).unwrap(), codes.len() as u64);
    writer.finish().unwrap().verify().unwrap();
}
