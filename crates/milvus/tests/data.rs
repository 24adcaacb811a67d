//! Clustered rows, images and captions of every kind, and queries.

use crate::clustered_rows::Random;
use gxn_index::{CaptionItem, ImageItem, IndexSettings, PartKind, QueryPart, Similarity, Space};
use serde_json::json;

pub const LEVEL: usize = 64;
pub const DIMS: usize = 2 * LEVEL;

/// A row near one of 50 centres.
pub fn embedding(random: &mut Random, number: usize) -> Vec<f32> {
    random.near(number as u64 % 50, 0.8, LEVEL)
}

pub fn embeddings(random: &mut Random, numbers: std::ops::Range<usize>) -> Vec<f32> {
    numbers.flat_map(|number| embedding(random, number)).collect()
}

pub fn id(number: usize) -> String {
    match number % 100 {
        17 => format!("{number:05} \"q\" \\ 'é🐱'\n%_[x]"),
        _ => format!("{number:05}"),
    }
}

pub fn image(number: usize) -> ImageItem {
    let own = match number % 4 {
        0 => json!({"camera": "Pixel 8", "raw": true, "lens": {"f": 1.8}}),
        1 => json!({"camera": "Pixel 9", "tags": ["cat", "sofa"]}),
        2 => json!({"camera": "X100", "raw": false}),
        _ => json!({}),
    };
    ImageItem {
        id: id(number),
        path: format!("{}/{}/IMG_{number:04}.jpg", number % 3, number % 7),
        sha256: if number.is_multiple_of(5) { String::new() } else { format!("{number:064x}") },
        size: (number as u64 % 11) * 300_000,
        // 0 of the first, and days around 2024-05-31 (day 19874).
        mtime_unix_ms: if number.is_multiple_of(13) {
            -5000
        } else {
            (number as i64 % 40) * (19_854 + number as i64 % 40) * 86_400_000 / 40
        },
        file: None,
        width: (number as u32 % 9) * 500,
        height: 400 + number as u32 % 800,
        meta: own.as_object().unwrap().clone(),
    }
}

pub fn caption(number: usize) -> CaptionItem {
    let text = format!("{} dog {number} \"runs\"\n", ["a", "the"][number % 2]);
    CaptionItem { id: format!("{number:05}#0"), image_id: id(number), text }
}

pub fn settings(similarity: Similarity) -> IndexSettings {
    let space = Space { similarity, lambda: 0.4, dims_abstract: LEVEL, dims_grounded: LEVEL };
    let extra = json!({"model_path": "runs/demo"}).as_object().unwrap().clone();
    IndexSettings { model: "fingerprint".into(), space, extra }
}

/// Queries of one to three parts.
pub fn queries(vectors: &[Vec<f32>]) -> Vec<Vec<QueryPart<'_>>> {
    let part = |at: usize, weight, kind| QueryPart { vector: &vectors[at % vectors.len()], weight, kind };
    let query = |at: usize| match at % 5 {
        0 => vec![part(at, 1.0, PartKind::Cross)],
        1 => vec![part(at, 1.0, PartKind::Cross), part(at + 20, -0.3, PartKind::Cross)],
        2 => vec![part(at, 0.7, PartKind::Cross), part(at + 1, 0.6, PartKind::Same)],
        3 => vec![part(at, 1.0, PartKind::Same)],
        _ => {
            vec![part(at, 1.5, PartKind::Cross), part(at + 7, 0.5, PartKind::Same), part(at + 9, 0.25, PartKind::Cross)]
        }
    };
    (0..vectors.len()).map(query).collect()
}
