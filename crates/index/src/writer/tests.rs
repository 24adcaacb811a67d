use super::*;
use crate::item::ImageItem;
use gxn_base::Similarity;

fn settings(model: &str) -> IndexSettings {
    let space = Space { similarity: Similarity::Cosine, lambda: 0.5, dims_abstract: 2, dims_grounded: 1 };
    IndexSettings { model: model.to_string(), space, extra: Map::new() }
}

fn image(id: &str) -> ImageItem {
    ImageItem { id: id.to_string(), path: format!("{id}.jpg"), ..Default::default() }
}

/// At every possible length of the disk the old index stands and nothing is left over.
#[test]
fn a_full_disk_leaves_the_old_index() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    let mut writer = IndexWriter::create(&dir, settings("old")).unwrap();
    writer.put_image(&image("a"), &[1.0, 2.0, 3.0]).unwrap();
    writer.finish().unwrap();
    let before = names(&dir);
    let write = |model: &str, room: u64| -> Result<Index> {
        let mut writer = IndexWriter::update(&dir, settings(model))?;
        for id in ["b", "c", "d"] {
            if let Some(rows) = writer.images.segment_writer() {
                rows.room = room;
            }
            let pushed = writer.put_image(&image(id), &[1.0, 2.0, 3.0]);
            if let Err(error) = pushed {
                // A caller that goes on after a failed write cannot finish either.
                writer.put_image(&image("z"), &[1.0, 2.0, 3.0]).unwrap_err();
                writer.commit().unwrap_err();
                writer.finish().map(drop).unwrap_err();
                return Err(error);
            }
        }
        writer.finish()
    };
    for room in [192, 193, 255, 256, 300] {
        for model in ["new", "old"] {
            if room < 256 || model == "new" {
                let error = write(model, room).unwrap_err();
                assert!(error.to_string().starts_with("cannot write "), "{error}");
            }
            let old = Index::open(&dir).unwrap();
            old.verify().unwrap();
            assert_eq!((old.meta().model.as_str(), old.count(Modality::Image)), ("old", 1));
            assert_eq!(names(&dir), before);
        }
    }
    assert_eq!(write("new", u64::MAX).unwrap().meta().model, "new");
}

/// A change of what cannot be continued would leave an index of what was changed alone.
#[test]
fn a_change_never_begins_another_index() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    assert_eq!(IndexWriter::change(&dir).unwrap_err().kind(), Kind::NotFound);
    assert!(!dir.exists());
    let mut writer = IndexWriter::create(&dir, settings("m")).unwrap();
    writer.put_image(&image("a"), &[1.0, 2.0, 3.0]).unwrap();
    writer.commit().unwrap();
    drop(writer);
    assert_eq!(IndexWriter::change(&dir).unwrap_err().kind(), Kind::NotFound);
    IndexWriter::update(&dir, settings("m")).unwrap().finish().unwrap();

    let mut writer = IndexWriter::change(&dir).unwrap();
    assert_eq!(writer.meta().model, "m");
    writer.put_image(&image("b"), &[3.0, 2.0, 1.0]).unwrap();
    assert_eq!(writer.finish().unwrap().count(Modality::Image), 2);

    let rows = std::fs::read_dir(dir.join("segments")).unwrap().map(|entry| entry.unwrap().path());
    let rows: Vec<_> = rows.filter(|path| path.extension().is_some_and(|extension| extension == "f16")).collect();
    let bytes = std::fs::read(&rows[0]).unwrap();
    std::fs::write(&rows[0], &bytes[..bytes.len() - 1]).unwrap();
    let error = IndexWriter::change(&dir).unwrap_err();
    assert!(error.to_string().contains(&rows[0].display().to_string()), "{error}");
    std::fs::write(&rows[0], &bytes).unwrap();
    assert_eq!(Index::open(&dir).unwrap().count(Modality::Image), 2);

    let catalogue = dir.join(crate::catalogue::CATALOGUE_FILE);
    let sound = std::fs::read(&catalogue).unwrap();
    std::fs::write(&catalogue, vec![7; sound.len()]).unwrap();
    assert_eq!(IndexWriter::change(&dir).unwrap_err().kind(), Kind::Damaged);
    std::fs::write(&catalogue, sound).unwrap();
    assert_eq!(Index::open(&dir).unwrap().count(Modality::Image), 2);
}

#[test]
fn what_systems_leave_is_no_reason_to_refuse() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("index");
    IndexWriter::create(&dir, settings("m")).unwrap().finish().unwrap();
    for name in [".DS_Store", "._meta.json", "Thumbs.db"] {
        std::fs::write(dir.join(name), "").unwrap();
    }
    IndexWriter::update(&dir, settings("m")).unwrap().finish().unwrap();
    std::fs::write(dir.join("notes.txt"), "").unwrap();
    assert_eq!(IndexWriter::update(&dir, settings("m")).unwrap_err().found(), Some("notes.txt"));
}

fn names(dir: &Path) -> Vec<String> {
    let list = |dir: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
    };
    let mut names = list(dir);
    names.extend(list(&dir.join("segments")));
    names.sort();
    names
}
