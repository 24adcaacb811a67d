//! [`EmbeddingFiles`]: embeddings that any other program made of a dataset's images and captions, by the images' ids.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use gxn_base::words::{counted, first_few, hex};
use gxn_base::{Error, Result, Similarity};
use gxn_data::Dataset;
use gxn_eval::{EmbeddingPaths, ExternalEmbeddings, NpyMatrix};
use sha2::{Digest, Sha256};

use super::TextFeatures;
use super::unit_length::to_unit_length;

/// The files of a folder, as `gxn encode` writes them.
const FILES: [&str; 4] = ["img_emb.npy", "text_emb.npy", "image_ids.txt", "caption_image_ids.txt"];

/// Unit rows for images and captions, from a folder of npy files.
#[derive(Debug)]
pub struct EmbeddingFiles {
    folder: PathBuf,
    embeddings: ExternalEmbeddings,
    image_rows: HashMap<String, usize>,
    /// Rows of each image's captions, in their order.
    captions_of: Vec<Vec<usize>>,
    fingerprint: String,
}

impl EmbeddingFiles {
    /// Whether a folder holds such files rather than an encoder.
    pub fn are_in(folder: &Path) -> bool {
        folder.join(FILES[0]).is_file()
    }

    /// The files of such a folder.
    pub(super) fn paths(folder: &Path) -> [PathBuf; 4] {
        FILES.map(|name| folder.join(name))
    }

    /// Reads the files of a folder.
    ///
    /// # Errors
    /// As [`ExternalEmbeddings::read`].
    pub fn read(folder: &Path) -> Result<Self> {
        let [images, captions, image_ids, caption_image_ids] = Self::paths(folder);
        let mut hash = Sha256::new();
        for path in [&images, &captions, &image_ids, &caption_image_ids] {
            let bytes = std::fs::read(path).map_err(|e| Error::io("cannot read", path, e))?;
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(&bytes);
        }
        let paths =
            EmbeddingPaths { images, captions, image_ids: Some(image_ids), caption_image_ids: Some(caption_image_ids) };
        let embeddings = ExternalEmbeddings::read(&paths, Similarity::Cosine)?;
        let mut captions_of = vec![Vec::new(); embeddings.image_ids.len()];
        embeddings.caption_image.iter().enumerate().for_each(|(row, &image)| captions_of[image].push(row));
        let image_rows = embeddings.image_ids.iter().cloned().zip(0..).collect();
        let fingerprint = hex(hash.finalize());
        Ok(Self { folder: folder.to_path_buf(), embeddings, image_rows, captions_of, fingerprint })
    }

    /// Values of a row.
    pub fn width(&self) -> usize {
        self.embeddings.images.dim
    }

    /// SHA-256 over the files.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The rows of a dataset's images, `[N, F]`, for those at `images`.
    ///
    /// # Errors
    /// When one has no row.
    pub fn image_features(&self, dataset: &Dataset, images: impl Iterator<Item = usize>) -> Result<Vec<f32>> {
        let rows = self.rows(dataset, images)?;
        Ok(rows.into_iter().flat_map(|row| unit_row(&self.embeddings.images, row)).collect())
    }

    /// The rows of captions, of length √W so that a value is about 1 in size, as [`TextEncoder::features`] gives them.
    ///
    /// # Errors
    /// As [`EmbeddingFiles::caption_rows`].
    ///
    /// [`TextEncoder::features`]: super::TextEncoder::features
    pub fn text_features(&self, dataset: &Dataset, captions: &[usize]) -> Result<TextFeatures> {
        let (width, scale) = (self.width(), (self.width() as f32).sqrt());
        let values = self.caption_rows(dataset, captions)?.into_iter().map(|x| x * scale).collect::<Vec<f32>>();
        Ok(TextFeatures { width, values: values.into() })
    }

    /// The rows of captions, `[M, W]`, of length 1.
    ///
    /// # Errors
    /// When an image has no row, or another number of captions than rows.
    pub fn caption_rows(&self, dataset: &Dataset, captions: &[usize]) -> Result<Vec<f32>> {
        let mut values = Vec::with_capacity(captions.len() * self.width());
        for &caption in captions {
            let image = dataset.captions[caption].image;
            let row = self.rows_of_captions(dataset, image)?[caption - dataset.captions_of(image).start];
            values.extend(unit_row(&self.embeddings.captions, row));
        }
        Ok(values)
    }

    /// Refuses files that lack a row of one of these images or of its captions.
    ///
    /// # Errors
    /// As [`EmbeddingFiles::caption_rows`].
    pub fn check(&self, dataset: &Dataset, images: &[usize]) -> Result<()> {
        self.rows(dataset, images.iter().copied())?;
        images.iter().try_for_each(|&image| self.rows_of_captions(dataset, image).map(drop))
    }

    /// The rows of all captions of an image.
    fn rows_of_captions(&self, dataset: &Dataset, image: usize) -> Result<&[usize]> {
        let rows = &self.captions_of[self.rows(dataset, std::iter::once(image))?[0]];
        let own = dataset.captions_of(image);
        if rows.len() != own.len() {
            let what = format!("the captions of image {} in {}", dataset.images[image].id, self.folder.display());
            let expected = format!("{}, as in {}", own.len(), dataset.name);
            return Err(Error::conflict(what, counted(rows.len(), "row"), expected));
        }
        Ok(rows)
    }

    /// The rows of images in the files.
    fn rows(&self, dataset: &Dataset, images: impl Iterator<Item = usize>) -> Result<Vec<usize>> {
        let (mut rows, mut missing) = (Vec::new(), Vec::new());
        for image in images {
            let id = &dataset.images[image].id;
            match self.image_rows.get(id) {
                Some(&row) => rows.push(row),
                None => missing.push(id.clone()),
            }
        }
        if missing.is_empty() {
            return Ok(rows);
        }
        let found = format!("none of {} ({})", counted(missing.len(), "image"), first_few(&missing));
        let what = format!("the rows in {}", self.folder.display());
        Err(Error::conflict(what, found, format!("one for each image of {}, by its id", dataset.name)))
    }

    /// The error of what is asked of a network: an image or text that no row is of.
    pub fn refusal(&self, what: &str) -> Error {
        let found = format!("{what}, which no row belongs to");
        Error::unsupported(format!("the embeddings in {}", self.folder.display()), found, "a dataset's images and captions")
            .with_hint("a model on files of embeddings is evaluated on datasets whose ids are in them; it cannot embed anything else")
    }
}

/// A row of a file, of length 1.
fn unit_row(matrix: &NpyMatrix, row: usize) -> Vec<f32> {
    let mut values = matrix.values[row * matrix.dim..(row + 1) * matrix.dim].to_vec();
    to_unit_length(&mut values);
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use gxn_base::fs::write_text;
    use gxn_data::SourceOptions;
    use gxn_eval::write_npy;

    /// Two images, two captions each, in another order than the dataset has them.
    fn files(folder: &Path) -> EmbeddingFiles {
        write_npy(&folder.join(FILES[0]), &[3.0, 4.0, 0.0, 2.0], 2).unwrap();
        write_npy(&folder.join(FILES[1]), &[1.0, 0.0, 0.0, 5.0, 0.6, 0.8, 2.0, 0.0], 2).unwrap();
        write_text(&folder.join(FILES[2]), "b.png\na.png\n").unwrap();
        write_text(&folder.join(FILES[3]), "a.png\nb.png\na.png\nb.png\n").unwrap();
        EmbeddingFiles::read(folder).unwrap()
    }

    fn dataset(folder: &Path, images: &str) -> Dataset {
        for name in images.split(' ') {
            image::RgbImage::new(2, 2).save(folder.join(name)).unwrap();
        }
        let line = |name: &str| format!("{{\"image\": \"{name}\", \"captions\": [\"one\", \"two\"]}}\n");
        let path = folder.join("d.jsonl");
        write_text(&path, &images.split(' ').map(line).collect::<String>()).unwrap();
        Dataset::open(&path, &SourceOptions::default()).unwrap()
    }

    #[test]
    fn rows_are_found_by_id_and_order() {
        let folder = tempfile::tempdir().unwrap();
        let data = dataset(folder.path(), "a.png b.png");
        let files = files(folder.path());
        assert!(EmbeddingFiles::are_in(folder.path()));
        assert_eq!((files.width(), files.fingerprint().len()), (2, 64));
        assert_eq!(files.image_features(&data, 0..2).unwrap(), [0.0, 1.0, 0.6, 0.8]);
        let texts = files.text_features(&data, &[0, 1, 3]).unwrap().values;
        let expected = [1.0, 0.0, 0.6, 0.8, 1.0, 0.0].map(|x: f32| x * 2f32.sqrt());
        assert!(texts.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{texts:?}");
    }

    #[test]
    fn images_and_captions_without_a_row_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let data = dataset(folder.path(), "a.png c.png");
        let files = files(folder.path());
        let error = files.image_features(&data, 0..2).unwrap_err().to_string();
        assert!(error.contains("none of 1 image (c.png)"), "{error}");
        write_text(&folder.path().join(FILES[3]), "a.png\nb.png\na.png\na.png\n").unwrap();
        let error = EmbeddingFiles::read(folder.path()).unwrap().text_features(&data, &[0]).unwrap_err().to_string();
        assert!(error.contains("found 3 rows, expected 2"), "{error}");
    }
}
