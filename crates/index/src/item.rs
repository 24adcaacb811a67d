//! What the index knows of each item.

use gxn_base::Modality;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// An indexed image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageItem {
    /// Unique among the images of an index; of a folder's images, the path in it.
    pub id: String,
    /// Path of the image file, as the caller wants to show it.
    pub path: String,
    /// Lower-case hex SHA-256 of the image file. Items of equal content share one row. Empty if it is not known:
    /// such an item has a row of its own.
    pub sha256: String,
    /// Size of the file in bytes; 0 if it is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size: u64,
    /// When the file was changed, in milliseconds since 1970-01-01 UTC; 0 if it is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mtime_unix_ms: i64,
    /// What else tells the file from another one; `None` if it is not known, as in indexes of version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileIdentity>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The caller's own columns.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub meta: serde_json::Map<String, serde_json::Value>,
}

/// What tells a file from another one of equal size and time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    /// The time when it was changed, its nanoseconds within the second.
    pub mtime_nanos: u32,
    /// When the file or its name was changed, in nanoseconds since 1970-01-01 UTC, modulo 2⁶⁴; 0 if it is not known.
    pub ctime_unix_ns: i64,
    /// Number of the file in its file system; 0 if it is not known.
    pub inode: u64,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// An indexed caption.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CaptionItem {
    /// Unique among the captions of an index.
    pub id: String,
    /// Id of the image it belongs to, which the index must hold too.
    pub image_id: String,
    /// The caption's words as written.
    pub text: String,
}

/// What both kinds of items have in common.
pub(crate) trait Item: Serialize + DeserializeOwned {
    const MODALITY: Modality;

    fn id(&self) -> &str;

    /// Key of the content: equal contents have one row. Empty: no other item has it.
    fn content(&self) -> Cow<'_, str>;

    /// The image that the item belongs to.
    fn image_id(&self) -> Option<&str>;
}

impl Item for ImageItem {
    const MODALITY: Modality = Modality::Image;

    fn id(&self) -> &str {
        &self.id
    }

    fn content(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.sha256)
    }

    fn image_id(&self) -> Option<&str> {
        None
    }
}

impl Item for CaptionItem {
    const MODALITY: Modality = Modality::Text;

    fn id(&self) -> &str {
        &self.id
    }

    fn content(&self) -> Cow<'_, str> {
        Cow::Owned(text_content(&self.text))
    }

    fn image_id(&self) -> Option<&str> {
        Some(&self.image_id)
    }
}

/// The content key of a caption's text: its SHA-256 in hex. Captions of equal text share one row.
pub fn text_content(text: &str) -> String {
    gxn_base::words::hex(Sha256::digest(text.as_bytes()))
}
