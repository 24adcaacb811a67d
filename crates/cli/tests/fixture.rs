//! A tiny dataset, runs trained on it once for all tests, and the program as a child process.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

pub use crate::tiny_dataset::{patch, tiny_dataset};

/// A network of a few thousand weights.
pub const CONFIG: &str = r#"
[look]
backbone = "small"
finetune = true
weights = "random"
side_px = 32
embed_dim = 16

[look.sentence]
word_dim = 8
hidden = 12

[train]
epochs = 2
batch_size = 6
learning_rate = 3e-3
"#;

/// What a child process left.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!stderr.contains("panicked"), "{stderr}");
        let code = output.status.code().unwrap_or_else(|| panic!("{}\n{stderr}", output.status));
        Self { code, stdout: String::from_utf8_lossy(&output.stdout).into_owned(), stderr }
    }

    /// stdout as one JSON value.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {}", self.stdout))
    }

    /// stdout as one JSON value a line.
    pub fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

pub fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gxn"));
    command.args(args);
    // Help is as wide as on a terminal of this width.
    command.env("COLUMNS", "100");
    command
}

/// Runs `gxn ARGS`.
pub fn gxn<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Ran {
    Ran::of(command(args).output().unwrap())
}

/// The same in a working folder.
pub fn gxn_in<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(folder: &Path, args: I) -> Ran {
    Ran::of(command(args).current_dir(folder).output().unwrap())
}

/// Runs what must succeed.
pub fn works<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Ran {
    let ran = gxn(args);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran
}

/// The folder that all tests of this process share; those of earlier processes are removed.
fn shared() -> &'static Path {
    static SHARED: OnceLock<PathBuf> = OnceLock::new();
    SHARED.get_or_init(|| {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
        for old in std::fs::read_dir(root).into_iter().flatten().flatten() {
            let process = old.file_name().to_string_lossy().strip_prefix("cli-").map(str::to_owned);
            if process.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
                let _ = std::fs::remove_dir_all(old.path());
            }
        }
        let folder = root.join(format!("cli-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        // Also where /proc does not exist, paths are compared with what the program resolved.
        folder.canonicalize().unwrap()
    })
}

/// The tiny dataset that nobody changes.
pub fn data() -> &'static Path {
    static DATA: OnceLock<PathBuf> = OnceLock::new();
    DATA.get_or_init(|| tiny_dataset(&shared().join("data")))
}

/// The configuration of the shared runs.
pub fn config() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let path = shared().join("tiny.toml");
        std::fs::write(&path, CONFIG).unwrap();
        path
    })
}

/// Arguments that train a run called `name` in `logs` on the shared data.
pub fn train_args(logs: &Path, name: &str, more: &[&str]) -> Vec<String> {
    let fixed = ["train", text(config()), "--train-data", text(data()), "--logs", text(logs), "--name", name];
    fixed.iter().chain(more).map(|s| s.to_string()).collect()
}

/// A finished run.
pub struct Run {
    pub folder: PathBuf,
    pub trained: Ran,
}

fn run(name: &str, more: &[&str]) -> Run {
    let logs = shared().join("runs");
    let trained = works(train_args(&logs, name, more));
    Run { folder: logs.join(name), trained }
}

/// Two levels under order similarity, as in the paper.
pub fn paper() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| run("paper", &[]))
}

/// One level under the cosine.
pub fn cosine() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| run("cosine", &COSINE))
}

/// As [`cosine`] with another seed.
pub fn other_seed() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| run("other-seed", &[&COSINE[..], &["--seed", "2"]].concat()))
}

/// A run of stage i2t_xe that begins with [`paper`].
pub fn speaking() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    let more = ["--stage", "i2t_xe", "--init-from", text(&paper().folder), "--set", "imagine.caption.hidden=8"];
    RUN.get_or_init(|| run("speaking", &[&more[..], &["--set", "imagine.caption.min_count=1"]].concat()))
}

const COSINE: [&str; 6] =
    ["--set", "matching.similarity=cosine", "--set", "matching.levels=abstract", "--set", "matching.absolute=false"];

/// A copy of a folder of plain files and folders; links are followed.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below `folder` with its content, by its path from there.
pub fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(here) = open.pop() {
        for entry in std::fs::read_dir(here).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => open.push(path),
                path => files.push((path.strip_prefix(folder).unwrap().to_path_buf(), std::fs::read(&path).unwrap())),
            }
        }
    }
    files.sort();
    files
}

/// A path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
