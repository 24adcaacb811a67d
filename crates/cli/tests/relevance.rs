//! `gxn calibrate` and what search makes of it.

use std::path::{Path, PathBuf};

use crate::fixture::{copy, data, gxn, paper, patch, text, works};
use crate::snapshots::{refused, seen};

/// 120 images of their own colours with a caption each, as a table; all are val.
fn many(folder: &Path) -> PathBuf {
    let mut rows = "image,caption,split\n".to_string();
    for at in 0..120u8 {
        let name = format!("{at}.png");
        patch([at * 2, 255 - at * 2, (at % 7) * 30], usize::from(at % 4)).save(folder.join(&name)).unwrap();
        rows += &format!("{name},a {} patch,val\n", ["red", "green", "blue"][usize::from(at % 3)]);
    }
    let table = folder.join("captions.csv");
    std::fs::write(&table, rows).unwrap();
    table
}

#[test]
fn a_calibrated_model_says_how_relevant_hits_are() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    copy(&paper().folder.join("best").canonicalize().unwrap(), &model);
    let table = many(folder.path());
    refused!(["calibrate", text(&model), text(&table), "--measure", "val"]);
    refused!(["calibrate", text(&model), text(data())]);

    let index = folder.path().join("index");
    works(["index", text(&table), "--model", text(&model), "--index", text(&index)]);
    let search = ["search", "a red patch", "--index", text(&index), "--top", "120"];
    let jsonl = [&search[..], &["--format", "jsonl"]].concat();
    assert!(works(&jsonl).json_lines().iter().all(|hit| hit["relevance"].is_null()));
    let least = [&search[..], &["--min-relevance", "0.5"]].concat();
    refused!(&least);
    refused!([&search[..], &["--min-relevance", "1.5"]].concat());
    refused!([&search[..], &["--correct-hubs"]].concat());

    // Each caption stands under 40 of the images: with equal captions as answers, these are three queries.
    let kept = works(["calibrate", text(&model), text(&table), "--relevance", "own"]);
    assert_eq!(kept.stdout.trim(), text(&model.join("relevance.safetensors")));
    let figures = works(["calibrate", text(&model), text(&table), "--measure", "val", "--format", "json"]).json();
    assert_eq!(figures["text_to_image"]["gallery"], 120);
    assert!(figures["text_to_image"]["ece_at_10"].as_f64().unwrap() < 0.1, "{figures}");

    // Probabilities fall with the rank, and cut where asked.
    let hits = works(&jsonl).json_lines();
    let relevance: Vec<f64> = hits.iter().map(|hit| hit["relevance"].as_f64().unwrap()).collect();
    assert!(relevance.is_sorted_by(|a, b| a >= b) && (0.0..=1.0).contains(&relevance[0]), "{relevance:?}");
    assert!(works(search).lines()[0].contains(" %  "));
    let middle = (relevance[0] + relevance[119]) / 2.0;
    let above = relevance.iter().filter(|&&p| p >= middle).count();
    let cut = works([&search[..], &["--min-relevance", &middle.to_string()]].concat());
    assert_eq!(cut.lines().len(), above);
    let none = gxn([&search[..], &["--min-relevance", "1"]].concat());
    assert_eq!((none.code, none.stdout.as_str()), (3, ""));
    seen!(none.stderr);
    // Hubs go back among the hundred best hits, and every hit keeps its relevance; behind these nothing changes.
    let corrected = works([&jsonl[..], &["--correct-hubs"]].concat()).json_lines();
    let ids = |hits: &[serde_json::Value]| hits.iter().map(|hit| hit["id"].to_string()).collect::<Vec<_>>();
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(ids(&corrected)[100..], ids(&hits)[100..]);
    assert_ne!(ids(&corrected)[..100], ids(&hits)[..100]);
    assert_eq!(sorted(ids(&corrected)), sorted(ids(&hits)));
    let score = |hit: &serde_json::Value| hit["score"].as_f64().unwrap();
    assert!(corrected[..100].is_sorted_by(|a, b| score(a) >= score(b)));
    let same = |a: &serde_json::Value| hits.iter().any(|b| a["id"] == b["id"] && a["relevance"] == b["relevance"]);
    assert!(corrected.iter().all(same));
    let photo = folder.path().join("7.png");
    let captions = ["search", text(&photo), "--index", text(&index), "--target", "text", "--format", "jsonl"];
    let (plain, corrected) =
        (works(captions).json_lines(), works([&captions[..], &["--correct-hubs"]].concat()).json_lines());
    assert_eq!(sorted(ids(&corrected)), sorted(ids(&plain)));
    assert!(corrected.iter().zip(&plain).any(|(a, b)| score(a) != score(b)));
    refused!(["search", "red", "+", "blue", "--index", text(&index), "--correct-hubs"]);
    refused!(["search", "red", "--index", text(&index), "--target", "text", "--correct-hubs"]);
    // Two sentences are no query that the curve knows.
    let two = works(["search", "red", "+", "blue", "--index", text(&index), "--format", "jsonl"]).json_lines();
    assert!(two.iter().all(|hit| hit["relevance"].is_null()));
    let two = ["search", "red", "+", "blue", "--index", text(&index), "--min-relevance", "0.1"];
    let said = refused!(two);
    assert!(!said.stderr.contains("gxn calibrate"), "{}", said.stderr);
    // Behind a filter better ones may be held back: the best that passes counts as any other.
    let filtered = |filter: &str| works([&jsonl[..], &["--where", filter]].concat()).json_lines();
    assert!(!hits.is_empty());
    let best = hits[0]["id"].as_str().unwrap();
    let others = filtered(&format!("not id=\"{best}\""));
    let relevances = |hits: &[serde_json::Value]| hits.iter().map(|h| h["relevance"].to_string()).collect::<Vec<_>>();
    assert_eq!(relevances(&others), relevances(&hits[1..]));
    let all = filtered("width>0");
    assert_eq!(relevances(&all[1..]), relevances(&hits[1..]));
    assert!(all[0]["relevance"].as_f64() <= hits[0]["relevance"].as_f64());

    // A calibration of another model is refused, as is a damaged one.
    let file = model.join("relevance.safetensors");
    std::fs::write(&file, "damaged").unwrap();
    refused!(search);
    works(["calibrate", text(&model), text(&table)]);
    works(search);
}

/// All unknown words mean the same to a model: whatever they find is chance.
#[test]
fn a_query_of_unknown_words_only_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index");
    works(["index", text(data()), "--model", text(&paper().folder), "--index", text(&index)]);
    let search = |query: &[&str]| gxn([&["search"], query, &["--index", text(&index)]].concat());
    let none = search(&["qqxzv zzyzx"]);
    assert_eq!((none.code, none.stdout.as_str()), (3, ""), "{none:?}");
    seen!(none.stderr);
    assert_eq!(search(&["qqxzv", "+", "zzyzx"]).code, 3);
    assert_eq!(search(&["a red qqxzv"]).code, 0);
}
