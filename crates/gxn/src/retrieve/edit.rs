//! [`add_image`] and [`remove_image`]: single changes of an index.

use std::path::Path;

use gxn_base::{Error, Remedy, Result};
use gxn_data::{ImageSource, read_limited};
use gxn_index::{ImageItem, IndexMeta, IndexSettings, IndexWriter, Modality};

use super::discovery::ImageFile;
use super::location::real;
use super::options::IndexOptions;
use super::provenance::{Provenance, SourceKind};
use crate::encoder::{Encoder, ImageInput};

/// Adds a file, which lies in the folder that the index in `dir` is of, or replaces what the index has of it; returns the
/// item.
///
/// # Errors
/// When the index is of a dataset or of another folder, another model made it, or the file is no image.
pub fn add_image(encoder: &Encoder, dir: &Path, file: &Path) -> Result<ImageItem> {
    let meta = IndexMeta::read(dir)?;
    meta_is_of(&meta, dir, encoder)?;
    let provenance = Provenance::of(dir, &meta)?;
    if provenance.kind == Some(SourceKind::Dataset) {
        let what = format!("the source of the index {}", dir.display());
        return Err(Error::conflict(what, "a dataset, images with captions", "a folder of images")
            .with_hint("add the image to the dataset and index it again"));
    }
    let (file, root) = (real(file), provenance.root.as_deref().map(real));
    let inside = root.as_deref().and_then(|root| file.strip_prefix(root).ok()).and_then(Path::to_str);
    let id = inside.ok_or_else(|| {
        let expected = format!("one in {}", root.as_deref().unwrap_or(dir).display());
        Error::conflict("the file to add", file.display().to_string(), expected)
    })?;
    let source = ImageSource::File(file.clone());
    let (stamp, limits) = (source.stamp()?, provenance.options()?.unwrap_or_else(IndexOptions::default).limits());
    let bytes = read_limited(&source, &limits)?;
    let input = ImageInput::Bytes { bytes: &bytes, name: id, content: None };
    let found = encoder.image_feature(input, &limits)?;
    let image = ImageFile { id: id.to_owned(), path: id.to_owned(), source, meta: Default::default() };
    let content = found.content.map_or(String::new(), |content| content.to_string());
    let item = image.item(content, found.size, stamp);
    let mut writer = writer(dir, meta)?;
    writer.put_image(&item, &encoder.encode_features(&found.feature).joined(0))?;
    writer.finish()?;
    Ok(item)
}

/// Removes an image with its captions from the index in `dir`; the file stays. Indexing its source again adds it again. False if
/// there is none with this id.
///
/// # Errors
/// When the index cannot be written, or it is the last image.
pub fn remove_image(dir: &Path, id: &str) -> Result<bool> {
    let meta = IndexMeta::read(dir)?;
    let is_last = meta.images.count <= 1;
    let mut writer = writer(dir, meta)?;
    if writer.image(id)?.is_none() {
        return Ok(false);
    }
    if is_last {
        return Err(Error::conflict("the image to remove", "the last one", "one of several"));
    }
    writer.remove(Modality::Image, id)?;
    writer.finish()?;
    Ok(true)
}

fn writer(dir: &Path, meta: IndexMeta) -> Result<IndexWriter> {
    IndexWriter::update(dir, IndexSettings { model: meta.model, space: meta.space, extra: meta.extra })
}

fn meta_is_of(meta: &IndexMeta, dir: &Path, encoder: &Encoder) -> Result<()> {
    if meta.model == encoder.fingerprint() {
        return Ok(());
    }
    let what = format!("the model of {}", dir.display());
    Err(Error::conflict(what, encoder.fingerprint(), meta.model.clone()).with_remedy(Remedy::Reindex))
}
