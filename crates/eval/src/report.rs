//! [`Report`]: the result of an evaluation as JSON (versioned) and as text.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::embeddings::similarity_name;
use crate::hubness::Bank;
use crate::metrics::{Bootstrap, Interval, METRIC_KEYS, Metrics, RankedQueries};
use crate::plausible_match::PlausibleMatch;
use crate::precision::Precisions;
use crate::protocol::Evaluation;
use crate::ranks::Ranks;
use crate::rerank::Reranked;
use gxn_base::fs::write_text;
use gxn_base::text::read_text;
use gxn_base::words::first_few;
use gxn_base::{Error, Remedy, Result};

const FORMAT: &str = "gxn-report";
const VERSION: u32 = 1;

/// What a result is about: what its embeddings do not contain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// The dataset's name.
    pub dataset: String,
    /// The split's name.
    pub split: String,
    /// The model: a checkpoint's name and fingerprint, or the files of external embeddings.
    pub model: String,
    /// Hash of the data, if it is known.
    pub data_sha: Option<String>,
}

/// The result of one model on one split under one protocol, with the rank of every query.
///
/// Recalls are percentages; `medr` and `meanr` count from 1, the ranks themselves from 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    format: String,
    version: u32,
    /// The dataset's name.
    pub dataset: String,
    /// The split's name.
    pub split: String,
    /// The protocol's name.
    pub protocol: String,
    /// The model.
    pub model: String,
    /// The metrics, for protocols with folds the mean of the folds.
    pub metrics: Metrics,
    /// R-Precision and mAP@R, where more than the own captions count; reports of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precisions: Option<Precisions>,
    /// PMRP, where the images' objects were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pmrp: Option<PlausibleMatch>,
    /// 95% intervals by metric (bootstrap over images with all their captions).
    pub ci95: BTreeMap<String, Interval>,
    /// Images that are queries and gallery.
    pub n_images: usize,
    /// Captions that are queries and gallery.
    pub n_captions: usize,
    /// What counts as right.
    pub positives_rule: String,
    /// What equal scores mean.
    pub tie_rule: String,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// Resamples of the bootstrap.
    pub resamples: usize,
    /// Hash of the data, if it is known.
    pub data_sha: Option<String>,
    /// When the report was made: UTC, RFC 3339.
    pub created: String,
    /// The similarity's name.
    pub similarity: String,
    /// Weight of the abstract level.
    pub lambda: f32,
    /// How the images of a caption were ranked once more, where they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reranked: Option<Reranked>,
    /// The bank of queries that showed which items are hubs, where these were corrected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hubness_bank: Option<Bank>,
    /// Ids of images that were left out because they have no caption.
    pub left_out: Vec<String>,
    /// Ids of images without a caption among which captions had to find theirs; reports of earlier versions have none.
    #[serde(default)]
    pub distractors: Vec<String>,
    /// Images in each fold; one number for protocols without folds.
    pub fold_images: Vec<usize>,
    /// The images' ids.
    pub image_ids: Vec<String>,
    /// For every caption the place of its image in `image_ids`.
    pub caption_image: Vec<usize>,
    /// The rank of every query, in its fold.
    pub ranks: Ranks,
}

impl Report {
    /// The report of an evaluation, with confidence intervals. `image_ids` names all images of the evaluated data.
    ///
    /// # Errors
    /// When there are fewer ids than images, or the bootstrap refuses.
    pub fn new(evaluation: &Evaluation, image_ids: &[String], about: About, bootstrap: Bootstrap) -> Result<Self> {
        let selection = &evaluation.selection;
        let id = |&image: &usize| {
            image_ids.get(image).cloned().ok_or_else(|| {
                Error::invalid("image ids", format!("{} ids", image_ids.len()), format!("one for image {image}"))
            })
        };
        let unpaired: Vec<String> = selection.without_captions.iter().map(id).collect::<Result<_>>()?;
        let intervals = bootstrap.intervals(&selection.queries(&evaluation.ranks))?;
        Ok(Self {
            format: FORMAT.into(),
            version: VERSION,
            dataset: about.dataset,
            split: about.split,
            protocol: evaluation.protocol.name().into(),
            model: about.model,
            metrics: evaluation.metrics,
            precisions: evaluation.precisions,
            pmrp: None,
            ci95: METRIC_KEYS.iter().map(|&key| key.to_string()).zip(intervals).collect(),
            n_images: selection.images.len(),
            n_captions: selection.captions.len(),
            positives_rule: evaluation.positives_rule.clone(),
            tie_rule: evaluation.tie_rule.into(),
            seed: bootstrap.seed,
            resamples: bootstrap.resamples,
            data_sha: about.data_sha,
            created: now(),
            similarity: similarity_name(evaluation.scoring.similarity).into(),
            lambda: evaluation.scoring.lambda,
            reranked: evaluation.reranked,
            hubness_bank: None,
            left_out: if evaluation.unpaired_in_gallery { Vec::new() } else { unpaired.clone() },
            distractors: if evaluation.unpaired_in_gallery { unpaired } else { Vec::new() },
            fold_images: selection.folds.iter().map(ExactSizeIterator::len).collect(),
            image_ids: selection.images.iter().map(id).collect::<Result<_>>()?,
            caption_image: selection.caption_image.clone(),
            ranks: evaluation.ranks.clone(),
        })
    }

    /// Reads a report and checks that it is whole: its counts, its ranks and that its metrics follow from them.
    ///
    /// # Errors
    /// When the file cannot be read, is not a report of this format version, or contradicts itself.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        Self::from_json(&text, &path.display().to_string())
    }

    /// [`Report::read`] from text; `name` stands in errors.
    ///
    /// # Errors
    /// As [`Report::read`].
    pub fn from_json(text: &str, name: &str) -> Result<Self> {
        Self::from_value(serde_json::from_str(text).map_err(|error| unlike(name, error.to_string()))?, name)
    }

    pub(crate) fn from_value(json: serde_json::Value, name: &str) -> Result<Self> {
        if json.get("format").and_then(|format| format.as_str()) != Some(FORMAT) {
            let keys = json.as_object().map(|map| map.keys().take(6).cloned().collect::<Vec<_>>().join(", "));
            let found = keys.map_or("JSON other than an object".into(), |keys| format!("an object with keys {keys}"));
            return Err(unlike(name, found));
        }
        match json.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {}
            version => {
                let found = version.map_or("no version".to_string(), |version| format!("version {version}"));
                return Err(Error::unsupported(format!("{name}: report format"), found, format!("version {VERSION}"))
                    .with_hint("a newer report needs a newer gxn"));
            }
        }
        let report: Self = serde_json::from_value(json).map_err(|error| unlike(name, error.to_string()))?;
        report.check(name)?;
        Ok(report)
    }

    fn check(&self, name: &str) -> Result<()> {
        let lengths = [
            ("image ids", self.image_ids.len(), self.n_images),
            ("image-to-text ranks", self.ranks.image_to_text.len(), self.n_images),
            ("images in folds", self.fold_images.iter().sum(), self.n_images),
            ("text-to-image ranks", self.ranks.text_to_image.len(), self.n_captions),
            ("owners of captions", self.caption_image.len(), self.n_captions),
        ];
        for (what, found, expected) in lengths {
            if found != expected {
                return Err(Error::damaged(format!("{name}: {what}"), found.to_string(), expected.to_string()));
            }
        }
        let metrics = self.queries(&self.folds()).metrics()?;
        for ((key, stated), counted) in METRIC_KEYS.iter().zip(self.metrics.values()).zip(metrics.values()) {
            if (stated - counted).abs() > 1e-6 {
                let expected = format!("{counted}, which its ranks give");
                return Err(Error::damaged(format!("{name}: {key}"), stated.to_string(), expected));
            }
        }
        Ok(())
    }

    /// The folds as blocks of images.
    pub fn folds(&self) -> Vec<std::ops::Range<usize>> {
        let mut end = 0;
        let block = |&images: &usize| {
            end += images;
            end - images..end
        };
        self.fold_images.iter().map(block).collect()
    }

    /// The ranks for metrics and the bootstrap; `folds` comes from [`Report::folds`].
    pub fn queries<'a>(&'a self, folds: &'a [std::ops::Range<usize>]) -> RankedQueries<'a> {
        RankedQueries {
            image_to_text: &self.ranks.image_to_text,
            text_to_image: &self.ranks.text_to_image,
            caption_image: &self.caption_image,
            folds,
        }
    }

    /// The JSON, one line per key, so that a report of 25,000 ranks can still be read.
    ///
    /// # Errors
    /// When a number cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        let json_error = |error: serde_json::Error| Error::invalid("report", error.to_string(), "numbers fit for JSON");
        // By way of text: as a `Value` the weight 0.008 would be the nearest f32's 0.00800000037.
        let text = serde_json::to_string(self).map_err(json_error)?;
        let map: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).map_err(json_error)?;
        let lines: Vec<String> = map.iter().map(|(key, value)| format!("  \"{key}\": {value}")).collect();
        Ok(format!("{{\n{}\n}}\n", lines.join(",\n")))
    }

    /// Writes the JSON, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_text(path, &self.to_json()?)
    }

    /// The table for people, with the two lines that vsepp prints at the end.
    pub fn text(&self) -> String {
        let mut out = format!(
            "{} {}, protocol {}: {} images, {} captions\nmodel {}, similarity {}, lambda {}\nright: {}\nties: {}\n\n",
            self.dataset,
            self.split,
            self.protocol,
            self.n_images,
            self.n_captions,
            self.model,
            self.similarity,
            self.lambda,
            self.positives_rule,
            self.tie_rule
        );
        for (what, how) in self.beyond_scores() {
            out.pop();
            out += &format!("{what}: {how}\n\n");
        }
        out += "                  R@1     R@5    R@10  median    mean\n";
        let values = self.metrics.values();
        for (name, first) in [("image to text", 0), ("text to image", 5)] {
            let numbers: String = values[first..first + 5].iter().map(|value| format!("{value:8.1}")).collect();
            out += &format!("{name:13}{numbers}\n");
            for (side, label) in [(0, "  95% from"), (1, "  95% to")] {
                let ends = METRIC_KEYS[first..first + 5].iter().map(|&key| self.ci95.get(key).map(|ends| ends[side]));
                let numbers: String =
                    ends.map(|end| end.map_or(format!("{:>8}", "-"), |end| format!("{end:8.1}"))).collect();
                out += &format!("{label:13}{numbers}\n");
            }
        }
        for (name, key, value) in [("rsum", "rsum", values[10]), ("paper's Sum", "paper_sum", values[11])] {
            let ends = self.ci95.get(key).map_or(String::new(), |[low, high]| format!("  (95% {low:.1} to {high:.1})"));
            out += &format!("{name} {value:.1}{ends}\n");
        }
        out += &format!("mean recall (mR) {:.1}\n", self.metrics.mean_recall());
        if let Some(Precisions { image_to_text: i, text_to_image: t }) = self.precisions {
            out += &format!("R-Precision {:.1} image to text, {:.1} text to image\n", i.r_precision, t.r_precision);
            out += &format!("mAP@R {:.1} image to text, {:.1} text to image\n", i.map_at_r, t.map_at_r);
        }
        if let Some(PlausibleMatch { image_to_text, text_to_image }) = self.pmrp {
            out += &format!("PMRP {image_to_text:.1} image to text, {text_to_image:.1} text to image\n");
        }
        for (what, ids) in
            [("left out, no caption", &self.left_out), ("in the gallery without a caption", &self.distractors)]
        {
            if !ids.is_empty() {
                out += &format!("{what}: {} ({})\n", ids.len(), first_few(ids));
            }
        }
        out + "\n" + &self.vsepp_lines()
    }

    /// What ranked the items beside the model's scores, and how.
    pub(crate) fn beyond_scores(&self) -> Vec<(&'static str, String)> {
        let hubs = self.hubness_bank.map(|Bank { images, captions }| {
            ("hubs corrected", format!("by {images} images and {captions} captions of other data"))
        });
        let reranked = self.reranked.map(|Reranked { candidates, weight, chosen_here, image_to_text }| {
            let too = if image_to_text { " and captions of an image" } else { "" };
            let chosen = if chosen_here { ", chosen on these queries" } else { "" };
            ("re-ranked", format!("the {candidates} best images of a caption{too}, weight {weight}{chosen}"))
        });
        hubs.into_iter().chain(reranked).collect()
    }

    /// `Image to text: R@1 R@5 R@10 median mean` and the same for text to image, as vsepp prints them.
    fn vsepp_lines(&self) -> String {
        let v = self.metrics.values();
        let line =
            |name: &str, v: &[f64]| format!("{name}: {:.1} {:.1} {:.1} {:.1} {:.1}\n", v[0], v[1], v[2], v[3], v[4]);
        line("Image to text", &v[..5]) + &line("Text to image", &v[5..10])
    }
}

fn unlike(name: &str, found: String) -> Error {
    Error::invalid(name, found, "the JSON of an evaluation report").with_remedy(Remedy::MakeReport)
}

/// The time, UTC to the second, RFC 3339.
pub(crate) fn now() -> String {
    let seconds = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(seconds).expect("the time is in range without its fraction too").to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Embeddings, LevelEmbeddings, Protocol, Scoring, Similarity};

    /// Three images with captions and one without, four captions; `tilt` moves the captions.
    pub(crate) fn report(model: &str, tilt: f32) -> Report {
        let images = [1.0, 0.0, 0.0, 1.0, 0.5, 0.5, 0.7, 0.3];
        let captions = [1.0, tilt, tilt, 1.0, 0.7, 0.3, 0.6, 0.35];
        let level = LevelEmbeddings { images: &images, captions: &captions, dim: 2 };
        let embeddings = Embeddings { abstract_level: level, grounded_level: None, hubness: None };
        let scoring = Scoring { similarity: Similarity::Cosine, lambda: 1.0 };
        let found = Protocol::Full.evaluate(4, &[0, 1, 3, 3], &embeddings, scoring).unwrap();
        let ids = ["a.jpg", "b.jpg", "lonely.jpg", "d.jpg"].map(String::from);
        let about =
            About { dataset: "toy".into(), split: "test".into(), model: model.into(), data_sha: Some("00ff".into()) };
        Report::new(&found, &ids, about, Bootstrap { resamples: 100, seed: 5 }).unwrap()
    }

    #[test]
    fn json_round_trips_and_has_the_agreed_keys() {
        let report = report("m", 0.1);
        let text = report.to_json().unwrap();
        assert_eq!(Report::from_json(&text, "x").unwrap(), report);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let keys = "format version dataset split protocol model metrics ci95 n_images n_captions positives_rule tie_rule \
                    seed data_sha created similarity lambda image_ids caption_image ranks";
        for key in keys.split_whitespace() {
            assert!(json.get(key).is_some(), "{key}");
        }
        for key in METRIC_KEYS {
            assert!(json["metrics"][key].is_f64() && json["ci95"][key].is_array(), "{key}");
        }
        assert_eq!(json["metrics"]["text_retrieval_recall@1"], json["metrics"]["i2t_r1"]);
        assert_eq!(json["metrics"]["image_retrieval_recall@10"], json["metrics"]["t2i_r10"]);
        assert_eq!(json["image_ids"], serde_json::json!(["a.jpg", "b.jpg", "d.jpg"]));
        assert_eq!(json["caption_image"], serde_json::json!([0, 1, 2, 2]));
        assert_eq!(
            (&json["left_out"], &json["distractors"]),
            (&serde_json::json!([]), &serde_json::json!(["lonely.jpg"]))
        );
        assert!((json["metrics"]["mean_recall"].as_f64().unwrap() * 6.0 - report.metrics.rsum()).abs() < 1e-9);
        let older = text.lines().filter(|line| !line.contains("\"distractors\"")).collect::<Vec<_>>().join("\n");
        assert!(Report::from_json(&older, "x").unwrap().distractors.is_empty());
        assert_eq!(json["ranks"]["i2t"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn text_has_the_numbers() {
        let mut report = report("m", 0.1);
        report.metrics = Metrics::from_values(&[65.3, 87.8, 92.51, 1.0, 5.06, 50.0, 80.0, 90.0, 2.0, 10.0, 0.0, 0.0]);
        let text = report.text();
        assert!(
            text.ends_with("Image to text: 65.3 87.8 92.5 1.0 5.1\nText to image: 50.0 80.0 90.0 2.0 10.0\n"),
            "{text}"
        );
        assert!(text.contains("toy test, protocol full: 3 images, 4 captions"));
        assert!(text.contains("rsum 465.6") && text.contains("paper's Sum 297.8"), "{text}");
        assert!(
            text.contains("in the gallery without a caption: 1 (lonely.jpg)") && text.contains("(mR) 77.6\n"),
            "{text}"
        );
        assert!(text.contains("right: the captions of an image") && text.contains("ties: pessimistic"));
    }

    #[test]
    fn files_round_trip_and_other_json_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (report, path) = (report("m", 0.1), folder.path().join("r.json"));
        report.write(&path).unwrap();
        assert_eq!(Report::read(&path).unwrap(), report);
        let refused = |text: &str| Report::from_json(text, "x.json").unwrap_err();
        assert!(refused("{\"images\":[],\"dataset\":1}").to_string().contains("an object with keys images, dataset"));
        assert_eq!(refused("[1]").remedy(), Some(&Remedy::MakeReport));
        assert_eq!(report.created.len(), "2026-11-23T17:30:21Z".len());
        assert!(refused("hello").to_string().contains("expected value"));
        let text = report.to_json().unwrap();
        assert!(refused(&text.replace("\"version\": 1", "\"version\": 9")).to_string().contains("found version 9"));
        assert!(
            refused(&text.replace("\"n_images\": 3", "\"n_images\": 4")).to_string().contains("image ids: found 3")
        );
        let better = text.replacen("\"t2i\":[", "\"t2i\":[900,", 1).replace("\"n_captions\": 4", "\"n_captions\": 5");
        assert!(refused(&better).to_string().contains("owners of captions"));
        let mut edited = report.clone();
        edited.metrics.image_to_text.r1 += 1.0;
        assert!(refused(&edited.to_json().unwrap()).to_string().contains("which its ranks give"));
        assert!(refused(&text.replace("\"i2t_r5\"", "\"r5\"")).to_string().contains("metrics without `i2t_r5`"));
        let missing = Report::read(&folder.path().join("none.json")).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read"));
        assert!(report.write(&folder.path().join("no/r.json")).unwrap_err().to_string().starts_with("cannot write"));
    }
}
