//! `gxn serve` and `gxn explain` as people start them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use crate::fixture::{command, data, gxn, paper, text, works};

#[cfg(unix)]
#[test]
fn a_server_answers_and_ends_when_it_is_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index");
    works(["index", text(data()), "--model", text(&paper().folder), "--index", text(&index)]);
    let mut server =
        command(["serve", text(&index), "--listen", "127.0.0.1:0"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let line = lines.find(|line| line.as_ref().unwrap().starts_with("serving ")).unwrap().unwrap();
    let address = line.strip_prefix("serving 24 images at http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""captions":48"#), "{answer}");
    let asked = Command::new("kill").arg(server.id().to_string()).status().unwrap();
    assert!(asked.success() && server.wait().unwrap().success());
}

#[test]
fn beyond_this_machine_a_server_needs_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index");
    works(["index", text(data()), "--model", text(&paper().folder), "--index", text(&index)]);
    let refused = gxn(["serve", text(&index), "--listen", "0.0.0.0:0"]);
    assert!(refused.code == 1 && refused.stderr.contains("found no API key"), "{refused:?}");
    let missing = gxn(["serve", text(folder.path()), "--data", "absent.json"]);
    assert!(missing.code == 1 && missing.stderr.contains("--data absent.json: found nothing"), "{missing:?}");
    let no_runs = gxn(["serve", text(folder.path()), "--runs", "absent"]);
    assert!(
        no_runs.code == 1 && no_runs.stderr.contains("--runs absent: found nothing, expected a folder of runs"),
        "{no_runs:?}"
    );
    let missing = gxn(["serve", text(folder.path())]);
    assert!(missing.code == 1 && missing.stderr.contains("gxn index"), "{missing:?}");
}

#[test]
fn an_explanation_names_every_word_and_cell() {
    let image = data().parent().unwrap().join("images/red_0.png");
    let args = ["explain", "a red patch", text(&image), "--model", text(&paper().folder), "--grid", "3"];
    let found = works([&args[..], &["--format", "json"]].concat()).json();
    let words: Vec<&str> =
        found["words"].as_array().unwrap().iter().map(|word| word["word"].as_str().unwrap()).collect();
    assert_eq!((words, found["cells"]["contribution"].as_array().unwrap().len()), (vec!["a", "red", "patch"], 9));
    let parts = found["parts"]["abstract"].as_f64().unwrap() + found["parts"]["grounded"].as_f64().unwrap();
    assert!((found["score"].as_f64().unwrap() - parts).abs() < 1e-6, "{found}");
    assert!(works(args).stdout.contains("what it loses without each word"));
    let unknown = works(["explain", "a quuxed patch", text(&image), "--model", text(&paper().folder), "--grid", "1"]);
    assert!(unknown.stderr.contains("note: the model has never seen: quuxed"), "{unknown:?}");
    assert_eq!(gxn(["explain", "?!", text(&image), "--model", text(&paper().folder)]).code, 1);
}
