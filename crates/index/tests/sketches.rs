//! Hits by way of 4-bit sketches beside the exact ones.

use crate::clustered_rows::Random;
use gxn_index::{
    CaptionItem, Filter, Hit, ImageItem, Index, IndexSettings, IndexWriter, Method, Modality, PartKind, QueryPart,
    SearchOptions, Similarity, Space,
};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

const LEVEL: usize = 96;
/// A row near one of 50 centres.
pub fn embedding(random: &mut Random, number: usize) -> Vec<f32> {
    random.near(number as u64 % 50, 0.8, LEVEL)
}

pub fn ids_and_scores(hits: &[Hit]) -> Vec<(String, u32)> {
    hits.iter().map(|hit| (hit.id.clone(), hit.score.to_bits())).collect()
}

/// From 32,768 rows in a file on turbovec looks at signs first.
const IMAGES: usize = 40_000;
const CAPTIONS: usize = 6_000;
/// Images after the sketches were made.
const LATE: usize = 50;
const FILE_BYTES: u64 = 16 << 20;
const ORDER: Similarity = Similarity::Order;

fn settings(similarity: Similarity) -> IndexSettings {
    let space = Space { similarity, lambda: 0.4, dims_abstract: LEVEL, dims_grounded: LEVEL };
    IndexSettings { model: "m".into(), space, extra: Default::default() }
}

fn add(writer: &mut IndexWriter, random: &mut Random, numbers: Range<usize>, captions: usize) {
    writer.set_file_bytes(FILE_BYTES);
    for number in numbers {
        let id = format!("{number:05}");
        let path = format!("{}/{id}.jpg", number % 3);
        let width = number as u32;
        let item = ImageItem { id: id.clone(), path, width, ..Default::default() };
        writer.put_image(&item, &embedding(random, number)).unwrap();
        if number < captions {
            let caption = CaptionItem { id: id.clone(), image_id: id.clone(), text: id };
            writer.put_caption(&caption, &embedding(random, number)).unwrap();
        }
    }
}

/// Images in two files, the last without sketches; some are removed.
fn build(dir: &Path, similarity: Similarity) -> Index {
    let mut random = Random(7);
    let mut writer = IndexWriter::create(dir, settings(similarity)).unwrap();
    add(&mut writer, &mut random, 0..IMAGES - LATE, CAPTIONS);
    assert_eq!(writer.make_sketches(1 << 30).unwrap(), 0, "so few bytes need none");
    assert_eq!(writer.make_sketches(0).unwrap(), 3);
    assert_eq!(writer.make_sketches(0).unwrap(), 0);
    add(&mut writer, &mut random, IMAGES - LATE..IMAGES, 0);
    for number in (0..IMAGES).step_by(37) {
        writer.remove(Modality::Image, &format!("{number:05}")).unwrap();
    }
    let index = writer.finish().unwrap();
    index.verify().unwrap();
    assert_eq!((index.sketched_rows(Modality::Image), index.sketched_rows(Modality::Text)), (IMAGES - LATE, CAPTIONS));
    index
}

/// Texts, texts less others, texts with images.
fn queries(vectors: &[Vec<f32>]) -> Vec<Vec<QueryPart<'_>>> {
    let part = |at: usize, weight, kind| QueryPart { vector: &vectors[at], weight, kind };
    (0..30)
        .map(|at| match at % 3 {
            0 => vec![part(at, 1.0, PartKind::Cross)],
            1 => vec![part(at, 1.0, PartKind::Cross), part(at + 30, -0.3, PartKind::Cross)],
            _ => vec![part(at, 1.0, PartKind::Cross), part(at + 60, 0.8, PartKind::Same)],
        })
        .collect()
}

#[test]
fn sketches_hold_the_best_and_scores_are_exact() {
    for (similarity, least) in [(Similarity::Cosine, 0.99), (ORDER, 0.98)] {
        let parent = tempfile::tempdir().unwrap();
        let index = build(&parent.path().join("index"), similarity);
        let mut random = Random(8);
        let vectors: Vec<Vec<f32>> = (0..90).map(|number| embedding(&mut random, number * 13)).collect();
        let queries = queries(&vectors);
        let queries: Vec<_> = queries.iter().map(Vec::as_slice).collect();
        let third = Filter::parse("folder=1").unwrap();
        let narrow = Filter::parse("width<3000").unwrap();
        for target in [Modality::Image, Modality::Text] {
            for filter in [None, Some(&third), Some(&narrow)] {
                for lambda in [None, Some(0.9)] {
                    let options = SearchOptions { filter, lambda, ..SearchOptions::new(target, 10) };
                    let find = |queries: &[&[QueryPart<'_>]], method| {
                        index.search_with(queries, &SearchOptions { method, ..options }).unwrap()
                    };
                    let (exact, near) = (find(&queries, Method::Exact), find(&queries, Method::Sketches));
                    let (mut found, mut all) = (0, 0);
                    for (exact, near) in exact.iter().zip(&near) {
                        let (exact, near) = (ids_and_scores(exact), ids_and_scores(near));
                        assert_eq!((exact.len(), near.len()), (10, 10));
                        all += exact.len();
                        found += exact.iter().filter(|hit| near.contains(hit)).count();
                    }
                    let text = filter.map(Filter::to_string);
                    println!("{similarity:?} {target:?} {text:?} λ {lambda:?}: {found} of {all}");
                    assert!(found as f64 >= least * all as f64, "{found} of {all}");
                    if filter == Some(&narrow) {
                        assert_eq!(near, exact, "so few are read exactly");
                    }
                    for at in [0, 1, 2] {
                        assert_eq!(find(&queries[at..=at], Method::Sketches)[0], near[at], "alone as among others");
                    }
                }
            }
        }
    }
}

fn sketch_files(dir: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(dir.join("segments")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = names.filter(|path| path.extension().is_some_and(|e| e == "sketch")).collect();
    files.sort();
    files
}

/// Sketches that are gone, cut or changed are done without, named by verify, and made again; a reader that has them open
/// goes on.
#[test]
fn search_does_without_sketches() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let mut random = Random(7);
    let mut writer = IndexWriter::create(&dir, settings(Similarity::Cosine)).unwrap();
    add(&mut writer, &mut random, 0..CAPTIONS, CAPTIONS);
    writer.make_sketches(0).unwrap();
    let before = writer.finish().unwrap();
    let vector = embedding(&mut Random(9), 3);
    let part = [QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Cross }];
    let find = |index: &Index, method| {
        let options = SearchOptions { method, ..SearchOptions::new(Modality::Image, 10) };
        ids_and_scores(&index.search_with(&[&part], &options).unwrap()[0])
    };
    let expected = find(&before, Method::Exact);
    let files = sketch_files(&dir);
    assert_eq!(files.len(), 2);
    let image = files.iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with("images")).unwrap();
    let good = fs::read(image).unwrap();
    for damage in ["gone", "cut", "header", "body"] {
        // What is mapped is not to be cut: another file takes its place.
        fs::remove_file(image).unwrap();
        let mut bad = good.clone();
        match damage {
            "gone" => {}
            "cut" => fs::write(image, &bad[..bad.len() / 2]).unwrap(),
            "header" => {
                bad[40] ^= 1;
                fs::write(image, bad).unwrap();
            }
            _ => {
                let middle = bad.len() / 2;
                bad[middle] ^= 1;
                fs::write(image, bad).unwrap();
            }
        }
        let without = Index::open(&dir).unwrap();
        assert_eq!(find(&without, Method::Sketches), expected, "{damage}");
        assert_eq!((without.load_sketches(Modality::Image), without.load_sketches(Modality::Text)), (0, CAPTIONS));
        match without.verify() {
            Ok(()) => assert_eq!(damage, "gone"),
            Err(error) => {
                assert!(error.to_string().contains(".sketch"), "{damage}: {error}");
                assert!(error.hint().unwrap().contains("remove the file"), "{damage}");
            }
        }
        let mut writer = IndexWriter::update(&dir, settings(Similarity::Cosine)).unwrap();
        assert_eq!(writer.make_sketches(0).unwrap(), 1, "{damage}");
        let again = writer.finish().unwrap();
        again.verify().unwrap();
        assert_eq!(again.load_sketches(Modality::Image), CAPTIONS);
        assert_eq!(find(&again, Method::Sketches), expected);
    }
    assert_eq!(find(&before, Method::Sketches), expected, "it was read at the first search");
}

/// Compaction takes the sketches of a rewritten file away, and they are not made again behind the caller's back.
#[test]
fn compaction_removes_sketches() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let mut writer = IndexWriter::create(&dir, settings(ORDER)).unwrap();
    add(&mut writer, &mut Random(7), 0..CAPTIONS, 0);
    writer.make_sketches(0).unwrap();
    writer.finish().unwrap();
    let mut writer = IndexWriter::update(&dir, settings(ORDER)).unwrap();
    for number in (0..CAPTIONS).step_by(2) {
        writer.remove(Modality::Image, &format!("{number:05}")).unwrap();
    }
    let index = writer.finish().unwrap();
    assert_eq!((index.sketched_rows(Modality::Image), sketch_files(&dir)), (0, vec![]));
    index.verify().unwrap();
    let mut writer = IndexWriter::update(&dir, settings(ORDER)).unwrap();
    assert_eq!(writer.make_sketches(0).unwrap(), 1);
    assert_eq!(writer.finish().unwrap().load_sketches(Modality::Image), CAPTIONS / 2);
}

/// Zero weights, zero vectors and huge weights do not make search fail.
#[test]
fn odd_queries_have_answers() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    for similarity in [Similarity::Cosine, ORDER] {
        let mut writer = IndexWriter::create(&dir, settings(similarity)).unwrap();
        add(&mut writer, &mut Random(7), 0..CAPTIONS, 0);
        writer.make_sketches(0).unwrap();
        let index = writer.finish().unwrap();
        let vector = embedding(&mut Random(9), 3);
        let zero = vec![0.0; 2 * LEVEL];
        for (vector, weight) in [(&vector, 0.0), (&zero, 1.0), (&vector, 1e30), (&vector, -1.0)] {
            let part = [QueryPart { vector, weight, kind: PartKind::Cross }];
            for lambda in [Some(0.0), Some(1.0), None] {
                let options =
                    SearchOptions { lambda, method: Method::Sketches, ..SearchOptions::new(Modality::Image, 5) };
                let hits = index.search_with(&[&part], &options).unwrap().remove(0);
                assert_eq!(hits.len(), 5, "{similarity:?} weight {weight}");
                assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
            }
        }
    }
}
