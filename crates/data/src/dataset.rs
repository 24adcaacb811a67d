//! [`Dataset`]: images, their captions and their splits, whatever format they came from.

use std::collections::HashSet;
use std::ops::Range;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::account::Account;
use super::image_source::{ContentHash, ImageSource};
use super::split::Split;
use gxn_base::{Error, Result};

/// One image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Image {
    /// Stable id, unique in the dataset: the id given by the source, else the path below the root.
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

/// One sentence that belongs to an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Caption {
    /// Stable id, unique in the dataset: the id given by the source, else `IMAGE_ID#K`.
    pub id: String,
    /// Position of its image in [`Dataset::images`].
    pub image: usize,
    /// The text as given, trimmed.
    pub text: String,
}

/// Images with captions and splits.
///
/// Captions are sorted by image and stand in the source's order within an image. Images keep the source's order.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Dataset {
    /// A short name, usually the file's or folder's stem.
    pub name: String,
    /// The format it was read as, such as "Karpathy JSON".
    pub format: String,
    /// The images.
    pub images: Vec<Image>,
    /// The sentences.
    pub captions: Vec<Caption>,
    /// What the source holds beside them, and why it is not used.
    pub account: Account,
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
    /// computed on the same data. Images enter by their ids and by their number of bytes, not by their pixels.
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
            |found: String, expected: &str| Err(Error::invalid(format!("dataset {}", self.name), found, expected));
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

    /// The images of `keep` with their captions, in the given order; positions in captions are renumbered. The account stays
    /// with the whole.
    ///
    /// # Panics
    /// When a position lies outside [`Dataset::images`].
    pub fn subset(&self, keep: &[usize]) -> Self {
        let account = self.account.later();
        let mut part = Self { name: self.name.clone(), format: self.format.clone(), account, ..Self::default() };
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
