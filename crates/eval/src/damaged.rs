//! Readers of damaged files: an error or a value, never a panic, and never a value that contradicts itself.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;

use crate::report::tests::report;
use crate::*;

/// A change of a file: bytes replaced at a place (a share of the file), or the rest cut off.
#[derive(Debug, Clone)]
enum Damage {
    Replace(f64, Vec<u8>),
    Insert(f64, Vec<u8>),
    Cut(f64),
}

const WORDS: &[&str] =
    &["null", "-1", "1e999", "\"\"", "{", "}", "[", "]", ",", "\t", "\r\n", "\u{feff}", "NaN", "18446744073709551615"];

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let bytes =
        || prop_oneof![prop::collection::vec(any::<u8>(), 1..4), prop::sample::select(WORDS).prop_map(|w| w.into())];
    let one = prop_oneof![
        4 => (0.0..1.0, bytes()).prop_map(|(at, bytes)| Damage::Replace(at, bytes)),
        3 => (0.0..1.0, bytes()).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (0.0..1.0).prop_map(Damage::Cut),
    ];
    prop::collection::vec(one, 0..4)
}

fn damaged(whole: &[u8], changes: &[Damage]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for change in changes {
        let place = |share: f64| (share * bytes.len() as f64) as usize;
        match change {
            Damage::Replace(at, new) => {
                let at = place(*at);
                let end = (at + new.len()).min(bytes.len());
                bytes.splice(at..end, new.iter().copied());
            }
            Damage::Insert(at, new) => {
                let at = place(*at);
                bytes.splice(at..at, new.iter().copied());
            }
            Damage::Cut(at) => bytes.truncate(place(*at)),
        }
    }
    bytes
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

const REFERENCES: [&str; 2] = [
    r#"{"images": [{"id": 1}, {"id": "b"}], "annotations": [{"image_id": 1, "caption": "a dog"}, {"image_id": "b", "caption": "x"}]}"#,
    r#"{"images": [{"filename": "a", "imgid": 0, "split": "train", "sentences": [{"raw": "a dog"}, {"tokens": ["b"]}]},
        {"filename": "b", "cocoid": 7, "split": "test", "sentences": [{"raw": "two"}]}]}"#,
];

/// Three rows of two numbers; written once, because writing waits for the disk.
static NPY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole.npy");
    write_npy(&path, &[1.0, 0.0, 0.0, 1.0, 0.5, 0.5], 2).unwrap();
    std::fs::read(path).unwrap()
});

proptest! {
    #[test]
    fn captions_and_references(changes in damage(), others in damage(), kind in 0usize..2) {
        let folder = tempfile::tempdir().unwrap();
        let results = br#"[{"image_id": 1, "caption": "a dog"}, {"image_id": "b", "caption": "two"}]"#;
        let results = CaptionResults::read(&put(folder.path(), "r.json", &damaged(results, &changes)));
        let references = put(folder.path(), "c.json", &damaged(REFERENCES[kind].as_bytes(), &others));
        if let (Ok(results), Ok(references)) = (results, ReferenceCaptions::read(&references))
            && let Ok(found) = CaptionEvaluation::of(&results, &references, Some(&references))
        {
            prop_assert_eq!(found.image_ids.len(), found.scores.images.len());
            prop_assert!(found.scores.keyed().all(|(_, score)| score.is_finite() && score >= 0.0), "{:?}", found.scores);
        }
    }

    #[test]
    fn reports(changes in damage()) {
        let whole = report("m", 0.1).to_json().unwrap();
        let bytes = damaged(whole.as_bytes(), &changes);
        if let Ok(read) = Report::from_json(&String::from_utf8_lossy(&bytes), "r.json") {
            prop_assert_eq!(read.image_ids.len(), read.n_images);
            read.text();
            let page = report_page(&read);
            prop_assert!(page.is_ok(), "{:?}", page);
            let _ = compare(&[read.clone(), read], crate::metrics::Bootstrap { resamples: 2, seed: 1 });
        }
    }

    #[test]
    fn embeddings_and_ids(changes in damage(), others in damage()) {
        let folder = tempfile::tempdir().unwrap();
        let paths = EmbeddingPaths {
            images: put(folder.path(), "i.npy", &damaged(&NPY, &changes)),
            captions: put(folder.path(), "c.npy", &NPY),
            image_ids: Some(put(folder.path(), "i.txt", &damaged(b"x\ny\nz\n", &others))),
            caption_image_ids: Some(put(folder.path(), "c.txt", b"x\ny\ny\n")),
        };
        if let Ok(read) = ExternalEmbeddings::read(&paths, Similarity::Cosine) {
            let found = read.evaluate(Protocol::Full, Similarity::Cosine).unwrap();
            prop_assert_eq!(found.ranks.text_to_image.len(), 3);
        }
    }

    #[test]
    fn judged_pairs(changes in damage()) {
        let folder = tempfile::tempdir().unwrap();
        let path = put(folder.path(), "relevance.tsv", &damaged(b"x\t0\ny\t2\nx\t1\n", &changes));
        let ids = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        if let Ok((RelevanceRule::Judged { pairs, .. }, _)) = RelevanceRule::read(&path, &ids(&["x", "y"]), &ids(&["0", "1", "2"])) {
            prop_assert!(!pairs.is_empty() && pairs.iter().all(|&(image, caption)| image < 2 && caption < 3));
        }
    }

    #[test]
    fn relevance_of_other_forms(changes in damage(), kind in 0usize..2) {
        let folder = tempfile::tempdir().unwrap();
        let whole = [r#"{"x": [0, "2"], "y": ["1"]}"#, "caption,image,agg_score,sampling_method\na:0,x,3.5,m\na:1,f_01.jpg,2,m\n"][kind];
        let path = put(folder.path(), "relevance", &damaged(whole.as_bytes(), &changes));
        let ids = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        if let Ok((RelevanceRule::Judged { pairs, .. }, _)) = RelevanceRule::read(&path, &ids(&["x", "y", "1"]), &ids(&["0", "1", "2"])) {
            prop_assert!(!pairs.is_empty() && pairs.iter().all(|&(image, caption)| image < 3 && caption < 3));
        }
    }

    #[test]
    fn judgements(changes in damage(), kind in 0usize..2) {
        let folder = tempfile::tempdir().unwrap();
        let whole = ["x\ty#0\t1\t2\t4\nx\tz#1\t4\t4\t3\n", "x\ty#0\t0\t0\t3\nx\tz#1\t0.25\t1\t3\n"][kind];
        if let Ok(read) = Judgements::read(&put(folder.path(), "j.txt", &damaged(whole.as_bytes(), &changes))) {
            prop_assert!(!read.pairs.is_empty());
            prop_assert!(read.pairs.iter().all(|pair| !pair.values.is_empty() && pair.values.iter().all(|v| v.is_finite())));
        }
    }

    #[test]
    fn objects_in_images(changes in damage()) {
        let folder = tempfile::tempdir().unwrap();
        let whole = br#"{"images":[{"id":1},{"id":"b"}],"annotations":[{"image_id":1,"category_id":90},{"image_id":"b","category_id":1}]}"#;
        if let Err(error) = ObjectLabels::read(&put(folder.path(), "o.json", &damaged(whole, &changes))) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
