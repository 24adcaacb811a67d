//! Embeddings of small encoders with random weights against transformers: `reference/pretrained_golden.py`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Family;
use crate::config::Config;
use crate::kernel::{Threads, to_unit_length};
use crate::towers::{self, embedding};
use crate::weights::Weights;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

struct Case {
    folder: PathBuf,
    config: Config,
    weights: Weights,
    expected: Value,
}

impl Case {
    fn open(name: &str, family: Family) -> Self {
        let folder = golden().join(name);
        let config = Config::read(family, &json(&folder.join("config.json"))).unwrap();
        let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|kind| kind == "safetensors")).collect();
        paths.sort();
        let weights = towers::weights(&config, &paths).unwrap();
        Self { expected: json(&folder.join("golden.json")), folder, config, weights }
    }

    /// The largest difference over images and texts, each embedded in batches and alone.
    fn difference(&self) -> f32 {
        let mut largest = 0.0_f32;
        for threads in [Threads::Own, Threads::All] {
            for batch in [1, 10] {
                if self.config.image().is_some() {
                    largest = largest.max(difference(&self.images(batch, threads), &self.expected["images"]));
                }
                if self.config.text().is_some() {
                    largest = largest.max(difference(&self.texts(batch, threads), &self.expected["texts"]));
                }
            }
        }
        largest
    }

    fn images(&self, batch: usize, threads: Threads) -> Vec<f32> {
        let size = floats(&self.expected["size"]);
        let size = [size[0] as usize, size[1] as usize];
        let pixels = floats(&self.expected["pixels"]);
        let images: Vec<_> = pixels.chunks_exact(3 * size[0] * size[1]).map(<[f32]>::to_vec).collect();
        assert_eq!(images.len(), 2);
        let tower = towers::images(&self.config, &self.weights, size).unwrap();
        let embed = |images: &[Vec<f32>]| {
            embedding(tower.project.as_ref(), tower.tokens.width(), tower.pool(images, threads), threads)
        };
        images.chunks(batch).flat_map(embed).collect()
    }

    fn texts(&self, batch: usize, threads: Threads) -> Vec<f32> {
        let pad = self.expected["pad"].as_u64().unwrap() as u32;
        let tower = towers::texts(&self.config, &self.weights, &self.folder).unwrap();
        let tokens = |text| floats(text).iter().map(|&token| token as u32).collect();
        let texts: Vec<_> =
            self.expected["tokens"].as_array().unwrap().iter().map(|text| tower.needed(tokens(text), pad)).collect();
        assert_eq!(texts.len(), 4);
        let embed = |texts: &[Vec<u32>]| {
            embedding(tower.project.as_ref(), tower.width, tower.pool(texts, threads).unwrap(), threads)
        };
        texts.chunks(batch).flat_map(embed).collect()
    }
}

fn difference(found: &[f32], expected: &Value) -> f32 {
    let expected = floats(expected);
    assert_eq!(found.len(), expected.len());
    let mut unit = expected.clone();
    to_unit_length(&mut unit, found.len());
    assert!(unit.iter().any(|&x| x != 0.0));
    found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn embeddings_are_those_of_transformers() {
    let cases = [
        ("clip", Family::Clip),
        ("clip_legacy", Family::Clip),
        ("siglip", Family::Siglip),
        ("dinov2", Family::Dinov2),
        ("dinov2_other_size", Family::Dinov2),
        ("bert", Family::Bert),
        ("bert_cls", Family::Bert),
        ("bert_max", Family::Bert),
    ];
    for (name, family) in cases {
        let difference = Case::open(name, family).difference();
        assert!(difference < 2e-6, "{name}: largest difference {difference}");
    }
}
