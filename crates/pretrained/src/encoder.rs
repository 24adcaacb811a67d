//! [`PretrainedEncoder`]: images and texts to vectors of length 1.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use gxn_base::words::hex;
use gxn_base::{Error, Result};
use image::RgbImage;
use sha2::{Digest, Sha256};

use crate::lazy::Lazy;
use crate::network::{self, Network};
use crate::{EncoderFolder, Family, bert};

/// A pretrained encoder of a folder. It is shared by threads as it is; batches run on the current rayon pool.
///
/// The weights of a tower are read at its first use, those of ONNX files when it is opened.
#[derive(Debug)]
pub struct PretrainedEncoder {
    folder: EncoderFolder,
    network: Box<dyn Network>,
    fingerprint: Lazy<String>,
}

impl PretrainedEncoder {
    /// The encoder of a folder as model hubs lay it out.
    ///
    /// # Errors
    /// A folder without `config.json`, an encoder of another family, or one with layers that are not built here.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = EncoderFolder::open(path)?;
        let network = network::open(&folder)?;
        Ok(Self { folder, network, fingerprint: Lazy::default() })
    }

    /// The folder that it was opened from.
    pub fn folder(&self) -> &EncoderFolder {
        &self.folder
    }

    /// Which kind of encoder it is.
    pub fn family(&self) -> Family {
        self.folder.family()
    }

    /// Values of an image's embedding.
    pub fn image_width(&self) -> Option<usize> {
        self.network.image_width()
    }

    /// Values of a text's embedding.
    pub fn text_width(&self) -> Option<usize> {
        self.network.text_width()
    }

    /// The embedding of an image, `[image_width]`, of length 1.
    ///
    /// # Errors
    /// An encoder without images; files of the image tower that are missing or wrong.
    pub fn embed_image(&self, image: &RgbImage) -> Result<Vec<f32>> {
        self.embed_images(std::slice::from_ref(image))
    }

    /// The embeddings of images, `[N, image_width]`, each of length 1.
    ///
    /// # Errors
    /// As [`PretrainedEncoder::embed_image`].
    pub fn embed_images(&self, images: &[RgbImage]) -> Result<Vec<f32>> {
        self.network.embed_images(images)
    }

    /// The embeddings of texts, `[N, text_width]`, each of length 1, and how many texts were cut because they are longer
    /// than the encoder reads.
    ///
    /// # Errors
    /// An encoder without texts; files of the text tower that are missing or wrong.
    pub fn embed_texts(&self, texts: &[&str]) -> Result<(Vec<f32>, usize)> {
        self.network.embed_texts(texts)
    }

    /// How many of `texts` are longer than the encoder reads, and how many tokens that is.
    ///
    /// # Errors
    /// As [`PretrainedEncoder::embed_texts`].
    pub fn count_cut<'a>(&self, texts: impl Iterator<Item = &'a str>) -> Result<(usize, usize)> {
        let tokenizer = self.network.tokenizer()?;
        let tokens = texts.map(|text| tokenizer.encode(text)).collect::<Result<Vec<_>>>()?;
        Ok((tokens.iter().filter(|tokens| tokens.cut).count(), tokenizer.max_tokens()))
    }

    /// A fingerprint, in hexadecimal, of what decides embeddings: configuration, preprocessing, tokens and weights.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        self.fingerprint.get(|| fingerprint(&self.folder)).cloned()
    }

    /// All files that it reads: a folder with these alone is the same encoder.
    ///
    /// # Errors
    /// When the weights are missing.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let shards = self.folder.path().join("model.safetensors.index.json");
        let mut files = small_files(&self.folder)?;
        files.extend(self.folder.weights()?);
        files.extend(shards.exists().then_some(shards));
        Ok(files)
    }
}

/// The small files that decide embeddings, as far as they are there.
fn small_files(folder: &EncoderFolder) -> Result<Vec<PathBuf>> {
    const BEFORE: [&str; 9] = [
        "config.json",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.json",
        "merges.txt",
        "vocab.txt",
        "modules.json",
    ];
    let at = |name: &str| folder.path().join(name);
    let mut files: Vec<PathBuf> = BEFORE.into_iter().map(at).collect();
    files.extend(bert::pooling_file(folder.path())?);
    files.push(at("sentence_bert_config.json"));
    if !at("preprocessor_config.json").exists() {
        files.push(at("processor_config.json")); // read in its place
    }
    files.retain(|path| path.exists());
    Ok(files)
}

/// SHA-256 over the files that decide embeddings, each with its name and length.
fn fingerprint(folder: &EncoderFolder) -> Result<String> {
    let mut hash = Sha256::new();
    for path in small_files(folder)?.into_iter().chain(folder.weights()?) {
        let mut file = File::open(&path).map_err(|source| Error::io("cannot open", &path, source))?;
        let length = file.metadata().map_err(|source| Error::io("cannot read", &path, source))?.len();
        hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update(length.to_le_bytes());
        let mut piece = vec![0; 1 << 20];
        loop {
            match file.read(&mut piece).map_err(|source| Error::io("cannot read", &path, source))? {
                0 => break,
                count => hash.update(&piece[..count]),
            }
        }
    }
    Ok(hex(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever decides an embedding is part of the fingerprint, wherever a folder has it.
    #[test]
    fn the_fingerprint_covers_a_pooling_of_any_name_and_either_file_of_image_settings() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let print = || PretrainedEncoder::open(folder.path()).unwrap().fingerprint().unwrap();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bert_cls");
        for name in ["config.json", "model.safetensors"] {
            std::fs::copy(golden.join(name), folder.path().join(name)).unwrap();
        }
        std::fs::create_dir(folder.path().join("mean")).unwrap();
        write("modules.json", r#"[{"type": "sentence_transformers.models.Pooling", "path": "mean"}]"#);
        write("mean/config.json", r#"{"pooling_mode": "mean"}"#);
        let mean = print();
        assert_eq!(print(), mean);
        write("mean/config.json", r#"{"pooling_mode": "max_"}"#);
        assert_ne!(print(), mean);
        let before = print();
        write("processor_config.json", "{}");
        let newer = print();
        assert_ne!(newer, before);
        write("preprocessor_config.json", "{}");
        let older = print();
        write("processor_config.json", "{ }");
        assert_eq!(print(), older, "the older file counts where both are there");
    }
}
