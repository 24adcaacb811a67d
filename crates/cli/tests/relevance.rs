//! `gxn calibrate` and what search makes of it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::fixture::{copy, data, gxn, paper, patch, speaking, text, works};
use crate::snapshots::{refused, seen};

/// Images of their own colours with a caption each, as a table; all are val.
fn many(folder: &Path, count: usize) -> PathBuf {
    let mut rows = "image,caption,split\n".to_string();
    for at in 0..count {
        let name = format!("{at}.png");
        let shade = (at * 240 / count) as u8;
        patch([shade, 255 - shade, (at % 7 * 30) as u8], at % 4).save(folder.join(&name)).unwrap();
        rows += &format!("{name},a {} patch,val\n", ["red", "green", "blue"][at % 3]);
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
    let table = many(folder.path(), 100);
    refused!(["calibrate", text(&model), text(&table), "--measure", "val"]);
    refused!(["calibrate", text(&model), text(data())]);

    let index = folder.path().join("index");
    works(["index", text(&table), "--model", text(&model), "--index", text(&index)]);
    let search = ["search", "a red patch", "--index", text(&index), "--top", "100"];
    let jsonl = [&search[..], &["--format", "jsonl"]].concat();
    assert!(works(&jsonl).json_lines().iter().all(|hit| hit["relevance"].is_null()));
    let least = [&search[..], &["--min-relevance", "0.5"]].concat();
    refused!(&least);
    refused!([&search[..], &["--min-relevance", "1.5"]].concat());

    // Each caption stands under a third of the images: with equal captions as answers, these are three queries.
    let kept = works(["calibrate", text(&model), text(&table), "--relevance", "own"]);
    assert_eq!(works(["info", text(&model), "--format", "json"]).json()["calibrated"], true);
    assert_eq!(kept.stdout.trim(), text(&model.join("relevance.safetensors")));
    let figures = works(["calibrate", text(&model), text(&table), "--measure", "val", "--format", "json"]).json();
    assert_eq!(figures["text_to_image"]["gallery"], 100);
    assert!(figures["text_to_image"]["ece_at_10"].as_f64().unwrap() < 0.1, "{figures}");

    // Probabilities fall with the rank, and cut where asked.
    let hits = works(&jsonl).json_lines();
    let relevance: Vec<f64> = hits.iter().map(|hit| hit["relevance"].as_f64().unwrap()).collect();
    assert!(relevance.is_sorted_by(|a, b| a >= b) && (0.0..=1.0).contains(&relevance[0]), "{relevance:?}");
    assert!(works(search).lines()[0].contains(" %  "));
    let middle = (relevance[0] + relevance[99]) / 2.0;
    let above = relevance.iter().filter(|&&p| p >= middle).count();
    let cut = works([&search[..], &["--min-relevance", &middle.to_string()]].concat());
    assert_eq!(cut.lines().len(), above);
    let none = gxn([&search[..], &["--min-relevance", "1"]].concat());
    assert_eq!((none.code, none.stdout.as_str()), (3, ""));
    seen!(none.stderr);
    let behind = gxn([&search[..], &["--min-relevance", "1", "--offset", "50"]].concat());
    assert!(behind.code == 3 && behind.stderr.contains("nothing more matches: the best hit from 51 on"), "{behind:?}");
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

/// Hubs go back among each hundred hits, and scores say what they are made of.
#[test]
fn hubs_are_corrected_by_the_calibration() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    copy(&paper().folder.join("best").canonicalize().unwrap(), &model);
    let table = many(folder.path(), 150);
    works(["calibrate", text(&model), text(&table), "--relevance", "own"]);
    let index = folder.path().join("index");
    works(["index", text(&table), "--model", text(&model), "--index", text(&index)]);
    let photo = folder.path().join("7.png");
    for (query, target) in [("a red patch", "image"), (text(&photo), "text")] {
        let search = |more: &[&str]| {
            let search = ["search", query, "--index", text(&index), "--target", target, "--format", "jsonl"];
            works([&search[..], more].concat()).json_lines()
        };
        let number = |hit: &Value, key: &str| hit.pointer(key).and_then(Value::as_f64).unwrap_or(0.0);
        let (corrected, plain) = (search(&["--top", "130"]), search(&["--top", "130", "--keep-hubs"]));
        for hit in &corrected {
            let [score, high, low, hubness] =
                ["/score", "/parts/abstract", "/parts/grounded", "/parts/hubness"].map(|key| number(hit, key));
            assert!((score - (high + low - hubness)).abs() < 1e-5, "{hit}");
            assert!(hubness != 0.0 && hit["relevance"].is_number(), "{hit}");
        }
        assert!(plain.iter().all(|hit| hit["parts"].get("hubness").is_none() && hit["relevance"].is_null()));
        let ids = |hits: &[Value]| hits.iter().map(|hit| hit["id"].to_string()).collect::<Vec<_>>();
        let sorted = |mut ids: Vec<String>| {
            ids.sort();
            ids
        };
        let best = |hits: &[Value]| ids(&hits[..hits.len().min(100)]);
        assert_eq!(sorted(best(&corrected)), sorted(best(&plain)));
        assert!(corrected[..best(&corrected).len()].is_sorted_by(|a, b| number(a, "/score") >= number(b, "/score")));
        // Pages join without a seam.
        let pages = [search(&["--top", "70"]), search(&["--top", "60", "--offset", "70"])].concat();
        assert_eq!(ids(&pages), ids(&corrected));
    }
    refused!(["search", "a red patch", "--index", text(&index), "--keep-hubs", "--min-relevance", "0.1"]);
    // Of two sentences none.
    let two = works(["search", "red", "+", "blue", "--index", text(&index), "--format", "jsonl"]).json_lines();
    assert!(two.iter().all(|hit| hit["parts"].get("hubness").is_none()));
}

/// What a caption adds to the score is the same for equal captions, and does not depend on how likely they are with any image.
#[test]
fn the_decoder_orders_captions_of_a_calibrated_model() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    copy(&speaking().folder.join("best").canonicalize().unwrap(), &model);
    let table = many(folder.path(), 120);
    let index = folder.path().join("index");
    works(["index", text(&table), "--model", text(&model), "--index", text(&index)]);
    let photo = folder.path().join("7.png");
    let search = ["search", text(&photo), "--index", text(&index), "--target", "text", "--top", "60"];
    let reranked = ["--rerank", "60", "--rerank-weight", "10"];
    refused!([&search[..], &reranked].concat());
    works(["calibrate", text(&model), text(&table), "--relevance", "own"]);
    let hits = |more: &[&str]| works([&search[..], &["--format", "jsonl"], more].concat()).json_lines();
    let (plain, ordered) = (hits(&[]), hits(&reranked));
    assert_eq!(hits(&["--rerank", "60", "--rerank-weight", "0"]), plain);
    let score = |hit: &Value| hit["score"].as_f64().unwrap();
    assert!(ordered.is_sorted_by(|a, b| score(a) >= score(b)) && ordered != plain);
    let added = |hit: &Value| {
        let before = plain.iter().find(|one| one["id"] == hit["id"]).unwrap();
        (score(hit) - score(before)) / 10.0
    };
    for hit in &ordered {
        let same = ordered.iter().find(|one| one["caption"] == hit["caption"]).unwrap();
        assert!((added(hit) - added(same)).abs() < 1e-3, "{hit}");
        assert!(added(hit).abs() < 1.0, "a likelihood itself lies far below: {hit}");
    }
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
