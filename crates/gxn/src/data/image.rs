//! Pictures: decoding, orientation, colour, and the resize rule that belongs to a set of weights.

use serde::{Deserialize, Serialize};

/// How a picture becomes a square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeRule {
    /// Both sides to `side_px`, aspect ratio given up.
    Stretch,
    /// Shorter side to `shorter_px`, then the central square of `side_px`.
    ShorterThenCentre {
        /// Length of the shorter side before the crop.
        shorter_px: u32,
    },
}

/// Everything between a decoded RGB picture and the network's input. It belongs to the weights and travels with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Side of the square input.
    pub side_px: u32,
    /// How the square is made.
    pub resize: ResizeRule,
    /// Interpolation.
    pub filter: Filter,
    /// Subtracted from RGB values in 0..=255.
    pub mean: [f32; 3],
    /// Divides what is left.
    pub std: [f32; 3],
}

/// Interpolation kernels. Both are antialiased when shrinking (as Pillow's are).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Triangle.
    Bilinear,
    /// Catmull-Rom, a = −0.5.
    Bicubic,
}
