//! What resuming needs beside the weights: optimiser, position, best result.

use std::collections::BTreeMap;
#[cfg(unix)]
use std::os::unix::fs::symlink as link_folder;
#[cfg(windows)]
use std::os::windows::fs::symlink_dir as link_folder;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::alarms::Watch;
use super::picture_steps::PictureFigures;
use super::steps::CaptionFigures;
use crate::checkpoint::weights::{self, Array, Arrays};
use crate::checkpoint::{pretty, read_json};
use crate::imagine::picture::save_png;
use gxn_base::fs::write_synced;
use gxn_base::{Error, Result};
use gxn_ops::adam::AdamState;

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
    /// Sums of the open epoch's caption figures.
    pub caption_sums: CaptionFigures,
    /// Sums of the open epoch's picture figures.
    pub picture_sums: PictureFigures,
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
    pub watch: Watch,
    /// Steps of the optimisers, by parameter; those of other losses than Match behind the loss's name.
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
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        Self {
            program: env!("CARGO_PKG_VERSION").to_string(),
            cpu: instruction_sets(),
            threads: rayon::current_num_threads(),
        }
    }
}

fn instruction_sets() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        let sets = [
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
        ];
        let found: Vec<&str> = sets.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
        format!("x86_64 {}", found.join("+"))
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::env::consts::ARCH.to_string()
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

    /// Writes the sheet of imagined pictures of an epoch: `samples/epoch_007.png`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_sheet(&self, epoch: usize, sheet: &image::RgbImage) -> Result<()> {
        let folder = self.0.join("samples");
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("cannot make", &folder, e))?;
        let path = folder.join(format!("epoch_{epoch:03}.png"));
        save_png(sheet, &path)
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
                    Error::invalid(format!("tensor {name} of {place}"), "nothing", "the optimiser's memory")
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
    write_synced(&folder.join("trainer.json"), pretty(position).as_bytes())
}

/// Reads it again.
pub(crate) fn read(folder: &Path) -> Result<(Position, Arrays)> {
    let path = folder.join("trainer.json");
    if !path.exists() {
        return Err(Error::invalid(
            folder.display().to_string(),
            "no trainer.json",
            "a checkpoint that can be resumed",
        )
        .with_hint("resume from the run's folder, whose `last` checkpoint can be continued"));
    }
    Ok((read_json(&path)?, weights::load(&folder.join("trainer.safetensors"))?))
}
