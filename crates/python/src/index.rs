//! `gxn.Index` and `gxn.Hit`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use gxn::retrieve::{
    IndexOptions, IndexPlace, Part, Query, RERANK_WEIGHT, RankedHit, Ranking, Refresh, Reranking, Retriever,
    ScoreParts, add_image, default_index, refresh, remove_image,
};
use gxn_base::{Error, Modality, Progress};
use gxn_index::{Filter, Method, SearchOptions};
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyList, PyTuple};

use crate::errors::{check_interrupt, exception};
use crate::images::content;

/// A hit of a search: its place, id, path and score, the shares of both levels in the score, where hubs are corrected what was taken
/// off it, and its relevance where the model is calibrated.
#[pyclass(frozen, get_all, module = "gxn")]
pub struct Hit {
    rank: usize,
    id: String,
    path: String,
    score: f32,
    relevance: Option<f32>,
    #[pyo3(name = "abstract")]
    abstract_level: f32,
    #[pyo3(name = "grounded")]
    grounded_level: f32,
    hubness: Option<f32>,
    caption: Option<String>,
    image_id: Option<String>,
}

impl From<RankedHit> for Hit {
    fn from(hit: RankedHit) -> Self {
        let RankedHit { rank, id, path, score, relevance, parts, caption, image_id, .. } = hit;
        let ScoreParts { abstract_level, grounded_level, hubness } = parts;
        Self { rank, id, path, score, relevance, abstract_level, grounded_level, hubness, caption, image_id }
    }
}

#[pymethods]
impl Hit {
    fn __repr__(&self) -> String {
        format!("Hit({}, {:?}, score={:.4})", self.rank, self.id, self.score)
    }
}

/// An index with the model that made it. Other programs' changes of the index are seen by the next search; its length, in a Milvus
/// server, within ten seconds of one.
#[pyclass(frozen, module = "gxn")]
pub struct Index(Mutex<Arc<Retriever>>);

#[pymethods]
impl Index {
    /// Opens the index in the folder `path` or in its `.gxn`, or in a Milvus server ("milvus://HOST:PORT/COLLECTION"), with the
    /// model that it names or with `model`.
    #[staticmethod]
    #[pyo3(signature = (path, model = None))]
    fn open(py: Python<'_>, path: PathBuf, model: Option<PathBuf>) -> PyResult<Self> {
        let open = || Retriever::open(IndexPlace::parse(path.as_os_str())?.at()?, model.as_deref());
        Ok(Self(Mutex::new(Arc::new(py.detach(open).map_err(exception)?))))
    }

    /// Makes the index of a folder of images or of a dataset, or brings it up to date; only what is new or changed is encoded.
    /// `path` is its folder or Milvus address, by default `.gxn` in the source.
    #[staticmethod]
    #[pyo3(signature = (source, model, *, path = None))]
    fn create(py: Python<'_>, source: PathBuf, model: PathBuf, path: Option<PathBuf>) -> PyResult<Self> {
        py.detach(|| {
            let encoder = gxn::encoder::Encoder::load(&model)?.with_feature_cache()?;
            let place = match path {
                Some(path) => IndexPlace::parse(path.as_os_str())?,
                None => default_index(&source, None).into(),
            };
            refresh(&encoder, &source, &place, &IndexOptions::default(), &CtrlC)?;
            Retriever::with_encoder(&place, Arc::new(encoder))
        })
        .map(|retriever| Self(Mutex::new(Arc::new(retriever))))
        .map_err(exception)
    }

    /// The best hits for a query: words (str), an image (path, bytes, PIL image, array), or a list of such parts, each alone or
    /// with its weight before it: [(1, "horse"), (-0.5, pathlib.Path("pool.jpg"))]. With keep_hubs the score
    /// stays as it is; otherwise a calibrated model takes off it what an item scores with most queries. `rerank` of the best images
    /// of one text are then ordered by score + rerank_weight · ln p(text | image) of the model's caption decoder; with a calibrated
    /// model also captions of one image, less ln p(text).
    #[pyo3(signature = (query, top = 10, *, target = "image", r#where = None, lambda_ = None, offset = 0, min_relevance = None, exact = false, keep_hubs = false, rerank = None, rerank_weight = RERANK_WEIGHT))]
    #[expect(clippy::too_many_arguments, reason = "Python's callers name them")]
    fn search(
        &self,
        py: Python<'_>,
        query: &Bound<'_, PyAny>,
        top: usize,
        target: &str,
        r#where: Option<&str>,
        lambda_: Option<f32>,
        offset: usize,
        min_relevance: Option<f32>,
        exact: bool,
        keep_hubs: bool,
        rerank: Option<usize>,
        rerank_weight: f32,
    ) -> PyResult<Vec<Hit>> {
        let query = query_of(query)?;
        let target = match target {
            "image" => Modality::Image,
            "text" => Modality::Text,
            other => return Err(exception(Error::invalid("target", format!("`{other}`"), "image or text"))),
        };
        let filter = r#where.map(Filter::parse).transpose().map_err(exception)?;
        let options = SearchOptions {
            offset,
            filter: filter.as_ref(),
            lambda: lambda_,
            method: if exact { Method::Exact } else { Method::Auto },
            ..SearchOptions::new(target, top)
        };
        let found = py.detach(|| {
            let rerank = rerank.map(|candidates| Reranking { candidates, weight: rerank_weight });
            let ranking = Ranking { keep_hubs, rerank };
            let mut found = self.current()?.search_ranked(&query, &options, ranking)?;
            if let Some(least) = min_relevance {
                found.keep_relevant(least)?;
            }
            Ok(found)
        });
        Ok(found.map_err(exception)?.hits.into_iter().map(Hit::from).collect())
    }

    /// Adds an image file of the indexed folder, or replaces what the index has of it; returns its id.
    fn add(&self, py: Python<'_>, image: PathBuf) -> PyResult<String> {
        py.detach(|| {
            let retriever = self.current()?;
            let id = add_image(retriever.encoder(), retriever.place(), &image)?.id;
            self.reopen(&retriever).map(|()| id)
        })
        .map_err(exception)
    }

    /// Removes an image with its captions from the index; the file stays. False if there was none.
    fn remove(&self, py: Python<'_>, id: &str) -> PyResult<bool> {
        py.detach(|| {
            let retriever = self.current()?;
            let was_there = remove_image(retriever.place(), id)?;
            self.reopen(&retriever).map(|()| was_there)
        })
        .map_err(exception)
    }

    /// Brings the index up to date with its source; returns what was done.
    fn refresh<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let report = py.detach(|| {
            let retriever = self.current()?;
            let place = retriever.place();
            let source = Refresh::again(place)?.source().to_path_buf();
            let report = refresh(retriever.encoder(), &source, place, &IndexOptions::default(), &CtrlC)?;
            self.reopen(&retriever).map(|()| report)
        });
        let text = serde_json::json!(report.map_err(exception)?).to_string();
        py.import("json")?.call_method1("loads", (text,))
    }

    /// Where the index lies.
    #[getter]
    fn path(&self) -> PyResult<String> {
        Ok(self.current().map_err(exception)?.place().to_string())
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.current().map_err(exception)?.index().count(Modality::Image))
    }
}

impl Index {
    /// Opens it again, after a change of its own.
    fn reopen(&self, retriever: &Retriever) -> gxn_base::Result<()> {
        let newer = Arc::new(retriever.reopened()?);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = newer;
        Ok(())
    }

    /// The index as it is now.
    fn current(&self) -> gxn_base::Result<Arc<Retriever>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newer) = held.refreshed()? {
            *held = Arc::new(newer);
        }
        Ok(held.clone())
    }
}

/// Stops work at Ctrl-C.
struct CtrlC;

impl Progress for CtrlC {
    fn cancelled(&self) -> bool {
        check_interrupt().is_err()
    }
}

/// A query of one part, or of several with their weights.
fn query_of(value: &Bound<'_, PyAny>) -> PyResult<Query> {
    let Ok(parts) = value.cast::<PyList>() else {
        return Ok(Query { parts: vec![part(value, 1.0)?] });
    };
    let parts: PyResult<Vec<Part>> = parts
        .iter()
        .map(|item| match item.cast::<PyTuple>() {
            Ok(pair) => {
                let (weight, value): (f32, Bound<'_, PyAny>) = pair.extract()?;
                part(&value, weight)
            }
            Err(_) => part(&item, 1.0),
        })
        .collect();
    Ok(Query { parts: parts? })
}

fn part(value: &Bound<'_, PyAny>, weight: f32) -> PyResult<Part> {
    Ok(Part { content: content(value)?, weight, is_weight_written: false })
}
