//! Parquet files that pyarrow wrote (`reference/huggingface_shards.py`), damaged ones, and tables of file names.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::testing::parquet_of_json;
use crate::{CsvColumns, Dataset, Remedy, Result, SourceOptions, Split, load_image};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data/huggingface").join(name)
}

fn open(path: &Path) -> Result<Dataset> {
    Dataset::open(path, &SourceOptions::default())
}

/// `id split: captions; first byte of the pixels` for every image. The script gives an image of seed `n` the blue `n`.
fn summary(data: &Dataset) -> Vec<String> {
    data.validate().unwrap();
    let line = |at: usize| {
        let image = &data.images[at];
        let texts: Vec<_> = data.captions[data.captions_of(at)].iter().map(|c| c.text.as_str()).collect();
        let blue = load_image(&image.source, &Default::default()).unwrap().get_pixel(0, 0)[2];
        format!("{} {}: {}; {blue}", image.id, image.split, texts.join(" | "))
    };
    (0..data.images.len()).map(line).collect()
}

#[test]
fn shards_of_the_hub() {
    let data = open(&golden("shards")).unwrap();
    assert_eq!(data.format, "Parquet");
    let expected: Vec<String> = [(30, "test"), (0, "train"), (10, "train"), (20, "val")]
        .into_iter()
        .flat_map(|(first, split)| {
            (first..first + 3).map(move |n| format!("{n}.jpg {split}: number {n} | again {n}; {n}"))
        })
        .collect();
    assert_eq!(summary(&data), expected);
    assert_eq!(data.images[0].meta["height"], 4);
    assert_eq!(data.account.found, ["4 shards with 12 rows; columns that are not kept: embedding"]);
    assert_eq!(data.account.dropped, []);
    // One shard, some shards, the folder of shards.
    let one = open(&golden("shards/data/validation-00000-of-00001.parquet")).unwrap();
    assert_eq!(summary(&one), expected[9..]);
    assert!(one.images[0].source.to_string().ends_with("validation-00000-of-00001.parquet#0"));
    let some = open(&golden("shards/data/train-{00000..00001}-of-00002.parquet")).unwrap();
    assert_eq!(summary(&some), expected[3..9]);
    assert_eq!(summary(&open(&golden("shards/data")).unwrap()), expected);
    // A rule takes the place of the splits, by the content of the images.
    let options = SourceOptions { split_by: Some("hash:0/0/1".parse().unwrap()), ..SourceOptions::default() };
    let test = Dataset::open(&golden("shards"), &options).unwrap();
    assert_eq!(test.split_indices(Split::Test).len(), 12);
}

#[test]
fn a_row_for_each_caption() {
    let data = open(&golden("rows.parquet")).unwrap();
    assert_eq!(
        summary(&data),
        ["7 train: one | uno; 1", "8 test: two; 2", "rows.parquet#3 test: three; 3"],
        "rows of one image are joined, another image under its id is not"
    );
}

#[test]
fn numbered_captions_and_plain_bytes() {
    let data = open(&golden("numbered.parquet")).unwrap();
    let lines: Vec<String> =
        summary(&data).into_iter().map(|line| line.replace(" val", " train").replace(" test", " train")).collect();
    assert_eq!(lines, ["numbered.parquet#0 train: five | cinq; 5", "numbered.parquet#1 train: six; 6"]);
}

#[test]
fn a_table_of_file_names() {
    let data = open(&golden("folder")).unwrap();
    assert_eq!(summary(&data), ["train/0.bmp train: zero; 0", "train/1.bmp train: one; 1"]);
    let own = open(&golden("folder/train/metadata.parquet")).unwrap();
    assert_eq!(own.split_indices(Split::Train).len(), 2);
}

/// Forwards, backwards, and by many threads at once: every cell is its own.
#[test]
fn cells_are_read_in_any_order() {
    let data = open(&golden("pages.parquet")).unwrap();
    assert_eq!(data.images.len(), 40);
    let blue = |at: usize| load_image(&data.images[at].source, &Default::default()).unwrap().get_pixel(0, 0)[2];
    for at in (0..40).chain((0..40).rev()).chain([7, 7, 31, 8]) {
        assert_eq!(usize::from(blue(at)), at);
    }
    let all = || (0..40).for_each(|at| assert_eq!(usize::from(blue(at)), at));
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(all))));
}

#[test]
fn what_is_no_captioned_image() {
    let refused = |options: &SourceOptions, name: &str| Dataset::open(&golden(name), options).unwrap_err();
    let error = refused(&SourceOptions::default(), "addresses.parquet");
    assert!(
        error.to_string().contains("columns url, caption") && error.hint().unwrap().contains("img2dataset"),
        "{error}"
    );
    let other = |image: Option<&str>, caption: Option<&str>| SourceOptions {
        csv: CsvColumns { image: image.map(str::to_owned), caption: caption.map(str::to_owned), separator: None },
        ..SourceOptions::default()
    };
    for options in [other(Some("photo"), None), other(None, Some("words"))] {
        let error = refused(&options, "rows.parquet");
        assert!(error.to_string().contains("columns image, image_id, text, split"), "{error}");
        assert_eq!(error.remedy(), Some(&Remedy::NameColumns));
    }
}

#[test]
fn a_damaged_shard_is_named_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let whole = fs::read(golden("shards/data/train-00000-of-00002.parquet")).unwrap();
    fs::write(at("train-00000-of-00003.parquet"), &whole).unwrap();
    fs::write(at("train-00001-of-00003.parquet"), &whole[..whole.len() / 2]).unwrap();
    fs::write(at("train-00002-of-00003.parquet"), b"").unwrap();
    let data = open(folder.path()).unwrap();
    assert_eq!(data.images.len(), 3);
    let [cut, empty] = &data.account.dropped[..] else { panic!("{:?}", data.account.dropped) };
    assert!(cut.what.ends_with("train-00001-of-00003.parquet") && cut.reason.contains("damaged data"), "{cut:?}");
    assert!(empty.reason.contains("an empty file"), "{empty:?}");
    assert_eq!(data.account.unread, ["", ""], "an index must not take their images for gone");
    let error = open(&at("train-00001-of-00003.parquet")).unwrap_err();
    assert!(error.hint().unwrap().contains("download the file again"), "{error}");
    // A shard that changes after it was opened is not read at old places.
    fs::write(at("train-00000-of-00003.parquet"), &whole[1..]).unwrap();
    let error = data.images[0].source.read().unwrap_err().to_string();
    assert!(error.contains("as when it was opened"), "{error}");
}

#[test]
fn a_codec_that_is_not_read_is_no_damage() {
    let error = open(&golden("brotli.parquet")).unwrap_err();
    let expected =
        "found the column image compressed with brotli, which is not read, expected snappy, gzip, zstd, lz4 or none";
    assert!(error.to_string().ends_with(expected), "{error}");
    assert!(error.hint().unwrap().contains("compression=\"zstd\""), "{error}");
    // Among others it is named with its reason.
    let folder = tempfile::tempdir().unwrap();
    let sound = golden("shards/data/train-00000-of-00002.parquet");
    fs::copy(sound, folder.path().join("train-00000-of-00002.parquet")).unwrap();
    fs::copy(golden("brotli.parquet"), folder.path().join("train-00001-of-00002.parquet")).unwrap();
    let data = open(folder.path()).unwrap();
    assert_eq!((data.images.len(), data.account.unread.len()), (3, 1));
    assert!(data.account.dropped[0].reason.ends_with(expected), "{:?}", data.account.dropped);
}

#[test]
fn restval_is_train_or_left_out() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in [("train-00000-of-00002", "restval-0"), ("validation-00000-of-00001", "val-0")] {
        let from = golden("shards/data").join(format!("{from}.parquet"));
        fs::copy(from, folder.path().join(format!("{to}.parquet"))).unwrap();
    }
    assert_eq!(open(folder.path()).unwrap().split_sizes(), [3, 3, 0]);
    let without = SourceOptions { use_restval: false, ..SourceOptions::default() };
    let data = Dataset::open(folder.path(), &without).unwrap();
    assert_eq!(data.split_sizes(), [0, 3, 0]);
    assert_eq!(data.account.excluded[0].what, "3 images of the split restval");
}

proptest! {
    #![proptest_config(crate::testing::cases())]
    /// Damage gives an error or fewer images, never a panic.
    #[test]
    fn flipped_bytes(places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), which in 0usize..3) {
        let names = ["shards/data/train-00000-of-00002.parquet", "rows.parquet", "pages.parquet"];
        let mut bytes = fs::read(golden(names[which])).unwrap();
        for (place, value) in places {
            let at = place.index(bytes.len());
            bytes[at] = value;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.parquet");
        fs::write(&path, bytes).unwrap();
        if let Ok(data) = open(&path) {
            data.validate().unwrap();
            data.images.iter().for_each(|image| drop(image.source.read()));
        }
    }

    /// Any length is a cut file.
    #[test]
    fn cut_files(length: prop::sample::Index) {
        let bytes = fs::read(golden("pages.parquet")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.parquet");
        fs::write(&path, &bytes[..length.index(bytes.len())]).unwrap();
        prop_assert!(open(&path).is_err());
    }
}

/// Byte 835 is part of where the images' column begins: with another value that lies before the file.
#[test]
fn a_column_that_begins_before_the_file_is_damage() {
    let mut bytes = fs::read(golden("rows.parquet")).unwrap();
    bytes[835] = 43;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.parquet");
    fs::write(&path, bytes).unwrap();
    let data = open(&path).unwrap();
    assert!(!data.images.is_empty());
    for image in &data.images {
        let error = image.source.read().unwrap_err().to_string();
        assert!(error.contains("damaged data"), "{error}");
    }
}

/// Ids: the path where no other image has it, else shard and row.
#[test]
fn ids_of_equal_paths() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..2 {
        let from = golden("shards/data/train-00000-of-00002.parquet");
        fs::copy(from, folder.path().join(format!("train-0000{number}-of-00002.parquet"))).unwrap();
    }
    let data = open(folder.path()).unwrap();
    assert_eq!(data.images[0].id, "train-00000-of-00002.parquet#0");
    assert_eq!(data.images[3].id, "train-00001-of-00002.parquet#0");
}

#[test]
fn several_configurations_are_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let row = r#"{"image":{"path":"a.png"},"captions":["A"]}"#;
    parquet_of_json(&folder.path().join("small"), row);
    parquet_of_json(&folder.path().join("large"), row);
    let error = open(folder.path()).unwrap_err();
    assert!(error.hint().unwrap().contains("name the folder of one"), "{error}");
    assert_eq!(open(&folder.path().join("small")).unwrap().images.len(), 1);
}
