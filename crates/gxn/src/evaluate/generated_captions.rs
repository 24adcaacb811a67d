//! [`ImaginedEvaluation`]: the captions that a model makes, and those that it finds (paper Table 2), scored alike.

use super::encode::{paired, reference_captions};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::evaluate::encode::EncodedDataset;
use gxn_base::Result;
use gxn_data::{Dataset, Split};
use gxn_eval::caption_results::write_json;
use gxn_eval::metrics::{CaptionReferences, CaptionScores};
use gxn_eval::{CaptionEvaluation, CaptionResult, CaptionResults, ImageId, ResultNames, Scoring, best_captions};

/// Ranks of retrieved captions that are scored.
const RANKS: usize = 5;

/// Captions made and captions found for the images of a split.
#[derive(Debug, Clone)]
pub struct ImaginedEvaluation {
    /// The captions that the model makes.
    pub results: CaptionResults,
    /// Their scores.
    pub made: CaptionEvaluation,
    /// The same captions scored against the next image's references: what a model that does not look would get.
    pub shuffled: CaptionScores,
    /// Of captions retrieved at ranks 1 to 5 from all captions of the split, the image's own among them.
    pub found_with_own: Vec<CaptionScores>,
    /// The same from the captions of other images only.
    pub found_among_others: Vec<CaptionScores>,
}

impl ImaginedEvaluation {
    /// Scores what `encoded` holds of `split` against the captions of the images; document frequencies of `cider_d` are the
    /// train split's.
    ///
    /// # Errors
    /// When nothing was described, or the embeddings do not fit together.
    pub fn of(encoded: &EncodedDataset, dataset: &Dataset, split: Split, scoring: Scoring) -> Result<Self> {
        let results = CaptionResults {
            name: "the model's captions".into(),
            captions: (encoded.image_ids.iter().zip(&encoded.imagined))
                .map(|(id, imagined)| CaptionResult {
                    image_id: ImageId::Text(id.clone()),
                    caption: imagined.caption.clone(),
                })
                .collect(),
        };
        let references = reference_captions(dataset, split);
        let train = reference_captions(dataset, Split::Train);
        let corpus = train.corpus().is_ok().then_some(&train);
        let made = CaptionEvaluation::of(&results, &references, corpus)?;

        let texts: Vec<&str> = encoded.caption_texts(dataset);
        let mut own: Vec<Vec<String>> = vec![Vec::new(); encoded.images.count];
        for (text, &row) in texts.iter().zip(&encoded.caption_image) {
            own[row].push((*text).to_string());
        }
        let scorer = CaptionReferences::new(&own, None);
        let mut said: Vec<String> = results.captions.iter().map(|result| result.caption.clone()).collect();
        said.rotate_left(1);
        let shuffled = scorer.score(&said)?;
        let embeddings = paired(&encoded.images, &encoded.captions);
        let found = |with_own: bool| -> Result<Vec<CaptionScores>> {
            let allowed = |image: usize, caption: usize| with_own || encoded.caption_image[caption] != image;
            let best = best_captions(&embeddings, scoring, RANKS, allowed)?;
            let deep = best.iter().map(Vec::len).min().unwrap_or(0);
            (0..deep)
                .map(|rank| {
                    let captions: Vec<String> = best.iter().map(|list| texts[list[rank]].to_string()).collect();
                    scorer.score(&captions)
                })
                .collect()
        };
        Ok(Self { made, shuffled, found_with_own: found(true)?, found_among_others: found(false)?, results })
    }

    /// All scores by name.
    pub fn to_json(&self) -> Value {
        let keyed = |scores: &CaptionScores| -> Value {
            scores
                .keyed()
                .map(|(key, score)| (key.to_string(), Value::from(score)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let ranked = |list: &[CaptionScores]| -> Value { list.iter().map(keyed).collect() };
        let mut all = self.made.to_json();
        all["shuffled"] = keyed(&self.shuffled);
        all["retrieved"] = json!({
            "own_captions_in_gallery": ranked(&self.found_with_own),
            "captions_of_other_images_only": ranked(&self.found_among_others),
        });
        all
    }

    /// A table for people.
    pub fn text(&self) -> String {
        let mut out = format!("\nimagined captions\n{}", self.made.text());
        out += &format!(
            "against the next image's references: bleu_4 {:.4}, cider {:.4}\n",
            self.shuffled.bleu[3], self.shuffled.cider
        );
        for (title, list) in [
            ("retrieved captions, the image's own in the gallery", &self.found_with_own),
            ("retrieved captions, from other images only", &self.found_among_others),
        ] {
            out += &format!("\n{title}\nrank  bleu_1  bleu_2  bleu_3  bleu_4  rouge_l  cider\n");
            for (rank, scores) in list.iter().enumerate() {
                let [one, two, three, four] = scores.bleu;
                out += &format!(
                    "{:4}  {one:6.4}  {two:6.4}  {three:6.4}  {four:6.4}  {:7.4}  {:6.4}\n",
                    rank + 1,
                    scores.rouge_l,
                    scores.cider
                );
            }
        }
        out
    }

    /// Writes the results and their scores under the coco-caption names into `folder`, and all of [`Self::to_json`] as a report.
    /// Returns the paths.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path, names: &ResultNames) -> Result<Vec<PathBuf>> {
        let scores = self.made.write(folder, names)?;
        let (results, report) = (folder.join(names.results()), folder.join(names.report()));
        self.results.write(&results)?;
        write_json(&report, &self.to_json())?;
        Ok([results].into_iter().chain(scores).chain([report]).collect())
    }
}
