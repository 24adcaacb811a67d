//! [`Similarity`] and [`Modality`]: how two embeddings are compared, and which of the two is meant.

use serde::{Deserialize, Serialize};

/// How an image embedding v and a caption embedding t are compared; larger is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Similarity {
    /// −‖max(0, v − t)‖² (paper §3.2).
    Order,
    /// −‖max(0, t − v)‖², the direction of the order-embeddings code.
    OrderReversed,
    /// Cosine.
    Cosine,
}

/// Which of the two things that are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    /// Images.
    Image,
    /// Captions, and texts as queries.
    Text,
}

impl Modality {
    /// `images` or `captions`.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Image => "images",
            Self::Text => "captions",
        }
    }
}
