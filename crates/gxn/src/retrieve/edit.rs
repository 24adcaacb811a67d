//! [`add_image`] and [`remove_image`]: single changes of an index.

use std::path::Path;

use gxn_base::{Error, Remedy, Result};
use gxn_data::{ImageSource, read_limited};
use gxn_index::{ImageItem, IndexMeta, Modality};

use super::discovery::ImageFile;
use super::location::{IndexPlace, real};
use super::options::IndexOptions;
use super::provenance::{Provenance, SourceKind};
use crate::encoder::{Encoder, ImageInput};

/// Adds a file, which lies in the folder that the index is of, or replaces what the index has of it; returns the
/// item.
///
/// # Errors
/// When the index is of a dataset or of another folder, another model made it, or the file is no image.
pub fn add_image(encoder: &Encoder, place: impl Into<IndexPlace>, file: &Path) -> Result<ImageItem> {
    let place = place.into();
    let meta = place.meta()?;
    require_model(&meta, &place, encoder)?;
    let provenance = Provenance::of(&place, &meta)?;
    if provenance.kind == Some(SourceKind::Dataset) {
        let what = format!("the source of the index {place}");
        return Err(Error::conflict(what, "a dataset, images with captions", "a folder of images")
            .with_hint("add the image to the dataset and index it again"));
    }
    let (file, root) = (real(file), provenance.root.as_deref().map(real));
    let inside = root.as_deref().and_then(|root| file.strip_prefix(root).ok()).and_then(Path::to_str);
    let id = inside.ok_or_else(|| {
        let expected = format!("one in {}", root.as_deref().unwrap_or(place.base()).display());
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
    let mut writer = place.change()?;
    // Another one may have been put in its place since.
    require_model(writer.meta(), &place, encoder)?;
    writer.put_image(&item, &encoder.encode_features(&found.feature).joined(0))?;
    writer.finish()?;
    Ok(item)
}

/// Removes an image with its captions from the index; the file stays. Indexing its source again adds it again. False if
/// there is none with this id.
///
/// # Errors
/// When the index cannot be written, or it is the last image.
pub fn remove_image(place: impl Into<IndexPlace>, id: &str) -> Result<bool> {
    let mut writer = place.into().change()?;
    if writer.image(id)?.is_none() {
        return Ok(false);
    }
    if writer.meta().images.count <= 1 {
        return Err(Error::conflict("the image to remove", "the last one", "one of several"));
    }
    writer.remove(Modality::Image, id)?;
    writer.finish()?;
    Ok(true)
}

fn require_model(meta: &IndexMeta, place: &IndexPlace, encoder: &Encoder) -> Result<()> {
    if meta.model == encoder.fingerprint() {
        return Ok(());
    }
    let what = format!("the model of {place}");
    Err(Error::conflict(what, encoder.fingerprint(), meta.model.clone()).with_remedy(Remedy::Reindex))
}
