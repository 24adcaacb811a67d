//! What an exporter sees beside what was put in.

use crate::store::{image, settings, vector};
use gxn_index::{CaptionItem, Error, Index, IndexWriter, Modality};
use std::path::Path;

fn caption(id: &str, image_id: &str, text: &str) -> CaptionItem {
    CaptionItem { id: id.into(), image_id: image_id.into(), text: text.into() }
}

/// Images in several files, two contents twice each, some removed.
fn build(dir: &Path) -> Index {
    let mut writer = IndexWriter::create(dir, settings("m")).unwrap();
    writer.set_file_bytes(128 + 64 * 5);
    for number in 0..23u8 {
        writer.put_image(&image(&format!("{:02}", 40 - number), number), &vector(number)).unwrap();
    }
    for number in [3, 17] {
        writer.put_image(&image(&format!("again {number}"), number), &vector(number)).unwrap();
    }
    for (id, image_id, text) in [("a", "40", "a dog"), ("b", "39", "a cat"), ("c", "38", "a dog")] {
        writer.put_caption(&caption(id, image_id, text), &vector(text.as_bytes()[2])).unwrap();
    }
    for number in [0, 4, 5, 6, 7, 8, 9, 17, 22] {
        writer.remove(Modality::Image, &format!("{:02}", 40 - number)).unwrap();
    }
    writer.commit().unwrap();
    writer.finish().unwrap()
}

#[test]
fn every_live_item_comes_once_with_its_row() {
    let parent = tempfile::tempdir().unwrap();
    let index = build(&parent.path().join("index"));
    let mut seen = Vec::new();
    let visit = |row, item: gxn_index::ImageItem, embedding: &[f32]| {
        assert_eq!(embedding, index.row(Modality::Image, row)?);
        assert_eq!(embedding, vector(u8::from_str_radix(&item.sha256, 16).unwrap()));
        seen.push((row, item));
        Ok::<_, Error>(())
    };
    index.export_images(visit).unwrap();
    assert_eq!(seen.len(), index.count(Modality::Image));
    assert_eq!(seen.len(), 23 + 2 - 9);
    let expected: Vec<_> = index
        .rows(Modality::Image)
        .flat_map(|row| index.images_of(row).unwrap().into_iter().map(move |item| (row, item)))
        .collect();
    assert_eq!(seen, expected);
    let threes: Vec<_> = seen.iter().filter(|(_, item)| item.sha256.ends_with("03")).map(|(_, i)| &*i.id).collect();
    assert_eq!(threes, ["37", "again 3"]);
    assert!(seen.iter().any(|(_, item)| item.id == "again 17"), "the other of its content went");
}

#[test]
fn captions_come_too_and_errors_end_it() {
    let parent = tempfile::tempdir().unwrap();
    let index = build(&parent.path().join("index"));
    let mut texts = Vec::new();
    index
        .export_captions(|row, item, embedding| {
            texts.push((row, item.id, embedding.to_vec()));
            Ok::<_, Error>(())
        })
        .unwrap();
    // The caption of the removed image went with it; equal texts share a row.
    let row = |text: &[u8]| vector(text[2]).to_vec();
    assert_eq!(texts, [(0, "c".to_string(), row(b"a dog")), (1, "b".to_string(), row(b"a cat"))]);
    let mut visits = 0;
    let error = index.export_images(|_, item, _| {
        visits += 1;
        if visits == 3 { Err(std::io::Error::other(item.id).into()) } else { Ok::<_, Box<dyn std::error::Error>>(()) }
    });
    assert_eq!((error.unwrap_err().to_string(), visits), ("37".to_string(), 3));
    let dir = parent.path().join("none");
    let none = IndexWriter::create(&dir, settings("m")).unwrap().finish().unwrap();
    none.export_images(|_, _, _| -> Result<(), Error> { panic!("there is none") }).unwrap();
    none.export_captions(|_, _, _| -> Result<(), Error> { panic!("there is none") }).unwrap_err();
}
