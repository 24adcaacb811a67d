//! [`Library`]: the model and the index that are served.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::UNIX_EPOCH;

use gxn::checkpoint::short;
use gxn::encoder::Encoder;
use gxn::retrieve::{Retriever, model_of};
use gxn_base::Result;

use crate::encoding::Encoding;
use crate::options::ServeOptions;

/// A model with its threads, and an index that is opened again when it was changed.
#[derive(Debug)]
pub(crate) struct Library {
    current: RwLock<Arc<Retriever>>,
    /// Held by the one who opens the index again.
    refreshing: Mutex<()>,
    /// The index was changed and cannot be opened with this model.
    is_outdated: AtomicBool,
    pub encoding: Encoding,
    pub model: Model,
}

/// What clients see of the model.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub name: String,
    pub fingerprint: String,
    /// Seconds since 1970.
    pub created: u64,
}

impl Library {
    /// Opens both and encodes a text, so that the first request is as fast as any other.
    pub fn open(options: &ServeOptions) -> Result<Self> {
        let path = match &options.model {
            Some(path) => path.clone(),
            None => model_of(&options.index)?,
        };
        let encoder = Arc::new(Encoder::load_on(&path, &options.device.open()?)?);
        let retriever = Retriever::with_encoder(&options.index, encoder.clone())?;
        let model = Model::of(encoder.path(), encoder.fingerprint());
        let encoding = Encoding::start(&encoder, &options.limits)?;
        if encoder.can_embed_texts() {
            encoder.encode_text("a")?;
        }
        let (current, refreshing) = (RwLock::new(Arc::new(retriever)), Mutex::new(()));
        Ok(Self { current, refreshing, is_outdated: AtomicBool::new(false), encoding, model })
    }

    /// Whether the last [`Library::retriever`] found the index changed and could not open it with this model: another one made it,
    /// or it is damaged. What it was before is served.
    pub fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::Relaxed)
    }

    /// The index as it is now. One that cannot be opened at the moment is served as it was.
    pub fn retriever(&self) -> Arc<Retriever> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        if current.index().is_current() {
            return current;
        }
        // Others go on with the former one meanwhile.
        let Ok(_refreshing) = self.refreshing.try_lock() else { return current };
        match current.refreshed() {
            Ok(Some(refreshed)) => {
                self.is_outdated.store(false, Ordering::Relaxed);
                let refreshed = Arc::new(refreshed);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = refreshed.clone();
                tracing::info!("the index was changed and is opened again");
                refreshed
            }
            Ok(None) => current,
            Err(error) => {
                // Once, not with every request.
                if !self.is_outdated.swap(true, Ordering::Relaxed) {
                    let error = error.in_full();
                    tracing::warn!(error, "the index was changed and cannot be opened; the former one serves");
                }
                current
            }
        }
    }
}

impl Model {
    fn of(path: &Path, fingerprint: &str) -> Self {
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        // A checkpoint is called by its run.
        let run = path.parent().filter(|folder| folder.ends_with("checkpoints")).and_then(Path::parent);
        let name = run.unwrap_or(&path).file_name().map(|name| name.to_string_lossy().into_owned());
        let modified = std::fs::metadata(&path).and_then(|meta| meta.modified()).ok();
        let created = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |age| age.as_secs());
        Self { name: name.unwrap_or_else(|| short(fingerprint)), fingerprint: fingerprint.to_owned(), created }
    }
}
