//! [`CaptionEvaluation`]: a results file beside references, scored, and written as the coco-caption package writes it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::caption_references::ReferenceCaptions;
use crate::caption_results::{CaptionResults, ImageId, ResultNames, write_json};
use crate::metrics::{CaptionReferences, CaptionScores, ImageScores, tokenize_all};
use gxn_base::words::{counted, first_few};
use gxn_base::{Error, Remedy, Result};

/// With fewer images than this, a note warns that the package's CIDEr means little.
const FEW_IMAGES: usize = 10;

/// What the package calls [`crate::metrics::CAPTION_KEYS`], in their order; `CIDEr-D` with corpus is not one of its own.
const PACKAGE_KEYS: [&str; 7] = ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr", "CIDEr-D"];

/// Scores of a results file.
#[derive(Debug, Clone)]
pub struct CaptionEvaluation {
    /// The scored images, in the results' order and spelling.
    pub image_ids: Vec<ImageId>,
    /// Their scores.
    pub scores: CaptionScores,
    /// References that they were compared with.
    pub reference_count: usize,
    /// Images that gave the document frequencies of `cider_d`.
    pub corpus_images: Option<usize>,
    /// Images with references that the results have no caption for. They are not part of any score.
    pub missing: Vec<ImageId>,
    /// What was left out or is unusual, for people: counted and named.
    pub notes: Vec<String>,
    /// Seconds for the tokens of everything.
    pub tokenise_s: f64,
    /// Seconds for counts, frequencies and scores, without the tokens.
    pub score_s: f64,
}

impl CaptionEvaluation {
    /// Scores the images that have both a caption in `results` and references; `corpus` gives `cider_d`.
    ///
    /// Of references with splits, only those of the splits that results name are missing when they have no caption. Which
    /// of a Karpathy file's ids the results mean is what most of them agree with.
    ///
    /// # Errors
    /// When there are no results, two for an image, or one for an image that the references do not list.
    pub fn of(
        results: &CaptionResults,
        references: &ReferenceCaptions,
        corpus: Option<&ReferenceCaptions>,
    ) -> Result<Self> {
        let mut notes = references.notes.clone();
        let places = places(results, references)?;
        let found: HashSet<usize> = places.iter().copied().collect();
        let splits: HashSet<_> = places.iter().map(|&place| &references.images[place].split).collect();
        let missing: Vec<ImageId> = (references.images.iter().enumerate())
            .filter(|(place, image)| {
                !found.contains(place) && !image.captions.is_empty() && splits.contains(&image.split)
            })
            .filter_map(|(_, image)| image.ids.iter().flatten().next().cloned())
            .collect();
        if !missing.is_empty() {
            let count = counted(missing.len(), "image");
            notes.push(format!("no caption for {count} with references: {}", first_few(&missing)));
        }
        let (scored, bare): (Vec<_>, Vec<_>) = results
            .captions
            .iter()
            .zip(&places)
            .partition(|(_, place)| !references.images[**place].captions.is_empty());
        if !bare.is_empty() {
            let ids: Vec<_> = bare.iter().map(|(result, _)| &result.image_id).collect();
            notes.push(format!("left out: {} without references ({})", counted(ids.len(), "caption"), first_few(&ids)));
        }
        let image_ids: Vec<ImageId> = scored.iter().map(|(result, _)| result.image_id.clone()).collect();
        let captions: Vec<Vec<String>> = scored.iter().map(|(result, _)| vec![result.caption.clone()]).collect();
        let wanted: Vec<Vec<String>> =
            scored.iter().map(|(_, place)| references.images[**place].captions.clone()).collect();
        let corpus = corpus.map(ReferenceCaptions::corpus).transpose()?;

        let start = Instant::now();
        let candidates: Vec<Vec<String>> = tokenize_all(&captions).into_iter().flatten().collect();
        let reference_tokens = tokenize_all(&wanted);
        let corpus_tokens = corpus.as_deref().map(tokenize_all);
        let tokenise_s = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let scores =
            CaptionReferences::of_tokens(&reference_tokens, corpus_tokens.as_deref()).score_tokens(&candidates)?;
        let score_s = start.elapsed().as_secs_f64();

        let empty: Vec<_> =
            image_ids.iter().zip(&candidates).filter(|(_, tokens)| tokens.is_empty()).map(|(id, _)| id).collect();
        if !empty.is_empty() {
            notes.push(format!("{} without a word, score 0: {}", counted(empty.len(), "caption"), first_few(&empty)));
        }
        let wordless: Vec<_> = (image_ids.iter().zip(&reference_tokens))
            .flat_map(|(id, captions)| captions.iter().filter(|tokens| tokens.is_empty()).map(move |_| id))
            .collect();
        if !wordless.is_empty() {
            let count = counted(wordless.len(), "reference");
            notes.push(format!("{count} without a word, counted as in the package: {}", first_few(&wordless)));
        }
        Ok(Self {
            scores,
            reference_count: wanted.iter().map(Vec::len).sum(),
            corpus_images: corpus.map(|corpus| corpus.len()),
            image_ids,
            missing,
            notes,
            tokenise_s,
            score_s,
        })
    }

    /// Why the package's CIDEr says little here, and what to do: its document frequencies come from the scored references, and
    /// those of few images tell hardly any words apart. None where there are enough, or a corpus gives `cider_d`.
    pub fn too_few_for_cider(&self) -> Option<(String, Remedy)> {
        let images = self.image_ids.len();
        if images >= FEW_IMAGES || self.corpus_images.is_some() {
            return None;
        }
        let why = match images {
            1 => {
                "cider is 0 for any caption where one image is scored: no word of its references is rarer than another"
                    .into()
            }
            _ => format!(
                "cider takes document frequencies from the references of {images} images only; do not compare it"
            ),
        };
        Some((why, Remedy::GiveCorpus))
    }

    /// The scores under flat names, with counts, notes and timings.
    pub fn to_json(&self) -> Value {
        let mut json: Map<String, Value> =
            self.scores.keyed().map(|(key, score)| (key.to_owned(), score.into())).collect();
        json.insert("n_images".into(), self.image_ids.len().into());
        json.insert("n_references".into(), self.reference_count.into());
        if let Some(images) = self.corpus_images {
            json.insert("n_corpus_images".into(), images.into());
        }
        json.insert("missing".into(), json!(self.missing));
        json.insert("notes".into(), json!(self.notes));
        json.insert("tokenise_s".into(), self.tokenise_s.into());
        json.insert("score_s".into(), self.score_s.into());
        json.into()
    }

    /// A table for people.
    pub fn text(&self) -> String {
        let mut out = format!(
            "{} against {}\n",
            counted(self.image_ids.len(), "caption"),
            counted(self.reference_count, "reference")
        );
        for (key, score) in self.scores.keyed() {
            let about = match (key, self.corpus_images) {
                ("cider", _) => "   document frequencies of the scored references".to_owned(),
                ("cider_d", Some(images)) => format!("   document frequencies of {images} images of the corpus"),
                _ => String::new(),
            };
            out += &format!("{key:8}{score:7.4}{about}\n");
        }
        out
    }

    /// Writes `…_eval.json` and `…_evalImgs.json` into a folder, made if need be, with the coco-caption package's keys, and
    /// returns their paths.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path, names: &ResultNames) -> Result<[PathBuf; 2]> {
        std::fs::create_dir_all(folder).map_err(|error| Error::io("cannot create", folder, error))?;
        let paths = [folder.join(names.scores()), folder.join(names.image_scores())];
        write_json(&paths[0], &packaged(self.scores.keyed()))?;
        let image = |(id, scores): (&ImageId, &ImageScores)| {
            let mut json = Map::from_iter([("image_id".to_owned(), json!(id))]);
            json.extend(packaged(scores.keyed()));
            json
        };
        let images: Vec<_> = self.image_ids.iter().zip(&self.scores.images).map(image).collect();
        write_json(&paths[1], &images)?;
        Ok(paths)
    }
}

/// As [`CaptionEvaluation::to_json`].
impl Serialize for CaptionEvaluation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

/// The scores under the package's names.
fn packaged(scores: impl Iterator<Item = (&'static str, f64)>) -> Map<String, Value> {
    PACKAGE_KEYS.iter().zip(scores).map(|(&key, (_, score))| (key.to_owned(), score.into())).collect()
}

/// For every result its image's place in the references.
fn places(results: &CaptionResults, references: &ReferenceCaptions) -> Result<Vec<usize>> {
    let ids: Vec<String> = results.captions.iter().map(|result| result.image_id.to_string()).collect();
    if ids.is_empty() {
        return Err(Error::invalid(&results.name, "no caption", "one caption per image"));
    }
    let mut seen = HashSet::new();
    let twice: BTreeSet<&String> = ids.iter().filter(|id| !seen.insert(*id)).collect();
    if !twice.is_empty() {
        let twice: Vec<_> = twice.into_iter().collect();
        let found = format!("more than one caption for {} ({})", counted(twice.len(), "image"), first_few(&twice));
        return Err(Error::invalid(&results.name, found, "one caption per image")
            .with_hint("keep the best one of each image; the metrics compare one with all references"));
    }
    let mut best: Option<(usize, Vec<Option<usize>>)> = None;
    for kind in 0..3 {
        let mut known: HashMap<String, usize> = HashMap::new();
        for (place, image) in references.images.iter().enumerate() {
            if let Some(id) = &image.ids[kind] {
                // The first one wins; COCO's ids are unique, and no Karpathy file in use repeats one.
                known.entry(id.to_string()).or_insert(place);
            }
        }
        let found: Vec<Option<usize>> = ids.iter().map(|id| known.get(id).copied()).collect();
        let count = found.iter().flatten().count();
        if best.as_ref().is_none_or(|(most, _)| count > *most) {
            best = Some((count, found));
        }
    }
    let found = best.map(|(_, found)| found).unwrap_or_default();
    let unknown: Vec<&String> = ids.iter().zip(&found).filter(|(_, place)| place.is_none()).map(|(id, _)| id).collect();
    if !unknown.is_empty() {
        let known: Vec<_> = references.images.iter().filter_map(|image| image.ids[0].as_ref()).take(3).collect();
        let known =
            if known.is_empty() { "it lists none".to_owned() } else { format!("its ids begin {}", first_few(&known)) };
        let what = format!("{} of images that {} does not list", counted(unknown.len(), "caption"), references.name);
        return Err(Error::conflict(
            &results.name,
            format!("{what} ({})", first_few(&unknown)),
            "images of the references",
        )
        .with_hint(format!("compare the ids: {known}")));
    }
    Ok(found.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caption_references::ReferenceImage;
    use crate::caption_results::CaptionResult;

    fn results(captions: &[(i64, &str)]) -> CaptionResults {
        let result =
            |&(id, caption): &(i64, &str)| CaptionResult { image_id: ImageId::Number(id), caption: caption.to_owned() };
        CaptionResults { name: "r.json".into(), captions: captions.iter().map(result).collect() }
    }

    /// Images 0, 1, … called 10, 11, … and `a0`, `a1`, ….
    fn references(images: &[(&str, &[&str])]) -> ReferenceCaptions {
        let image = |(place, (split, captions)): (usize, &(&str, &[&str]))| ReferenceImage {
            ids: [Some(ImageId::Text(format!("{}", 10 + place))), Some(ImageId::Text(format!("a{place}"))), None],
            split: (!split.is_empty()).then(|| split.to_string()),
            captions: captions.iter().map(|caption| caption.to_string()).collect(),
        };
        let images = images.iter().enumerate().map(image).collect();
        ReferenceCaptions { name: "refs.json".into(), notes: Vec::new(), images }
    }

    #[test]
    fn numbers_and_strings_are_the_same_image_and_the_rest_is_named() {
        let references = references(&[
            ("", &["a dog", "the dog"]),
            ("", &["two men"]),
            ("", &[]),
            ("", &["a cat", "..."]),
            ("", &["a horse"]),
        ]);
        let results = results(&[(13, "."), (10, "A dog."), (12, "a bird")]);
        let found = CaptionEvaluation::of(&results, &references, None).unwrap();
        assert_eq!(found.image_ids, [ImageId::Number(13), ImageId::Number(10)]);
        assert_eq!(found.missing, [ImageId::Text("11".into()), ImageId::Text("14".into())]);
        assert_eq!(found.reference_count, 4);
        assert_eq!(
            found.notes,
            [
                "no caption for 2 images with references: 11, 14",
                "left out: 1 caption without references (12)",
                "1 caption without a word, score 0: 13",
                "1 reference without a word, counted as in the package: 13",
            ]
        );
        assert!(found.scores.images[1].bleu[0] > 0.999 && found.scores.images[0].cider == 0.0);
        let json = found.to_json();
        assert_eq!((&json["n_images"], &json["missing"]), (&json!(2), &json!(["11", "14"])));
        assert!(json["bleu_1"].is_f64() && json["cider"].is_f64() && json.get("cider_d").is_none());
    }

    /// Only the splits in play are expected whole; the corpus is the train split.
    #[test]
    fn splits_say_what_is_missing_and_what_is_corpus() {
        let references = references(&[
            ("train", &["a dog"]),
            ("test", &["two men"]),
            ("test", &["a cat"]),
            ("restval", &["a dog runs", "it runs"]),
        ]);
        let mut results = results(&[(0, "two men")]);
        results.captions[0].image_id = ImageId::Text("a1".into());
        let found = CaptionEvaluation::of(&results, &references, Some(&references)).unwrap();
        assert_eq!(found.missing, [ImageId::Text("12".into())]);
        assert_eq!(found.corpus_images, Some(2));
        assert!(found.too_few_for_cider().is_none());
        let alone = CaptionEvaluation::of(&results, &references, None).unwrap().too_few_for_cider().unwrap();
        assert!(alone.0.contains("0 for any caption") && alone.1 == Remedy::GiveCorpus);
        // One scored image: no n-gram is rare, the package's CIDEr is 0. In the corpus "two men" is rare.
        assert_eq!(found.scores.cider, 0.0);
        assert!((found.scores.cider_d.unwrap() - 5.0).abs() < 1e-12, "{:?}", found.scores);
        let text = found.text();
        assert!(text.contains("1 caption against 1 reference\nbleu_1   1.0000\n"), "{text}");
        assert!(text.ends_with("cider_d  5.0000   document frequencies of 2 images of the corpus\n"), "{text}");
    }

    #[test]
    fn bad_results_are_refused() {
        let references = references(&[("", &["a dog"]), ("", &["two men"])]);
        let refused = |captions: &[(i64, &str)]| {
            let error = CaptionEvaluation::of(&results(captions), &references, None).unwrap_err();
            (error.to_string(), error.hint().unwrap_or_default().into_owned())
        };
        assert_eq!(refused(&[]).0, "r.json: found no caption, expected one caption per image");
        let (twice, hint) = refused(&[(10, "a"), (11, "b"), (10, "c"), (10, "d")]);
        assert!(twice.contains("more than one caption for 1 image (10)"), "{twice}");
        assert!(hint.contains("best one"), "{hint}");
        let (unknown, hint) = refused(&[(10, "a"), (99, "b"), (98, "c")]);
        assert!(unknown.contains("2 captions of images that refs.json does not list (99, 98)"), "{unknown}");
        assert_eq!(hint, "compare the ids: its ids begin 10, 11");
    }

    #[test]
    fn files_have_the_packages_keys() {
        let folder = tempfile::tempdir().unwrap();
        let references = references(&[("", &["a dog"]), ("", &["two men"])]);
        let results = results(&[(10, "a dog"), (11, "a man")]);
        let found = CaptionEvaluation::of(&results, &references, Some(&references)).unwrap();
        let [scores, images] =
            found.write(&folder.path().join("new"), &ResultNames::of(Path::new("x_results.json"))).unwrap();
        assert!(scores.ends_with("new/x_eval.json") && images.ends_with("new/x_evalImgs.json"));
        let read = |path: &Path| -> Value { serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap() };
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&read(&scores)), PACKAGE_KEYS);
        assert_eq!(read(&scores)["CIDEr"], json!(found.scores.cider));
        let images = read(&images);
        assert_eq!(keys(&images[0])[0], "image_id");
        assert_eq!(
            (&images[1]["image_id"], &images[1]["Bleu_1"]),
            (&json!(11), &json!(found.scores.images[1].bleu[0]))
        );
    }
}
