//! How a text and an image are compared: the training similarity and the space of the embeddings.

use crate::kernel::Measure;
use gxn_base::{Error, Result};
use serde::{Deserialize, Serialize};

/// The similarity that the model was trained with; it compares a text with an image at one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Metric {
    /// s = ⟨v, t⟩; the embeddings are expected to have unit length.
    Cosine,
    /// s = −‖max(0, a − b)‖² (paper §3.2).
    Order {
        /// True: a is the image and b the caption, as the paper prints it. False: the other way round.
        image_minus_caption: bool,
    },
}

impl Metric {
    /// What a kernel sums when the stored rows are of the side `rows_are` and the query of the other.
    pub fn measure(self, rows_are: Side) -> Measure {
        match self {
            Self::Cosine => Measure::Dot,
            Self::Order { image_minus_caption } => {
                if image_minus_caption == (rows_are == Side::Image) {
                    Measure::RowAboveQuery
                } else {
                    Measure::QueryAboveRow
                }
            }
        }
    }
}

/// The two sides of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Images.
    Image,
    /// Captions.
    Caption,
}

impl Side {
    /// `images` or `captions`.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Image => "images",
            Self::Caption => "captions",
        }
    }
}

/// The joint space of an index: rows are `[h ; l]`, the abstract and the grounded embedding of one item.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Space {
    /// The training similarity.
    pub metric: Metric,
    /// Weight λ of the abstract level, 0 to 1: s* = λ s_h + (1 − λ) s_l.
    pub lambda: f32,
    /// Values of h, at least 1.
    pub dims_abstract: usize,
    /// Values of l; 0 for a model with the abstract level alone, whose λ is 1.
    pub dims_grounded: usize,
}

impl Space {
    /// Values of a row.
    pub fn dims(&self) -> usize {
        self.dims_abstract + self.dims_grounded
    }

    /// Checks what the field docs say.
    ///
    /// # Errors
    /// If λ or a width is out of range.
    pub fn check(&self) -> Result<()> {
        let largest = 1 << 24;
        if self.dims_abstract == 0 || self.dims_abstract > largest || self.dims_grounded > largest {
            let found = format!("{} + {} values", self.dims_abstract, self.dims_grounded);
            return Err(Error::invalid("width of the embeddings", found, format!("1 to {largest} + 0 to {largest}")));
        }
        if !(0.0..=1.0).contains(&self.lambda) {
            return Err(Error::invalid("λ", self.lambda.to_string(), "0 to 1"));
        }
        if self.dims_grounded == 0 && self.lambda != 1.0 {
            return Err(Error::invalid("λ", self.lambda.to_string(), "1, as there is no grounded embedding"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paper's v − t: over image rows the row is the minuend, over caption rows the query is.
    #[test]
    fn orientation_follows_the_side() {
        let paper = Metric::Order { image_minus_caption: true };
        assert_eq!(paper.measure(Side::Image), Measure::RowAboveQuery);
        assert_eq!(paper.measure(Side::Caption), Measure::QueryAboveRow);
        let swapped = Metric::Order { image_minus_caption: false };
        assert_eq!(swapped.measure(Side::Image), Measure::QueryAboveRow);
        assert_eq!(swapped.measure(Side::Caption), Measure::RowAboveQuery);
        assert_eq!(Metric::Cosine.measure(Side::Image), Measure::Dot);
    }

    #[test]
    fn check_refuses_what_cannot_be() {
        let good = Space { metric: Metric::Cosine, lambda: 0.5, dims_abstract: 2, dims_grounded: 2 };
        good.check().unwrap();
        for bad in [
            Space { lambda: f32::NAN, ..good },
            Space { lambda: 1.5, ..good },
            Space { dims_abstract: 0, ..good },
            Space { dims_grounded: 0, ..good },
            Space { dims_grounded: usize::MAX, ..good },
        ] {
            bad.check().unwrap_err();
        }
    }
}
