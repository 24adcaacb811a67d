//! What resuming needs beside the weights: optimiser, position, best result.

use std::collections::BTreeMap;
use std::fmt;
#[cfg(unix)]
use std::os::unix::fs::symlink as link_folder;
#[cfg(windows)]
use std::os::windows::fs::symlink_dir as link_folder;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event_file::remove_event_files;
use super::health::HealthMonitor;
use super::metrics::NamedMetrics;
use crate::checkpoint::weights::{self, Array, Arrays};
use crate::checkpoint::{pretty, read_json};
use crate::config::RunConfig;
use crate::device::{DeviceChoice, instruction_sets};
use crate::imagine::small_image::save_png;
use gxn_base::fs::{write_synced, write_text};
use gxn_base::{Error, Result};
use gxn_ops::adam::AdamState;

/// Version of `trainer.json`: 2 has the sums of all updates in one table.
const VERSION: u64 = 2;

/// Where a run stands. Sampling, dropout and learning rate are functions of the position and need no state.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// Steps done.
    pub step: u64,
    /// Epochs finished.
    pub epoch: usize,
    /// Batches of the open epoch done.
    pub batch: usize,
    /// Sum of the open epoch's losses.
    pub loss_sum: f64,
    /// Sums of what the open epoch's updates found.
    pub sums: NamedMetrics,
    /// Steps of Eq. 3 among the steps.
    pub match_steps: u64,
    /// Validation rsum of the best epoch so far.
    pub best_rsum: f64,
    /// What the best epoch was chosen by; none before the first.
    pub best_score: Option<f64>,
    /// The epoch of it.
    pub best_epoch: usize,
    /// Steps behind it.
    pub best_step: u64,
    /// What the alarms remember.
    pub health: HealthMonitor,
    /// Steps of the optimisers, by parameter; those of other updates than Match behind the update's name.
    pub optimiser_steps: BTreeMap<String, u64>,
    /// Hash of ids, captions and splits of the data.
    pub data_sha: String,
    /// What bit-exact resuming depends on.
    pub machine: Machine,
}

/// What floating-point results depend on besides the inputs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Version of the program.
    pub program: String,
    /// Instruction sets that the kernels use.
    pub cpu: String,
    /// Worker threads.
    pub threads: usize,
    /// What computes.
    #[serde(default)]
    pub device: DeviceChoice,
}

impl Machine {
    /// This one, computing on `device`.
    pub fn here(device: DeviceChoice) -> Self {
        Self {
            program: env!("CARGO_PKG_VERSION").to_string(),
            cpu: instruction_sets(),
            threads: rayon::current_num_threads(),
            device,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, cpu, threads, device } = self;
        write!(f, "{device} by gxn {program} with {threads} threads of {cpu}")
    }
}

/// A run's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder(pub PathBuf);

impl RunFolder {
    /// `log.jsonl`
    pub fn log(&self) -> PathBuf {
        self.0.join("log.jsonl")
    }

    /// The checkpoint after `step` steps.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.0.join("checkpoints").join(format!("step_{step:08}"))
    }

    /// Writes the sheet of an epoch's generated images: `samples/epoch_007.png`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_sheet(&self, epoch: usize, sheet: &image::RgbImage) -> Result<()> {
        let folder = self.0.join("samples");
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("cannot make", &folder, e))?;
        let path = folder.join(format!("epoch_{epoch:03}.png"));
        save_png(sheet, &path)
    }

    /// Makes the folder of a new run, with its configuration. A run that ended before its first save, killed or out of disk,
    /// left nothing to go on from: its log and its event files are removed.
    ///
    /// # Errors
    /// When a file cannot be written or removed.
    pub fn create(&self, config: &RunConfig) -> Result<()> {
        std::fs::create_dir_all(self.0.join("checkpoints")).map_err(|e| Error::io("cannot make", &self.0, e))?;
        write_text(&self.0.join("config.toml"), &config.to_toml())?;
        match std::fs::remove_file(self.log()) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("cannot replace", &self.log(), e)),
            _ => remove_event_files(&self.0),
        }
    }

    /// Whether there is a `last` checkpoint.
    pub fn can_be_resumed(&self) -> bool {
        self.0.join("last").is_symlink()
    }

    /// Makes the link `name` ("best" or "last") point to the checkpoint after `step` steps, at once.
    ///
    /// # Errors
    /// When the link cannot be made.
    pub fn point(&self, name: &str, step: u64) -> Result<()> {
        let (link, fresh) = (self.0.join(name), self.0.join(format!(".{name}.new")));
        let target = Path::new("checkpoints").join(format!("step_{step:08}"));
        let fail = |e| Error::io("cannot link", &link, e);
        match std::fs::remove_file(&fresh) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(fail(e)),
            _ => {}
        }
        link_folder(&target, &fresh).map_err(fail)?;
        // A copy of the run that followed links holds a folder here, which no rename replaces.
        let copied = std::fs::symlink_metadata(&link).is_ok_and(|found| found.is_dir());
        if copied {
            std::fs::remove_dir_all(&link).map_err(fail)?;
        }
        std::fs::rename(&fresh, &link).map_err(fail)
    }

    /// Removes every checkpoint to which neither link points.
    ///
    /// # Errors
    /// When the folder cannot be read; a checkpoint that cannot be removed stays.
    pub fn remove_unlinked(&self) -> Result<()> {
        let folder = self.0.join("checkpoints");
        let kept: Vec<PathBuf> =
            ["best", "last"].iter().filter_map(|name| std::fs::canonicalize(self.0.join(name)).ok()).collect();
        let entries = std::fs::read_dir(&folder).map_err(|e| Error::io("cannot read", &folder, e))?;
        for entry in entries.flatten() {
            let path = entry.path();
            if !kept.contains(&std::fs::canonicalize(&path).unwrap_or_default()) {
                let _ = std::fs::remove_dir_all(&path);
            }
        }
        Ok(())
    }
}

/// The optimiser's memory as tensors `first.PATH` and `second.PATH`, and its steps by path.
pub(crate) fn optimiser_arrays(states: Vec<AdamState>) -> (Arrays, BTreeMap<String, u64>) {
    let (mut arrays, mut steps) = (Arrays::new(), BTreeMap::new());
    for state in states {
        for (kind, values) in [("first", state.first), ("second", state.second)] {
            arrays.insert(format!("{kind}.{}", state.path), Array { shape: state.shape.clone(), values });
        }
        steps.insert(state.path, state.steps);
    }
    (arrays, steps)
}

/// The inverse of [`optimiser_arrays`].
pub(crate) fn optimiser_states(
    mut arrays: Arrays,
    steps: &BTreeMap<String, u64>,
    place: &str,
) -> Result<Vec<AdamState>> {
    steps
        .iter()
        .map(|(path, &steps)| {
            let mut take = |kind: &str| {
                let name = format!("{kind}.{path}");
                arrays.remove(&name).ok_or_else(|| {
                    Error::damaged(format!("tensor {name} of {place}"), "nothing", "the optimiser's memory")
                        .with_hint("the file is damaged; resume from another checkpoint")
                })
            };
            let (first, second) = (take("first")?, take("second")?);
            Ok(AdamState { path: path.clone(), shape: first.shape, steps, first: first.values, second: second.values })
        })
        .collect()
}

/// Writes the trainer's part of a checkpoint into its folder.
pub(crate) fn write(folder: &Path, position: &Position, arrays: &Arrays) -> Result<()> {
    weights::save(arrays, &folder.join("trainer.safetensors"))?;
    let mut value = serde_json::to_value(position).expect("plain data always serialises");
    value["version"] = VERSION.into();
    write_synced(&folder.join("trainer.json"), pretty(&value).as_bytes())
}

/// Reads what [`write`], or an older version of it, wrote.
pub(crate) fn read(folder: &Path) -> Result<(Position, Arrays)> {
    let path = folder.join("trainer.json");
    if !path.exists() {
        let (what, expected) = (folder.display().to_string(), "a checkpoint that can be resumed");
        return Err(Error::unsupported(what, "no trainer.json", expected)
            .with_hint("resume from the run's folder, whose `last` checkpoint can be continued"));
    }
    let position = position_of(read_json(&path)?, &path)?;
    Ok((position, weights::load(&folder.join("trainer.safetensors"))?))
}

/// The position in the JSON of any version.
fn position_of(mut value: Value, path: &Path) -> Result<Position> {
    // The first version had no number.
    let version = value.get("version").map_or(Some(1), Value::as_u64);
    match version {
        Some(1) => {
            value["health"] = value["watch"].take();
            let mut sums = serde_json::Map::new();
            for group in ["caption", "picture"] {
                let Value::Object(own) = value[format!("{group}_sums")].take() else { continue };
                // A stage without the update had zeros.
                if own.values().any(|sum| sum.as_f64() != Some(0.0)) {
                    sums.extend(own.into_iter().map(|(name, sum)| (format!("{group}.{name}"), sum)));
                }
            }
            value["sums"] = sums.into();
        }
        Some(VERSION) => {}
        _ => {
            let found = format!("version {}", value["version"]);
            return Err(Error::unsupported(path.display().to_string(), found, format!("version 1 to {VERSION}"))
                .with_hint("another version of gxn wrote it; continue the run with that one"));
        }
    }
    serde_json::from_value(value).map_err(|e| {
        Error::damaged(path.display().to_string(), e.to_string(), "the position of a run")
            .with_hint("the file is damaged; resume from another checkpoint")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What version 1 wrote in the middle of an epoch, shortened.
    const FIRST_VERSION: &str = r#"{
        "step": 7, "epoch": 1, "batch": 2, "loss_sum": 1.25,
        "caption_sums": {"loss": 3.5, "cross_entropy": 3.0, "reward": 0.5, "baseline": 0.0},
        "picture_sums": {"discriminator": 0.0, "generator": 0.0, "divergence": 0.0, "real_right": 0.0, "fake_right": 0.0,
                         "wrong_right": 0.0},
        "match_steps": 7, "best_rsum": 10.5, "best_score": null, "best_epoch": 1, "best_step": 5,
        "watch": {"first_spreads": [0.25, 0.5], "best": 10.5, "last": 10.5, "falling": 1},
        "optimiser_steps": {"caption/sentence.words": 7}, "data_sha": "ab",
        "machine": {"program": "0.1.0", "cpu": "x", "threads": 2}
    }"#;

    #[test]
    fn the_first_version_is_read() {
        let position = position_of(serde_json::from_str(FIRST_VERSION).unwrap(), Path::new("trainer.json")).unwrap();
        let sums =
            [("caption.loss", 3.5), ("caption.cross_entropy", 3.0), ("caption.reward", 0.5), ("caption.baseline", 0.0)];
        assert_eq!((position.step, position.batch, position.sums.clone()), (7, 2, sums.into()));
        assert_eq!(position.health, HealthMonitor::remembering([0.25, 0.5], 10.5, 10.5, 1));
        assert_eq!(position.optimiser_steps["caption/sentence.words"], 7);
    }

    #[test]
    fn a_position_survives_a_round_trip_and_a_later_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let sums = NamedMetrics::from([("picture.generator", 0.1 + 0.2)]);
        let position =
            Position { step: 3, loss_sum: 0.1 + 0.7, sums, best_score: Some(1.0 / 3.0), ..Position::default() };
        write(folder.path(), &position, &Arrays::new()).unwrap();
        assert_eq!(read(folder.path()).unwrap().0, position);
        let later = serde_json::json!({"version": VERSION + 1});
        let error = position_of(later, Path::new("trainer.json")).unwrap_err();
        assert_eq!(error.kind(), gxn_base::Kind::Unsupported, "{error}");
    }

    #[test]
    fn the_optimisers_memory_becomes_tensors_and_back() {
        let state =
            AdamState { path: "a.b".into(), shape: vec![2], steps: 4, first: vec![1.0, 2.0], second: vec![3.0, 4.0] };
        let (mut arrays, steps) = optimiser_arrays(vec![state.clone()]);
        assert_eq!(optimiser_states(arrays.clone(), &steps, "here").unwrap(), [state]);
        arrays.remove("second.a.b");
        let error = optimiser_states(arrays, &steps, "here").unwrap_err();
        assert_eq!(error.kind(), gxn_base::Kind::Damaged, "{error}");
    }
}
