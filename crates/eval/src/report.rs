//! [`Report`]: the result of an evaluation as JSON (versioned) and as text.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::protocol::Evaluation;
use super::ranks::Ranks;
use crate::metrics::{Bootstrap, Interval, METRIC_KEYS, Metrics, Queries};
use gxn_base::fs::write_atomically;
use gxn_base::{Error, Result};

const FORMAT: &str = "gxn-report";
const VERSION: u32 = 1;

/// What the embeddings cannot tell about a result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// The data set's name.
    pub dataset: String,
    /// The split's name.
    pub split: String,
    /// The model: a checkpoint's name and fingerprint, or the files of foreign embeddings.
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
    /// The data set's name.
    pub dataset: String,
    /// The split's name.
    pub split: String,
    /// The protocol's name.
    pub protocol: String,
    /// The model.
    pub model: String,
    /// The metrics, for protocols with folds the mean of the folds.
    #[serde(with = "metrics_json")]
    pub metrics: Metrics,
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
    /// Ids of images that were left out because they have no caption.
    pub left_out: Vec<String>,
    /// Images in each fold; one number for protocols without folds.
    pub fold_images: Vec<usize>,
    /// The images' ids.
    pub image_ids: Vec<String>,
    /// For every caption the place of its image in `image_ids`.
    pub caption_image: Vec<usize>,
    /// The rank of every query, in its fold.
    #[serde(with = "ranks_json")]
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
        let intervals = bootstrap.intervals(&selection.queries(&evaluation.ranks))?;
        Ok(Self {
            format: FORMAT.into(),
            version: VERSION,
            dataset: about.dataset,
            split: about.split,
            protocol: evaluation.protocol.name().into(),
            model: about.model,
            metrics: evaluation.metrics,
            ci95: METRIC_KEYS.iter().map(|&key| key.to_string()).zip(intervals).collect(),
            n_images: selection.images.len(),
            n_captions: selection.captions.len(),
            positives_rule: "the captions of an image and the image of a caption; rank of the best one".into(),
            tie_rule: "pessimistic: an irrelevant item with an equal score stands before".into(),
            seed: bootstrap.seed,
            resamples: bootstrap.resamples,
            data_sha: about.data_sha,
            created: rfc3339(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())),
            similarity: crate::ranks::similarity_name(evaluation.scoring.similarity).into(),
            lambda: evaluation.scoring.lambda,
            left_out: selection.without_captions.iter().map(id).collect::<Result<_>>()?,
            fold_images: selection.folds.iter().map(ExactSizeIterator::len).collect(),
            image_ids: selection.images.iter().map(id).collect::<Result<_>>()?,
            caption_image: selection.caption_image.clone(),
            ranks: evaluation.ranks.clone(),
        })
    }

    /// Reads a report and checks that it is whole: its counts, its ranks and that its metrics follow from them.
    ///
    /// # Errors
    /// When the file cannot be read, is no report of this format version, or contradicts itself.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::io("cannot read", path, source))?;
        Self::from_json(&text, &path.display().to_string())
    }

    /// [`Report::read`] from text; `name` stands in errors.
    ///
    /// # Errors
    /// As [`Report::read`].
    pub fn from_json(text: &str, name: &str) -> Result<Self> {
        let expected = "the JSON of an evaluation report";
        let hint = "make one with `gxn evaluate MODEL DATA --format json`";
        let unlike = |found: String| Error::invalid(name, found, expected).with_hint(hint);
        let json: serde_json::Value = serde_json::from_str(text).map_err(|error| unlike(error.to_string()))?;
        if json.get("format").and_then(|format| format.as_str()) != Some(FORMAT) {
            let keys = json.as_object().map(|map| map.keys().take(6).cloned().collect::<Vec<_>>().join(", "));
            return Err(unlike(
                keys.map_or("JSON that is no object".into(), |keys| format!("an object with keys {keys}")),
            ));
        }
        match json.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {}
            version => {
                let found = version.map_or("no version".to_string(), |version| format!("version {version}"));
                return Err(Error::invalid(format!("{name}: report format"), found, format!("version {VERSION}"))
                    .with_hint("a newer report needs a newer gxn"));
            }
        }
        let report: Self = serde_json::from_value(json).map_err(|error| unlike(error.to_string()))?;
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
                return Err(Error::invalid(format!("{name}: {what}"), found.to_string(), expected.to_string()));
            }
        }
        let metrics = self.queries(&self.folds()).metrics()?;
        for ((key, stated), counted) in METRIC_KEYS.iter().zip(self.metrics.values()).zip(metrics.values()) {
            if (stated - counted).abs() > 1e-6 {
                let expected = format!("{counted}, which its ranks give");
                return Err(Error::invalid(format!("{name}: {key}"), stated.to_string(), expected));
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
    pub fn queries<'a>(&'a self, folds: &'a [std::ops::Range<usize>]) -> Queries<'a> {
        Queries {
            image_to_text: &self.ranks.image_to_text,
            text_to_image: &self.ranks.text_to_image,
            caption_image: &self.caption_image,
            folds,
        }
    }

    /// The JSON, one line a key, so that a report of 25,000 ranks can still be looked at.
    ///
    /// # Errors
    /// When a number cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        let json_error = |error: serde_json::Error| Error::invalid("report", error.to_string(), "numbers fit for JSON");
        let serde_json::Value::Object(map) = serde_json::to_value(self).map_err(json_error)? else {
            return Err(Error::invalid("report", "another shape", "a JSON object"));
        };
        let lines: Vec<String> = map.iter().map(|(key, value)| format!("  \"{key}\": {value}")).collect();
        Ok(format!("{{\n{}\n}}\n", lines.join(",\n")))
    }

    /// Writes the JSON; the file appears whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let json = self.to_json()?;
        write_atomically(path, |file| file.write_all(json.as_bytes()))
    }

    /// The table for people, with the two lines that vsepp prints at the end.
    pub fn text(&self) -> String {
        let mut out = format!(
            "{} {}, protocol {}: {} images, {} captions\nmodel {}, similarity {}, lambda {}\n\n",
            self.dataset,
            self.split,
            self.protocol,
            self.n_images,
            self.n_captions,
            self.model,
            self.similarity,
            self.lambda
        );
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
        if !self.left_out.is_empty() {
            out += &format!("left out, no caption: {} images ({})\n", self.left_out.len(), first_few(&self.left_out));
        }
        out + "\n" + &self.vsepp_lines()
    }

    /// `Image to text: R@1 R@5 R@10 median mean` and the same for text to image, as vsepp prints them.
    pub fn vsepp_lines(&self) -> String {
        let v = self.metrics.values();
        let line =
            |name: &str, v: &[f64]| format!("{name}: {:.1} {:.1} {:.1} {:.1} {:.1}\n", v[0], v[1], v[2], v[3], v[4]);
        line("Image to text", &v[..5]) + &line("Text to image", &v[5..10])
    }
}

/// The first names of a list, then how many more there are.
pub(super) fn first_few(names: &[String]) -> String {
    let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 5 { format!("{shown} and {} more", names.len() - 5) } else { shown }
}

/// Seconds since 1970 as `YYYY-MM-DDTHH:MM:SSZ` (Hinnant's civil-from-days).
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_place = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_place + 2) / 5 + 1;
    let month = if month_place < 10 { month_place + 3 } else { month_place - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Metrics as a flat object of the twelve keys and the aliases of CLIP_benchmark, in percent like the rest.
mod metrics_json {
    use super::{METRIC_KEYS, Metrics};
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer, ser::SerializeMap};
    use std::collections::BTreeMap;

    const ALIASES: [(&str, usize); 6] = [
        ("image_retrieval_recall@1", 5),
        ("image_retrieval_recall@5", 6),
        ("image_retrieval_recall@10", 7),
        ("text_retrieval_recall@1", 0),
        ("text_retrieval_recall@5", 1),
        ("text_retrieval_recall@10", 2),
    ];

    pub(super) fn serialize<S: Serializer>(metrics: &Metrics, serializer: S) -> Result<S::Ok, S::Error> {
        let values = metrics.values();
        let mut map = serializer.serialize_map(Some(values.len() + ALIASES.len()))?;
        for (key, value) in METRIC_KEYS.iter().zip(values) {
            map.serialize_entry(key, &value)?;
        }
        for (key, place) in ALIASES {
            map.serialize_entry(key, &values[place])?;
        }
        map.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Metrics, D::Error> {
        let map = BTreeMap::<String, f64>::deserialize(deserializer)?;
        let mut values = [0.0; 12];
        for (value, key) in values.iter_mut().zip(METRIC_KEYS) {
            *value = *map.get(key).ok_or_else(|| D::Error::custom(format!("metrics without `{key}`")))?;
        }
        Ok(Metrics::from_values(&values))
    }
}

/// Ranks under the field's short keys.
mod ranks_json {
    use super::Ranks;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Short<T> {
        i2t: T,
        t2i: T,
    }

    pub(super) fn serialize<S: Serializer>(ranks: &Ranks, serializer: S) -> Result<S::Ok, S::Error> {
        Short { i2t: &ranks.image_to_text, t2i: &ranks.text_to_image }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ranks, D::Error> {
        let Short { i2t, t2i } = Short::<Vec<u32>>::deserialize(deserializer)?;
        Ok(Ranks { image_to_text: i2t, text_to_image: t2i })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{Embeddings, Level, Protocol, Scoring, Similarity};

    /// Three images with captions and one without, four captions; `tilt` moves the captions.
    pub(crate) fn report(model: &str, tilt: f32) -> Report {
        let images = [1.0, 0.0, 0.0, 1.0, 0.5, 0.5, 0.7, 0.3];
        let captions = [1.0, tilt, tilt, 1.0, 0.7, 0.3, 0.6, 0.35];
        let level = Level { images: &images, captions: &captions, dim: 2 };
        let embeddings = Embeddings { abstract_level: level, grounded_level: None };
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
        assert_eq!(json["left_out"], serde_json::json!(["lonely.jpg"]));
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
        assert!(text.contains("left out, no caption: 1 images (lonely.jpg)"));
    }

    #[test]
    fn files_round_trip_and_foreign_json_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (report, path) = (report("m", 0.1), folder.path().join("r.json"));
        report.write(&path).unwrap();
        assert_eq!(Report::read(&path).unwrap(), report);
        let refused = |text: &str| Report::from_json(text, "x.json").unwrap_err();
        assert!(refused("{\"images\":[],\"dataset\":1}").to_string().contains("an object with keys images, dataset"));
        assert!(refused("[1]").hint().unwrap().contains("gxn evaluate"));
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

    #[test]
    fn dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_795_455_021), "2026-11-23T17:30:21Z");
    }
}
