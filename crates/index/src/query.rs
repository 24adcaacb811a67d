//! A query of weighted parts, and the kernel work that answers it.

use crate::kernel::{Element, Kernel, Measure};
use crate::space::Space;
use gxn_base::{Error, Modality, Remedy, Result};
use serde::Serialize;
use std::ops::Range;

/// How a part compares with the stored rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// A text with an image, either way: the training similarity, λ s_h + (1 − λ) s_l.
    Cross,
    /// An image with an image, or a text with a text: the cosine of the whole `[h ; l]`.
    Same,
}

/// One part of a query. An item's total score is Σ wᵢ · scoreᵢ(item).
#[derive(Clone, Copy, Debug)]
pub struct QueryPart<'a> {
    /// The embedding `[h ; l]`, as the encoder gives it.
    pub vector: &'a [f32],
    /// Weight w; negative to move away from this part.
    pub weight: f32,
    /// What is compared.
    pub kind: PartKind,
}

/// The share of each level in a score; their sum is the score up to rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LevelScores {
    /// What the abstract embeddings (h) contribute, weights and λ included.
    pub abstract_level: f32,
    /// What the grounded embeddings (l) contribute.
    pub grounded_level: f32,
}

/// `factor` times a measure of some columns of a row with a vector.
#[derive(Clone, Debug)]
pub struct Term {
    /// What is summed.
    pub measure: Measure,
    /// The columns of the row.
    pub columns: Range<usize>,
    /// One value for each column.
    pub vector: Vec<f32>,
    /// What the measure is multiplied by.
    pub factor: f32,
    /// Divide by the length of the whole row.
    pub by_length: bool,
}

/// A query made ready for a scan: all parts that are dot products are folded into one vector for each kind.
#[derive(Clone, Debug)]
pub struct Plan {
    terms: Vec<Term>,
    dims_abstract: usize,
}

impl Plan {
    /// Prepares `parts` for rows of the modality `rows_are`.
    ///
    /// # Errors
    /// If there is no part, or a part has the wrong number of values, or a weight or value that is not finite.
    pub fn new(space: &Space, rows_are: Modality, parts: &[QueryPart<'_>]) -> Result<Self> {
        if parts.is_empty() {
            return Err(Error::invalid("query", "no parts", "at least one text or image"));
        }
        let (split, dims) = (space.dims_abstract, space.dims());
        let levels = [(0..split, space.lambda), (split..dims, 1.0 - space.lambda)];
        let mut cross_dot = vec![0.0f32; dims];
        let mut same_dot = vec![0.0f32; dims];
        let mut terms = Vec::new();
        for (number, part) in (1..).zip(parts) {
            check_part(number, part, dims)?;
            match (part.kind, Measure::of(space.similarity, rows_are)) {
                (PartKind::Cross, Measure::Dot) => {
                    for (columns, level_weight) in levels.clone() {
                        for at in columns {
                            cross_dot[at] += part.weight * level_weight * part.vector[at];
                        }
                    }
                }
                (PartKind::Cross, measure) => {
                    for (columns, level_weight) in levels.clone() {
                        let factor = -part.weight * level_weight;
                        if factor != 0.0 && !columns.is_empty() {
                            let vector = part.vector[columns.clone()].to_vec();
                            terms.push(Term { measure, columns, vector, factor, by_length: false });
                        }
                    }
                }
                (PartKind::Same, _) => {
                    let scale = part.weight * inverse_length(part.vector);
                    for (sum, &value) in same_dot.iter_mut().zip(part.vector) {
                        *sum += scale * value;
                    }
                }
            }
        }
        for (vector, by_length) in [(cross_dot, false), (same_dot, true)] {
            if vector.iter().any(|&v| v != 0.0) {
                terms.push(Term { measure: Measure::Dot, columns: 0..dims, vector, factor: 1.0, by_length });
            }
        }
        // One order for every mix of queries, so that sums round alike.
        terms.sort_by_key(Term::key);
        Ok(Self { terms, dims_abstract: split })
    }

    /// What is added up for each row.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// True for rows of at least the width that the plan was made for.
    pub(crate) fn fits(&self, dims: usize) -> bool {
        self.terms.iter().all(|term| term.columns.end <= dims)
    }

    /// The two levels' shares in the score of `row`.
    pub fn level_scores<E: Element>(&self, row: &[E], inverse_length: f32) -> LevelScores {
        let kernel = Kernel::best();
        let mut shares = LevelScores::default();
        for term in &self.terms {
            let factor = if term.by_length { term.factor * inverse_length } else { term.factor };
            let border = self.dims_abstract.clamp(term.columns.start, term.columns.end);
            let (low, high) = term.vector.split_at(border - term.columns.start);
            shares.abstract_level += factor * kernel.pair(term.measure, &row[term.columns.start..border], low);
            shares.grounded_level += factor * kernel.pair(term.measure, &row[border..term.columns.end], high);
        }
        shares
    }
}

impl Term {
    /// Terms of equal keys, of any queries, can share one pass over the rows.
    pub(crate) fn key(&self) -> (Measure, usize, usize, bool) {
        (self.measure, self.columns.start, self.columns.end, self.by_length)
    }
}

/// 1 / ‖v‖, summed in f64; 0 for the zero vector, whose cosine with anything counts as 0.
pub fn inverse_length<E: Element>(vector: &[E]) -> f32 {
    let square: f64 = vector.iter().map(|v| f64::from(v.to_f32()).powi(2)).sum();
    if square > 0.0 { (1.0 / square.sqrt()) as f32 } else { 0.0 }
}

fn check_part(number: usize, part: &QueryPart<'_>, dims: usize) -> Result<()> {
    let what = || format!("part {number} of the query");
    if part.vector.len() != dims {
        let found = format!("{} values", part.vector.len());
        return Err(Error::invalid(what(), found, format!("{dims} values, as the index has"))
            .with_remedy(Remedy::NameIndexModel));
    }
    if !part.weight.is_finite() {
        return Err(Error::invalid(format!("weight of {}", what()), part.weight.to_string(), "a finite number"));
    }
    if let Some((at, value)) = part.vector.iter().enumerate().find(|(_, v)| !v.is_finite()) {
        return Err(Error::invalid(format!("value {at} of {}", what()), value.to_string(), "a finite number")
            .with_hint("the encoder returned NaN or infinity: check the model's weights"));
    }
    Ok(())
}
