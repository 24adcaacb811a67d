//! [`ImageSource`]: where the encoded bytes of an image lie, and [`ContentHash`]: what they are.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::decode_command::DecodeCommand;
use super::file_stamp::FileStamp;
use super::parquet_cell::ParquetCell;
use super::undecoded::need_command;
use gxn_base::{Error, Result};

/// How names of image files end, in lower case. Only for finding files: the bytes tell the format.
pub(super) const EXTENSIONS: [&str; 10] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// Whether the name ends like an image's, in any case.
pub fn has_image_extension(name: &Path) -> bool {
    name.extension().is_some_and(|extension| is_image_extension(&extension.to_string_lossy()))
}

/// Whether image files end in `.extension`, in any case.
pub(super) fn is_image_extension(extension: &str) -> bool {
    EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
}

/// Where the encoded bytes of an image lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
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
    /// A cell of a Parquet file.
    ParquetCell(ParquetCell),
    /// Another source, read through a command if it is of a format that is not decoded here.
    Converted {
        /// What is read.
        source: Box<ImageSource>,
        /// What makes an image of it.
        command: DecodeCommand,
    },
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::TarMember { archive, member, .. } => write!(f, "{}!{member}", archive.display()),
            Self::ParquetCell(cell) => write!(f, "{cell}"),
            Self::Converted { source, .. } => write!(f, "{source}"),
        }
    }
}

impl ImageSource {
    /// The file that holds the bytes.
    pub fn file(&self) -> &Path {
        match self {
            Self::File(path) | Self::TarMember { archive: path, .. } => path,
            Self::ParquetCell(cell) => cell.file(),
            Self::Converted { source, .. } => source.file(),
        }
    }

    /// The image's own file name, as far as it has one; it may be empty.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::File(path) => path.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default(),
            Self::TarMember { member, .. } => member,
            Self::ParquetCell(cell) => cell.name(),
            Self::Converted { source, .. } => source.name(),
        }
    }

    /// As many bytes as tell the format.
    pub(super) fn first_bytes(&self) -> Result<Vec<u8>> {
        let Self::File(path) = self else { return self.read() };
        let mut start = Vec::new();
        let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut start));
        read.map(|_| start).map_err(|error| Error::io("cannot read", path, error))
    }

    /// Number of encoded bytes; of a cell of a Parquet file the mean of its row group.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn byte_count(&self) -> Result<u64> {
        match self {
            Self::File(path) => {
                std::fs::metadata(path).map(|meta| meta.len()).map_err(|error| Error::io("cannot read", path, error))
            }
            Self::TarMember { length, .. } => Ok(*length),
            Self::ParquetCell(cell) => Ok(cell.mean_length()),
            Self::Converted { source, .. } => source.byte_count(),
        }
    }

    /// What the file system says of the bytes; of an archive's member: of the archive.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn stamp(&self) -> Result<FileStamp> {
        let stamp = FileStamp::of(self.file())?;
        Ok(match self {
            Self::TarMember { length, .. } => FileStamp { size: *length, ..stamp },
            _ => FileStamp { size: self.byte_count()?, ..stamp },
        })
    }

    /// The encoded bytes.
    ///
    /// # Errors
    /// When they cannot be read in full.
    pub fn read(&self) -> Result<Vec<u8>> {
        match self {
            Self::File(path) => std::fs::read(path).map_err(|error| Error::io("cannot read", path, error)),
            Self::TarMember { archive, offset, length, .. } => {
                let fail = |error| Error::io("cannot read", archive, error);
                let mut file = File::open(archive).map_err(fail)?;
                file.seek(SeekFrom::Start(*offset)).map_err(fail)?;
                let mut bytes = Vec::new();
                file.take(*length).read_to_end(&mut bytes).map_err(fail)?;
                if bytes.len() as u64 != *length {
                    return Err(Error::invalid(
                        self.to_string(),
                        format!("{} bytes before the archive's end", bytes.len()),
                        format!("{length}"),
                    ));
                }
                Ok(bytes)
            }
            Self::ParquetCell(cell) => cell.read(),
            Self::Converted { source, command } => {
                let bytes = source.read()?;
                if need_command(&bytes, source.name()) { command.run(&bytes, source.name()) } else { Ok(bytes) }
            }
        }
    }

    /// SHA-256 of the encoded bytes.
    ///
    /// # Errors
    /// As [`ImageSource::read`].
    pub fn content_hash(&self) -> Result<ContentHash> {
        Ok(ContentHash::of(&self.read()?))
    }
}

/// SHA-256 of an image's encoded bytes. Shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A number in `[0, 1)` that depends on the content alone; its first 53 bits.
    pub(super) fn unit(&self) -> f64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0[..8]);
        (u64::from_be_bytes(first) >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&gxn_base::words::hex(self.0))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for ContentHash {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(format!("a content hash has 64 hexadecimal digits, found {:?}", text));
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|error| error.to_string())?;
        }
        Ok(Self(bytes))
    }
}
