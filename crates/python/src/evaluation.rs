//! `gxn.evaluate` and `gxn.caption_scores`.

use std::collections::BTreeMap;

use gxn_base::{Error, Similarity};
use gxn_eval::metrics::{Bootstrap, CaptionScores, ImageScores};
use gxn_eval::{About, Embeddings, Judging, LevelEmbeddings, Protocol, RelevanceRule, Report, Scoring};
use pyo3::prelude::*;

use crate::arrays::Rows;
use crate::errors::exception;

/// The report of embeddings, as JSON; see `gxn.evaluate`.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the package's function has them by name")]
pub fn evaluate(
    py: Python<'_>,
    images: &Bound<'_, PyAny>,
    captions: &Bound<'_, PyAny>,
    caption_image: Vec<usize>,
    similarity: &str,
    levels: usize,
    lambda: f64,
    protocol: &str,
    pairs: Vec<(usize, usize)>,
    ties: &str,
    drop_unpaired: bool,
    seed: u64,
) -> PyResult<String> {
    let similarity = match similarity {
        "cosine" => Similarity::Cosine,
        "order" => Similarity::Order,
        "order_reversed" => Similarity::OrderReversed,
        other => {
            let expected = "cosine, order or order_reversed";
            return Err(exception(Error::invalid("similarity", format!("`{other}`"), expected)));
        }
    };
    let (images, captions) = (Rows::of(images)?, Rows::of(captions)?);
    let widths = [images.width, captions.width];
    if !(1..=2).contains(&levels) || widths[0] != widths[1] || !widths[0].is_multiple_of(levels) {
        let found = format!("images of {} and captions of {} values with {levels} levels", widths[0], widths[1]);
        return Err(exception(Error::invalid("the embeddings", found, "one width, which 1 or 2 levels divide")));
    }
    let rows = images.count;
    let ((dim, v_h, v_l), (_, t_h, t_l)) = (images.levels(levels), captions.levels(levels));
    let relevance = match pairs.is_empty() {
        true => RelevanceRule::Own,
        false => RelevanceRule::Judged { name: "given pairs".into(), pairs },
    };
    let (protocol, ties) = (protocol.to_owned(), ties.to_owned());
    py.detach(move || {
        let embeddings = Embeddings {
            abstract_level: LevelEmbeddings { images: &v_h, captions: &t_h, dim },
            grounded_level: v_l.as_ref().zip(t_l.as_ref()).map(|(images, captions)| LevelEmbeddings {
                images,
                captions,
                dim,
            }),
            hubness: None,
        };
        let judging = Judging { relevance, ties: ties.parse()?, drop_unpaired };
        let scoring = Scoring { similarity, lambda: lambda as f32 };
        let protocol: Protocol = protocol.parse()?;
        let evaluation = protocol.evaluate_by(rows, &caption_image, &embeddings, scoring, &judging)?;
        let ids: Vec<String> = (0..rows).map(|row| row.to_string()).collect();
        let about = About { dataset: "arrays".into(), split: "given".into(), ..About::default() };
        Report::new(&evaluation, &ids, about, Bootstrap { seed, ..Bootstrap::default() })?.to_json()
    })
    .map_err(exception)
}

type Scores = BTreeMap<&'static str, f64>;

/// Totals, and the scores of each caption; see `gxn.caption_scores`.
#[pyfunction]
pub fn caption_scores(
    py: Python<'_>,
    candidates: Vec<String>,
    references: Vec<Vec<String>>,
    corpus: Option<Vec<Vec<String>>>,
) -> PyResult<(Scores, Vec<Scores>)> {
    let scores = py.detach(|| CaptionScores::of(&candidates, &references, corpus.as_deref())).map_err(exception)?;
    let CaptionScores { bleu, rouge_l, cider, cider_d, images } = scores;
    let total = named(ImageScores { bleu, rouge_l, cider, cider_d });
    Ok((total, images.into_iter().map(named).collect()))
}

/// Scores by the names of pycocoevalcap.
fn named(scores: ImageScores) -> Scores {
    let names = ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4"];
    let mut named: Scores = names.into_iter().zip(scores.bleu).collect();
    named.extend([("ROUGE_L", scores.rouge_l), ("CIDEr", scores.cider)]);
    named.extend(scores.cider_d.map(|cider_d| ("CIDEr-D", cider_d)));
    named
}
