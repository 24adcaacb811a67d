//! [`FeatureCache`]: the features that stand for images outside training, shared by all commands.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::FeatureSpec;
use super::rows::{Place, Rows};
use gxn_base::Result;
use gxn_data::ContentHash;

/// Features, and time, between writes to disk.
const WRITE_ROWS: usize = 512;
const WRITE_AFTER: Duration = Duration::from_secs(20);

/// Mean features of images by their content, as `f32`: what is found here is bit by bit what would be computed again.
///
/// Any number of processes may read and add at the same time; what one adds, others see when they open the cache or add
/// themselves. Features that cannot be written (a full disk, a folder without permission) are kept for this process only.
#[derive(Debug)]
pub struct FeatureCache {
    place: Place,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rows: Rows<f32>,
    places: HashMap<ContentHash, usize>,
    /// Not on disk yet.
    fresh: HashMap<ContentHash, Vec<f32>>,
    written: Instant,
    writable: bool,
}

impl FeatureCache {
    /// Where the features of the checkpoint in `folder` are cached: in `features`, beside the run that it is part of. None
    /// for a checkpoint outside a run.
    pub fn folder_of(checkpoint: &Path) -> Option<PathBuf> {
        let checkpoints = checkpoint.parent().filter(|parent| parent.ends_with("checkpoints"))?;
        Some(checkpoints.parent()?.parent()?.join("features"))
    }

    /// The cache below `folder` for features by `spec` and the network with this fingerprint. Nothing is written before the
    /// first feature is added.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn open(folder: &Path, spec: &FeatureSpec, fingerprint: &str) -> Result<Self> {
        let key = spec.key(fingerprint);
        let folder = folder.join(&key[..16]).join("mean");
        let place = Place { folder, key, spec: spec.clone(), length: spec.width(), file: "rows.f32" };
        let (rows, contents) = place.read()?;
        let places = contents.into_iter().zip(0..).collect();
        let state = State { rows, places, fresh: HashMap::new(), written: Instant::now(), writable: true };
        Ok(Self { place, state: Mutex::new(state) })
    }

    /// The feature of the image with this content, `[F]`.
    pub fn get(&self, content: &ContentHash) -> Option<Vec<f32>> {
        let state = self.lock();
        match state.places.get(content) {
            Some(&place) => Some(state.rows.row(place).to_vec()),
            None => state.fresh.get(content).cloned(),
        }
    }

    /// Adds the feature of an image. It is written with others after a while, by [`FeatureCache::flush`], or when the cache
    /// is dropped.
    pub fn insert(&self, content: ContentHash, feature: &[f32]) {
        let mut state = self.lock();
        if state.writable && !state.places.contains_key(&content) && feature.iter().all(|value| value.is_finite()) {
            state.fresh.insert(content, feature.to_vec());
            if state.fresh.len() >= WRITE_ROWS || state.written.elapsed() >= WRITE_AFTER {
                let _ = self.write(&mut state);
            }
        }
    }

    /// Writes what was added.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&self) -> Result<()> {
        self.write(&mut self.lock())
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        let state = self.lock();
        state.places.len() + state.fresh.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked while it held the lock left whole features.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, state: &mut State) -> Result<()> {
        state.written = Instant::now();
        if state.fresh.is_empty() {
            return Ok(());
        }
        let written = self.append(&state.fresh);
        state.writable = written.is_ok();
        (state.rows, state.places) = written?;
        state.fresh.clear();
        Ok(())
    }

    /// Appends what no other process has added meanwhile, and reads all again.
    fn append(&self, fresh: &HashMap<ContentHash, Vec<f32>>) -> Result<(Rows<f32>, HashMap<ContentHash, usize>)> {
        let mut writer = self.place.write::<f32>(true)?;
        let known: HashSet<ContentHash> = self.place.read::<f32>()?.1.into_iter().collect();
        for (content, feature) in fresh.iter().filter(|(content, _)| !known.contains(content)) {
            writer.append(content, feature)?;
        }
        writer.commit()?;
        let (rows, contents) = self.place.read()?;
        Ok((rows, contents.into_iter().zip(0..).collect()))
    }
}

impl Drop for FeatureCache {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}
