//! Scores captions against references: BLEU, ROUGE-L and CIDEr, with the numbers of the coco-caption package.
//!
//! `cargo run --release -p gxn --example score_captions`

use gxn::prelude::*;

fn main() -> Result<()> {
    let references = [
        ("beach", ["two dogs run on a beach", "dogs are running along the sea", "two dogs play in the sand"]),
        ("street", ["a man rides a red bicycle", "someone is cycling down a street", "a cyclist on a city street"]),
        ("kitchen", ["a woman cuts vegetables", "a cook prepares food in a kitchen", "a woman is cooking dinner"]),
    ];
    let generated = [
        ("beach", "two dogs run in the sand"),
        ("street", "a man rides a bicycle down a street"),
        ("kitchen", "a dog sits on a sofa"),
    ];
    let results = CaptionResults {
        name: "generated".into(),
        captions: generated
            .iter()
            .map(|(image, caption)| CaptionResult {
                image_id: ImageId::Text(image.to_string()),
                caption: caption.to_string(),
            })
            .collect(),
    };
    let captions = references.map(|(image, captions)| (image.to_string(), captions.map(String::from).to_vec()));
    let references = ReferenceCaptions::of_split("references", "test", captions);

    let evaluation = CaptionEvaluation::of(&results, &references, None)?;
    print!("{}", evaluation.text());
    for (image, scores) in evaluation.image_ids.iter().zip(&evaluation.scores.images) {
        println!("{image:8} BLEU-1 {:.3}  ROUGE-L {:.3}  CIDEr {:.3}", scores.bleu[0], scores.rouge_l, scores.cider);
    }
    Ok(())
}
