//! [`Dataset`]: pictures, their captions and their splits, whatever format they came from.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Which part of the data an image belongs to. Captions follow their image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Used for gradient steps and for the vocabulary.
    Train,
    /// Used for choosing hyper-parameters and the best epoch.
    Val,
    /// Looked at once.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        })
    }
}

/// Where the encoded bytes of a picture lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// A file of its own.
    File(PathBuf),
    /// A member of a tar archive (webdataset).
    TarMember {
        /// The archive.
        archive: PathBuf,
        /// The member's name.
        member: String,
        /// Where the member's bytes start in the archive.
        offset: u64,
        /// How many bytes it has.
        length: u64,
    },
}

/// One picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Stable id, unique in the data set: the id given by the source, else the path below the root.
    pub id: String,
    /// Where its bytes are.
    pub source: ImageSource,
    /// Its split.
    pub split: Split,
    /// The source's further columns, kept for the index's payload.
    pub meta: serde_json::Map<String, serde_json::Value>,
}

/// One sentence that belongs to a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// Stable id, unique in the data set: the id given by the source, else `IMAGE_ID#K`.
    pub id: String,
    /// Position of its picture in [`Dataset::images`].
    pub image: usize,
    /// The text as given, trimmed.
    pub text: String,
}

/// Something that was left out while reading, and why. Never silent: callers print the count and the names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// What: a path, a line, a member.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// Pictures with captions and splits.
///
/// Captions are sorted by image and stand in the source's order within an image. Images keep the source's order.
#[derive(Debug, Clone, Default)]
pub struct Dataset {
    /// A short name, usually the file's or folder's stem.
    pub name: String,
    /// The format it was read as, such as "Karpathy JSON".
    pub format: String,
    /// The pictures.
    pub images: Vec<Image>,
    /// The sentences.
    pub captions: Vec<Caption>,
    /// What was left out.
    pub dropped: Vec<Dropped>,
}
