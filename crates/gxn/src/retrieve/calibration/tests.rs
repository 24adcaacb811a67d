//! Tests of [`super::Calibration`] on made-up pairs.

use super::*;
use crate::model::EmbeddingRows;

#[test]
fn a_score_left_out_is_as_if_it_had_never_been() {
    let scores = [0.5f32, -1.0, 2.0, 0.25, 7.0];
    let whole = Standard::of(&scores);
    let fewer = Standard::of(&scores[..4]);
    let without = whole.without(7.0, 5);
    assert!((without.mean - fewer.mean).abs() < 1e-9 && (without.deviation - fewer.deviation).abs() < 1e-9);
    assert_eq!(fewer.score(fewer.mean as f32), 0.0);
    let (none, alone) = (Standard::of(&[]), Standard::of(&[0.5]).without(0.5, 1));
    assert!((alone.mean - none.mean).abs() < 1e-9 && (alone.deviation - none.deviation).abs() < 1e-9);
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
    let space = Space { similarity: gxn_index::Similarity::Cosine, lambda: 1.0, dims_abstract: dim, dims_grounded: 0 };
    let mut images = EmbeddingRows::new(dim, false);
    let mut captions = EmbeddingRows::new(dim, false);
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
        generated: vec![],
        dropped: vec![],
        hubness: None,
    };
    (space, encoded)
}

/// One text for all: only a fit by own captions can make something of it.
static TEXTS: [&str; 1200] = ["a text"; 1200];

fn fitted(space: Space, encoded: &EncodedDataset, texts: &[&str], relevance: Relevance) -> Result<Calibration> {
    Calibration::fit_in((space, "model".into()), encoded, texts, relevance, &())
}

fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// A third of the captions are repeated: four images each of val, and four of test, have the same caption, and its embedding. Where
/// only the image that a caption came from counts, three of four perfect hits are held for wrong.
#[test]
fn repeated_captions_count_as_relevant() {
    let (space, all) = direction_and_pairs();
    let leader = |at: usize| if at.is_multiple_of(3) { at - at % 24 } else { at };
    let order: Vec<usize> = (0..1200).map(leader).collect();
    // Image and caption of a repeated pair lie where those of its first one do.
    let split = |first: usize| {
        let places: Vec<usize> = order.iter().copied().skip(first).step_by(2).collect();
        let texts: Vec<String> = places.iter().map(|at| format!("text {at}")).collect();
        let encoded = EncodedDataset {
            images: all.images.permuted(&places),
            captions: all.captions.permuted(&places),
            image_ids: vec![],
            caption_ids: vec![],
            caption_image: (0..places.len()).collect(),
            ..all.clone()
        };
        (encoded, texts)
    };
    let ((val, val_texts), (test, test_texts)) = (split(0), split(1));
    let report = |relevance| {
        let calibration = fitted(space, &val, &borrowed(&val_texts), relevance).unwrap();
        // Judged by what a reader would say: an equal caption is a right answer.
        calibration.measure_in(&test, &borrowed(&test_texts), Relevance::Verbatim).text_to_image
    };
    let (own, verbatim) = (report(Relevance::Own), report(Relevance::Verbatim));
    assert!((verbatim.mean_relevance_at_1 - verbatim.precision_at_1).abs() < 0.1, "{verbatim:?}");
    assert!(verbatim.ece_at_1 < 0.12, "{verbatim:?}");
    assert!(own.mean_relevance_at_1 < own.precision_at_1 - 0.05, "{own:?}");
}

#[test]
fn a_cancelled_fit_ends() {
    let (space, all) = direction_and_pairs();
    let stop = std::sync::atomic::AtomicBool::new(true);
    let fitted = Calibration::fit_in((space, "model".into()), &all, &TEXTS, Relevance::Own, &stop);
    assert_eq!(fitted.unwrap_err().kind(), gxn_base::Kind::Interrupted);
}

/// Fitted on half of the pairs, the probabilities hold on the other half, and "none" is reported about as often as it
/// should be.
#[test]
fn probabilities_hold_on_other_pairs() {
    let (space, all) = direction_and_pairs();
    let half = |order: Vec<usize>| EncodedDataset {
        images: all.images.permuted(&order),
        captions: all.captions.permuted(&order),
        image_ids: vec![],
        caption_ids: vec![],
        caption_image: (0..order.len()).collect(),
        generated: vec![],
        dropped: vec![],
        hubness: None,
    };
    let (val, test) = (half((0..600).collect()), half((600..1200).collect()));
    let calibration = fitted(space, &val, &TEXTS[..600], Relevance::Own).unwrap();
    let report = calibration.measure_in(&test, &TEXTS[..600], Relevance::Own);
    for figures in [report.text_to_image, report.image_to_text] {
        assert!(figures.ece_at_10 < 0.06, "{figures:?}");
        assert!((figures.mean_relevance_at_1 - figures.precision_at_1).abs() < 0.1, "{figures:?}");
        assert!(figures.ece_at_1 < 0.12, "{figures:?}");
        assert!(figures.none_with_answer < 0.12, "{figures:?}");
        assert!(figures.none_without_answer > 1.2 * figures.none_with_answer, "{figures:?}");
    }
}

/// All captions have something in common, and every tenth image has it, too: these are near to every caption. With hubs corrected
/// they stand first less often.
#[test]
fn hubs_no_longer_stand_first() {
    let (space, mut all) = direction_and_pairs();
    let common = |rows: &mut EmbeddingRows, every: usize| {
        for row in rows.abstract_level.chunks_exact_mut(space.dims()).step_by(every) {
            row[0] += 1.0;
            let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            row.iter_mut().for_each(|v| *v /= length);
        }
    };
    common(&mut all.captions, 1);
    common(&mut all.images, 10);
    let part = |range: std::ops::Range<usize>| {
        let order: Vec<usize> = range.collect();
        EncodedDataset {
            images: all.images.permuted(&order),
            captions: all.captions.permuted(&order),
            caption_image: (0..order.len()).collect(),
            ..all.clone()
        }
    };
    let test = part(600..1200);
    let mut calibration = fitted(space, &part(0..600), &TEXTS[..600], Relevance::Own).unwrap();
    let measured =
        |calibration: &Calibration| calibration.measure_in(&test, &TEXTS[600..], Relevance::Own).text_to_image;
    let corrected = measured(&calibration);
    assert!((corrected.mean_relevance_at_1 - corrected.precision_at_1).abs() < 0.1, "{corrected:?}");
    calibration.images.bank.hubness_scale = None;
    calibration.images.bank.hubness.fill(0.0);
    let plain = measured(&calibration);
    // An evaluation does it, too.
    let scoring = gxn_eval::Scoring { similarity: space.similarity, lambda: space.lambda };
    let mut evaluated = test.clone();
    evaluated.correct_hubs(&part(0..600), scoring).unwrap();
    let recall = evaluated.metrics(scoring).unwrap().text_to_image.r1 / 100.0;
    assert!((recall - corrected.precision_at_1).abs() < 0.05, "{recall} {corrected:?}");
    assert!(corrected.precision_at_1 > 1.2 * plain.precision_at_1, "{plain:?} {corrected:?}");
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
    let error = fitted(space, &few, &TEXTS[..2], Relevance::Own).unwrap_err();
    assert!(error.to_string().contains("found 2 images, expected at least 100"), "{error}");
}

/// Whatever stands in the file, reading it gives an answer, and what it gives can be asked.
#[test]
fn any_file_gives_an_answer() {
    use proptest::prelude::*;
    let (space, all) = direction_and_pairs();
    let order: Vec<usize> = (0..100).collect();
    let few = EncodedDataset {
        images: all.images.permuted(&order),
        captions: all.captions.permuted(&order),
        caption_image: order,
        ..all
    };
    let calibration = fitted(space, &few, &TEXTS[..100], Relevance::Verbatim).unwrap();
    let good = calibration.to_bytes();
    let path = Path::new(CALIBRATION_FILE);
    let read = |bytes: &[u8]| Calibration::from_bytes(bytes, space, "model", path);
    // The bank is kept in halves, and so are the curves' values what they were.
    assert_eq!(read(&good).unwrap(), calibration);
    assert!(Calibration::from_bytes(&good, space, "other", path).unwrap_err().to_string().contains("of model"));
    let vector = few.captions.joined(3);
    let ask = |calibration: &Calibration| {
        for target in [Modality::Image, Modality::Text] {
            let part = QueryPart { vector: &vector, weight: 1.0, kind: PartKind::Cross };
            let scale = calibration.of_query(&[part], &SearchOptions::new(target, 10), false).unwrap();
            for (rank, score) in [(0, 0.7), (1, -0.3), (2, f32::MAX)] {
                assert!((0.0..=1.0).contains(&scale.probability(rank, score)));
            }
        }
    };
    ask(&calibration);
    // The first version did not say what counted.
    let text = String::from_utf8_lossy(&good).into_owned();
    let new = r#"\"version\":3,\"relevance\":\"verbatim\","#;
    assert!(text.contains(new));
    let at = good.windows(new.len()).position(|window| window == new.as_bytes()).unwrap();
    let blank = |with: &str| [&good[..at], with.as_bytes(), &good[at + new.len()..]].concat();
    assert_eq!(read(&blank(&" ".repeat(new.len()))).unwrap().relevance(), Relevance::Own);
    let later = read(&blank(&new.replace('3', "4"))).unwrap_err();
    assert_eq!((later.kind(), later.remedy()), (gxn_base::Kind::Unsupported, Some(&Remedy::Recalibrate)));
    let ends = u64::from_le_bytes(*good.first_chunk().unwrap()) as usize + 8;
    for cut in (0..good.len()).step_by(211) {
        assert_eq!(read(&good[..cut]).unwrap_err().remedy(), Some(&Remedy::Recalibrate), "cut at {cut}");
    }
    let config = ProptestConfig { cases: 2000, ..ProptestConfig::default() };
    proptest!(config, |(at in any::<prop::sample::Index>(), bit in 0u32..8, in_header in any::<bool>())| {
        let mut bytes = good.clone();
        bytes[at.index(if in_header { ends } else { good.len() })] ^= 1u8 << bit;
        if let Ok(calibration) = read(&bytes) {
            ask(&calibration);
        }
    });
    proptest!(|(bytes in prop::collection::vec(any::<u8>(), 0..400))| {
        prop_assert!(read(&bytes).is_err());
    });
}
