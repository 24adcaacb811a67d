//! The numbers of `reference/retrieval_metrics.py` (NumPy, float64, full matrices).

use std::path::Path;

use super::*;
use crate::metrics::{Bootstrap, METRIC_KEYS};

const N: usize = 200;
const EACH: usize = 5;
const D: usize = 16;

#[derive(serde::Deserialize)]
struct Golden {
    results: Vec<GoldenResult>,
    #[serde(rename = "ci95_order_1.0")]
    ci95: [[f64; 2]; 12],
    difference_ci95: [[f64; 2]; 12],
}

#[derive(serde::Deserialize)]
struct GoldenResult {
    similarity: String,
    lambda: f32,
    i2t: Vec<u32>,
    t2i: Vec<u32>,
    metrics: [f64; 12],
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../tests/golden/retrieval_metrics.json")).unwrap()
}

fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 22) as f32 / 1024.0 - 0.5
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn level(seed: u32) -> (Vec<f32>, Vec<f32>) {
    let images = noise(N * D, seed);
    let mut captions = noise(N * EACH * D, seed + 1);
    for (place, value) in captions.iter_mut().enumerate() {
        *value += images[place / (EACH * D) * D + place % D];
    }
    (images, captions)
}

fn evaluation(similarity: Similarity, lambda: f32) -> Evaluation {
    let (abstract_level, grounded_level) = (level(1), level(77));
    let level = |(images, captions)| LevelEmbeddings { images, captions, dim: D };
    let embeddings = Embeddings {
        abstract_level: level((&abstract_level.0, &abstract_level.1)),
        grounded_level: Some(level((&grounded_level.0, &grounded_level.1))),
        hubness: None,
    };
    let owners: Vec<usize> = (0..N * EACH).map(|caption| caption / EACH).collect();
    Protocol::Full.evaluate(N, &owners, &embeddings, Scoring { similarity, lambda }).unwrap()
}

#[test]
fn ranks_and_metrics_equal_numpy() {
    let similarities = [Similarity::Order, Similarity::OrderReversed];
    for expected in golden().results {
        let similarity = (similarities.into_iter().chain([Similarity::Cosine]))
            .find(|similarity| crate::embeddings::similarity_name(*similarity) == expected.similarity)
            .unwrap();
        let found = evaluation(similarity, expected.lambda);
        assert_eq!(found.ranks.image_to_text, expected.i2t, "{similarity:?} λ {}", expected.lambda);
        assert_eq!(found.ranks.text_to_image, expected.t2i, "{similarity:?} λ {}", expected.lambda);
        for ((key, found), expected) in METRIC_KEYS.iter().zip(found.metrics.values()).zip(expected.metrics) {
            assert!((found - expected).abs() < 1e-9, "{key}: {found} {expected}");
        }
    }
}

/// Two independent bootstraps (10,000 and 20,000 draws) agree within a few per cent of the interval's width.
#[test]
fn intervals_agree_with_numpy() {
    let order = Similarity::Order;
    let (first, second) = (evaluation(order, 1.0), evaluation(order, 0.5));
    let (a, b) = (first.selection.queries(&first.ranks), second.selection.queries(&second.ranks));
    let (bootstrap, golden) = (Bootstrap::default(), golden());
    let differences = bootstrap.paired(&a, &b).unwrap().map(|found| found.ci95);
    for (found, expected) in [(bootstrap.intervals(&a).unwrap(), golden.ci95), (differences, golden.difference_ci95)] {
        for ((key, found), expected) in METRIC_KEYS.iter().zip(found).zip(expected) {
            // Medians move in whole ranks; recalls in steps of 100 / 200.
            let slack = if key.ends_with("medr") { 1.0 } else { 0.08 * (expected[1] - expected[0]) + 1e-9 };
            for side in 0..2 {
                assert!((found[side] - expected[side]).abs() <= slack, "{key}: {found:?} {expected:?}");
            }
        }
    }
}

#[test]
fn numpy_files_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/npy");
    let expected = NpyMatrix { rows: 2, dim: 3, values: vec![1.5, -2.0, 0.25, 0.0, 65504.0, -0.0].into() };
    for name in ["f2", "f4", "f8", "version2", "version3"] {
        assert_eq!(read_npy(&folder.join(format!("{name}.npy"))).unwrap(), expected, "{name}");
    }
    let refused = |name: &str| read_npy(&folder.join(name)).unwrap_err();
    assert!(refused("fortran.npy").hint().unwrap().contains("ascontiguousarray"));
    assert!(refused("integers.npy").to_string().contains("`<i8`"));
    assert!(refused("none.npy").to_string().starts_with("cannot read"));
}

/// NumPy writes the same bytes for the same matrix.
#[test]
fn written_bytes_equal_numpys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    write_npy(&path, &[1.5, -2.0, 0.25, 0.0, 65504.0, -0.0], 3).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), include_bytes!("../tests/golden/npy/f4.npy"));
}
