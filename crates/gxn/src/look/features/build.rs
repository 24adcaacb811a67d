//! Filling a feature store: every core takes an image from bytes to row, or a few images go through a network together; one
//! thread writes.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use half::f16;
use image::RgbImage;
use rayon::prelude::*;

use super::rows::Writer;
use super::{FeatureCache, FeatureProgress};
use crate::look::FeatureNetwork;
use gxn_base::{Error, Result};
use gxn_data::{ContentHash, Dropped, ImageLimits, ImageSource, decode_image, read_limited};

/// Rows, and seconds, between commits.
const COMMIT_ROWS: usize = 512;
const COMMIT_AFTER: Duration = Duration::from_secs(20);
/// Finished rows that may wait for the writer.
const WAITING: usize = 64;
/// Images that a network sees together, at least; all are decoded at once.
const TOGETHER: usize = 16;
/// Between calls of the progress function while images take longer.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// How rows are computed, and where the means over the views go.
pub(super) struct Work<'a> {
    pub network: &'a FeatureNetwork,
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
    // An encoder that cannot be read is no fault of the images.
    work.network.load()?;
    let stop = AtomicBool::new(false);
    let (sender, receiver) = sync_channel::<Finished>(WAITING);
    let written = std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || make_rows(work, missing, stop, sender));
        let mut write = || -> Result<()> {
            let (start, mut finished, mut committed) = (Instant::now(), 0, (0, Instant::now()));
            loop {
                match receiver.recv_timeout(REPORT_EVERY) {
                    Ok((hash, Ok(row))) => {
                        places.insert(hash, rows.append(&hash, &row)?);
                        finished += 1;
                    }
                    Ok((hash, Err(reason))) => {
                        bad.insert(hash, reason);
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

/// A finished row, or why there is none.
type Finished = (ContentHash, std::result::Result<Vec<f16>, String>);

/// Sends the row of each image until `stop` is set.
fn make_rows(
    work: &Work<'_>,
    missing: &[(&ImageSource, ContentHash)],
    stop: &AtomicBool,
    sender: SyncSender<Finished>,
) {
    // The receiver is only gone after an error of its own.
    let goes_on = || !stop.load(Ordering::Relaxed);
    match work.network {
        FeatureNetwork::Cnn { network, pipeline, .. } => {
            missing.par_iter().with_max_len(1).for_each_with(sender, |sender, (image, hash)| {
                if goes_on() {
                    let views = pixels_of(image, hash).and_then(|pixels| pipeline.features(network, &pixels));
                    let row = views.and_then(|views| row_of(work, image, hash, &views, &pipeline.mean(&views)));
                    let _ = sender.send((*hash, row.map_err(|error| error.in_full())));
                }
            });
        }
        FeatureNetwork::CnnOnDevice { network, .. } => {
            let rows = |pixels: &[RgbImage]| Ok(network.features(pixels));
            rows_in_turn(work, &rows, &|views| network.pipeline().mean(views), missing, &goes_on, &sender);
        }
        FeatureNetwork::Tower(tower) => {
            rows_in_turn(work, &|pixels| tower.features(pixels), &<[f32]>::to_vec, missing, &goes_on, &sender);
        }
    }
}

/// An image with its content, and what is in its file.
type Decoded<'a> = (&'a ImageSource, ContentHash, Result<RgbImage>);

/// Sends the rows of images that a network sees a few at a time; the next few are decoded meanwhile. `features` are those of all
/// views of images, `mean` that of an image's.
fn rows_in_turn(
    work: &Work<'_>,
    features: &(dyn Fn(&[RgbImage]) -> Result<Vec<f32>> + Sync),
    mean: &(dyn Fn(&[f32]) -> Vec<f32> + Sync),
    missing: &[(&ImageSource, ContentHash)],
    goes_on: &(dyn Fn() -> bool + Sync),
    sender: &SyncSender<Finished>,
) {
    let mut turns = missing.chunks(TOGETHER.max(4 * rayon::current_num_threads())).take_while(|_| goes_on());
    let mut decoded = turns.next().map(decode_all);
    while let Some(images) = decoded {
        let next = turns.next();
        let (finished, coming) = rayon::join(|| rows_together(work, features, mean, images), || next.map(decode_all));
        finished.into_iter().for_each(|finished| drop(sender.send(finished)));
        decoded = coming;
    }
}

fn decode_all<'a>(images: &[(&'a ImageSource, ContentHash)]) -> Vec<Decoded<'a>> {
    images.par_iter().map(|&(image, hash)| (image, hash, pixels_of(image, &hash))).collect()
}

/// The rows of a few images, which a network sees as one batch.
fn rows_together(
    work: &Work<'_>,
    features: &dyn Fn(&[RgbImage]) -> Result<Vec<f32>>,
    mean: &dyn Fn(&[f32]) -> Vec<f32>,
    images: Vec<Decoded<'_>>,
) -> Vec<Finished> {
    let (mut pixels, mut readable, mut finished) = (Vec::new(), Vec::new(), Vec::new());
    for (image, hash, outcome) in images {
        match outcome {
            Ok(image_pixels) => {
                pixels.push(image_pixels);
                readable.push((image, hash));
            }
            Err(error) => finished.push((hash, Err(error.in_full()))),
        }
    }
    match features(&pixels) {
        Ok(rows) => {
            let length = rows.len() / pixels.len().max(1);
            finished.extend(readable.into_iter().zip(rows.chunks_exact(length.max(1))).map(
                |((image, hash), views)| {
                    (hash, row_of(work, image, &hash, views, &mean(views)).map_err(|error| error.in_full()))
                },
            ));
        }
        Err(error) => finished.extend(readable.into_iter().map(|(_, hash)| (hash, Err(error.in_full())))),
    }
    finished
}

/// An image from its file.
fn pixels_of(image: &ImageSource, hash: &ContentHash) -> Result<RgbImage> {
    let limits = ImageLimits::default();
    let name = image.to_string();
    let bytes = read_limited(image, &limits)?;
    if ContentHash::of(&bytes) != *hash {
        return Err(Error::conflict(name, "a file that changed while it was read", "one that stays as it is"));
    }
    decode_image(&bytes, &name, &limits)
}

/// The row of an image; its mean over the views goes to the other store.
fn row_of(work: &Work<'_>, image: &ImageSource, hash: &ContentHash, views: &[f32], mean: &[f32]) -> Result<Vec<f16>> {
    let row: Vec<f16> = views.iter().map(|&value| f16::from_f32(value)).collect();
    match row.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Error::invalid(image.to_string(), format!("a feature of {value}"), "numbers within ±65504")),
        None => {
            work.means.insert(*hash, mean);
            Ok(row)
        }
    }
}
