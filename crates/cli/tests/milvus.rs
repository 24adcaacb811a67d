//! An index in a Milvus server: `--index milvus://…`. Not run without a server; `crates/milvus/tests/milvus.sh` starts one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::fixture::{Ran, command, copy, cosine, data, gxn, paper, patch, text, works};
use crate::milvus_server::{LOGIN, Server};

/// The address of an index that is not there yet.
fn fresh(server: &Server, name: &str) -> String {
    let place = server.place(name);
    gxn_milvus::MilvusStore::drop_index(&place).unwrap();
    place.to_string()
}

/// Every hit without its row, which has another meaning in a server.
fn hits(index: &str, query: &[&str]) -> Vec<Value> {
    let mut hits =
        works([&["search", "--index", index, "--format", "jsonl", "--top", "99"], query].concat()).json_lines();
    hits.iter_mut().for_each(|hit| drop(hit.as_object_mut().unwrap().remove("row")));
    hits
}

/// The same hits with the same scores; hits of one score may stand in any order.
fn same_hits(milvus: &str, folder: &Path, query: &[&str]) {
    let sorted = |index: &str| {
        let mut hits = hits(index, query);
        hits.iter_mut().for_each(|hit| drop(hit.as_object_mut().unwrap().remove("rank")));
        hits.sort_by_key(|hit| hit["id"].as_str().unwrap().to_owned());
        hits
    };
    let (found, expected) = (sorted(milvus), sorted(text(folder)));
    assert!(!found.is_empty());
    assert_eq!(found, expected, "{query:?}");
}

#[test]
fn an_index_in_milvus_answers_as_one_in_a_folder() {
    let Some(server) = Server::start("an_index_in_milvus_answers_as_one_in_a_folder") else { return };
    let temporary = tempfile::tempdir().unwrap();
    for (run, name) in [(cosine(), "cli_cosine"), (paper(), "cli_order")] {
        let (address, folder) = (fresh(&server, name), temporary.path().join(name));
        for index in [address.as_str(), text(&folder)] {
            works(["index", text(data()), "--model", text(&run.folder), "--index", index]);
        }
        let image = data().parent().unwrap().join("images/red_0.png");
        for query in [
            &["a red patch"][..],
            &[text(&image)],
            &["blue", "-", "0.5:top", "--target", "text"],
            &["green", "--where", "name=*_1.png"],
            &["red", "--where", "width>10 and not name=red*"],
        ] {
            same_hits(&address, &folder, &[query, &["--exact"]].concat());
        }
        if name == "cli_order" {
            same_hits(&address, &folder, &["a black patch", "--lambda", "0.2", "--exact"]);
        }
        let same = works(["index", text(data()), "--index", &address]);
        assert!(same.stderr.contains("indexed 24 images (24 unchanged) and 48 captions"), "{same:?}");
        let info = works(["info", &address, "--format", "json"]).json();
        assert_eq!(
            (&info["images"], &info["captions"], &info["path"]),
            (&24.into(), &48.into(), &address.clone().into())
        );
        assert!(works(["index", "verify", &address]).stdout.ends_with(": 24 images and 48 captions are sound\n"));

        // Copied back into a folder, and exported.
        let copied = temporary.path().join(format!("{name}_copied"));
        works(["index", "copy", &address, text(&copied)]);
        same_hits(&address, &copied, &["white", "--exact"]);
        let again = works(["index", text(data()), "--index", text(&copied)]);
        assert!(again.stderr.contains("(24 unchanged)"), "{again:?}");
        let moved = fresh(&server, &format!("{name}_moved"));
        works(["index", "copy", text(&copied), &moved]);
        same_hits(&moved, &copied, &["white", "--exact"]);
        let exported = temporary.path().join(format!("{name}_export"));
        works(["index", "export", &moved, "-o", text(&exported)]);
        let lines = std::fs::read_to_string(exported.join("metadata/metadata_0.jsonl")).unwrap();
        let bytes = std::fs::metadata(exported.join("img_emb/img_emb_0.npy")).unwrap().len();
        let dims = if name == "cli_order" { 32 } else { 16 };
        assert_eq!((lines.lines().count(), bytes), (24, 128 + 24 * dims * 4));
    }
}

#[test]
fn an_index_in_milvus_follows_its_source() {
    let Some(server) = Server::start("an_index_in_milvus_follows_its_source") else { return };
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    copy(&data().parent().unwrap().join("images"), &photos);
    let address = fresh(&server, "cli_follows");
    let index = || works(["index", text(&photos), "--index", &address, "--model", text(&cosine().folder)]).stderr;
    index();
    std::fs::rename(photos.join("red_0.png"), photos.join("moved.png")).unwrap();
    std::fs::remove_file(photos.join("red_1.png")).unwrap();
    patch([9, 99, 200], 2).save(photos.join("new.png")).unwrap();
    let changed = index();
    let expected = "indexed 24 images (22 unchanged, 1 encoded, 1 copied or moved, 1 removed)";
    assert!(changed.contains(expected), "{changed}");
    let ids: Vec<Value> = hits(&address, &["red"]).iter().map(|hit| hit["id"].clone()).collect();
    assert!(ids.contains(&"moved.png".into()) && ids.contains(&"new.png".into()) && !ids.contains(&"red_0.png".into()));

    // Another source, and another model, are refused.
    let other = folder.path().join("other");
    copy(&photos, &other);
    let refused = gxn(["index", text(&other), "--index", &address]);
    assert!(refused.code == 1 && refused.stderr.contains("--other-source"), "{refused:?}");
    let refused = gxn(["index", text(&photos), "--index", &address, "--model", text(&paper().folder)]);
    assert!(refused.code == 1 && refused.stderr.contains("a collection of another name"), "{refused:?}");
    for command in ["compact", "repair"] {
        let refused = gxn(["index", command, &address]);
        assert!(refused.code == 1 && refused.stderr.contains("expected an index in a folder"), "{refused:?}");
    }
}

/// Many images of one size, all different.
fn many(folder: &Path, count: u32) {
    std::fs::create_dir(folder).unwrap();
    for number in 0..count {
        let rgb = [(number % 256) as u8, (number / 256) as u8, 77];
        patch(rgb, number as usize % 4).save(folder.join(format!("{number:04}.png"))).unwrap();
    }
}

#[test]
fn shards_share_an_index_and_survive_the_server() {
    let Some(mut server) = Server::start("shards_share_an_index_and_survive_the_server") else { return };
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    many(&photos, 3000);
    let address = fresh(&server, "cli_shards");
    let start = |shard: &str| {
        let args = ["index", text(&photos), "--index", &address, "--model", text(&cosine().folder), "--shard", shard];
        command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let shards: Vec<_> = ["1/4", "2/4", "3/4", "4/4"].map(start).into_iter().collect();
    // In the middle of their work, more or less, the server is gone for a moment.
    std::thread::sleep(Duration::from_millis(1500));
    server.kill();
    std::thread::sleep(Duration::from_millis(1500));
    server.restart();
    for shard in shards {
        let ran = Ran::of(shard.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    assert_eq!(works(["info", &address, "--format", "json"]).json()["images"], 3000);
    works(["index", "verify", &address]);
    let whole = works(["index", text(&photos), "--index", &address]);
    assert!(whole.stderr.contains("indexed 3000 images (3000 unchanged)"), "{whole:?}");
    // A shard deletes nothing of the others.
    std::fs::remove_file(photos.join("0007.png")).unwrap();
    for shard in ["1/4", "2/4", "3/4", "4/4"] {
        works(["index", text(&photos), "--index", &address, "--shard", shard]);
    }
    assert_eq!(works(["info", &address, "--format", "json"]).json()["images"], 2999);
}

#[test]
fn a_server_serves_an_index_in_milvus() {
    let Some(mut milvus) = Server::start("a_server_serves_an_index_in_milvus") else { return };
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    copy(&data().parent().unwrap().join("images"), &photos);
    let address = fresh(&milvus, "cli_serve");
    works(["index", text(&photos), "--model", text(&cosine().folder), "--index", &address]);
    let server = command(["serve", &address, "--listen", "127.0.0.1:0"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut server = Ended(server);
    let mut lines = BufReader::new(server.0.stderr.take().unwrap()).lines();
    let line = lines.find(|line| line.as_ref().unwrap().starts_with("serving ")).unwrap().unwrap();
    let host = line.strip_prefix("serving 24 images at http://").unwrap().to_owned();
    let ask = |method: &str, path: &str, body: &str| {
        let mut stream = TcpStream::connect(&host).unwrap();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json");
        write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let search = r#"{"query": [{"text": "a red patch"}], "top": 3}"#;
    let before = ask("POST", "/v1/search", search);
    assert!(before.starts_with("HTTP/1.1 200") && before.contains(r#""total":24"#), "{before}");
    assert!(ask("GET", "/v1/items/red_0.png/thumb", "").starts_with("HTTP/1.1 200"));
    assert!(ask("POST", "/knn-service", r#"{"text": "red"}"#).starts_with("HTTP/1.1 409"));
    assert!(ask("DELETE", "/v1/index/items/red_1.png", "").starts_with("HTTP/1.1 202"));
    let gone = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        ask("GET", "/v1/items/red_1.png", "").starts_with("HTTP/1.1 404")
    });
    assert!(gone, "removed from Milvus");
    // A search waits for a server that is away for a moment.
    milvus.kill();
    let answer = std::thread::scope(|scope| {
        let answer = scope.spawn(|| ask("POST", "/v1/search", search));
        std::thread::sleep(Duration::from_millis(500));
        milvus.restart();
        answer.join().unwrap()
    });
    // A full server takes longer to start than a search waits.
    let is_late = answer.starts_with("HTTP/1.1 5") && answer.contains("Milvus");
    assert!(answer.starts_with("HTTP/1.1 200") || is_late, "{answer}");
    let found = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        ask("POST", "/v1/search", search).starts_with("HTTP/1.1 200")
    });
    assert!(found, "it is back");
}

/// A program that ends with the test, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_login_and_tls_are_used() {
    let Some((server, authority)) = Server::start_secured("a_login_and_tls_are_used") else { return };
    let address = format!("milvus+tls://{}/default/cli_secured", server.endpoint.strip_prefix("https://").unwrap());
    let run = |args: &[&str], token: &str, authority: Option<&Path>| {
        let mut command = command(args);
        command.env("GXN_MILVUS_TOKEN", token);
        if let Some(authority) = authority {
            command.env("SSL_CERT_FILE", authority);
        }
        Ran::of(command.output().unwrap())
    };
    let index = ["index", text(data()), "--model", text(&cosine().folder), "--index", &address];
    // The port is open before the server is ready.
    let indexed = (0..60).map(|_| run(&index, LOGIN, Some(&authority))).find(|ran| {
        std::thread::sleep(Duration::from_secs(1));
        ran.code == 0
    });
    assert!(indexed.is_some(), "{:?}", run(&index, LOGIN, Some(&authority)));
    let search = ["search", "a red patch", "--index", &address];
    assert_eq!(run(&search, LOGIN, Some(&authority)).code, 0);
    let refused = run(&search, "root:wrong", Some(&authority));
    assert!(refused.code == 1 && refused.stderr.contains("GXN_MILVUS_TOKEN"), "{refused:?}");
    let refused = run(&search, LOGIN, None);
    assert!(refused.code == 1 && refused.stderr.contains("ertificate"), "{refused:?}");
    let refused =
        run(&["search", "red", "--index", &address.replace("/default/", "/nowhere/")], LOGIN, Some(&authority));
    assert!(refused.code == 1 && refused.stderr.contains("nowhere"), "{refused:?}");
}

#[test]
fn a_milvus_server_that_is_away_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("milvus://127.0.0.1:{port}/photos");
    for args in [
        &["search", "red", "--index", &address][..],
        &["index", text(data()), "--index", &address, "--model", text(&cosine().folder)],
        &["serve", &address],
    ] {
        let ran = gxn(args);
        let named =
            ran.stderr.contains(&format!("Milvus server http://127.0.0.1:{port}")) && ran.stderr.contains("address");
        assert!(ran.code == 1 && named, "{ran:?}");
    }
    let ran = gxn(["search", "red", "--index", "milvus://server"]);
    assert!(ran.code == 2 && ran.stderr.contains("milvus://HOST:PORT/COLLECTION"), "{ran:?}");
}
