//! Runs that learn from other models.

use crate::fixture::{cosine, data, gxn, paper, text, train_args, works};
use crate::snapshots::refused;

/// Two teachers teach more softly than the pairs alone; what they teach stands in the log.
#[test]
fn a_run_learns_from_the_embeddings_of_others() {
    let logs = tempfile::tempdir().unwrap();
    let encoded = |split: &str| {
        let folder = logs.path().join(split);
        works(["encode", text(&cosine().folder), text(data()), "--split", split, "-o", text(&folder)]);
        text(&folder).to_owned()
    };
    let (train, val) = (encoded("train"), encoded("val"));
    let teachers = |folders: &[&str]| format!("train.teachers={folders:?}");
    let softmax =
        ["matching.loss=info_nce", "matching.similarity=cosine", "matching.absolute=false"].map(|key| ["--set", key]);
    let args = |name: &str, teachers: &str| {
        train_args(logs.path(), name, &[&softmax.concat()[..], &["--set", teachers]].concat())
    };
    works(args("alone", &teachers(&[])));
    let nobody = train_args(logs.path(), "nobody", &["--set", "train.distillation=0.8"]);
    assert!(gxn(nobody).stderr.contains("train.teachers: found none, with train.distillation = 0.8"));
    let taught = works(args("taught", &teachers(&[&train, &train])));
    assert!(taught.stderr.contains(", distillation "), "{taught:?}");
    let read = |file: &str| std::fs::read(logs.path().join(file)).unwrap();
    let log = String::from_utf8(read("taught/log.jsonl")).unwrap();
    assert!(log.lines().nth(1).unwrap().contains(r#""match":{"distillation":"#), "{log}");
    assert_ne!(read("alone/last/model.safetensors"), read("taught/last/model.safetensors"));
    works(["train", "--resume", text(&logs.path().join("taught"))]);

    refused!(args("lacking", &teachers(&[&val])));
    refused!(args("absent", &teachers(&[text(&logs.path().join("nowhere"))])));
    let order = logs.path().join("order");
    works(["encode", text(&paper().folder), text(data()), "--split", "train", "-o", text(&order)]);
    assert!(gxn(args("order", &teachers(&[text(&order)]))).stderr.contains("embeddings for order similarity"));
    let hinge = train_args(logs.path(), "hinge", &["--set", &teachers(&[&train])]);
    assert!(gxn(hinge).stderr.contains("matching.loss = \"info_nce\""));
}
