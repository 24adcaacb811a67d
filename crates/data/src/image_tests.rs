//! Tests of decoding. The images were made by `reference/data_images.py`; all show the same 96 × 64 scene.

use std::path::{Path, PathBuf};

use super::*;
use crate::ContentHash;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).unwrap()
}

fn decoded(name: &str) -> RgbImage {
    load_image(&ImageSource::File(golden(name)), &ImageLimits::default()).unwrap()
}

fn refused(bytes: &[u8]) -> String {
    decode_image(bytes, "a.jpg", &ImageLimits::default()).unwrap_err().to_string()
}

/// Mean absolute difference over all channels.
fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.as_raw().len() as f64
}

#[test]
fn every_format_shows_the_same_scene() {
    let scene = decoded("rgb.png");
    assert_eq!(scene.dimensions(), (96, 64));
    assert_eq!(scene.get_pixel(3, 3).0, [250, 10, 20]);
    for (name, most) in [("rgb.tif", 0.0), ("rgb.bmp", 0.0), ("rgb.jpg", 4.0), ("progressive.jpg", 4.0)] {
        let away = difference(&scene, &decoded(name));
        assert!(away <= most, "{name}: {away}");
    }
    // A palette and the first frame of an animation, exactly as Pillow decodes them.
    let golden: serde_json::Value = serde_json::from_slice(&bytes("preprocess.json")).unwrap();
    for (name, sha) in golden["exact"].as_object().unwrap() {
        assert_eq!(ContentHash::of(decoded(name).as_raw()).to_string(), sha.as_str().unwrap(), "{name}");
    }
}

#[test]
fn orientation_is_applied() {
    let scene = decoded("rgb.png");
    assert_eq!(decoded("turned.png"), scene);
    let away = difference(&scene, &decoded("turned.jpg"));
    assert!(away < 4.0, "{away}");
    let size = |name| image_size(&bytes(name), name, &ImageLimits::default()).unwrap();
    assert_eq!(size("turned.jpg"), (96, 64));
    assert_eq!(size("rgb.jpg"), (96, 64));
}

#[test]
fn grey_and_sixteen_bits_become_rgb() {
    let scene = decoded("rgb.png");
    // ITU-R 601 luma, as Pillow's "L".
    let luma = |p: &image::Rgb<u8>| 0.299 * f64::from(p[0]) + 0.587 * f64::from(p[1]) + 0.114 * f64::from(p[2]);
    for (name, most) in [("grey.jpg", 3.0), ("grey16.png", 0.6)] {
        let grey = decoded(name);
        let away: f64 = scene.pixels().zip(grey.pixels()).map(|(a, b)| (luma(a) - f64::from(b[0])).abs()).sum();
        assert!(grey.pixels().all(|p| p[0] == p[1] && p[1] == p[2]), "{name}");
        assert!(away / 6144.0 < most, "{name}: {}", away / 6144.0);
    }
}

#[test]
fn cmyk_becomes_rgb_as_in_pillow() {
    let golden: serde_json::Value = serde_json::from_slice(&bytes("preprocess.json")).unwrap();
    let image = decoded("cmyk.jpg");
    for pixel in golden["cmyk"].as_array().unwrap() {
        let (x, y) = (pixel[0].as_u64().unwrap() as u32, pixel[1].as_u64().unwrap() as u32);
        for channel in 0..3 {
            let want = pixel[2][channel].as_i64().unwrap();
            let got = i64::from(image.get_pixel(x, y)[channel]);
            assert!((want - got).abs() <= 4, "({x}, {y}) channel {channel}: {got}, Pillow {want}");
        }
    }
}

#[test]
fn alpha_is_laid_on_white() {
    let scene = decoded("rgb.png");
    for name in ["alpha.png", "alpha.webp"] {
        let image = decoded(name);
        assert_eq!(image.get_pixel(10, 50).0, [255, 255, 255], "{name}: transparent");
        assert_eq!(image.get_pixel(90, 5), scene.get_pixel(90, 5), "{name}: opaque");
        // alpha 128: (c · 128 + 255 · 127) / 255, rounded
        let (half, full) = (image.get_pixel(44, 5), scene.get_pixel(44, 5));
        for channel in 0..3 {
            let want = (f64::from(full[channel]) * 128.0 + 255.0 * 127.0) / 255.0;
            assert!((f64::from(half[channel]) - want).abs() <= 0.5, "{name}: half");
        }
    }
}

#[test]
fn the_bytes_tell_the_format_not_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("really_a_png.jpg");
    std::fs::copy(golden("rgb.png"), &path).unwrap();
    assert_eq!(load_image(&ImageSource::File(path), &ImageLimits::default()).unwrap(), decoded("rgb.png"));
}

#[test]
fn truncated_images_are_refused_by_name() {
    for name in ["rgb.jpg", "progressive.jpg", "rgb.png", "rgb.bmp", "alpha.webp"] {
        let whole = bytes(name);
        for kept in [whole.len() - 2, whole.len() * 3 / 4, whole.len() / 2] {
            // A PNG's last bytes are the checksum of its empty end chunk: all pixels are there.
            if name == "rgb.png" && kept == whole.len() - 2 {
                continue;
            }
            let error = decode_image(&whole[..kept], "cut.jpg", &ImageLimits::default());
            let error = error.expect_err(&format!("{name} cut to {kept} of {}", whole.len())).to_string();
            assert!(error.starts_with("cut.jpg: found"), "{error}");
        }
    }
    // An image with something behind its end is whole.
    let longer = [bytes("rgb.jpg"), b"trailing".to_vec()].concat();
    assert_eq!(decode_image(&longer, "a", &ImageLimits::default()).unwrap(), decoded("rgb.jpg"));
    // A tail of zeros, as an interrupted download leaves it.
    let mut zeros = bytes("rgb.jpg");
    let half = zeros.len() / 2;
    zeros[half..].fill(0);
    assert!(refused(&zeros).contains("breaks off"), "{}", refused(&zeros));
}

#[test]
fn what_is_no_image_is_described() {
    assert!(refused(b"").contains("an empty file"));
    let text = refused("<!DOCTYPE html><title>404 überall</title>".as_bytes());
    assert!(text.contains("text beginning \"<!DOCTYPE html>"), "{text}");
    assert!(text.contains("expected a JPEG, PNG"), "{text}");
    assert!(refused(&[0x93, 0, 1, 2, 255, 254, 3, 4, 5]).contains("9300010"));
}

/// A JPEG, BMP and PNG whose headers claim 30,000 × 30,000 pixels: refused before memory is taken for them.
#[test]
fn huge_images_are_refused_from_their_header() {
    let mut jpeg = bytes("rgb.jpg");
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 7].copy_from_slice(&30_000u16.to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&30_000u16.to_be_bytes());
    let mut bmp = bytes("rgb.bmp");
    bmp[18..22].copy_from_slice(&30_000u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&30_000u32.to_le_bytes());
    let mut png = bytes("rgb.png");
    png[16..20].copy_from_slice(&30_000u32.to_be_bytes());
    png[20..24].copy_from_slice(&30_000u32.to_be_bytes());
    let sum = crc32(&png[12..29]).to_be_bytes();
    png[29..33].copy_from_slice(&sum);
    for image in [jpeg, bmp, png] {
        let error = refused(&image);
        assert!(error.contains("30000 × 30000 pixels, expected at most 100 megapixels"), "{error}");
        assert!(image_size(&image, "a", &ImageLimits::default()).is_err());
    }
    let small = ImageLimits { max_pixels: 6143, ..ImageLimits::default() };
    assert!(decode_image(&bytes("rgb.png"), "a", &small).is_err());
    assert!(decode_image(&bytes("rgb.png"), "a", &ImageLimits { max_pixels: 6144, ..small }).is_ok());
    let few = ImageLimits { max_bytes: 100, ..ImageLimits::default() };
    let error = load_image(&ImageSource::File(golden("rgb.png")), &few).unwrap_err().to_string();
    assert!(error.contains("438 bytes, expected at most 100"), "{error}");
}

/// The checksum of PNG chunks (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[test]
fn content_hash_is_sha256_of_the_bytes() {
    // The standard's test vector.
    let abc = ContentHash::of(b"abc");
    assert_eq!(abc.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(ContentHash::try_from(abc.to_string()).unwrap(), abc);
    assert!(ContentHash::try_from("ba78".to_owned()).is_err());
    assert!(ContentHash::try_from("é".repeat(32)).is_err());
    let file = ImageSource::File(golden("rgb.png"));
    assert_eq!(file.content_hash().unwrap(), ContentHash::of(&bytes("rgb.png")));
}

#[test]
fn a_member_is_read_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("a.tar");
    std::fs::write(&archive, b"0123456789").unwrap();
    let member =
        |offset, length| ImageSource::TarMember { archive: archive.clone(), member: "x".into(), offset, length };
    assert_eq!(member(3, 4).read().unwrap(), b"3456");
    assert_eq!(member(3, 4).byte_count().unwrap(), 4);
    assert!(member(8, 4).read().unwrap_err().to_string().contains("a.tar!x"));
    let missing = ImageSource::File(folder.path().join("none.jpg"));
    assert!(missing.read().unwrap_err().to_string().contains("none.jpg"));
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// Damaged bytes give an image or an error, never a panic.
        #[test]
        fn damage_never_panics(which in 0usize..6, at in 0.0..1.0f64, value: u8, cut in 0.0..1.2f64) {
            let names = ["rgb.jpg", "rgb.png", "moving.gif", "alpha.webp", "rgb.bmp", "cmyk.jpg"];
            let mut data = bytes(names[which]);
            let place = (at * data.len() as f64) as usize;
            data[place] = value;
            data.truncate((cut * data.len() as f64) as usize);
            let _ = decode_image(&data, "a", &ImageLimits { max_pixels: 1_000_000, max_bytes: 1 << 20 });
        }
    }
}
