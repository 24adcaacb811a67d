//! Tests of [`super::Calibration`] on made-up pairs.

use super::*;

#[test]
fn a_score_left_out_is_as_if_it_had_never_been() {
    let scores = [0.5f32, -1.0, 2.0, 0.25, 7.0];
    let whole = Standard::of(&scores);
    let fewer = Standard::of(&scores[..4]);
    let without = whole.without(7.0, 5);
    assert!((without.mean - fewer.mean).abs() < 1e-9 && (without.deviation - fewer.deviation).abs() < 1e-9);
    assert_eq!(fewer.score(fewer.mean as f32), 0.0);
    // A bank of equal scores has no deviation: anything else lies beyond all bounds, but is a number.
    assert_eq!(Standard::of(&[1.0; 3]).score(2.0), 1e6);
    assert_eq!(evenly_spread(10, 4), [0, 2, 5, 7]);
    assert_eq!(evenly_spread(3, 4), [0, 1, 2]);
}

/// Queries and items are points of a plane; an item belongs to the query in whose direction it lies, more or less.
fn direction_and_pairs() -> (Space, EncodedDataset) {
    use rand::{RngExt, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    let (count, dim) = (1200, 16);
    let space = Space { metric: gxn_index::Metric::Cosine, lambda: 1.0, dims_abstract: dim, dims_grounded: 0 };
    let mut images = Rows::new(dim, false);
    let mut captions = Rows::new(dim, false);
    for _ in 0..count {
        let image: Vec<f32> = (0..dim).map(|_| random.random_range(-1.0..1.0)).collect();
        let caption: Vec<f32> = image.iter().map(|v| v + random.random_range(-1.2..1.2)).collect();
        for (rows, row) in [(&mut images, image), (&mut captions, caption)] {
            let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            rows.abstract_level.extend(row.iter().map(|v| v / length));
            rows.count += 1;
        }
    }
    let ids = |kind: &str| (0..count).map(|at| format!("{kind}{at}")).collect();
    let encoded = EncodedDataset {
        images,
        captions,
        image_ids: ids("image"),
        caption_ids: ids("caption"),
        caption_image: (0..count).collect(),
        imagined: vec![],
        dropped: vec![],
    };
    (space, encoded)
}

/// Fitted on half of the pairs, the probabilities hold on the other half, and "none" is said about as often as it
/// was meant to be.
#[test]
fn probabilities_hold_on_other_pairs() {
    let (space, all) = direction_and_pairs();
    let half = |order: Vec<usize>| EncodedDataset {
        images: all.images.permuted(&order),
        captions: all.captions.permuted(&order),
        image_ids: vec![],
        caption_ids: vec![],
        caption_image: (0..order.len()).collect(),
        imagined: vec![],
        dropped: vec![],
    };
    let (val, test) = (half((0..600).collect()), half((600..1200).collect()));
    let calibration = Calibration::fit_in(space, "model".into(), &val).unwrap();
    let report = calibration.measure(&test);
    for figures in [report.text_to_image, report.image_to_text] {
        assert!(figures.ece_at_10 < 0.06, "{figures:?}");
        assert!((figures.mean_relevance_at_1 - figures.precision_at_1).abs() < 0.1, "{figures:?}");
        assert!(figures.ece_at_1 < 0.12, "{figures:?}");
        assert!(figures.none_with_answer < 0.12, "{figures:?}");
        assert!(figures.none_without_answer > 1.2 * figures.none_with_answer, "{figures:?}");
    }
}

#[test]
fn too_few_images_are_refused() {
    let (space, all) = direction_and_pairs();
    let few = EncodedDataset {
        images: all.images.permuted(&[0, 1]),
        captions: all.captions.permuted(&[0, 1]),
        caption_image: vec![0, 1],
        ..all
    };
    let error = Calibration::fit_in(space, "model".into(), &few).unwrap_err();
    assert!(error.to_string().contains("found 2 images, expected at least 100"), "{error}");
}
