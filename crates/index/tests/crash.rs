//! Programs that die while they write: nothing that was committed is lost, nothing that was removed comes back.
//!
//! The tests run themselves as a child process (the ignored tests here are its work) and kill it.

use crate::store::{image, settings, vector};
use gxn_index::{Index, IndexWriter, Modality, PartKind, QueryPart};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const DIR: &str = "GXN_TEST_DIR";
const LIMIT: &str = "GXN_TEST_LIMIT";

/// What is in an index: id → content.
type Model = BTreeMap<String, u8>;

fn read(index: &Index) -> Model {
    let mut model = Model::new();
    for row in index.rows(Modality::Image) {
        for item in index.images_of(row).unwrap() {
            let number = u8::from_str_radix(&item.sha256, 16).unwrap();
            assert_eq!(index.row(Modality::Image, row).unwrap(), vector(number), "the row of {}", item.id);
            assert!(model.insert(item.id, number).is_none());
        }
    }
    assert_eq!(index.count(Modality::Image), model.len());
    model
}

fn id(number: u64) -> String {
    format!("{number:06}")
}

fn content(number: u64) -> u8 {
    (number % 200) as u8
}

/// Each commit adds an image and removes the one added three commits before: after commit n there are n − 2 to n.
fn after(commit: u64) -> Model {
    (commit.saturating_sub(2).max(1)..=commit).map(|number| (id(number), content(number))).collect()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn acknowledge(number: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nack {number}").unwrap();
    out.flush().unwrap();
}

/// Changes, commits, compacts until it is killed.
#[test]
#[ignore = "the child's work"]
fn worker() {
    let Some(dir) = variable(DIR) else { return };
    let dir = Path::new(&dir);
    let last = read(&Index::open(dir).unwrap()).keys().next_back().map_or(0, |id| id.parse().unwrap());
    let mut writer = IndexWriter::update(dir, settings("m")).unwrap();
    writer.set_file_bytes(1000);
    acknowledge(last);
    for number in last + 1.. {
        writer.put_image(&image(&id(number), content(number)), &vector(content(number))).unwrap();
        if number > 3 {
            assert!(writer.remove(Modality::Image, &id(number - 3)).unwrap());
        }
        if number % 5 == 0 {
            writer.compact(0.2).unwrap();
        } else {
            writer.commit().unwrap();
        }
        if number % 7 == 0 {
            writer.make_sketches(0).unwrap();
        }
        acknowledge(number);
    }
}

fn child(work: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", work, "--ignored", "--nocapture"]).env(DIR, dir);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn killed_writers_lose_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    IndexWriter::create(&dir, settings("m")).unwrap().finish().unwrap();
    let mut last = 0;
    for round in 0..6u64 {
        let mut child = child("crash::worker", &dir).spawn().unwrap();
        let mut acknowledged = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("ack ")?.parse::<u64>().ok());
        // The last one dies while it opens the index.
        let reached = if round < 5 { acknowledged.find(|number| *number >= last + 10 + round) } else { Some(last) };
        std::thread::sleep(Duration::from_millis(7 * round));
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        last = acknowledged.last().or(reached).expect("the child works");
        let index = Index::open(&dir).unwrap();
        index.verify().unwrap();
        let found = read(&index);
        // The commit that was under way may have been done.
        assert!(found == after(last) || found == after(last + 1), "round {round} after commit {last}: {found:?}");
    }
}

/// Adds until the disk is full, as a limit on the size of files stands for it.
#[cfg(unix)]
#[test]
#[ignore = "the child's work"]
fn crowded_worker() {
    let Some(dir) = variable(DIR) else { return };
    let bytes = variable(LIMIT).unwrap().parse().unwrap();
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: both calls take plain values and change this process alone.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
    let add = || -> gxn_index::Result<()> {
        let mut writer = IndexWriter::update(Path::new(&dir), settings("m"))?;
        for number in 1..=200 {
            for part in 0..4 {
                let id = format!("{number}.{part} {}", "long".repeat(20));
                writer.put_image(&image(&id, number as u8), &vector(number as u8))?;
            }
            writer.commit()?;
            acknowledge(number);
        }
        writer.finish().map(drop)
    };
    match add() {
        Ok(()) => println!("\nend all"),
        Err(error) => println!("\nend {error}: {:?}", std::error::Error::source(&error)),
    }
}

#[cfg(unix)]
#[test]
fn a_full_disk_keeps_what_was_committed() {
    let parent = tempfile::tempdir().unwrap();
    let (mut failed, mut whole) = (0, 0);
    for kib in [1, 10, 40, 100, 200, 300, 1000, 4000, 100_000] {
        let dir = parent.path().join(kib.to_string());
        IndexWriter::create(&dir, settings("m")).unwrap().finish().unwrap();
        let child = child("crash::crowded_worker", &dir).env(LIMIT, (kib << 10).to_string()).output().unwrap();
        let output = String::from_utf8_lossy(&child.stdout).into_owned();
        assert!(child.status.success(), "{kib} KiB: {output} {}", String::from_utf8_lossy(&child.stderr));
        let last = output.lines().filter_map(|line| line.strip_prefix("ack ")?.parse().ok()).next_back().unwrap_or(0);
        let end = output.lines().find_map(|line| line.strip_prefix("end ")).expect("it ends by itself");
        let index = Index::open(&dir).unwrap();
        index.verify().unwrap();
        let count = read(&index).len() as u64;
        assert!(count == 4 * last || count == 4 * (last + 1), "{kib} KiB: {count} images after {last} commits");
        if end == "all" {
            whole += 1;
        } else {
            failed += 1;
            assert!(end.contains("cannot "), "{kib} KiB: {end}");
        }
        // With room again, work goes on.
        let mut writer = IndexWriter::update(&dir, settings("m")).unwrap();
        writer.put_image(&image("more", 255), &vector(255)).unwrap();
        writer.finish().unwrap().verify().unwrap();
    }
    println!("{failed} ran out of room, {whole} did not");
    assert!(failed >= 3 && whole >= 1);
}

/// Reads and tries to write where it may not, as nobody if the tests run as root.
#[cfg(unix)]
#[test]
#[ignore = "the child's work"]
fn powerless_worker() {
    let Some(dir) = variable(DIR) else { return };
    let dir = PathBuf::from(dir);
    // SAFETY: the calls change this process alone.
    unsafe {
        if libc::geteuid() == 0 {
            assert_eq!(libc::setgid(65534), 0);
            assert_eq!(libc::setuid(65534), 0);
        }
    }
    let index = Index::open(&dir).unwrap();
    index.verify().unwrap();
    let vector = vector(3);
    let part = QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Same };
    assert_eq!(index.search(&[part], Modality::Image, 1, 0).unwrap()[0].id, "c");
    for error in [IndexWriter::update(&dir, settings("m")), IndexWriter::create(&dir, settings("n"))] {
        let error = error.unwrap_err();
        assert!(error.to_string().starts_with("cannot write "), "{error}");
    }
    let error = IndexWriter::create(&dir.join("below"), settings("m")).unwrap_err();
    assert!(error.to_string().starts_with("cannot make the folder "), "{error}");
    acknowledge(1);
}

#[cfg(unix)]
#[test]
fn a_read_only_folder_can_be_searched() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let mut writer = IndexWriter::create(&dir, settings("m")).unwrap();
    for (number, id) in [(1, "a"), (3, "c")] {
        writer.put_image(&image(id, number), &vector(number)).unwrap();
    }
    writer.finish().unwrap();
    let allow = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    for name in ["meta.json", "catalogue.redb", "lock", "segments/images-1.f16"] {
        allow(&dir.join(name), 0o444);
    }
    [&dir.join("segments"), &dir].into_iter().for_each(|dir| allow(dir, 0o555));
    allow(parent.path(), 0o755);
    let child = child("crash::powerless_worker", &dir).output().unwrap();
    [&dir, &dir.join("segments")].into_iter().for_each(|dir| allow(dir, 0o755));
    let output = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(output.contains("ack 1"), "{output} {}", String::from_utf8_lossy(&child.stderr));
}
