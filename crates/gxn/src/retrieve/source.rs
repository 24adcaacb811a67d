//! What a source is: a dataset, or a folder of images without captions.

use std::path::Path;

use gxn_base::{Error, Kind, Remedy, Result};
use gxn_data::Dataset;

use super::options::IndexOptions;
use super::provenance::SourceKind;

/// A source, opened.
#[derive(Debug)]
pub(super) enum Source {
    /// A folder of images without captions, and why it is not a dataset, if that was tried.
    Images(Option<Error>),
    /// A dataset.
    Dataset(Box<Dataset>),
}

impl Source {
    /// Opens `path` as a dataset, where it is one and `options` allows it. A folder that is not one holds plain images,
    /// unless its index, which `before` was of that folder, has captions: they would all be deleted.
    ///
    /// # Errors
    /// When a file, or a folder whose index is of a dataset, cannot be read as one.
    pub(super) fn open(path: &Path, options: &IndexOptions, before: Option<SourceKind>) -> Result<Self> {
        if options.images_only {
            return Ok(Self::Images(None));
        }
        match Dataset::open(path, &options.source) {
            Ok(dataset) => Ok(Self::Dataset(Box::new(dataset))),
            // A folder may also be a dataset (images with text files beside them); plain images are the usual case.
            Err(error)
                if path.is_dir()
                    && options.source.texts.is_none()
                    && (!options.source.strict || error.kind() == Kind::NotFound) =>
            {
                if before == Some(SourceKind::Dataset) {
                    let what = format!("the dataset of the index, {}", path.display());
                    return Err(
                        Error::conflict(what, error.in_full(), "a dataset, as before").with_remedy(Remedy::FixDataset)
                    );
                }
                // Photos without a single text are no attempt at a dataset.
                Ok(Self::Images((error.kind() != Kind::NotFound).then_some(error)))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn kind(&self) -> SourceKind {
        match self {
            Self::Images(_) => SourceKind::Images,
            Self::Dataset(_) => SourceKind::Dataset,
        }
    }

    pub(super) fn dataset(&self) -> Option<&Dataset> {
        match self {
            Self::Images(_) => None,
            Self::Dataset(dataset) => Some(dataset),
        }
    }
}
