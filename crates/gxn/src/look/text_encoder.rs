//! [`TextEncoder`]: a pretrained text encoder beside the GRUs of the sentence side. Beyond the paper.

use std::io::{self, Write};
use std::path::Path;

use gxn_base::fs::write_atomically;
use gxn_base::words::hex;
use gxn_base::{Error, Result};
use gxn_data::Dataset;
use gxn_eval::Floats;
use sha2::{Digest, Sha256};

use super::EmbeddingFiles;
use super::pretrained_encoders::EncoderSource;

/// Texts that are encoded between two reports of progress.
const BATCH: usize = 512;

/// The text side of a frozen encoder; its weights are read with the first text. Or what one made of a dataset's captions.
#[derive(Debug, Clone)]
pub struct TextEncoder {
    source: EncoderSource,
    width: usize,
}

/// What a [`TextEncoder`] makes of texts: one row each.
#[derive(Debug, Clone, PartialEq)]
pub struct TextFeatures {
    /// Values of a row, `W`.
    pub width: usize,
    /// `[N, W]`, row-major; those of a dataset stay in their file.
    pub values: Floats,
}

impl TextFeatures {
    /// The rows at these positions, in this order.
    pub fn gather(&self, rows: &[usize]) -> Self {
        let values = rows.iter().flat_map(|&row| &self.values[row * self.width..(row + 1) * self.width]).copied();
        Self { width: self.width, values: values.collect::<Vec<_>>().into() }
    }
}

impl TextEncoder {
    /// The text side of an encoder.
    ///
    /// # Errors
    /// When it has none.
    pub(super) fn new(source: EncoderSource) -> Result<Self> {
        let width = match &source {
            EncoderSource::Files(files) => Some(files.width()),
            EncoderSource::Network(encoder) => encoder.text_width(),
        };
        match width {
            Some(width) => Ok(Self { source, width }),
            None => {
                let found = "an encoder of images alone";
                Err(Error::unsupported("look.sentence.encoder", found, "an encoder of texts"))
            }
        }
    }

    /// Values of a row, `W`.
    pub fn width(&self) -> usize {
        self.width
    }

    /// What decides its features, as a hash.
    ///
    /// # Errors
    /// When its files cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        self.source.fingerprint()
    }

    /// The rows by a dataset's ids that stand in the place of a network, if they do.
    pub fn files(&self) -> Option<&EmbeddingFiles> {
        self.source.files()
    }

    /// How many texts are longer than the encoder reads, and how many tokens that is; none for files, whose texts nobody knows.
    ///
    /// # Errors
    /// When the encoder's files cannot be read.
    pub fn count_cut(&self, texts: &[&str]) -> Result<Option<(usize, usize)>> {
        match &self.source {
            EncoderSource::Network(encoder) => encoder.count_cut(texts.iter().copied()).map(Some),
            EncoderSource::Files(_) => Ok(None),
        }
    }

    /// The features of a dataset's captions, in a file in `folder` that holds them for these very texts; it is written where it is
    /// absent. `done` is told how many are done after every few hundred, and stops the work with an error.
    ///
    /// # Errors
    /// As [`TextEncoder::features`]; when the file cannot be read or written; and of embeddings from files, when a caption has none.
    pub fn features_in(
        &self,
        folder: &Path,
        dataset: &Dataset,
        mut done: impl FnMut(usize) -> Result<()>,
    ) -> Result<TextFeatures> {
        let captions: Vec<usize> = (0..dataset.captions.len()).collect();
        let path = folder.join(format!("texts-{}.f32", self.key(dataset)?));
        let bytes = captions.len() * self.width * size_of::<f32>();
        if !std::fs::metadata(&path).is_ok_and(|found| found.len() == bytes as u64) {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("cannot make", folder, e))?;
            let mut failed = None;
            let written = write_atomically(&path, |file| {
                for (number, captions) in captions.chunks(BATCH).enumerate() {
                    let made = self.of_captions(dataset, captions);
                    match made.and_then(|made| done(number * BATCH + captions.len()).map(|()| made)) {
                        Ok(made) => made.values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))?,
                        Err(error) => {
                            failed = Some(error);
                            return Err(io::Error::other("the features could not be made"));
                        }
                    }
                }
                Ok(())
            });
            // Why it was not written is more to the point than that it was not.
            failed.map_or(written, Err)?;
        }
        Ok(TextFeatures { width: self.width, values: Floats::of_file(&path, 0..bytes)? })
    }

    /// The features of a dataset's captions at these positions.
    fn of_captions(&self, dataset: &Dataset, captions: &[usize]) -> Result<TextFeatures> {
        if let Some(files) = self.files() {
            return files.text_features(dataset, captions);
        }
        let texts: Vec<&str> = captions.iter().map(|&at| dataset.captions[at].text.as_str()).collect();
        self.features(&texts)
    }

    /// What the features of these texts depend on, as a name.
    fn key(&self, dataset: &Dataset) -> Result<String> {
        let mut hasher = Sha256::new();
        hasher.update(self.fingerprint()?);
        for caption in &dataset.captions {
            hasher.update((caption.text.len() as u64).to_le_bytes());
            hasher.update(&caption.text);
            if self.files().is_some() {
                // Rows are found by the image's id.
                hasher.update(&dataset.images[caption.image].id);
            }
        }
        Ok(hex(&hasher.finalize()[..8]))
    }

    /// The features of texts: their embeddings, of length √W so that a value is about 1 in size.
    ///
    /// # Errors
    /// When the encoder's files cannot be read, or there is no network.
    pub fn features(&self, texts: &[&str]) -> Result<TextFeatures> {
        let encoder = match &self.source {
            EncoderSource::Network(encoder) => encoder,
            EncoderSource::Files(files) => return Err(files.refusal("a text")),
        };
        let scale = (self.width as f32).sqrt();
        let values: Vec<f32> = encoder.embed_texts(texts)?.0.into_iter().map(|value| value * scale).collect();
        Ok(TextFeatures { width: self.width, values: values.into() })
    }
}
