//! Copies of pretrained encoders that a run and its checkpoints hold: `look.embed_encoders`.

use std::io;
use std::path::{Path, PathBuf};

use gxn_base::{Error, Result};
use gxn_pretrained::PretrainedEncoder;

use super::EmbeddingFiles;
use crate::config::{LookConfig, expand};

/// Inside a run or a checkpoint.
const FOLDER: &str = "encoders";

/// Which of the configuration's two encoders; one folder in both places is held once, as that of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `look.encoder`
    Images,
    /// `look.sentence.encoder`
    Texts,
}

impl Side {
    fn folder(self, home: &Path) -> PathBuf {
        home.join(FOLDER).join(match self {
            Self::Images => "images",
            Self::Texts => "texts",
        })
    }
}

/// Where the encoder is that `look` names as `path`: in what the run or checkpoint holds, else at that path.
///
/// # Errors
/// When the path has a variable that is not set.
pub(super) fn place(look: &LookConfig, side: Side, path: &str) -> Result<PathBuf> {
    let is_shared = side == Side::Texts && look.encoder.as_ref().is_some_and(|images| images.path == path);
    let side = if is_shared { Side::Images } else { side };
    let held = look.held_in.as_deref().map(|home| side.folder(home));
    held.filter(|folder| folder.is_dir()).map_or_else(|| expand(path), Ok)
}

/// Puts the files of the encoders that `look` names into `home`, a run or a checkpoint, if it is to hold them. Files that a run
/// holds already are linked, so that its checkpoints take no further space.
///
/// # Errors
/// When a file cannot be read or written.
pub(crate) fn hold(look: &LookConfig, home: &Path) -> Result<()> {
    if !look.embed_encoders {
        return Ok(());
    }
    let named = [
        (Side::Images, look.encoder.as_ref().map(|encoder| &encoder.path)),
        (Side::Texts, look.sentence.encoder.as_ref().map(|encoder| &encoder.path)),
    ];
    let is_one = named[0].1 == named[1].1;
    for (side, path) in named.into_iter().take(if is_one { 1 } else { 2 }) {
        let Some(path) = path else { continue };
        let (from, to) = (place(look, side, path)?, side.folder(home));
        let is_own = look.held_in.as_deref().is_some_and(|home| from == side.folder(home));
        for file in files(&from)? {
            let target = to.join(file.strip_prefix(&from).unwrap_or(&file));
            put(&file, &target, is_own).map_err(|error| Error::io("cannot write", &target, error))?;
        }
    }
    Ok(())
}

/// The files of an encoder, or of embeddings.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    if EmbeddingFiles::are_in(folder) {
        return Ok(EmbeddingFiles::paths(folder).to_vec());
    }
    PretrainedEncoder::open(folder)?.files()
}

fn put(from: &Path, to: &Path, may_link: bool) -> io::Result<()> {
    std::fs::create_dir_all(to.parent().unwrap_or(to))?;
    if may_link && std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    std::fs::copy(from, to)?;
    std::fs::File::open(to)?.sync_all()
}
