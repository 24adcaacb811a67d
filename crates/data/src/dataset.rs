//! [`Dataset`]: pictures, their captions and their splits, whatever format they came from.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::image::ContentHash;
use gxn_base::{Error, Result};

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

impl Split {
    /// All three, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];
}

impl FromStr for Split {
    type Err = Error;

    /// `train`, `val` (also `valid`, `validation`, `dev`) or `test`, in any case.
    fn from_str(text: &str) -> Result<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "train" | "training" => Ok(Self::Train),
            "val" | "valid" | "validation" | "dev" => Ok(Self::Val),
            "test" => Ok(Self::Test),
            _ => Err(Error::invalid("a split", format!("{text:?}"), "train, val or test")),
        }
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
    /// SHA-256 of its bytes, where reading the source needed it (splits by content); else `None`.
    pub content: Option<ContentHash>,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// Of what was left out the ids of pictures that could not be read, and folders of them (`2024` for every `2024/…`):
    /// they are not known to be gone.
    pub unread: Vec<String>,
}

impl Dataset {
    /// Positions of the images of `split`, ascending.
    pub fn split_indices(&self, split: Split) -> Vec<usize> {
        (0..self.images.len()).filter(|&at| self.images[at].split == split).collect()
    }

    /// Positions of the captions of the image at `image`.
    pub fn captions_of(&self, image: usize) -> Range<usize> {
        let start = self.captions.partition_point(|caption| caption.image < image);
        start..start + self.captions[start..].partition_point(|caption| caption.image == image)
    }

    /// Positions of the captions whose image belongs to `split`, ascending.
    pub fn captions_in(&self, split: Split) -> impl Iterator<Item = usize> + '_ {
        (0..self.captions.len()).filter(move |&at| self.images[self.captions[at].image].split == split)
    }

    /// SHA-256 over ids, splits and texts in order, in 64 hexadecimal digits: two results with the same hash were
    /// computed on the same data. Pictures enter by their ids and by their number of bytes, not by their pixels.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes()); // lengths keep ("ab", "c") apart from ("a", "bc")
            hash.update(text);
        };
        for (at, image) in self.images.iter().enumerate() {
            add(&image.id);
            add(&image.split.to_string());
            add(&image.source.byte_count().unwrap_or(0).to_string());
            for caption in &self.captions[self.captions_of(at)] {
                add(&caption.id);
                add(&caption.text);
            }
            add("");
        }
        ContentHash(hash.finalize().into()).to_string()
    }

    /// Checks what the rest of the library relies on: ids are unique and not empty, every caption belongs to an image,
    /// captions are sorted by image, none is empty.
    ///
    /// # Errors
    /// Names the first offender.
    pub fn validate(&self) -> Result<()> {
        let wrong =
            |found: String, expected: &str| Err(Error::invalid(format!("data set {}", self.name), found, expected));
        let mut ids = HashSet::new();
        for image in &self.images {
            if image.id.is_empty() || !ids.insert(image.id.as_str()) {
                return wrong(format!("the image id {:?} twice or empty", image.id), "unique image ids");
            }
        }
        ids.clear();
        let mut last = 0;
        for caption in &self.captions {
            if caption.id.is_empty() || !ids.insert(caption.id.as_str()) {
                return wrong(format!("the caption id {:?} twice or empty", caption.id), "unique caption ids");
            }
            if caption.image >= self.images.len() {
                return wrong(
                    format!("caption {} of image number {}", caption.id, caption.image),
                    "captions of images",
                );
            }
            if caption.image < last {
                return wrong(format!("caption {} after a later image's", caption.id), "captions sorted by image");
            }
            if caption.text.trim().is_empty() {
                return wrong(format!("the empty caption {}", caption.id), "captions with text");
            }
            last = caption.image;
        }
        Ok(())
    }

    /// The images of `keep` with their captions, in the given order; positions in captions are renumbered.
    ///
    /// # Panics
    /// When a position lies outside [`Dataset::images`].
    pub fn subset(&self, keep: &[usize]) -> Self {
        let mut part = Self { name: self.name.clone(), format: self.format.clone(), ..Self::default() };
        for (new, &old) in keep.iter().enumerate() {
            part.images.push(self.images[old].clone());
            let captions = &self.captions[self.captions_of(old)];
            part.captions.extend(captions.iter().map(|caption| Caption { image: new, ..caption.clone() }));
        }
        part
    }
}

#[cfg(test)]
#[path = "dataset_tests.rs"]
mod tests;
