//! `GET /v1/runs`, one run, its log as it grows, its samples.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use axum::Json;
use axum::extract::{Path as UrlPath, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use gxn::config::RunConfig;
use gxn::train::is_training;
use gxn_base::Error;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::items::content_type;
use crate::app::App;
use crate::events::{Next, follow};
use crate::extract::Id;
use crate::problem::{Answer, Problem};

const LOG: &str = "log.jsonl";
const CONFIG: &str = "config.toml";
const SAMPLES: &str = "samples";
/// Steps of an answer at most; of more, evenly spread ones are given.
const MOST_STEPS: usize = 4000;
/// Bytes of a log that are read at most, its end.
const MOST_BYTES: u64 = 256 << 20;

/// The runs of the folder.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Runs {
    runs: Vec<RunEntry>,
}

/// A run in short.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunEntry {
    name: String,
    stage: Option<String>,
    /// Finished epochs.
    epochs: usize,
    /// `running`, `finished` or `stopped`.
    state: &'static str,
    best_rsum: Option<f64>,
}

/// A run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunDetail {
    name: String,
    /// Its configuration as TOML.
    config: String,
    /// Lines of its log.
    #[schema(value_type = Vec<Object>)]
    steps: Vec<Value>,
    /// The untrained network is epoch 0.
    #[schema(value_type = Vec<Object>)]
    epochs: Vec<Value>,
    #[schema(value_type = Vec<Object>)]
    alarms: Vec<Value>,
    samples: Vec<Sample>,
}

/// A file of generated images.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sample {
    name: String,
    url: String,
}

/// What a log tells.
#[derive(Default)]
struct Log {
    steps: Vec<Value>,
    epochs: Vec<Value>,
    alarms: Vec<Value>,
}

/// The folder of the run called `name`, which must be one of the folder of runs.
fn folder(runs: &Path, name: &str) -> Answer<PathBuf> {
    let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    let run = runs.join(name);
    if is_plain && run.join(LOG).is_file() {
        return Ok(run);
    }
    Err(Problem::not_found(format!("the run: found {name:?}, expected the name of one")))
}

/// All runs, the last changed first.
#[utoipa::path(get, path = "/v1/runs", tag = "training", responses((status = 200, body = Runs)))]
pub(crate) async fn runs(State(app): State<App>) -> Answer<Json<Runs>> {
    let place = app.options().runs.clone();
    App::blocking(move || {
        let mut found: Vec<(std::time::SystemTime, String)> = Vec::new();
        // A folder that is not there has no runs.
        for entry in std::fs::read_dir(&place).into_iter().flatten().flatten() {
            if let (Ok(meta), Ok(name)) = (entry.path().join(LOG).metadata(), entry.file_name().into_string()) {
                found.push((meta.modified().unwrap_or(std::time::UNIX_EPOCH), name));
            }
        }
        found.sort_by(|a, b| b.cmp(a));
        let entry = |(_, name): (_, String)| short(&place.join(&name), name);
        Ok(Json(Runs { runs: found.into_iter().map(entry).collect::<Answer<_>>()? }))
    })
    .await
}

fn short(run: &Path, name: String) -> Answer<RunEntry> {
    let log = read(&run.join(LOG))?;
    let config = RunConfig::load_stored(&run.join(CONFIG)).ok();
    let number = |line: &Value, key: &str| line.get(key).and_then(Value::as_u64);
    let epochs = log.epochs.iter().filter_map(|line| number(line, "finished_epoch")).max().unwrap_or(0) as usize;
    let is_whole = config.as_ref().is_some_and(|config| epochs >= config.train.epochs);
    let state = match (is_training(run), is_whole) {
        (true, _) => "running",
        (false, true) => "finished",
        (false, false) => "stopped",
    };
    let rsum = |line: &Value| line.get("val")?.get("rsum")?.as_f64();
    let best_rsum = log.epochs.iter().filter_map(rsum).max_by(f64::total_cmp);
    let stage = config.and_then(|config| serde_json::to_value(config.train.stage).ok()?.as_str().map(str::to_owned));
    Ok(RunEntry { name, stage, epochs, state, best_rsum })
}

/// A run with its curves.
#[utoipa::path(get, path = "/v1/runs/{name}", tag = "training", params(("name" = String, Path, description = "The run's name")), responses(
    (status = 200, body = RunDetail),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn run(State(app): State<App>, Id(name): Id) -> Answer<Json<RunDetail>> {
    let place = app.options().runs.clone();
    App::blocking(move || {
        let run = folder(&place, &name)?;
        let Log { steps, epochs, alarms } = read(&run.join(LOG))?;
        let every = steps.len().div_ceil(MOST_STEPS).max(1);
        let last = steps.len().saturating_sub(1);
        let steps = steps.into_iter().enumerate().filter(|(at, _)| at % every == 0 || *at == last);
        let config = std::fs::read_to_string(run.join(CONFIG)).unwrap_or_default();
        let samples = samples(&run, &name);
        Ok(Json(RunDetail { name, config, steps: steps.map(|(_, line)| line).collect(), epochs, alarms, samples }))
    })
    .await
}

/// Reads a log; lines that are not whole yet are left out.
fn read(path: &Path) -> Answer<Log> {
    let fail = |error| Problem::from(Error::io("cannot read", path, error));
    let mut file = File::open(path).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MOST_BYTES))).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(fail)?;
    let mut log = Log::default();
    for line in String::from_utf8_lossy(&bytes).lines() {
        let Ok(line @ Value::Object(_)) = serde_json::from_str::<Value>(line) else { continue };
        match () {
            () if line.get("finished_epoch").is_some() => log.epochs.push(line),
            () if line.get("alarm").is_some() => log.alarms.push(line),
            () => log.steps.push(line),
        }
    }
    Ok(log)
}

fn samples(run: &Path, name: &str) -> Vec<Sample> {
    let entries = std::fs::read_dir(run.join(SAMPLES)).into_iter().flatten().flatten();
    let mut files: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    files.retain(|file| is_sample(file));
    files.sort();
    let name = super::percent_encoded(name);
    files
        .into_iter()
        .map(|file| Sample { url: format!("/v1/runs/{name}/samples/{}", super::percent_encoded(&file)), name: file })
        .collect()
}

fn is_sample(file: &str) -> bool {
    file.ends_with(".png") && !file.starts_with('.') && !file.contains(['/', '\\', '\0'])
}

/// A sheet of images that the model generated while it was trained.
#[utoipa::path(get, path = "/v1/runs/{name}/samples/{file}", tag = "training",
    params(("name" = String, Path, description = "The run's name"), ("file" = String, Path, description = "The sample's name")), responses(
    (status = 200, body = Vec<u8>, content_type = "image/png"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn sample(
    State(app): State<App>,
    path: Result<UrlPath<(String, String)>, axum::extract::rejection::PathRejection>,
) -> Answer<Response> {
    let UrlPath((name, file)) = path.map_err(|error| Problem::invalid(format!("the path: {}", error.body_text())))?;
    let place = app.options().runs.clone();
    App::blocking(move || {
        let missing = || Problem::not_found(format!("the sample: found {file:?}, expected the name of one"));
        let path = folder(&place, &name)?.join(SAMPLES).join(&file);
        // No link leads out of the run, and what is no image is not given out.
        if !is_sample(&file) || !path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
            return Err(missing());
        }
        let bytes = std::fs::read(&path).map_err(|error| Error::io("cannot read", &path, error))?;
        match content_type(&bytes) {
            Some(kind) => Ok(([(CONTENT_TYPE, kind)], bytes).into_response()),
            None => Err(missing()),
        }
    })
    .await
}

/// New lines of a run's log, as they are written, until the run ends (server-sent events).
#[utoipa::path(get, path = "/v1/runs/{name}/events", tag = "training", params(("name" = String, Path, description = "The run's name")), responses(
    (status = 200, description = "A line of the log an event", body = String, content_type = "text/event-stream"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn run_events(State(app): State<App>, Id(name): Id) -> Answer<Response> {
    let run = folder(&app.options().runs, &name)?;
    let path = run.join(LOG);
    let mut at = path.metadata().map_or(0, |meta| meta.len());
    follow(&app, move || {
        // Asked first, so that the last lines of a run that ends now are still read.
        let then = if is_training(&run) { Next::Later } else { Next::End };
        (new_lines(&path, &mut at), then)
    })
}

/// The whole lines behind `at`, which moves on. A log that was cut, as by a resumed run, is followed from its end.
fn new_lines(path: &Path, at: &mut u64) -> Vec<String> {
    let Ok(mut file) = File::open(path) else { return Vec::new() };
    let length = file.metadata().map_or(0, |meta| meta.len());
    if length < *at {
        *at = length;
    }
    let mut bytes = Vec::new();
    if file.seek(SeekFrom::Start(*at)).and_then(|_| file.take(MOST_BYTES).read_to_end(&mut bytes)).is_err() {
        return Vec::new();
    }
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    *at += whole as u64;
    String::from_utf8_lossy(&bytes[..whole]).lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_log_is_followed_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOG);
        std::fs::write(&path, "{\"step\":1}\n").unwrap();
        let mut at = 0;
        assert_eq!(new_lines(&path, &mut at), ["{\"step\":1}"]);
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"step\":2}\n{\"st").unwrap();
        assert_eq!(new_lines(&path, &mut at), ["{\"step\":2}"]);
        file.write_all(b"ep\":3}\n").unwrap();
        assert_eq!(new_lines(&path, &mut at), ["{\"step\":3}"]);
        assert!(new_lines(&path, &mut at).is_empty());
        let log = read(&path).unwrap();
        assert_eq!((log.steps.len(), log.epochs.len()), (3, 0));
    }

    #[test]
    fn only_runs_are_runs() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("a")).unwrap();
        std::fs::write(place.path().join("a").join(LOG), "").unwrap();
        assert!(folder(place.path(), "a").is_ok());
        for bad in ["", ".", "..", "b", "../a", "a/../a", "a\0"] {
            assert_eq!(folder(place.path(), bad).unwrap_err().status.as_u16(), 404, "{bad}");
        }
    }
}
