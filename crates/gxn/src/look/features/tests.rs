//! Stores: what they hold, what is computed again, what a crash leaves.

use std::fs;
use std::path::PathBuf;

use burn::tensor::Device;
use image::RgbImage;

use super::*;
use crate::look::backbone::Backbone;
use gxn_data::View;

fn pipeline(views: &[View]) -> ImagePipeline {
    ImagePipeline { preprocess: BackboneKind::Small.preprocess(), views: views.to_vec() }
}

fn spec(views: &[View]) -> FeatureSpec {
    FeatureSpec::cnn(BackboneKind::Small, pipeline(views))
}

/// A CNN with weights drawn from `seed` that reads these views.
fn network(views: &[View], seed: u64) -> FeatureNetwork {
    FeatureNetwork::cnn(&Backbone::random(BackboneKind::Small, &Device::flex(), seed), pipeline(views), &Device::flex())
}

/// Six different images as PNG files.
fn images(folder: &Path) -> Vec<ImageSource> {
    (0..6_u32)
        .map(|number| {
            let image = RgbImage::from_fn(40 + number, 30, |x, y| {
                image::Rgb([(x * 6) as u8, (y * 8) as u8, (number * 40 + x * y / 8) as u8])
            });
            let path = folder.join(format!("{number}.png"));
            image.save(&path).unwrap();
            ImageSource::File(path)
        })
        .collect()
}

/// Builds without interest in progress; returns how many images were computed, too.
fn build(folder: &Path, network: &FeatureNetwork, images: &[ImageSource]) -> Built {
    FeatureStore::build(folder, network, images, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn files(folder: &Path, name: &str) -> PathBuf {
    let stores: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(stores.len(), 1);
    stores[0].join(name)
}

const FLIPPED: View = View { crop: [0.0, 0.0, 1.0, 1.0], flip: true };

/// Keys are hashes of this text.
#[test]
fn the_text_of_a_specification_never_changes() {
    let text = serde_json::to_value(spec(&[FLIPPED])).unwrap().to_string();
    assert_eq!(
        text,
        r#"{"kind":"small","preprocess":{"side_px":96,"resize":"stretch","filter":"bilinear","mean":[127.5,127.5,127.5],"std":[64.0,64.0,64.0]},"views":[{"crop":[0.0,0.0,1.0,1.0],"flip":true}],"pooling":"mean"}"#
    );
    assert_eq!(serde_json::from_str::<FeatureSpec>(&text).unwrap(), spec(&[FLIPPED]));
}

#[test]
fn rows_are_the_backbone_s_features_of_every_view() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path());
    let corner = View { crop: [0.0, 0.0, 0.5, 0.5], flip: false };
    let views = [View::FULL, FLIPPED, corner];
    let network = network(&views, 1);
    let (store, contents, dropped) = build(&folder.path().join("f"), &network, &images);
    assert!(dropped.is_empty());
    assert_eq!((store.shape(), store.places.len()), ([3, 256], 6));
    let means = FeatureCache::open(&folder.path().join("f"), &spec(&views), &network.fingerprint().unwrap()).unwrap();
    assert_eq!(means.len(), 6);
    let FeatureNetwork::Cnn { network: inference, pipeline, .. } = &network else { panic!("a CNN") };
    let hashes: Vec<ContentHash> = contents.into_iter().flatten().collect();
    for (number, (source, hash)) in images.iter().zip(&hashes).enumerate() {
        let image = gxn_data::load_image(source, &Default::default()).unwrap();
        let mean = pipeline.mean_feature(inference, &image).unwrap();
        assert_eq!(means.get(hash), Some(mean), "image {number}");
        for (view, row) in views.iter().zip(store.row(hash).unwrap().chunks(256)) {
            let expected = inference.feature(&pipeline.preprocess.apply(&image, *view)).unwrap();
            assert_eq!(row, expected.into_iter().map(f16::from_f32).collect::<Vec<_>>(), "image {number}");
        }
    }
    let chosen = store.gather(&hashes[..2], ViewChoice::Each(&[2, 0])).unwrap();
    let row = |image: usize, view: usize| &store.row(&hashes[image]).unwrap()[view * 256..][..256];
    assert_eq!(chosen[5], row(0, 2)[5].to_f32());
    assert_eq!(chosen[256 + 5], row(1, 0)[5].to_f32());
    let mean = store.gather(&hashes[..1], ViewChoice::Mean).unwrap()[5];
    let expected = (0..3).map(|view| row(0, view)[5].to_f32()).sum::<f32>() / 3.0;
    assert!((mean - expected).abs() < 1e-6);
    assert!(store.gather(&hashes, ViewChoice::Each(&[0])).is_err());
    assert!(store.gather(&hashes[..1], ViewChoice::Each(&[3])).is_err());
    assert!(store.gather(&[ContentHash::of(b"else")], ViewChoice::Mean).is_err());
}

#[test]
fn only_new_contents_are_computed() {
    let folder = tempfile::tempdir().unwrap();
    let mut images = images(folder.path());
    let cache = folder.path().join("f");
    let network = network(&[View::FULL], 1);
    let mut calls = Vec::new();
    let mut count = |images: &[ImageSource]| {
        calls.clear();
        let built = FeatureStore::build(&cache, &network, images, &mut |progress| {
            calls.push(progress);
            ControlFlow::Continue(())
        });
        (built.unwrap().0.places.len(), calls.last().copied())
    };
    let (rows, last) = count(&images[..4]);
    assert_eq!((rows, last.map(|progress| (progress.done, progress.total))), (4, Some((4, 4))));
    assert_eq!(count(&images[..4]), (4, None));
    // A copy under another name is the same image.
    let copy = folder.path().join("copy.png");
    fs::copy(folder.path().join("0.png"), &copy).unwrap();
    images.push(ImageSource::File(copy));
    let (rows, last) = count(&images);
    assert_eq!((rows, last.map(|progress| (progress.done, progress.total))), (6, Some((6, 6))));
}

#[test]
fn other_weights_and_other_settings_are_other_stores() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path());
    let cache = folder.path().join("f");
    let first = build(&cache, &network(&[View::FULL], 1), &images).0;
    let weights = build(&cache, &network(&[View::FULL], 2), &images).0;
    let views = build(&cache, &network(&[FLIPPED], 1), &images).0;
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 3);
    let hash = images[0].content_hash().unwrap();
    assert_ne!(first.row(&hash), weights.row(&hash));
    assert_ne!(first.row(&hash), views.row(&hash));
}

#[test]
fn bad_images_are_named_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut images = images(folder.path());
    for (name, bytes) in [
        ("text.jpg", b"not an image".to_vec()),
        ("cut.png", {
            let whole = fs::read(folder.path().join("1.png")).unwrap();
            whole[..whole.len() / 2].to_vec()
        }),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        images.insert(2, ImageSource::File(path));
    }
    images.push(ImageSource::File(folder.path().join("absent.png")));
    let (store, contents, dropped) = build(&folder.path().join("f"), &network(&[View::FULL], 1), &images);
    assert_eq!(store.places.len(), 6);
    let present: Vec<bool> = contents.iter().map(Option::is_some).collect();
    assert_eq!(present, [true, true, false, false, true, true, true, true, false]);
    let mut names: Vec<_> = dropped.iter().map(|drop| drop.what.rsplit('/').next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["absent.png", "cut.png", "text.jpg"]);
}

#[test]
fn stopping_saves_what_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path());
    let cache = folder.path().join("f");
    let network = network(&[View::FULL], 1);
    let stopped = FeatureStore::build(&cache, &network, &images, &mut |progress| {
        if progress.done >= 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(stopped.is_err_and(|error| error.kind() == gxn_base::Kind::Interrupted));
    let mut first = None;
    let built = FeatureStore::build(&cache, &network, &images, &mut |progress| {
        first.get_or_insert(progress.done);
        ControlFlow::Continue(())
    });
    assert_eq!(built.unwrap().0.places.len(), 6);
    assert!(first.unwrap() >= 2, "resumed at {first:?}");
}

/// Rows written but not committed (a crash between the two), half a row, and rows lost from the end.
#[test]
fn a_torn_tail_is_cut_and_computed_again() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path());
    let cache = folder.path().join("f");
    let network = network(&[View::FULL], 1);
    let whole = build(&cache, &network, &images).0;
    let hashes: Vec<_> = images.iter().map(|image| image.content_hash().unwrap()).collect();
    let expected = whole.gather(&hashes, ViewChoice::Mean).unwrap();
    drop(whole);
    let (rows, contents) = (files(&cache, "rows.f16"), files(&cache, "contents.bin"));
    let full = fs::read(&rows).unwrap();
    assert_eq!(full.len(), 6 * 256 * 2);
    for length in [full.len() + 300, full.len() - 700, 0] {
        let mut torn = full.clone();
        torn.resize(length, 0xab);
        fs::write(&rows, torn).unwrap();
        let again = build(&cache, &network, &images).0;
        assert_eq!(again.gather(&hashes, ViewChoice::Mean).unwrap(), expected, "rows of {length} bytes");
    }
    fs::write(&contents, &fs::read(&contents).unwrap()[..70]).unwrap();
    let again = build(&cache, &network, &images).0;
    assert_eq!(again.gather(&hashes, ViewChoice::Mean).unwrap(), expected);
}

#[test]
fn one_process_writes_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path());
    let cache = folder.path().join("f");
    let network = network(&[View::FULL], 1);
    let mut inner = None;
    let outer = FeatureStore::build(&cache, &network, &images, &mut |_| {
        inner.get_or_insert_with(|| {
            FeatureStore::build(&cache, &network, &images, &mut |_| ControlFlow::Continue(()))
                .map(|_| ())
                .unwrap_err()
                .to_string()
        });
        ControlFlow::Continue(())
    });
    assert!(outer.is_ok());
    assert!(inner.unwrap().contains("another process"));
}

#[test]
fn features_are_shared_between_caches_and_survive_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, hash) = (spec(&[View::FULL]), |number: u8| ContentHash::of(&[number]));
    let open = || FeatureCache::open(folder.path(), &spec, "a CNN").unwrap();
    let feature = |number: u8| vec![f32::from(number) / 3.0; 256];
    let (first, second) = (open(), open());
    assert!(first.is_empty() && fs::read_dir(folder.path()).unwrap().count() == 0, "reading alone writes nothing");
    first.insert(hash(1), &feature(1));
    assert_eq!(first.get(&hash(1)), Some(feature(1)));
    first.flush().unwrap();
    // A cache that was opened before another one wrote adds to it, and sees what the other one added.
    second.insert(hash(1), &feature(1));
    second.insert(hash(2), &feature(2));
    second.flush().unwrap();
    first.insert(hash(3), &feature(3));
    drop(first);
    assert_eq!(
        (1..=3).map(|number| open().get(&hash(number))).collect::<Vec<_>>(),
        [1, 2, 3].map(|n| Some(feature(n)))
    );
    assert_eq!((open().len(), second.len()), (3, 2));

    // A torn row, and rows lost.
    let rows = files(folder.path(), "mean/rows.f32");
    let whole = fs::read(&rows).unwrap();
    assert_eq!(whole.len(), 3 * 256 * 4);
    fs::write(&rows, &whole[..2 * 256 * 4 + 7]).unwrap();
    assert_eq!(open().len(), 2);
    let again = open();
    again.insert(hash(4), &feature(4));
    drop(again);
    assert_eq!((open().len(), open().get(&hash(4))), (3, Some(feature(4))));
    fs::write(files(folder.path(), "mean/meta.json"), "{").unwrap();
    let error = FeatureCache::open(folder.path(), &spec, "a CNN").unwrap_err();
    assert_eq!(error.kind(), gxn_base::Kind::Damaged);
}

#[test]
fn features_that_cannot_be_written_are_kept_for_this_process() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    fs::write(&blocked, "no folder").unwrap();
    let cache = FeatureCache::open(&blocked, &spec(&[View::FULL]), "a CNN").unwrap();
    cache.insert(ContentHash::of(b"1"), &[0.5; 256]);
    assert!(cache.flush().is_err());
    assert_eq!(cache.get(&ContentHash::of(b"1")), Some(vec![0.5; 256]));
}

#[test]
fn the_cache_of_a_checkpoint_lies_beside_its_run() {
    let of = |path: &str| FeatureCache::folder_of(Path::new(path));
    assert_eq!(of("/a/runs/first/checkpoints/step_8"), Some("/a/runs/features".into()));
    assert_eq!(of("/a/copied"), None);
}
