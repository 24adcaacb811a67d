//! `GET /v1/reports`, one report, and pairs that count as right as well.

use std::io::Write;
use std::path::{Path, PathBuf};

use axum::Json;
use axum::extract::State;
use gxn_base::Error;
use gxn_eval::Report;
use gxn_index::Modality;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::edit::may_write;
use super::items::find;
use crate::app::App;
use crate::extract::{Body, Id};
use crate::problem::{Answer, Problem};

/// Folders below the folder of runs in which reports are found.
const DEPTH: usize = 3;
/// Larger files are no reports.
const MOST_BYTES: u64 = 256 << 20;
/// Where pairs are written, beside the report.
const RELEVANCE: &str = "relevance.tsv";

/// The reports of the folder of runs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Reports {
    reports: Vec<ReportEntry>,
}

/// A report in short.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReportEntry {
    /// Its path in the folder, without `.json`.
    name: String,
    model: String,
    split: String,
    rsum: f64,
}

/// Files that may be reports, by their names.
fn files(place: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut open = vec![(place.to_path_buf(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else { continue };
            let is_small = || entry.metadata().is_ok_and(|meta| meta.len() <= MOST_BYTES);
            // Links are not followed: they may lead out.
            if kind.is_dir() && depth < DEPTH && !name.starts_with('.') && name != "checkpoints" && name != "features" {
                open.push((entry.path(), format!("{prefix}{name}/"), depth + 1));
            } else if let Some(stem) = name.strip_suffix(".json")
                && kind.is_file()
                && is_small()
            {
                found.push((format!("{prefix}{stem}"), entry.path()));
            }
        }
    }
    found.sort();
    found
}

fn file(place: &Path, name: &str) -> Answer<PathBuf> {
    let found = files(place).into_iter().find(|(known, _)| known == name);
    found
        .map(|(_, path)| path)
        .ok_or_else(|| Problem::not_found(format!("the report: found {name:?}, expected the name of one")))
}

/// The report where there is one alone.
fn only_report(place: &Path) -> Answer<PathBuf> {
    let mut found = files(place).into_iter().map(|(_, path)| path).filter(|path| Report::read(path).is_ok());
    match (found.next(), found.next()) {
        (Some(path), None) => Ok(path),
        (None, _) => Err(Problem::not_found("the report: found none in the folder of runs")),
        _ => Err(Problem::invalid("report: found none in the request, expected the name of one of several")),
    }
}

/// All reports.
#[utoipa::path(get, path = "/v1/reports", tag = "evaluation", responses((status = 200, body = Reports)))]
pub(crate) async fn reports(State(app): State<App>) -> Answer<Json<Reports>> {
    let place = app.options().runs.clone();
    App::blocking(move || {
        let entry = |(name, path): (String, PathBuf)| {
            // Other JSON lies there too.
            let Report { model, split, metrics, .. } = Report::read(&path).ok()?;
            Some(ReportEntry { name, model, split, rsum: metrics.rsum() })
        };
        Ok(Json(Reports { reports: files(&place).into_iter().filter_map(entry).collect() }))
    })
    .await
}

/// A report as it was written.
#[utoipa::path(get, path = "/v1/reports/{name}", tag = "evaluation", params(("name" = String, Path, description = "Its name, percent-encoded")), responses(
    (status = 200, body = Object),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn report(State(app): State<App>, Id(name): Id) -> Answer<Json<Value>> {
    let place = app.options().runs.clone();
    App::blocking(move || {
        let path = file(&place, &name)?;
        let not_one = |_| Problem::not_found(format!("the report: found {name:?}, which is no report"));
        let text = std::fs::read_to_string(&path).map_err(|error| Error::io("cannot read", &path, error))?;
        Report::from_json(&text, &name).map_err(not_one)?;
        serde_json::from_str(&text).map(Json).map_err(|error| Problem::internal(error.to_string()))
    })
    .await
}

/// An image that is a right answer to a caption as well.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Judgement {
    /// The report's name; it may be absent where there is one report.
    report: Option<String>,
    /// The caption's id.
    query: String,
    /// The image's id.
    id: String,
}

/// Where a pair was written.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Judged {
    /// The file beside the report.
    file: String,
    /// Pairs in it.
    pairs: usize,
}

/// Writes the pair into relevance.tsv beside the report, as an evaluation reads it.
#[utoipa::path(post, path = "/v1/relevance", tag = "evaluation", request_body = Judgement, responses(
    (status = 200, body = Judged),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The server is read-only", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such report, image or caption", body = Problem, content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn judge(State(app): State<App>, Body(judgement): Body<Judgement>) -> Answer<Json<Judged>> {
    may_write(&app)?;
    let Judgement { report, query, id } = judgement;
    let (retriever, place) = (app.library()?.retriever(), app.options().runs.clone());
    if [&query, &id].iter().any(|id| id.contains(['\t', '\n', '\r'])) {
        return Err(Problem::invalid("an id: found a tab or a line break, which the file cannot hold"));
    }
    App::blocking(move || {
        let report = match report {
            Some(name) => file(&place, &name)?,
            None => only_report(&place)?,
        };
        find(&retriever, &id)?;
        if retriever.index().embeddings(Modality::Text, &[&query])?[0].is_none() {
            return Err(Problem::not_found(format!(
                "the caption: found {query:?}, expected the id of one of the index"
            )));
        }
        append(&report.with_file_name(RELEVANCE), &format!("{id}\t{query}\n")).map(Json)
    })
    .await
}

/// Adds a line unless the file has it.
fn append(path: &Path, line: &str) -> Answer<Judged> {
    // Two requests at a time would read the same state.
    static WRITING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _writing = WRITING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::io("cannot read", path, error).into()),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    if !text.lines().any(|known| known == line.trim_end_matches('\n')) {
        text.push_str(line);
        gxn_base::fs::write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    }
    let file = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    Ok(Judged { file, pairs: text.lines().filter(|line| !line.trim().is_empty()).count() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RELEVANCE);
        let pairs = |line| append(&path, line).unwrap().pairs;
        assert_eq!([pairs("a\t1\n"), pairs("b\t1\n"), pairs("a\t1\n")], [1, 2, 2]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\t1\nb\t1\n");
    }

    #[test]
    fn reports_are_found_in_folders_below_and_not_elsewhere() {
        let place = tempfile::tempdir().unwrap();
        for name in ["a.json", "run/eval/b.json", ".hidden/c.json", "run/checkpoints/d.json"] {
            std::fs::create_dir_all(place.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(place.path().join(name), "{}").unwrap();
        }
        let names: Vec<String> = files(place.path()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "run/eval/b"]);
        assert!(file(place.path(), "../a").is_err() && file(place.path(), "run/eval/b").is_ok());
    }
}
