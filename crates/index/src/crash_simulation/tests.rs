use super::*;
use crate::{ImageItem, Index, IndexSettings, IndexWriter, Modality, Similarity, Space};
use std::fs;

type Model = BTreeMap<String, u8>;

fn settings() -> IndexSettings {
    settings_of("m")
}

fn settings_of(model: &str) -> IndexSettings {
    let space = Space { similarity: Similarity::Cosine, lambda: 0.5, dims_abstract: 2, dims_grounded: 1 };
    IndexSettings { model: model.into(), space, extra: Default::default() }
}

fn image(id: &str, number: u8) -> ImageItem {
    ImageItem { id: id.into(), path: id.into(), sha256: format!("{number:064x}"), ..Default::default() }
}

fn vector(number: u8) -> [f32; 3] {
    [f32::from(number), 1.0, 0.5]
}

fn load(dir: &Path, root: &Path, disk: &mut Disk) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            load(&entry.path(), root, disk);
        } else {
            let name = entry.path().strip_prefix(root).unwrap().to_path_buf();
            disk.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

fn read(dir: &Path) -> Model {
    let index = Index::open(dir).unwrap();
    index.verify().unwrap();
    let mut model = Model::new();
    for row in index.rows(Modality::Image) {
        for item in index.images_of(row).unwrap() {
            let number = u8::from_str_radix(&item.sha256, 16).unwrap();
            assert_eq!(index.row(Modality::Image, row).unwrap(), vector(number));
            model.insert(item.id, number);
        }
    }
    model
}

/// Makes changes and commits, and returns what was done to the disk and the content after each commit.
fn work(dir: &Path, commits: usize) -> (Vec<DiskOp>, Vec<Model>) {
    let log = DiskLog::default();
    CURRENT.set(Some(log.clone()));
    let mut random = Random(5);
    let mut model = Model::new();
    let mut models = vec![model.clone()];
    let mut writer = IndexWriter::update(dir, settings()).unwrap();
    writer.set_file_bytes(64 * 9);
    for number in 1..=commits {
        for _ in 0..1 + random.below(5) {
            let (id, content) = (random.below(12).to_string(), random.below(30) as u8);
            if random.below(3) > 0 {
                writer.put_image(&image(&id, content), &vector(content)).unwrap();
                model.insert(id, content);
            } else {
                assert_eq!(writer.remove(Modality::Image, &id).unwrap(), model.remove(&id).is_some());
            }
        }
        models.push(model.clone());
        if number % 4 == 0 {
            writer.compact(0.1).unwrap();
        } else {
            writer.commit().unwrap();
        }
        record(|| DiskOp::Acknowledge(number));
    }
    drop(writer);
    CURRENT.set(None);
    (relative(&log, dir), models)
}

/// The log with paths as seen from `dir`.
fn relative(log: &DiskLog, dir: &Path) -> Vec<DiskOp> {
    let mut log = std::mem::take(&mut *log.lock().unwrap());
    for op in &mut log {
        match op {
            DiskOp::Create(path)
            | DiskOp::Write { path, .. }
            | DiskOp::SetLength { path, .. }
            | DiskOp::Sync(path)
            | DiskOp::SyncFolder(path)
            | DiskOp::Remove(path) => *path = path.strip_prefix(dir).unwrap().to_path_buf(),
            DiskOp::Acknowledge(_) => {}
        }
    }
    log
}

fn acknowledged(log: &[DiskOp]) -> usize {
    let last = log.iter().rev().find_map(|op| match op {
        DiskOp::Acknowledge(number) => Some(*number),
        _ => None,
    });
    last.unwrap_or(0)
}

/// Writes a disk's content to `dir`.
fn store(disk: &Disk, dir: &Path) -> PathBuf {
    fs::create_dir_all(dir.join("segments")).unwrap();
    disk.iter().for_each(|(name, content)| fs::write(dir.join(name), content).unwrap());
    dir.to_path_buf()
}

fn crash_often(commits: usize, crashes: u64) {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    IndexWriter::create(&dir, settings()).unwrap().finish().unwrap();
    let mut before = Disk::new();
    load(&dir, &dir, &mut before);
    let (log, models) = work(&dir, commits);
    let mut random = Random(6);
    let mut ahead = 0;
    for number in 0..crashes {
        let count = random.below(log.len() as u64 + 1) as usize;
        let disk = crashed(&before, &log, count, &mut random);
        let dir = store(&disk, &parent.path().join(format!("crash-{number}")));
        let acknowledged = acknowledged(&log[..count]);
        let found = read(&dir);
        if found != models[acknowledged] {
            assert_eq!(Some(&found), models.get(acknowledged + 1), "crash {number} after {count} log");
            ahead += 1;
        }
        let mut writer = IndexWriter::update(&dir, settings()).unwrap();
        writer.put_image(&image("more", 99), &vector(99)).unwrap();
        writer.finish().unwrap();
        assert_eq!(read(&dir).len(), found.len() + 1);
        fs::remove_dir_all(&dir).unwrap();
    }
    println!("{crashes} crashes among {} log; {ahead} kept a commit that was under way", log.len());
}

/// A crash while another model takes over leaves all of the old index or all of the new one.
#[test]
fn a_takeover_is_done_or_not() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let add = |dir: &Path, model: &str, numbers: std::ops::Range<u8>| {
        let mut writer = IndexWriter::update(dir, settings_of(model)).unwrap();
        writer.set_file_bytes(64 * 5);
        for number in numbers {
            writer.put_image(&image(&number.to_string(), number), &vector(number)).unwrap();
            if number % 3 == 0 {
                writer.commit().unwrap();
            }
        }
        writer.finish().unwrap();
    };
    let all = |numbers: std::ops::Range<u8>| -> Model { numbers.map(|n| (n.to_string(), n)).collect() };
    add(&dir, "m", 0..7);
    let mut before = Disk::new();
    load(&dir, &dir, &mut before);
    let log = DiskLog::default();
    CURRENT.set(Some(log.clone()));
    add(&dir, "n", 20..32);
    record(|| DiskOp::Acknowledge(1));
    CURRENT.set(None);
    let log = relative(&log, &dir);
    let mut random = Random(7);
    let mut models = [0, 0];
    for number in 0..150 {
        let count = random.below(log.len() as u64 + 1) as usize;
        let disk = crashed(&before, &log, count, &mut random);
        let dir = store(&disk, &parent.path().join(format!("crash-{number}")));
        let new = Index::open(&dir).unwrap().meta().model == "n";
        assert!(new || acknowledged(&log[..count]) == 0);
        assert_eq!(read(&dir), if new { all(20..32) } else { all(0..7) });
        models[usize::from(new)] += 1;
        add(&dir, "n", 20..33);
        assert_eq!(read(&dir), all(20..33));
        fs::remove_dir_all(&dir).unwrap();
    }
    println!("{models:?} old and new ones after {} log", log.len());
    assert!(models.iter().all(|count| *count > 2));
}

/// The folder's own name, and those of the folders made for it, are on disk before a commit counts.
#[test]
fn the_names_of_new_folders_are_synced() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("new/index");
    let log = DiskLog::default();
    CURRENT.set(Some(log.clone()));
    let writer = IndexWriter::create(&dir, settings()).unwrap();
    CURRENT.set(None);
    drop(writer);
    let log = log.lock().unwrap();
    let synced = |folder: &Path| log.iter().any(|op| matches!(op, DiskOp::SyncFolder(path) if path == folder));
    assert!(synced(parent.path()) && synced(&parent.path().join("new")), "{log:?}");
}

/// Rounds in which nothing changes leave the disk alone.
#[test]
fn a_commit_of_nothing_writes_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let log = DiskLog::default();
    CURRENT.set(Some(log.clone()));
    let synced = || {
        let log = std::mem::take(&mut *log.lock().unwrap());
        log.iter().filter(|op| matches!(op, DiskOp::Sync(_))).count()
    };
    let mut writer = IndexWriter::update(&dir, settings()).unwrap();
    writer.put_image(&image("a", 1), &vector(1)).unwrap();
    drop(writer.finish().unwrap());
    let mut writer = IndexWriter::update(&dir, settings()).unwrap();
    synced();
    writer.put_image(&image("a", 1), &vector(1)).unwrap();
    assert_eq!(writer.link_image(&image("a", 1)).unwrap(), Some(crate::Change::Unchanged));
    writer.commit().unwrap();
    writer.compact(0.0).unwrap();
    assert_eq!(synced(), 0);
    writer.put_image(&image("b", 2), &vector(2)).unwrap();
    writer.commit().unwrap();
    assert!(synced() > 0);
    writer.commit().unwrap();
    assert_eq!(synced(), 0);
    drop(writer);
    CURRENT.set(None);
    assert_eq!(read(&dir).len(), 2);
}

#[test]
fn unsynced_writes_may_be_lost_in_any_order() {
    crash_often(24, 150);
}

/// `cargo test --release -p gxn-index --lib -- --ignored lost_often --nocapture`
#[test]
#[ignore = "takes minutes"]
fn unsynced_writes_may_be_lost_often() {
    crash_often(80, 5000);
}
