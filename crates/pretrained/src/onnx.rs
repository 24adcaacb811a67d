//! [`Onnx`]: an encoder whose layers ONNX Runtime runs. Feature `ort`.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use gxn_base::{Error, Result};
use image::RgbImage;
use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::{Tensor, ValueType};

use crate::bert;
use crate::kernel::to_unit_length;
use crate::network::Network;
use crate::onnx_files::OnnxFiles;
use crate::text_tower::TextPooling;
use crate::{EncoderFolder, Family, ImageProcessor, TextTokenizer};

/// Names the library: `libonnxruntime.so`, or `.dylib`, `.dll`.
const LIBRARY: &str = "ORT_DYLIB_PATH";
/// Items that the library sees together.
const BATCH: usize = 8;
/// Outputs that are an image's or a text's embedding, in the order in which they are looked for.
const EMBEDDINGS: [&str; 4] = ["image_embeds", "text_embeds", "sentence_embedding", "embeddings"];
/// Outputs with a vector for each token or patch.
const STATES: [&str; 3] = ["last_hidden_state", "token_embeddings", "hidden_states"];

/// The sides of an encoder as ONNX files.
#[derive(Debug)]
pub(crate) struct Onnx {
    folder: EncoderFolder,
    images: Option<Images>,
    texts: Option<Texts>,
}

#[derive(Debug)]
struct Images {
    processor: ImageProcessor,
    graph: Graph,
}

#[derive(Debug)]
struct Texts {
    tokenizer: TextTokenizer,
    graph: Graph,
    /// SigLIP's texts are filled up to the length that it was trained with.
    length: Option<usize>,
}

impl Onnx {
    /// # Errors
    /// A missing or older library; files that it cannot read, or with other inputs or outputs.
    pub(crate) fn open(folder: &EncoderFolder, files: &OnnxFiles) -> Result<Self> {
        let environment = environment()?;
        let images = files.images.as_deref().map(|file| {
            let graph = Graph::open(&environment, file, &["image_embeds", "pooler_output"], TextPooling::First)?;
            Ok::<_, Error>(Images { processor: ImageProcessor::read(folder)?, graph })
        });
        let texts = files.texts.as_deref().map(|file| {
            let is_siglip = folder.family() == Family::Siglip;
            // A sentence encoder's pooler_output is what BERT was pretrained with, not its embedding.
            let first: &[&str] = if is_siglip { &["text_embeds", "pooler_output"] } else { &["text_embeds"] };
            let graph = Graph::open(&environment, file, first, bert::pooling(folder.path())?)?;
            let tokenizer = TextTokenizer::read(folder)?;
            Ok::<_, Error>(Texts { length: is_siglip.then(|| tokenizer.max_tokens()), tokenizer, graph })
        });
        Ok(Self { folder: folder.clone(), images: images.transpose()?, texts: texts.transpose()? })
    }
}

impl Network for Onnx {
    fn image_width(&self) -> Option<usize> {
        self.images.as_ref().map(|images| images.graph.width)
    }

    fn text_width(&self) -> Option<usize> {
        self.texts.as_ref().map(|texts| texts.graph.width)
    }

    fn embed_images(&self, images: &[RgbImage]) -> Result<Vec<f32>> {
        let Images { processor, graph } = self.images.as_ref().ok_or_else(|| self.folder.lacks("images"))?;
        let [height, width] = processor.size();
        let mut out = Vec::with_capacity(images.len() * graph.width);
        for images in images.chunks(graph.batch) {
            let pixels: Vec<f32> = images.iter().flat_map(|image| processor.apply(image)).collect();
            out.extend(graph.run(images.len(), None, &|name| match name {
                "pixel_values" => Some(tensor([images.len(), 3, height, width], pixels.clone())),
                _ => None,
            })?);
        }
        to_unit_length(&mut out, graph.width);
        Ok(out)
    }

    fn embed_texts(&self, texts: &[&str]) -> Result<(Vec<f32>, usize)> {
        let Texts { tokenizer, graph, length } = self.texts.as_ref().ok_or_else(|| self.folder.lacks("texts"))?;
        let (tokens, cut) = tokenizer.encode_all(texts)?;
        let mut out = Vec::with_capacity(texts.len() * graph.width);
        for texts in tokens.chunks(graph.batch) {
            let length = length.unwrap_or_else(|| texts.iter().map(Vec::len).max().unwrap_or_default());
            let padded = Padded::new(texts, length, tokenizer.pad_id());
            let shape = [texts.len(), length];
            out.extend(graph.run(texts.len(), Some(&padded.mask), &|name| match name {
                "input_ids" => Some(tensor(shape, padded.ids.clone())),
                "attention_mask" => Some(tensor(shape, padded.mask.clone())),
                "token_type_ids" => Some(tensor(shape, vec![0i64; padded.ids.len()])),
                _ => None,
            })?);
        }
        to_unit_length(&mut out, graph.width);
        Ok((out, cut))
    }

    fn tokenizer(&self) -> Result<&TextTokenizer> {
        self.texts.as_ref().map(|texts| &texts.tokenizer).ok_or_else(|| self.folder.lacks("texts"))
    }
}

/// Texts filled up to one length, `[N, length]`.
struct Padded {
    ids: Vec<i64>,
    /// 1 for a token, 0 for what fills up.
    mask: Vec<i64>,
}

impl Padded {
    fn new(texts: &[Vec<u32>], length: usize, pad: u32) -> Self {
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        for text in texts {
            let fill = length.saturating_sub(text.len());
            ids.extend(text.iter().map(|&id| i64::from(id)).chain(std::iter::repeat_n(i64::from(pad), fill)));
            mask.extend(std::iter::repeat_n(1, text.len()).chain(std::iter::repeat_n(0, fill)));
        }
        Self { ids, mask }
    }
}

/// A file that is loaded, and which of its outputs counts.
#[derive(Debug)]
struct Graph {
    file: PathBuf,
    session: Mutex<Session>,
    inputs: Vec<String>,
    output: String,
    /// How the vectors of an item become one, where the output has one for each token.
    pooling: Option<TextPooling>,
    /// Values of an embedding.
    width: usize,
    /// Items of a run.
    batch: usize,
}

impl Graph {
    fn open(environment: &Environment, file: &Path, first: &[&str], pooling: TextPooling) -> Result<Self> {
        let failed = |error: ort::Error| failed(file, &error);
        let threads = rayon::current_num_threads();
        let builder = Session::builder(environment).map_err(failed)?;
        let builder = builder.with_intra_threads(threads).map_err(|error| failed(error.into()))?;
        // Threads that wait in a loop would take the cores of the decoding of images.
        let mut builder = builder.with_intra_op_spinning(false).map_err(|error| failed(error.into()))?;
        let session = builder.commit_from_file(file).map_err(failed)?;
        let (output, width, is_pooled) = chosen(&session, file, first)?;
        let inputs = session.inputs().iter().map(|input| input.name().to_owned()).collect();
        let fixed =
            session.inputs().first().and_then(|input| shape_of(input.dtype())).and_then(|shape| shape.first().copied());
        let batch = fixed.filter(|&size| size > 0).map_or(BATCH, |size| size as usize);
        if !(batch == 1 || fixed.is_none_or(|size| size < 1)) {
            let found = format!("a batch of exactly {batch}");
            return Err(Error::unsupported(file.display().to_string(), found, "batches of any size, or of one"));
        }
        let pooling = (!is_pooled).then_some(pooling);
        Ok(Self { file: file.to_owned(), session: Mutex::new(session), inputs, output, pooling, width, batch })
    }

    /// The vectors of `items`, `[items, width]`. `value` gives each input; `mask` marks the tokens of each item.
    fn run(
        &self,
        items: usize,
        mask: Option<&[i64]>,
        value: &dyn Fn(&str) -> Option<Result<SessionInputValue<'static>>>,
    ) -> Result<Vec<f32>> {
        let failed = |error: ort::Error| failed(&self.file, &error);
        let mut given = Vec::with_capacity(self.inputs.len());
        for name in &self.inputs {
            let expected = "pixel_values, or input_ids with attention_mask and token_type_ids";
            let value = value(name).ok_or_else(|| {
                Error::unsupported(self.file.display().to_string(), format!("an input {name}"), expected)
            })?;
            given.push((name.clone(), value?));
        }
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(given).map_err(failed)?;
        let (shape, values) = outputs[self.output.as_str()].try_extract_tensor::<f32>().map_err(failed)?;
        let wrong = || {
            let expected = format!("{items} rows of {} values", self.width);
            Error::invalid(self.file.display().to_string(), format!("{} of shape {shape:?}", self.output), expected)
        };
        let rows = values.len().checked_div(self.width).unwrap_or_default();
        match self.pooling {
            None if rows == items => Ok(values.to_vec()),
            Some(pooling) if items > 0 && rows.is_multiple_of(items) && rows > 0 => {
                let all = vec![1; rows];
                let mask = mask.filter(|mask| mask.len() == rows).unwrap_or(&all);
                Ok(pooled(values, mask, items, self.width, pooling))
            }
            _ => Err(wrong()),
        }
    }
}

/// One vector of `width` values for each of `items`, from those of its marked tokens.
fn pooled(values: &[f32], mask: &[i64], items: usize, width: usize, pooling: TextPooling) -> Vec<f32> {
    let tokens = mask.len() / items;
    let mut out = Vec::with_capacity(items * width);
    for (values, mask) in values.chunks_exact(tokens * width).zip(mask.chunks_exact(tokens)) {
        let marked: Vec<&[f32]> = values
            .chunks_exact(width)
            .zip(mask)
            .filter(|(_, is_marked)| **is_marked != 0)
            .map(|(row, _)| row)
            .collect();
        let each = |merge: &dyn Fn(f32, f32) -> f32| {
            let mut all = marked.iter().copied();
            let first = all.next().map_or_else(|| vec![0.0; width], <[f32]>::to_vec);
            all.fold(first, |sum, row| sum.iter().zip(row).map(|(&a, &b)| merge(a, b)).collect())
        };
        out.extend(match pooling {
            TextPooling::First => marked.first().map_or_else(|| vec![0.0; width], |row| row.to_vec()),
            TextPooling::Max => each(&f32::max),
            // The sum has the direction of the mean.
            _ => each(&|a, b| a + b),
        });
    }
    out
}

/// The output that is the embedding: its name, its width, and whether it is one vector an item.
fn chosen(session: &Session, file: &Path, first: &[&str]) -> Result<(String, usize, bool)> {
    let outputs = session.outputs();
    let wanted = first.iter().chain(&EMBEDDINGS).chain(&STATES);
    let named = wanted.filter_map(|name| outputs.iter().find(|output| output.name() == *name));
    for output in named.chain(outputs) {
        let Some(shape) = shape_of(output.dtype()) else { continue };
        let is_pooled = shape.len() == 2;
        if let (2 | 3, Some(&width @ 1..)) = (shape.len(), shape.last()) {
            return Ok((output.name().to_owned(), width as usize, is_pooled));
        }
    }
    let found: Vec<String> = outputs.iter().map(|output| format!("{} {:?}", output.name(), output.dtype())).collect();
    let expected = "an output of shape [N, width] or [N, tokens, width] whose width is written in the file";
    Err(Error::unsupported(file.display().to_string(), found.join(", "), expected))
}

fn shape_of(kind: &ValueType) -> Option<&[i64]> {
    match kind {
        ValueType::Tensor { shape, .. } => Some(shape),
        _ => None,
    }
}

fn tensor<T, const N: usize>(shape: [usize; N], values: Vec<T>) -> Result<SessionInputValue<'static>>
where
    T: ort::value::PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
{
    let tensor = Tensor::from_array((shape, values)).map_err(|error| failed(Path::new("a batch"), &error))?;
    Ok(tensor.into())
}

/// The library, loaded once for the program.
fn environment() -> Result<Environment> {
    static LOADED: Mutex<Option<Environment>> = Mutex::new(None);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*loaded {
        return Ok(environment.clone());
    }
    let hint = "set ORT_DYLIB_PATH to it; the Python package onnxruntime has it in onnxruntime/capi";
    let Some(path) = std::env::var_os(LIBRARY).map(PathBuf::from) else {
        return Err(Error::not_found("ONNX Runtime", format!("{LIBRARY} is not set"), "the library libonnxruntime.so")
            .with_hint(hint));
    };
    let builder = ort::init_from(&path).map_err(|error| {
        Error::invalid(path.display().to_string(), error.to_string(), "ONNX Runtime").with_hint(hint)
    })?;
    let environment = builder.with_telemetry(false).build().map_err(|error| failed(&path, &error))?;
    *loaded = Some(environment.clone());
    Ok(environment)
}

fn failed(file: &Path, error: &ort::Error) -> Error {
    Error::invalid(file.display().to_string(), error.to_string(), "an ONNX file that the library runs")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PretrainedEncoder;

    /// `reference/onnx_golden.py`
    fn golden() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/onnx")
    }

    fn unit(row: &[f32]) -> Vec<f32> {
        let mut row = row.to_vec();
        let width = row.len();
        to_unit_length(&mut row, width);
        row
    }

    fn assert_near(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} {expected:?}");
    }

    /// The mean of each channel, from -1 to 1, times the file's matrix; eleven images are more than one batch.
    #[test]
    #[ignore = "needs ORT_DYLIB_PATH"]
    fn images_go_through_the_file() {
        let encoder = PretrainedEncoder::open(&golden()).unwrap();
        assert_eq!((encoder.family(), encoder.image_width(), encoder.text_width()), (Family::Other, Some(4), Some(4)));
        let image = |red: u8| RgbImage::from_pixel(7, 5, image::Rgb([red, 255, 0]));
        let images: Vec<RgbImage> = (0..11).map(|at| image(25 * at)).collect();
        let expected: Vec<f32> = (0..11)
            .flat_map(|at| {
                let red = 2.0 * (25.0 * at as f32 / 255.0) - 1.0;
                unit(&[red - 0.25, 1.0, 0.5 * red - 1.5, 2.0 * red + 2.0])
            })
            .collect();
        assert_near(&encoder.embed_images(&images).unwrap(), &expected);
        assert_near(&encoder.embed_image(&images[3]).unwrap(), &expected[12..16]);
    }

    /// The mean over a text's own tokens: what fills up a batch (9 in every value) does not count.
    #[test]
    #[ignore = "needs ORT_DYLIB_PATH"]
    fn texts_go_through_the_file() {
        let encoder = PretrainedEncoder::open(&golden()).unwrap();
        let (found, cut) = encoder.embed_texts(&["red", "Red green dog", "a a a a a a a a"]).unwrap();
        let expected = [unit(&[1.0, 0.0, 0.0, 0.0]), unit(&[2.0, 2.0, 0.0, 2.0]), unit(&[0.0, 0.0, 0.0, 1.0])];
        assert_near(&found, &expected.concat());
        assert_eq!((cut, encoder.count_cut(["red"].into_iter()).unwrap()), (1, (0, 6)));
    }

    #[test]
    #[ignore = "needs ORT_DYLIB_PATH"]
    fn files_that_do_not_fit_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"] {
            std::fs::copy(golden().join(name), folder.path().join(name)).unwrap();
        }
        let open = |name: &str, file: &str| {
            std::fs::copy(golden().join("onnx").join(file), folder.path().join(name)).unwrap();
            PretrainedEncoder::open(folder.path())
        };
        // A text's graph in the place of that of images.
        let wrong =
            open("vision_model.onnx", "text_model.onnx").unwrap().embed_image(&RgbImage::new(4, 4)).unwrap_err();
        assert!(wrong.to_string().contains("an input input_ids"), "{wrong}");
        std::fs::write(folder.path().join("vision_model.onnx"), "no graph").unwrap();
        let damaged = PretrainedEncoder::open(folder.path()).unwrap_err().to_string();
        assert!(damaged.contains("vision_model.onnx"), "{damaged}");
    }

    #[test]
    fn tokens_are_merged_as_the_pooling_says() {
        let (values, mask) = ([1.0, 2.0, 3.0, 0.0, 9.0, 9.0], [1, 1, 0]);
        let merged = |pooling| pooled(&values, &mask, 1, 2, pooling);
        assert_eq!(merged(TextPooling::First), [1.0, 2.0]);
        assert_eq!(merged(TextPooling::Max), [3.0, 2.0]);
        assert_eq!(merged(TextPooling::Mean), [4.0, 2.0]);
    }
}
