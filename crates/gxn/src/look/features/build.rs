//! Filling a feature store: every core takes an image from bytes to row, one thread writes.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use half::f16;
use rayon::prelude::*;

use super::rows::Writer;
use super::{FeatureCache, FeatureProgress, FeatureSpec};
use crate::look::backbone::Inference;
use gxn_base::{Error, Result};
use gxn_data::{ContentHash, Dropped, ImageLimits, ImageSource, decode_image, read_limited};

/// Rows, and seconds, between commits.
const COMMIT_ROWS: usize = 512;
const COMMIT_AFTER: Duration = Duration::from_secs(20);
/// Finished rows that may wait for the writer.
const WAITING: usize = 64;
/// Between calls of the progress function while images take longer.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// How rows are computed, and where the means over the views go.
pub(super) struct Work<'a> {
    pub spec: &'a FeatureSpec,
    pub inference: &'a Inference,
    pub means: &'a FeatureCache,
}

/// Computes the rows that are missing. Returns the content of each image (none where it was dropped) and the dropped.
pub(super) fn complete(
    rows: &mut Writer,
    places: &mut HashMap<ContentHash, usize>,
    work: &Work<'_>,
    images: &[ImageSource],
    progress: &mut dyn FnMut(FeatureProgress) -> ControlFlow<()>,
) -> Result<(Vec<Option<ContentHash>>, Vec<Dropped>)> {
    let limits = ImageLimits::default();
    let hashes: Vec<Result<ContentHash>> =
        images.par_iter().map(|image| Ok(ContentHash::of(&read_limited(image, &limits)?))).collect();
    let mut dropped = Vec::new();
    let mut contents: Vec<Option<ContentHash>> = Vec::with_capacity(images.len());
    let mut missing = Vec::new();
    let mut seen = HashSet::new();
    for (image, hash) in images.iter().zip(hashes) {
        contents.push(match hash {
            Ok(hash) => {
                if seen.insert(hash) && !places.contains_key(&hash) {
                    missing.push((image, hash));
                }
                Some(hash)
            }
            Err(error) => {
                dropped.push(Dropped { what: image.to_string(), reason: error.in_full() });
                None
            }
        });
    }
    let outcome = compute(rows, places, work, &missing, seen.len(), progress);
    rows.commit()?;
    let bad = outcome?;
    for (image, content) in images.iter().zip(&mut contents) {
        if let Some(reason) = content.as_ref().and_then(|hash| bad.get(hash)) {
            dropped.push(Dropped { what: image.to_string(), reason: reason.clone() });
            *content = None;
        }
    }
    Ok((contents, dropped))
}

/// Returns why images could not be computed.
fn compute(
    rows: &mut Writer,
    places: &mut HashMap<ContentHash, usize>,
    work: &Work<'_>,
    missing: &[(&ImageSource, ContentHash)],
    total: usize,
    progress: &mut dyn FnMut(FeatureProgress) -> ControlFlow<()>,
) -> Result<HashMap<ContentHash, String>> {
    let mut bad = HashMap::new();
    if missing.is_empty() {
        return Ok(bad);
    }
    let stop = AtomicBool::new(false);
    let (sender, receiver) = sync_channel::<(ContentHash, Result<Vec<f16>>)>(WAITING);
    let written = std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            missing.par_iter().with_max_len(1).for_each_with(sender, |sender, (image, hash)| {
                if !stop.load(Ordering::Relaxed) {
                    // The receiver is only gone after an error of its own.
                    let _ = sender.send((*hash, row_of(work, image, hash)));
                }
            });
        });
        let mut write = || -> Result<()> {
            let (start, mut finished, mut committed) = (Instant::now(), 0, (0, Instant::now()));
            loop {
                match receiver.recv_timeout(REPORT_EVERY) {
                    Ok((hash, Ok(row))) => {
                        places.insert(hash, rows.append(&hash, &row)?);
                        finished += 1;
                    }
                    Ok((hash, Err(error))) => {
                        bad.insert(hash, error.in_full());
                        finished += 1;
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                }
                if finished - committed.0 >= COMMIT_ROWS || committed.1.elapsed() >= COMMIT_AFTER {
                    rows.commit()?;
                    committed = (finished, Instant::now());
                }
                let rate = finished as f64 / start.elapsed().as_secs_f64();
                let left = missing.len() - finished;
                if progress(FeatureProgress { done: total - left, total, rate }).is_break() {
                    return Err(Error::interrupted());
                }
            }
        };
        let outcome = write();
        stop.store(true, Ordering::Relaxed);
        // Workers that wait for room in the channel must be let go before the scope can end.
        drop(receiver);
        outcome
    });
    written.map(|()| bad)
}

/// One image from bytes to row.
fn row_of(work: &Work<'_>, image: &ImageSource, hash: &ContentHash) -> Result<Vec<f16>> {
    let limits = ImageLimits::default();
    let name = image.to_string();
    let bytes = read_limited(image, &limits)?;
    if ContentHash::of(&bytes) != *hash {
        return Err(Error::conflict(name, "a file that changed while it was read", "one that stays as it is"));
    }
    let pixels = decode_image(&bytes, &name, &limits)?;
    let views = work.spec.pipeline.features(work.inference, &pixels)?;
    let row: Vec<f16> = views.iter().map(|&value| f16::from_f32(value)).collect();
    match row.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Error::invalid(name, format!("a feature of {value}"), "numbers within ±65504")),
        None => {
            work.means.insert(*hash, &work.spec.pipeline.mean(&views));
            Ok(row)
        }
    }
}
