//! Round trips: what is written is read back equal.

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::testing::png;
use crate::{SourceOptions, Split};

/// Awkward ids, commas, quotes, line feeds, given and missing caption ids, meta, every split.
fn awkward(folder: &Path) -> Dataset {
    fs::create_dir_all(folder.join("in/sub")).unwrap();
    let mut lines = String::new();
    for (at, (file, id, split)) in [
        ("a.png", "a.png", "train"),
        ("sub/b.png", "sub/B.PNG", "val"),
        ("c.png", "sub/b.png", "test"),
        ("d.png", "..", "train"),
        ("e.png", "17", "train"),
        ("f.png", "ü \"x\", y\\..\\z", "train"),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(folder.join("in").join(file), png(at as u8)).unwrap();
        let mut row = json!({"image": file, "id": id, "split": split,
            "captions": [format!("A \"dog\", no {at}"), "Zwei\nHunde ; | \t # é"], "meta": {"n": at, "place": "Rome"}});
        if at % 2 == 0 {
            row["caption_ids"] = json!([format!("k{at}"), format!("{}", 100 + at)]);
        }
        lines += &format!("{row}\n");
    }
    fs::write(folder.join("in/data.jsonl"), lines).unwrap();
    Dataset::open(&folder.join("in/data.jsonl"), &SourceOptions::default()).unwrap()
}

/// Everything that a format keeps.
fn content(data: &Dataset, with_meta: bool) -> Vec<Value> {
    let image = |at: usize| {
        let image = &data.images[at];
        let captions: Vec<_> = data.captions[data.captions_of(at)].iter().map(|c| json!([c.id, c.text])).collect();
        let meta = if with_meta { Value::Object(image.meta.clone()) } else { Value::Null };
        json!([image.id, image.split.to_string(), captions, image.source.content_hash().unwrap().to_string(), meta])
    };
    (0..data.images.len()).map(image).collect()
}

#[test]
fn every_format_reads_back_equal() {
    let folder = tempfile::tempdir().unwrap();
    let data = awkward(folder.path());
    assert_eq!(data.images.len(), 6, "{:?}", data.account.dropped);
    for (format, meta) in [
        (DataFormat::Jsonl, true),
        (DataFormat::Webdataset, true),
        (DataFormat::Parquet, true),
        (DataFormat::Karpathy, false),
        (DataFormat::Csv, false),
    ] {
        let out = folder.path().join(format.to_string());
        let written = convert(&data, format, &out, ImageFiles::Copy, &()).unwrap();
        for source in [&written, &out] {
            let back = Dataset::open(source, &SourceOptions { strict: true, ..SourceOptions::default() }).unwrap();
            let (mut found, mut expected) = (content(&back, meta), content(&data, meta));
            if format == DataFormat::Parquet {
                // Each split has its own shards.
                for images in [&mut found, &mut expected] {
                    images.sort_by_key(|image| image[0].to_string());
                }
            }
            assert_eq!(found, expected, "{format}");
        }
        // The same again elsewhere gives the same bytes.
        let again = convert(&data, format, &folder.path().join(format!("{format}2")), ImageFiles::Copy, &()).unwrap();
        let first = match format {
            DataFormat::Webdataset => "shard-0000.tar",
            DataFormat::Parquet => "data/train-00000-of-00001.parquet",
            _ => "",
        };
        let file = |path: &Path| if path.is_dir() { path.join(first) } else { path.to_path_buf() };
        assert_eq!(fs::read(file(&written)).unwrap(), fs::read(file(&again)).unwrap(), "{format}");
    }
}

#[test]
fn images_can_stay_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let data = awkward(folder.path());
    for (format, name) in [(DataFormat::Jsonl, "x.jsonl"), (DataFormat::Karpathy, "x.json"), (DataFormat::Csv, "x.csv")]
    {
        let out = folder.path().join(name);
        convert(&data, format, &out, ImageFiles::Refer, &()).unwrap();
        let back = Dataset::open(&out, &SourceOptions::default()).unwrap();
        assert_eq!(content(&back, false), content(&data, false), "{format}");
    }
    // A file that is there may be the data themselves.
    let (table, before) = (folder.path().join("x.csv"), fs::read(folder.path().join("x.csv")).unwrap());
    let error = convert(&data, DataFormat::Jsonl, &table, ImageFiles::Refer, &()).unwrap_err();
    assert!(error.to_string().contains("x.csv: found a file, expected the name of a new one"), "{error}");
    assert_eq!(fs::read(&table).unwrap(), before);
    fs::create_dir(folder.path().join("elsewhere")).unwrap();
    let error =
        convert(&data, DataFormat::Csv, &folder.path().join("elsewhere/x.csv"), ImageFiles::Refer, &()).unwrap_err();
    assert!(error.to_string().contains("expected a file below the output's folder"), "{error}");
    for format in [DataFormat::Webdataset, DataFormat::Parquet] {
        assert!(convert(&data, format, &folder.path().join("w"), ImageFiles::Refer, &()).is_err());
    }
}

#[test]
fn nothing_is_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let data = awkward(folder.path());
    fs::remove_file(folder.path().join("in/e.png")).unwrap();
    for format in [DataFormat::Jsonl, DataFormat::Webdataset, DataFormat::Parquet] {
        let error = convert(&data, format, &folder.path().join("out"), ImageFiles::Copy, &()).unwrap_err().to_string();
        assert!(error.contains("e.png"), "{error}");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["in"]);
    fs::create_dir(folder.path().join("full")).unwrap();
    fs::write(folder.path().join("full/precious"), "x").unwrap();
    let error = convert(&data, DataFormat::Jsonl, &folder.path().join("full"), ImageFiles::Copy, &()).unwrap_err();
    assert!(error.to_string().contains("expected an empty or a new folder"), "{error}");
}

#[test]
fn other_images_become_png_in_a_tar() {
    let folder = tempfile::tempdir().unwrap();
    let image = ::image::RgbImage::from_fn(5, 4, |x, y| ::image::Rgb([x as u8, y as u8, 9]));
    image.save(folder.path().join("a.bmp")).unwrap();
    fs::write(folder.path().join("a.txt"), "A gradient").unwrap();
    let data = Dataset::open(folder.path(), &SourceOptions::default()).unwrap();
    convert(&data, DataFormat::Webdataset, &folder.path().join("w"), ImageFiles::Copy, &()).unwrap();
    let back = Dataset::open(&folder.path().join("w/shard-0000.tar"), &SourceOptions::default()).unwrap();
    assert_eq!(crate::load_image(&back.images[0].source, &ImageLimits::default()).unwrap(), image);
    assert_eq!(back.images[0].split, data.images[0].split);
}

#[test]
fn names_of_formats() {
    for name in ["jsonl", "karpathy", "wds", "csv", "parquet"] {
        assert_eq!(name.parse::<DataFormat>().unwrap().to_string(), name);
    }
    assert!("arrow".parse::<DataFormat>().unwrap_err().to_string().contains("jsonl, karpathy, wds, csv or parquet"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Any id and any text survive JSONL, tar, Parquet, Karpathy and CSV.
    #[test]
    fn any_text_survives(id in "[^\u{0}]{1,12}", text in "[^\u{0}]{1,20}", which in 0usize..5) {
        let (id, text) = (id.trim().to_owned(), text.trim().to_owned());
        prop_assume!(!id.is_empty() && !text.is_empty());
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.png"), png(1)).unwrap();
        let mut data = Dataset { name: "p".into(), ..Dataset::default() };
        let source = ImageSource::File(folder.path().join("a.png"));
        data.images.push(Image { id: id.clone(), source, split: Split::Val, content: None, meta: Map::new() });
        data.captions.push(Caption { id: format!("{id}#0"), image: 0, text });
        let format = [DataFormat::Jsonl, DataFormat::Webdataset, DataFormat::Karpathy, DataFormat::Csv, DataFormat::Parquet][which];
        let written = convert(&data, format, &folder.path().join("out"), ImageFiles::Copy, &()).unwrap();
        let back = Dataset::open(&written, &SourceOptions::default()).unwrap();
        prop_assert_eq!(content(&back, true)[0].as_array().unwrap()[..4].to_vec(), content(&data, true)[0].as_array().unwrap()[..4].to_vec());
    }
}
