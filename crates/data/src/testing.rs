//! What several tests build: tiny images, folders, datasets.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{ImageFormat, Rgb, RgbImage};
use tempfile::TempDir;

/// A PNG whose size and bytes depend on `shade`: `shade + 1` pixels wide, 2 high.
pub fn png(shade: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = RgbImage::from_pixel(u32::from(shade) + 1, 2, Rgb([shade; 3]));
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A folder with `files`. Empty ones whose names end like an image's are images, no two alike.
pub fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (at, (name, text)) in files.iter().enumerate() {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let is_image = crate::has_image_extension(&path) && text.is_empty();
        fs::write(path, if is_image { png(at as u8) } else { text.as_bytes().to_vec() }).unwrap();
    }
    folder
}

/// Shards below `folder` of `rows`, JSON objects with `image.path`, `captions` and perhaps `split`; all images differ.
pub fn parquet_of_json(folder: &Path, rows: &str) {
    let images = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    for (at, row) in rows.lines().enumerate() {
        let mut row: serde_json::Value = serde_json::from_str(row).unwrap();
        let name = row["image"]["path"].as_str().unwrap().to_owned();
        fs::write(images.path().join(&name), png(at as u8)).unwrap();
        row["image"] = name.into();
        lines += &format!("{row}\n");
    }
    fs::write(images.path().join("rows.jsonl"), lines).unwrap();
    let options = crate::SourceOptions { split_by: Some("train".parse().unwrap()), ..Default::default() };
    let data = crate::Dataset::open(&images.path().join("rows.jsonl"), &options).unwrap();
    crate::convert(&data, crate::DataFormat::Parquet, folder, crate::ImageFiles::Copy, &()).unwrap();
}

/// The folder of published data that `GXN_DATA` names.
pub fn published_data() -> PathBuf {
    std::env::var_os("GXN_DATA").expect("GXN_DATA names the folder of published data").into()
}

/// 64 cases, or as many as `PROPTEST_CASES` says.
pub fn cases() -> proptest::prelude::ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|number| number.parse().ok());
    proptest::prelude::ProptestConfig::with_cases(asked.unwrap_or(64))
}
