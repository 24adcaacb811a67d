//! [`Agreement`]: how well a model's scores order images and captions as people do.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::embeddings::{Scoring, similarity_name};
use crate::judgements::{JudgementKind, Judgements};
use crate::metrics::Kendall;
use crate::report::{About, now};
use gxn_base::fs::write_text;
use gxn_base::words::counted;
use gxn_base::{Error, Result};

/// The agreement of a model's scores with judgements, and what was left out of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    format: String,
    version: u32,
    /// The dataset's name.
    pub dataset: String,
    /// The model.
    pub model: String,
    /// The file of judgements.
    pub judgements: String,
    /// What its numbers are.
    pub kind: JudgementKind,
    /// Pairs in the file.
    pub judged_pairs: usize,
    /// Pairs that count.
    pub pairs: usize,
    /// Judgements of them that count: each rating on its own, or each share.
    pub values: usize,
    /// τ-b and τ-c of scores and judgements.
    #[serde(flatten)]
    pub tau: Kendall,
    /// Pairs that were left out, by reason.
    pub left_out: BTreeMap<String, usize>,
    /// The similarity's name.
    pub similarity: String,
    /// Weight of the abstract level.
    pub lambda: f32,
    /// Hash of the data, if it is known.
    pub data_sha: Option<String>,
    /// When this was made: UTC, RFC 3339.
    pub created: String,
}

impl Agreement {
    /// The agreement over the pairs that have a score: their places among the judgements, with the scores. `left_out` says why the
    /// others have none.
    ///
    /// # Errors
    /// When no pair has a score, or all scores or all judgements are equal.
    pub fn new(
        about: About,
        judgements: &Judgements,
        scored: &[(usize, f32)],
        left_out: BTreeMap<String, usize>,
        scoring: Scoring,
    ) -> Result<Self> {
        let values: Vec<(f64, f64)> = (scored.iter())
            .flat_map(|&(pair, score)| judgements.pairs[pair].values.iter().map(move |&value| (score.into(), value)))
            .collect();
        let Some(tau) = Kendall::of(&values) else {
            let found = if scored.is_empty() {
                format!("no pair that counts ({})", reasons(&left_out))
            } else {
                "judgements or scores that are all equal".to_owned()
            };
            return Err(Error::invalid(&judgements.name, found, "judged pairs of images and captions of the data"));
        };
        Ok(Self {
            format: "gxn-agreement".into(),
            version: 1,
            dataset: about.dataset,
            model: about.model,
            judgements: judgements.name.clone(),
            kind: judgements.kind,
            judged_pairs: judgements.pairs.len(),
            pairs: scored.len(),
            values: values.len(),
            tau,
            left_out,
            similarity: similarity_name(scoring.similarity).into(),
            lambda: scoring.lambda,
            data_sha: about.data_sha,
            created: now(),
        })
    }

    /// The JSON.
    ///
    /// # Errors
    /// When a number cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        let json = serde_json::to_string_pretty(self)
            .map_err(|error| Error::invalid("agreement", error.to_string(), "numbers fit for JSON"))?;
        Ok(json + "\n")
    }

    /// Writes the JSON, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_text(path, &self.to_json()?)
    }

    /// The result for people.
    pub fn text(&self) -> String {
        let kind = match self.kind {
            JudgementKind::Ratings => "ratings, each on its own",
            JudgementKind::Share => "the share of yes",
        };
        let mut out = format!(
            "{}: agreement with {} ({kind})\nmodel {}, similarity {}, lambda {}\n\nKendall's tau-b {:.4}\nKendall's tau-c {:.4}\n",
            self.dataset, self.judgements, self.model, self.similarity, self.lambda, self.tau.tau_b, self.tau.tau_c
        );
        let (pairs, values) = (counted(self.pairs, "pair"), counted(self.values, "judgement"));
        out += &format!("over {pairs} of {} with {values}\n", self.judged_pairs);
        if !self.left_out.is_empty() {
            out += &format!("left out: {}\n", reasons(&self.left_out));
        }
        out
    }
}

/// `3 the image is not in the data, 1 …`.
fn reasons(left_out: &BTreeMap<String, usize>) -> String {
    left_out.iter().map(|(reason, count)| format!("{count}: {reason}")).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judgements::JudgedPair;
    use gxn_base::Similarity;

    fn judged(values: &[&[f64]]) -> Judgements {
        let pair = |values: &&[f64]| JudgedPair { image: "i".into(), caption: "c".into(), values: values.to_vec() };
        Judgements { name: "j.txt".into(), kind: JudgementKind::Ratings, pairs: values.iter().map(pair).collect() }
    }

    fn agreement(judgements: &Judgements, scored: &[(usize, f32)]) -> Result<Agreement> {
        let left_out = BTreeMap::from([("the image is not in the data".to_owned(), 1)]);
        let scoring = Scoring { similarity: Similarity::Cosine, lambda: 1.0 };
        Agreement::new(About { dataset: "d".into(), ..About::default() }, judgements, scored, left_out, scoring)
    }

    /// Scores .1 .1 .2 of ratings 1 2 2, given as two pairs with two and one ratings: the worked τ of the metric.
    #[test]
    fn ratings_count_each_on_its_own() {
        let judgements = judged(&[&[1.0, 2.0], &[9.0], &[2.0]]);
        let found = agreement(&judgements, &[(0, 0.1), (2, 0.2)]).unwrap();
        assert!((found.tau.tau_b - 0.5).abs() < 1e-12 && (found.tau.tau_c - 4.0 / 9.0).abs() < 1e-12);
        assert_eq!((found.judged_pairs, found.pairs, found.values), (3, 2, 3));
        let text = found.text();
        let expected =
            "tau-b 0.5000\nKendall's tau-c 0.4444\nover 2 pairs of 3 with 3 judgements\nleft out: 1: the image is not";
        assert!(text.contains(expected), "{text}");
        let json: serde_json::Value = serde_json::from_str(&found.to_json().unwrap()).unwrap();
        assert_eq!(
            (&json["format"], &json["left_out"]["the image is not in the data"]),
            (&"gxn-agreement".into(), &1.into())
        );
        assert!((json["tau_b"].as_f64().unwrap() - 0.5).abs() < 1e-12 && json["kind"] == "ratings", "{json}");
    }

    #[test]
    fn nothing_to_order_is_refused() {
        let judgements = judged(&[&[1.0], &[2.0]]);
        let error = |scored: &[(usize, f32)]| agreement(&judgements, scored).unwrap_err().to_string();
        assert!(error(&[]).contains("no pair that counts (1: the image is not in the data)"), "{}", error(&[]));
        assert!(error(&[(0, 0.5), (1, 0.5)]).contains("all equal"));
    }
}
