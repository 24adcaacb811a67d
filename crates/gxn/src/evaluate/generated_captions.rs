//! [`GeneratedCaptionsEvaluation`]: generated captions beside retrieved ones (paper Table 2), by the same scores.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::encode::{EncodedDataset, reference_captions};
use super::other_images::other_images;
use gxn_base::Result;
use gxn_base::fs::write_text;
use gxn_data::{Dataset, Split};
use gxn_eval::metrics::{CaptionReferences, CaptionScores};
use gxn_eval::{CaptionEvaluation, CaptionResult, CaptionResults, ImageId, ResultNames, Scoring, best_captions};

/// How many ranks of retrieved captions are scored.
const RANKS: usize = 5;

/// Captions generated and captions retrieved for the images of a split.
#[derive(Debug, Clone)]
pub struct GeneratedCaptionsEvaluation {
    /// The captions that the model generates.
    pub results: CaptionResults,
    /// Their scores.
    pub generated: CaptionEvaluation,
    /// The same captions scored against the references of another image, drawn at random: the score of a model that ignores
    /// the image.
    pub shuffled: CaptionScores,
    /// Captions retrieved at ranks 1 to 5 from all captions of the split, the image's own included.
    pub retrieved_with_own: Vec<CaptionScores>,
    /// The same from the captions of other images only.
    pub retrieved_from_others: Vec<CaptionScores>,
}

impl GeneratedCaptionsEvaluation {
    /// Scores the captions that `encoded` holds for `split` against the captions of the images; document frequencies of
    /// `cider_d` are the train split's. `seed` draws the other images of `shuffled`.
    ///
    /// # Errors
    /// When no caption was generated, or the embeddings do not fit together.
    pub fn new(encoded: &EncodedDataset, dataset: &Dataset, split: Split, scoring: Scoring, seed: u64) -> Result<Self> {
        let results = CaptionResults {
            name: "the model's captions".into(),
            captions: (encoded.image_ids.iter().zip(&encoded.generated))
                .map(|(id, generated)| CaptionResult {
                    image_id: ImageId::Text(id.clone()),
                    caption: generated.caption.clone(),
                })
                .collect(),
        };
        let references = reference_captions(dataset, split);
        let train = reference_captions(dataset, Split::Train);
        let corpus = train.corpus().is_ok().then_some(&train);
        let generated = CaptionEvaluation::of(&results, &references, corpus)?;

        let texts: Vec<&str> = encoded.caption_texts(dataset);
        let mut own: Vec<Vec<String>> = vec![Vec::new(); encoded.images.count];
        for (text, &row) in texts.iter().zip(&encoded.caption_image) {
            own[row].push((*text).to_string());
        }
        let scorer = CaptionReferences::new(&own, None);
        let captions =
            other_images(results.captions.len(), seed).into_iter().map(|at| results.captions[at].caption.clone());
        let shuffled = scorer.score(&captions.collect::<Vec<_>>())?;
        let embeddings = encoded.embeddings();
        let retrieved = |with_own: bool| -> Result<Vec<CaptionScores>> {
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
        let (retrieved_with_own, retrieved_from_others) = (retrieved(true)?, retrieved(false)?);
        Ok(Self { results, generated, shuffled, retrieved_with_own, retrieved_from_others })
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
        let mut all = self.generated.to_json();
        all["shuffled"] = keyed(&self.shuffled);
        all["retrieved"] = json!({
            "own_captions_in_gallery": ranked(&self.retrieved_with_own),
            "captions_of_other_images_only": ranked(&self.retrieved_from_others),
        });
        all
    }

    /// A table for people.
    pub fn text(&self) -> String {
        let mut out = format!("\ngenerated captions\n{}", self.generated.text());
        out += &format!(
            "against the references of another image, at random: bleu_4 {:.4}, cider {:.4}\n",
            self.shuffled.bleu[3], self.shuffled.cider
        );
        for (title, list) in [
            ("retrieved captions, the image's own captions in the gallery", &self.retrieved_with_own),
            ("retrieved captions, from other images only", &self.retrieved_from_others),
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
        let scores = self.generated.write(folder, names)?;
        let (results, report) = (folder.join(names.results()), folder.join(names.report()));
        self.results.write(&results)?;
        write_text(&report, &format!("{}\n", self.to_json()))?;
        Ok([results].into_iter().chain(scores).chain([report]).collect())
    }
}

/// As [`GeneratedCaptionsEvaluation::to_json`].
impl Serialize for GeneratedCaptionsEvaluation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}
