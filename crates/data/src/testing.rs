//! What several tests build: tiny images, folders, datasets.

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

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

/// The folder of published data that `GXN_DATA` names.
pub fn published_data() -> PathBuf {
    std::env::var_os("GXN_DATA").expect("GXN_DATA names the folder of published data").into()
}
