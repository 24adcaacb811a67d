//! [`render`]: a seeded set of captioned scenes, coloured shapes on patterned grounds, for the demo and for tests.
//!
//! It is written as an ordinary dataset (JSONL and images) and read back like any other.

mod painter;
mod scene;
mod sentences;

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, RgbImage};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde_json::json;

use self::scene::Scene;
use gxn_base::fs::{build_folder_atomically, write_synced};
use gxn_base::{Error, Result};
use gxn_data::Split;

/// Side of an image in pixels.
const SIDE_PX: u32 = 128;

/// Captions of each image.
const CAPTIONS: usize = 5;

/// Renders `count` scenes into the new folder `folder` and returns its `captions.jsonl`. A seventh of them are val, a
/// seventh test. The same seed and count give the same files; another seed gives other scenes.
///
/// Even-numbered images are PNG, odd ones JPEG. The `meta` of each names its shapes, colours and ground.
///
/// # Errors
/// Fewer than 7 images, a folder that holds files already, or a failed write; then nothing is left behind.
pub fn render(folder: &Path, seed: u64, count: usize) -> Result<PathBuf> {
    if count < 7 {
        return Err(Error::invalid("the number of scenes", count.to_string(), "7 or more, so that each split has one"));
    }
    let splits = splits(seed, count);
    build_folder_atomically(folder, |folder| {
        let images = folder.join("images");
        std::fs::create_dir(&images).map_err(|error| Error::io("cannot write", &images, error))?;
        let rows = (0..count).into_par_iter().map(|at| {
            // A stream of its own for each scene: the first hundred of 200 scenes are the first hundred of 700.
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(at as u64 + 1);
            let scene = Scene::random(&mut random);
            let image = painter::paint(&scene, SIDE_PX, &mut random);
            let captions = sentences::describe(&scene, CAPTIONS, &mut random);
            let ending = if at % 2 == 0 { "png" } else { "jpg" };
            let name = format!("images/scene_{at:04}.{ending}");
            write_synced(&folder.join(&name), &encode(&image, ending))?;
            let (id, split) = (format!("scene_{at:04}"), splits[at].to_string());
            let row = json!({"image": name, "id": id, "captions": captions, "split": split, "meta": scene.facts()});
            Ok(format!("{row}\n"))
        });
        let rows: String = rows.collect::<Result<Vec<String>>>()?.concat();
        write_synced(&folder.join("captions.jsonl"), rows.as_bytes())
    })?;
    Ok(folder.join("captions.jsonl"))
}

fn splits(seed: u64, count: usize) -> Vec<Split> {
    let part = count / 7;
    let mut splits = vec![Split::Train; count];
    splits[..part].fill(Split::Val);
    splits[part..2 * part].fill(Split::Test);
    splits.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    splits
}

fn encode(image: &RgbImage, ending: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match ending {
        "png" => image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png),
        _ => image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 92)),
    }
    .expect("memory takes every small RGB image");
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};
    use std::fs;

    use super::*;
    use gxn_data::{CheckOptions, Dataset, SourceOptions, check};

    /// 500 images for training, 100 each for val and test.
    const COUNT: usize = 700;

    fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => files.extend(self::files(&entry.path()).into_iter().map(|(f, b)| (format!("{name}/{f}"), b))),
                false => files.push((name, fs::read(entry.path()).unwrap())),
            }
        }
        files.sort();
        files
    }

    #[test]
    fn the_seed_decides_everything() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, seed, count| {
            render(&folder.path().join(name), seed, count).unwrap();
            files(&folder.path().join(name))
        };
        let first = make("a", 7, 21);
        assert_eq!(first.len(), 22);
        assert_eq!(first, make("b", 7, 21));
        let other = make("c", 8, 21);
        assert!(first.iter().zip(&other).all(|((_, a), (_, b))| a != b));
        // More scenes begin with the same images.
        let more = make("d", 7, 28);
        assert!(first.iter().filter(|(name, _)| name.starts_with("images")).all(|file| more.contains(file)));
    }

    #[test]
    fn the_demo_set_is_an_ordinary_healthy_dataset() {
        let folder = tempfile::tempdir().unwrap();
        let path = render(&folder.path().join("demo"), 1, COUNT).unwrap();
        let data = Dataset::open(&path, &SourceOptions { strict: true, ..SourceOptions::default() }).unwrap();
        assert_eq!(Split::ALL.map(|split| data.split_indices(split).len()), [500, 100, 100]);
        assert_eq!(data.captions.len(), COUNT * CAPTIONS);
        let options = CheckOptions { decode_pixels: true, ..CheckOptions::default() };
        let report = check(&data, &options, &()).unwrap();
        assert!(report.fatal.is_empty(), "{report}");
        assert!(report.duplicates.is_empty(), "{report}");
        assert_eq!(report.sizes, Some([(128, 128); 2]));
        assert!((40..200).contains(&report.vocabulary), "{}", report.vocabulary);
        // Val and test use the words of train.
        assert!(report.splits.iter().all(|count| count.unknown_words.rate() < 0.002), "{report}");
        // Five different sentences each, and few sentences that fit several images.
        for at in 0..data.images.len() {
            let texts: HashSet<&str> = data.captions[data.captions_of(at)].iter().map(|c| c.text.as_str()).collect();
            assert_eq!(texts.len(), CAPTIONS, "{:?}", data.images[at].id);
        }
        let distinct: BTreeSet<&str> = data.captions.iter().map(|caption| caption.text.as_str()).collect();
        assert!(distinct.len() > 2800, "{} different sentences of 3500", distinct.len());
    }

    #[test]
    fn refusals_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(render(&folder.path().join("x"), 1, 3).is_err());
        fs::create_dir(folder.path().join("y")).unwrap();
        fs::write(folder.path().join("y/mine"), "1").unwrap();
        assert!(render(&folder.path().join("y"), 1, 7).unwrap_err().to_string().contains("an empty or a new folder"));
        assert_eq!(files(folder.path()).len(), 1);
    }
}
