//! [`Family`]: which kind of encoder a folder holds.

use std::fmt;

/// A kind of encoder: each has its own layers, tokens and treatment of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// Images and texts: OpenAI's CLIP and what has its shape (OpenCLIP, LAION, RemoteCLIP).
    Clip,
    /// Images and texts: SigLIP and SigLIP 2 of fixed resolution.
    Siglip,
    /// Images only.
    Dinov2,
    /// Texts only: sentence encoders of BERT's shape, such as MiniLM.
    Bert,
    /// Another one, whose layers are in an ONNX file.
    Other,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clip => "CLIP",
            Self::Siglip => "SigLIP",
            Self::Dinov2 => "DINOv2",
            Self::Bert => "BERT",
            Self::Other => "another kind (ONNX)",
        })
    }
}
