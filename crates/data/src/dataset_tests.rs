//! Tests of [`super::Dataset`]'s own methods.

use std::path::PathBuf;

use super::*;

/// Three images; the second has no caption.
fn three() -> Dataset {
    let image = |id: &str, split| Image {
        id: id.into(),
        source: ImageSource::File(PathBuf::from(id)),
        split,
        content: None,
        meta: serde_json::Map::new(),
    };
    let caption = |id: &str, image, text: &str| Caption { id: id.into(), image, text: text.into() };
    Dataset {
        name: "three".into(),
        images: vec![image("a", Split::Train), image("b", Split::Val), image("c", Split::Train)],
        captions: vec![caption("a#0", 0, "one"), caption("a#1", 0, "two"), caption("c#0", 2, "three")],
        ..Dataset::default()
    }
}

#[test]
fn captions_and_splits() {
    let data = three();
    data.validate().unwrap();
    assert_eq!(data.captions_of(0), 0..2);
    assert_eq!(data.captions_of(1), 2..2);
    assert_eq!(data.captions_of(2), 2..3);
    assert_eq!(data.split_indices(Split::Train), [0, 2]);
    assert_eq!(data.captions_in(Split::Train).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(data.captions_in(Split::Val).count(), 0);
    let part = data.subset(&[2, 0]);
    part.validate().unwrap();
    assert_eq!(part.captions.iter().map(|c| c.text.as_str()).collect::<Vec<_>>(), ["three", "one", "two"]);
}

#[test]
fn hash_sees_ids_texts_and_splits() {
    let base = three().hash();
    assert_eq!(base.len(), 64);
    assert_eq!(base, three().hash());
    let changed = |change: fn(&mut Dataset)| {
        let mut data = three();
        change(&mut data);
        data.hash()
    };
    assert_ne!(base, changed(|data| data.images[1].id = "B".into()));
    assert_ne!(base, changed(|data| data.images[1].split = Split::Test));
    assert_ne!(base, changed(|data| data.captions[2].text = "four".into()));
    // A caption that moves to the neighbouring image is seen too.
    assert_ne!(base, changed(|data| data.captions[1].image = 1));
    // The name is not part of the data.
    assert_eq!(base, changed(|data| data.name = "other".into()));
}

#[test]
fn validation_names_the_offender() {
    let refused = |change: fn(&mut Dataset)| {
        let mut data = three();
        change(&mut data);
        data.validate().unwrap_err().to_string()
    };
    assert!(refused(|data| data.images[2].id = "a".into()).contains("\"a\" twice"));
    assert!(refused(|data| data.captions[2].image = 3).contains("image number 3"));
    assert!(refused(|data| data.captions.swap(0, 2)).contains("sorted by image"));
    assert!(refused(|data| data.captions[1].id = "a#0".into()).contains("a#0"));
    assert!(refused(|data| data.captions[1].text = " ".into()).contains("empty caption a#1"));
}

#[test]
fn split_names() {
    assert_eq!("Dev".parse::<Split>().unwrap(), Split::Val);
    assert_eq!("validation".parse::<Split>().unwrap(), Split::Val);
    assert!("restval".parse::<Split>().unwrap_err().to_string().contains("train, val or test"));
}
