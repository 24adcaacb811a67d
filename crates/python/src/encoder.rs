//! `gxn.Encoder`.

use std::path::PathBuf;
use std::sync::Arc;

use gxn::encoder::ImageFeature;
use gxn_base::{Error, Similarity};
use gxn_data::ImageLimits;
use gxn_eval::{Embeddings, LevelEmbeddings, Scoring};
use pyo3::prelude::*;

use crate::arrays::{Rows, array, joined, matrix};
use crate::errors::{check_interrupt, exception};
use crate::images::Image;

/// Items between two questions whether the user pressed Ctrl-C.
const BATCH: usize = 64;
/// Side of a generated image in pixels, and its channels.
const IMAGE: [usize; 3] = [64, 64, 3];

/// A trained model or a pretrained encoder, ready to embed images and texts.
///
/// `path` is a run, a checkpoint or the folder of a pretrained encoder. `prompts` are templates such as "a photo of {}" for a
/// pretrained encoder.
#[pyclass(frozen, module = "gxn")]
pub struct Encoder(pub Arc<gxn::encoder::Encoder>);

#[pymethods]
impl Encoder {
    #[new]
    #[pyo3(signature = (path, *, prompts = Vec::new()))]
    fn new(py: Python<'_>, path: PathBuf, prompts: Vec<String>) -> PyResult<Self> {
        let load = || gxn::encoder::Encoder::load(&path)?.with_prompts(&prompts);
        Ok(Self(Arc::new(py.detach(load).map_err(exception)?)))
    }

    /// Rows [h ; l] of images, float32 [N, levels * dim]. An image is a path, the bytes of a file, a PIL image or an array [H, W, 3]
    /// or [H, W] of uint8.
    fn encode_images<'py>(&self, py: Python<'py>, images: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let images = Image::list(images)?;
        let (count, encoder) = (images.len(), &self.0);
        let rows = py.detach(|| Ok::<_, PyErr>(joined(&encoder.encode_features(&self.features(&images)?))))?;
        matrix(py, &rows, count, self.width())
    }

    /// Rows [h ; l] of texts, float32 [N, levels * dim].
    fn encode_texts<'py>(&self, py: Python<'py>, texts: Vec<String>) -> PyResult<Bound<'py, PyAny>> {
        let rows = py.detach(|| {
            let mut rows = Vec::with_capacity(texts.len() * self.width());
            for texts in texts.chunks(4 * BATCH) {
                rows.extend(joined(&self.0.encode_texts(texts).map_err(exception)?));
                check_interrupt()?;
            }
            Ok::<_, PyErr>(rows)
        })?;
        matrix(py, &rows, texts.len(), self.width())
    }

    /// The score of every image with every text, float32 [images, texts], as searches and evaluations compute it. `lambda_` is the
    /// weight of the abstract level in place of the model's.
    #[pyo3(signature = (images, texts, *, lambda_ = None))]
    fn scores<'py>(
        &self,
        py: Python<'py>,
        images: &Bound<'py, PyAny>,
        texts: &Bound<'py, PyAny>,
        lambda_: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (images, texts) = (Rows::of(images)?, Rows::of(texts)?);
        if (images.width, texts.width) != (self.width(), self.width()) {
            let found = format!("rows of {} and {} values", images.width, texts.width);
            return Err(exception(Error::invalid(
                "the embeddings",
                found,
                format!("{}, as this model's", self.width()),
            )));
        }
        let (rows, columns) = (images.count, texts.count);
        let (dim, v_h, v_l) = images.levels(self.levels());
        let (_, t_h, t_l) = texts.levels(self.levels());
        let grounded = v_l.as_ref().zip(t_l.as_ref());
        let lambda = lambda_.unwrap_or(self.0.lambda()) as f32;
        let scoring = Scoring { similarity: self.0.config().matching.similarity, lambda };
        let scores = py.detach(|| {
            let embeddings = Embeddings {
                abstract_level: LevelEmbeddings { images: &v_h, captions: &t_h, dim },
                grounded_level: grounded.map(|(images, captions)| LevelEmbeddings { images, captions, dim }),
                hubness: None,
            };
            let pairs: Vec<_> = (0..rows).flat_map(|i| (0..columns).map(move |c| (i, c))).collect();
            gxn_eval::pair_scores(&embeddings, scoring, &pairs).map_err(exception)
        })?;
        matrix(py, &scores, rows, columns)
    }

    /// For each image the `beam` likeliest captions that were found with their log-probabilities, best first.
    #[pyo3(signature = (images, *, beam = 3))]
    fn caption(&self, py: Python<'_>, images: &Bound<'_, PyAny>, beam: usize) -> PyResult<Vec<Vec<(String, f64)>>> {
        let images = Image::list(images)?;
        py.detach(|| {
            self.0.caption_features(&[], beam).map_err(exception)?; // refused before images are read
            let found = self.0.caption_features(&self.features(&images)?, beam).map_err(exception)?;
            let pairs = |captions: Vec<gxn::encoder::GeneratedCaption>| {
                captions.into_iter().map(|found| (found.caption, found.log_probability)).collect()
            };
            Ok(found.into_iter().map(pairs).collect())
        })
    }

    /// `n` images of each text, uint8 [texts, n, 64, 64, 3]; seeds count up from `seed`.
    #[pyo3(signature = (texts, *, n = 4, seed = 1))]
    fn imagine<'py>(&self, py: Python<'py>, texts: Vec<String>, n: usize, seed: u64) -> PyResult<Bound<'py, PyAny>> {
        let seeds: Vec<u64> = (seed..).take(n).collect();
        let images = py.detach(|| self.0.generate_images(&texts, &seeds)).map_err(exception)?;
        let bytes: Vec<u8> = images.iter().flat_map(|image| image.to_rgb().into_raw()).collect();
        let shape = [texts.len(), n, IMAGE[0], IMAGE[1], IMAGE[2]];
        array(py, &bytes, "uint8", &shape)
    }

    /// Where it was loaded from.
    #[getter]
    fn path(&self) -> String {
        self.0.path().display().to_string()
    }

    /// Tells this model from any other.
    #[getter]
    fn fingerprint(&self) -> &str {
        self.0.fingerprint()
    }

    /// Values of one level's embedding.
    #[getter]
    fn dim(&self) -> usize {
        self.0.dim()
    }

    /// 2 with abstract and grounded level, else 1.
    #[getter]
    fn levels(&self) -> usize {
        1 + usize::from(self.0.has_grounded_level())
    }

    /// Weight of the abstract level in the score.
    #[getter]
    fn lambda_(&self) -> f64 {
        self.0.lambda()
    }

    /// "cosine", "order" or "order_reversed".
    #[getter]
    fn similarity(&self) -> &'static str {
        match self.0.config().matching.similarity {
            Similarity::Order => "order",
            Similarity::OrderReversed => "order_reversed",
            Similarity::Cosine => "cosine",
        }
    }

    /// Whether it generates captions.
    #[getter]
    fn can_caption(&self) -> bool {
        self.0.can_caption()
    }

    /// Whether it generates images.
    #[getter]
    fn can_imagine(&self) -> bool {
        self.0.can_generate_images()
    }

    fn __repr__(&self) -> String {
        format!("Encoder({:?}, dim={}, levels={})", self.path(), self.dim(), self.levels())
    }
}

impl Encoder {
    fn width(&self) -> usize {
        self.dim() * self.levels()
    }

    /// The features of images, one after the other.
    fn features(&self, images: &[Image]) -> PyResult<Vec<f32>> {
        let mut features = Vec::with_capacity(images.len() * self.0.feature_dim());
        for images in images.chunks(BATCH) {
            let inputs: Vec<_> = images.iter().map(Image::input).collect();
            for found in self.0.image_features(&inputs, &ImageLimits::default()).map_err(exception)? {
                let ImageFeature { feature, .. } = found.map_err(exception)?;
                features.extend(feature);
            }
            check_interrupt()?;
        }
        Ok(features)
    }
}
