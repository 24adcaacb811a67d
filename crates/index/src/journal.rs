//! For tests alone: a record of all that a writer does to its disk, and the disks that a crash could leave of it. What
//! was not synced may be there, or not, or in parts, in any order.

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Result as IoResult;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Disks write so many bytes or none of them.
const SECTOR: u64 = 512;

/// Something that was done to the disk.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Create(PathBuf),
    Write {
        path: PathBuf,
        offset: u64,
        bytes: Vec<u8>,
    },
    SetLength {
        path: PathBuf,
        length: u64,
    },
    Sync(PathBuf),
    SyncFolder(PathBuf),
    Remove(PathBuf),
    /// The writer's caller was told that so many commits are done.
    Acknowledge(usize),
}

type Deeds = Arc<Mutex<Vec<Deed>>>;

thread_local! {
    static CURRENT: RefCell<Option<Deeds>> = const { RefCell::new(None) };
}

/// Notes a deed, if this thread keeps a record.
pub(crate) fn note(deed: impl FnOnce() -> Deed) {
    CURRENT.with_borrow(|current| {
        if let Some(deeds) = current {
            deeds.lock().unwrap().push(deed());
        }
    });
}

/// The storage of a database at `path` whose deeds are noted, if this thread keeps a record.
pub(crate) fn backend(path: &Path) -> Option<Noted> {
    let deeds = CURRENT.with_borrow(Clone::clone)?;
    let file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    Some(Noted { inner: FileBackend::new(file).unwrap(), path: path.to_path_buf(), deeds })
}

/// A database's file.
#[derive(Debug)]
pub(crate) struct Noted {
    inner: FileBackend,
    path: PathBuf,
    deeds: Deeds,
}

impl Noted {
    fn note(&self, deed: Deed) {
        self.deeds.lock().unwrap().push(deed);
    }
}

impl StorageBackend for Noted {
    fn len(&self) -> IoResult<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> IoResult<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, length: u64) -> IoResult<()> {
        self.note(Deed::SetLength { path: self.path.clone(), length });
        self.inner.set_len(length)
    }

    fn sync_data(&self) -> IoResult<()> {
        self.note(Deed::Sync(self.path.clone()));
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> IoResult<()> {
        self.note(Deed::Write { path: self.path.clone(), offset, bytes: data.to_vec() });
        self.inner.write(offset, data)
    }

    fn close(&self) -> IoResult<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        StorageBackend::try_lock_range(&self.inner, start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        StorageBackend::try_lock_shared_range(&self.inner, start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        StorageBackend::lock_range(&self.inner, start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        StorageBackend::lock_shared_range(&self.inner, start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        StorageBackend::unlock_range(&self.inner, start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        StorageBackend::query_lock_range(&self.inner, start, end)
    }
}

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % end
    }
}

/// Content of every file by its path.
type Disk = BTreeMap<PathBuf, Vec<u8>>;

/// A disk that a crash after the first `count` deeds could leave, if it was `before` at their start.
fn crashed(before: &Disk, deeds: &[Deed], count: usize, random: &mut Random) -> Disk {
    let mut disk = before.clone();
    let deeds = &deeds[..count];
    for (at, deed) in deeds.iter().enumerate() {
        let later = &deeds[at + 1..];
        let synced = |path: &Path| later.iter().any(|deed| matches!(deed, Deed::Sync(other) if other == path));
        let listed = |path: &Path| {
            later.iter().any(|deed| matches!(deed, Deed::SyncFolder(folder) if Some(folder.as_path()) == path.parent()))
        };
        match deed {
            // A name that was never brought to disk may be missing with all that was written under it.
            Deed::Create(path) if listed(path) || random.below(2) == 0 => drop(disk.insert(path.clone(), Vec::new())),
            Deed::Remove(path) if listed(path) || random.below(2) == 0 => drop(disk.remove(path)),
            Deed::SetLength { path, length } if synced(path) || random.below(2) == 0 => {
                if let Some(content) = disk.get_mut(path) {
                    content.resize(*length as usize, 0);
                }
            }
            Deed::Write { path, offset, bytes } => {
                let Some(content) = disk.get_mut(path) else { continue };
                let sure = synced(path);
                let whole = random.below(3);
                let mut start = *offset;
                while start < offset + bytes.len() as u64 {
                    let end = ((start / SECTOR + 1) * SECTOR).min(offset + bytes.len() as u64);
                    if sure || whole == 0 || whole == 1 && random.below(2) == 0 {
                        let (from, to) = (start as usize, end as usize);
                        if content.len() < to {
                            content.resize(to, 0);
                        }
                        content[from..to].copy_from_slice(&bytes[from - *offset as usize..to - *offset as usize]);
                    }
                    start = end;
                }
            }
            _ => {}
        }
    }
    disk
}

mod tests {
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
    fn work(dir: &Path, commits: usize) -> (Vec<Deed>, Vec<Model>) {
        let deeds = Deeds::default();
        CURRENT.set(Some(deeds.clone()));
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
            note(|| Deed::Acknowledge(number));
        }
        drop(writer);
        CURRENT.set(None);
        (relative(&deeds, dir), models)
    }

    /// The deeds with paths as seen from `dir`.
    fn relative(deeds: &Deeds, dir: &Path) -> Vec<Deed> {
        let mut deeds = std::mem::take(&mut *deeds.lock().unwrap());
        for deed in &mut deeds {
            match deed {
                Deed::Create(path)
                | Deed::Write { path, .. }
                | Deed::SetLength { path, .. }
                | Deed::Sync(path)
                | Deed::SyncFolder(path)
                | Deed::Remove(path) => *path = path.strip_prefix(dir).unwrap().to_path_buf(),
                Deed::Acknowledge(_) => {}
            }
        }
        deeds
    }

    fn acknowledged(deeds: &[Deed]) -> usize {
        let last = deeds.iter().rev().find_map(|deed| match deed {
            Deed::Acknowledge(number) => Some(*number),
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
        let (deeds, models) = work(&dir, commits);
        let mut random = Random(6);
        let mut ahead = 0;
        for number in 0..crashes {
            let count = random.below(deeds.len() as u64 + 1) as usize;
            let disk = crashed(&before, &deeds, count, &mut random);
            let dir = store(&disk, &parent.path().join(format!("crash-{number}")));
            let acknowledged = acknowledged(&deeds[..count]);
            let found = read(&dir);
            if found != models[acknowledged] {
                assert_eq!(Some(&found), models.get(acknowledged + 1), "crash {number} after {count} deeds");
                ahead += 1;
            }
            let mut writer = IndexWriter::update(&dir, settings()).unwrap();
            writer.put_image(&image("more", 99), &vector(99)).unwrap();
            writer.finish().unwrap();
            assert_eq!(read(&dir).len(), found.len() + 1);
            fs::remove_dir_all(&dir).unwrap();
        }
        println!("{crashes} crashes among {} deeds; {ahead} kept a commit that was under way", deeds.len());
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
        let deeds = Deeds::default();
        CURRENT.set(Some(deeds.clone()));
        add(&dir, "n", 20..32);
        note(|| Deed::Acknowledge(1));
        CURRENT.set(None);
        let deeds = relative(&deeds, &dir);
        let mut random = Random(7);
        let mut models = [0, 0];
        for number in 0..150 {
            let count = random.below(deeds.len() as u64 + 1) as usize;
            let disk = crashed(&before, &deeds, count, &mut random);
            let dir = store(&disk, &parent.path().join(format!("crash-{number}")));
            let new = Index::open(&dir).unwrap().meta().model == "n";
            assert!(new || acknowledged(&deeds[..count]) == 0);
            assert_eq!(read(&dir), if new { all(20..32) } else { all(0..7) });
            models[usize::from(new)] += 1;
            add(&dir, "n", 20..33);
            assert_eq!(read(&dir), all(20..33));
            fs::remove_dir_all(&dir).unwrap();
        }
        println!("{models:?} old and new ones after {} deeds", deeds.len());
        assert!(models.iter().all(|count| *count > 2));
    }

    /// The folder's own name, and those of the folders made for it, are on disk before a commit counts.
    #[test]
    fn the_names_of_new_folders_are_synced() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("new/index");
        let deeds = Deeds::default();
        CURRENT.set(Some(deeds.clone()));
        let writer = IndexWriter::create(&dir, settings()).unwrap();
        CURRENT.set(None);
        drop(writer);
        let deeds = deeds.lock().unwrap();
        let synced = |folder: &Path| deeds.iter().any(|deed| matches!(deed, Deed::SyncFolder(path) if path == folder));
        assert!(synced(parent.path()) && synced(&parent.path().join("new")), "{deeds:?}");
    }

    /// Rounds in which nothing changes leave the disk alone.
    #[test]
    fn a_commit_of_nothing_writes_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("index");
        let deeds = Deeds::default();
        CURRENT.set(Some(deeds.clone()));
        let synced = || {
            let deeds = std::mem::take(&mut *deeds.lock().unwrap());
            deeds.iter().filter(|deed| matches!(deed, Deed::Sync(_))).count()
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
}
