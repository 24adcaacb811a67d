//! [`Space`]: the joint space of the embeddings, and the similarity they were trained with.

use gxn_base::{Error, Result, Similarity};
use serde::{Deserialize, Serialize};

/// The joint space of an index: rows are `[h ; l]`, the abstract and the grounded embedding of one item.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Space {
    /// The training similarity; on disk under its older name and form.
    #[serde(rename = "metric", with = "stored")]
    pub similarity: Similarity,
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

    /// Checks the ranges in the field docs.
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

/// Format 2 tags order similarity with its direction.
mod stored {
    use super::*;
    use serde::{Deserializer, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(tag = "name", rename_all = "snake_case")]
    enum Stored {
        Cosine,
        Order { image_minus_caption: bool },
    }

    pub(super) fn serialize<S: Serializer>(similarity: &Similarity, to: S) -> std::result::Result<S::Ok, S::Error> {
        let stored = match similarity {
            Similarity::Cosine => Stored::Cosine,
            Similarity::Order => Stored::Order { image_minus_caption: true },
            Similarity::OrderReversed => Stored::Order { image_minus_caption: false },
        };
        stored.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Similarity, D::Error> {
        Ok(match Stored::deserialize(from)? {
            Stored::Cosine => Similarity::Cosine,
            Stored::Order { image_minus_caption: true } => Similarity::Order,
            Stored::Order { image_minus_caption: false } => Similarity::OrderReversed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_similarity_is_stored_as_format_2_has_it() {
        for (similarity, json) in [
            (Similarity::Cosine, r#"{"name":"cosine"}"#),
            (Similarity::Order, r#"{"name":"order","image_minus_caption":true}"#),
            (Similarity::OrderReversed, r#"{"name":"order","image_minus_caption":false}"#),
        ] {
            let space = Space { similarity, lambda: 1.0, dims_abstract: 1, dims_grounded: 0 };
            let written = serde_json::to_string(&space).unwrap();
            assert!(written.starts_with(&format!(r#"{{"metric":{json}"#)), "{written}");
            assert_eq!(serde_json::from_str::<Space>(&written).unwrap(), space);
        }
    }

    #[test]
    fn check_refuses_what_cannot_be() {
        let good = Space { similarity: Similarity::Cosine, lambda: 0.5, dims_abstract: 2, dims_grounded: 2 };
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
