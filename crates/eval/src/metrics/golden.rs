//! The numbers of `reference/caption_metrics.py` (pycocoevalcap with Java) on the captions of Flickr8k's test split.

use std::path::PathBuf;

use super::*;

/// Test captions, five per image, in the file's order.
fn flickr8k() -> Vec<Vec<String>> {
    let root = PathBuf::from(std::env::var_os("GXN_DATA").expect("GXN_DATA names the folder of the data"));
    let text = std::fs::read_to_string(root.join("flickr8k/dataset_flickr8k.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let images = json["images"].as_array().unwrap().iter().filter(|image| image["split"] == "test");
    let captions = |image: &serde_json::Value| {
        let sentences = image["sentences"].as_array().unwrap();
        sentences.iter().map(|sentence| sentence["raw"].as_str().unwrap().to_string()).collect()
    };
    images.map(captions).collect()
}

/// Even images are described by their own first caption, odd ones by the next image's; the other four are references.
#[test]
#[ignore = "needs GXN_DATA"]
fn caption_metrics_equal_the_package() {
    let raw = flickr8k();
    let start = std::time::Instant::now();
    let tokens = tokenize_all(&raw);
    let tokenised = start.elapsed();
    if let Some(path) = std::env::var_os("PTB_TOKENS") {
        let golden: Vec<Vec<String>> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for (found, expected) in tokens.iter().flatten().zip(golden.iter().flatten()) {
            assert_eq!(&found.join(" "), expected);
        }
    }
    let of = |image: usize| if image.is_multiple_of(2) { image } else { (image + 1) % tokens.len() };
    let candidates: Vec<Vec<String>> = (0..tokens.len()).map(|image| tokens[of(image)][0].clone()).collect();
    let references: Vec<Vec<Vec<String>>> = tokens.iter().map(|of_image| of_image[1..].to_vec()).collect();
    let start = std::time::Instant::now();
    let references = CaptionReferences::of_tokens(&references, None);
    let prepared = start.elapsed();
    let found = references.score_tokens(&candidates).unwrap();
    println!("tokens {tokenised:.1?}, BLEU, ROUGE-L and CIDEr {:.1?}, {prepared:.1?} of it once", start.elapsed());
    let expected = [0.4673097534833452, 0.29008404840461843, 0.18320584924509836, 0.12028322531342187];
    for (found, expected) in found.bleu.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }
    assert!((found.rouge_l - 0.3623898263722621).abs() < 1e-9, "{}", found.rouge_l);
    assert!((found.cider - 0.42130242246209837).abs() < 1e-9, "{}", found.cider);
}
