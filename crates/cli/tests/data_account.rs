//! What a dataset lacks or leaves out, as each command says it: one account, one verdict.

use std::path::Path;

use crate::fixture::{config, gxn, paper, patch, text, works};
use crate::snapshots::{refusal, refused, seen};

/// Four images `0.png` to `3.png` and a table.
fn write(folder: &Path, table: impl AsRef<[u8]>) {
    let colours = [[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 0]];
    for (at, rgb) in colours.into_iter().enumerate() {
        patch(rgb, at).save(folder.join(format!("{at}.png"))).unwrap();
    }
    std::fs::write(folder.join("captions.csv"), table).unwrap();
}

#[test]
fn a_quote_that_opens_and_never_closes_is_refused_by_each_command() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "image,caption\n0.png,\"fine one\n1.png,two\n2.png,three\n3.png,four\n");
    let source = text(folder.path());
    refused!(["data", "check", source]);
    for args in [
        &["train", text(config()), "--train-data", source, "--logs", source][..],
        &["evaluate", text(&paper().folder), source],
    ] {
        let ran = gxn(args);
        assert!(ran.code == 1 && ran.stderr.contains("captions.csv, line 2: found a quote"), "{ran:?}");
    }
    // It closes where the next row should be.
    write(folder.path(), "image,caption\n0.png,\"fine one\n1.png,two\n2.png,three\"\n3.png,four\n");
    let ran = gxn(["data", "check", source, "--for", "index"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for part in ["warning: lines 2 to 4: the quote that opens in line 2 closes in line 4", "ready to index"] {
        assert!(ran.stdout.contains(part), "{ran:?}");
    }
    assert_eq!(gxn(["data", "check", source, "--for", "index", "--strict"]).code, 1);
}

/// The check says what training, evaluation and an index will say.
#[test]
fn the_verdict_of_the_check_is_that_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let rows = (0..3).map(|at| format!("{at}.png,image number {at},val\n")).collect::<String>();
    write(folder.path(), format!("image,caption,split\n{rows}"));
    let source = text(folder.path());
    let model = text(&paper().folder);
    let check = |purpose: &str| gxn(["data", "check", source, "--for", purpose]);
    let ran = check("train");
    assert_eq!(ran.code, 1);
    seen!(ran.stdout);
    refused!(["train", text(config()), "--train-data", source, "--logs", source]);
    assert_eq!(check("test").code, 1);
    refused!(["evaluate", model, source, "--split", "test"]);
    assert_eq!((check("val").code, check("index").code), (0, 0));
    works(["evaluate", model, source]);
    works(["index", source, "--model", model]);
}

/// An index does not take for gone what a broken table may name.
#[test]
fn an_index_keeps_what_a_broken_table_may_name() {
    let folder = tempfile::tempdir().unwrap();
    let source = text(folder.path());
    write(folder.path(), "image,caption\n0.png,one\n1.png,two\n2.png,three\n");
    let index = || gxn(["index", source, "--model", text(&paper().folder)]);
    assert_eq!(index().code, 0);
    std::fs::write(folder.path().join("captions.csv"), b"image,caption\n0.png,one\n1.png,caf\xe9\n").unwrap();
    refusal!(index());
    std::fs::write(folder.path().join("0.txt"), "one\n").unwrap();
    // Now it would be read as another format: refused, unless it is meant.
    refusal!(index());
    let ran = gxn(["index", source, "--other-source"]);
    assert!(ran.code == 0 && !ran.stderr.contains("removed, as"), "{ran:?}");
    assert!(
        ran.stderr.contains("skipped: 4\n") && ran.stderr.contains("captions.csv, line 3: found the byte e9"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("indexed 3 images"), "{ran:?}");
    let strict = gxn(["index", source, "--strict"]);
    assert!(strict.code == 1 && strict.stderr.contains("captions.csv, line 3"), "{strict:?}");
}
