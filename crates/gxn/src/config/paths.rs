//! Paths of a configuration: stored so that a run is found from every folder.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{DataConfig, RunConfig, expand};

/// Between the paths of several sources.
const JOINED: &str = "::";

/// Where a run's data lie as seen from the run's folder: it is found again after both were moved together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DataPlaces {
    /// `data.source`, whose parts are joined by `::`.
    pub source: Vec<PathBuf>,
    /// `data.images`
    pub images: Option<PathBuf>,
    /// `data.texts`
    pub texts: Option<PathBuf>,
}

impl RunConfig {
    /// The same with absolute paths in place of those that depend on the working folder. A path with a variable is left:
    /// it means something on every machine.
    pub fn with_absolute_paths(mut self) -> Self {
        let data = &mut self.data;
        data.source = of_each_source(&data.source, |_, path| absolute(path));
        [&mut data.options.images, &mut data.options.texts].into_iter().flatten().for_each(|path| {
            *path = absolute(&path.to_string_lossy()).into();
        });
        if self.look.weights != "random" {
            self.look.weights = absolute(&self.look.weights);
        }
        if let Some(vectors) = &mut self.look.sentence.word_vectors {
            vectors.path = absolute(&vectors.path);
        }
        if let Some(encoder) = &mut self.look.encoder {
            encoder.path = absolute(&encoder.path);
        }
        if let Some(encoder) = &mut self.look.sentence.encoder {
            encoder.path = absolute(&encoder.path);
        }
        let starts = [&mut self.train.init_from, &mut self.train.merge_from];
        starts.into_iter().flatten().chain(&mut self.train.teachers).for_each(|path| *path = absolute(path));
        self
    }
}

impl DataConfig {
    /// Its paths as seen from `run`.
    pub fn places_from(&self, run: &Path) -> DataPlaces {
        let whole = |path: &Path| std::path::absolute(path).ok();
        let from = |path: &str| relative(&whole(run)?, &whole(&expand(path).ok()?)?);
        let of = |path: &Option<PathBuf>| path.as_ref().and_then(|path| from(&path.to_string_lossy()));
        // With one part that cannot be told, the others could not be told apart.
        let source = self.source.split(JOINED).map(from).collect::<Option<_>>().unwrap_or_default();
        DataPlaces { source, images: of(&self.options.images), texts: of(&self.options.texts) }
    }

    /// The same with the paths at which the data are now: as stored; else as they were seen from `run`; else, for a path of
    /// before paths were stored whole, below a folder that `run` lies in. What is nowhere stays as it is.
    pub fn located(mut self, places: &DataPlaces, run: &Path) -> Self {
        let run = std::path::absolute(run).unwrap_or_else(|_| run.to_path_buf());
        let seen = |at: usize| places.source.get(at).map(PathBuf::as_path);
        self.source = of_each_source(&self.source, |at, path| located(path, seen(at), &run));
        for (path, place) in [(&mut self.options.images, &places.images), (&mut self.options.texts, &places.texts)] {
            if let Some(path) = path {
                *path = located(&path.to_string_lossy(), place.as_deref(), &run).into();
            }
        }
        self
    }
}

/// Several sources with each path replaced.
fn of_each_source(source: &str, new: impl Fn(usize, &str) -> String) -> String {
    source.split(JOINED).enumerate().map(|(at, path)| new(at, path)).collect::<Vec<_>>().join(JOINED)
}

fn located(path: &str, seen: Option<&Path>, run: &Path) -> String {
    let Ok(whole) = expand(path) else { return path.to_owned() };
    if path.is_empty() || whole.exists() {
        return path.to_owned();
    }
    let from_run = seen.map(|seen| run.join(seen));
    let above = run.ancestors().filter(|_| whole.is_relative()).map(|folder| folder.join(&whole));
    let found = from_run.into_iter().chain(above).find(|place| place.exists());
    found.map_or_else(|| path.to_owned(), |place| place.canonicalize().unwrap_or(place).display().to_string())
}

fn absolute(path: &str) -> String {
    if path.is_empty() || path.contains('$') || path.starts_with("~/") {
        return path.to_owned();
    }
    let whole = std::path::absolute(path).map_or_else(|_| path.to_owned(), |whole| whole.display().to_string());
    // A colon at the end would run into the ones that join it to the next source.
    if whole.ends_with(':') { whole + "/." } else { whole }
}

/// `to` as seen from the folder `from`; both absolute. None where they have nothing in common.
fn relative(from: &Path, to: &Path) -> Option<PathBuf> {
    let (from, to): (Vec<Component>, Vec<Component>) = (from.components().collect(), to.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n(Component::ParentDir, from.len() - common);
    (common > 0).then(|| up.chain(to[common..].iter().copied()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_whole_but_for_variables() {
        let mut config = RunConfig::default();
        config.data.source = "a/b.json::c.json".into();
        config.data.options.images = Some("c".into());
        config.look.weights = "random".into();
        config.train.init_from = Some("$HOME/run".into());
        let whole = config.with_absolute_paths();
        let here = std::env::current_dir().unwrap();
        let sources = ["a/b.json", "c.json"].map(|path| here.join(path).display().to_string());
        assert_eq!(whole.data.source, sources.join("::"));
        assert_eq!(whole.data.options.images, Some(here.join("c")));
        assert_eq!((whole.look.weights.as_str(), whole.train.init_from.as_deref()), ("random", Some("$HOME/run")));
        assert_eq!(whole.clone().with_absolute_paths(), whole);
    }

    #[test]
    fn a_path_that_ends_in_a_colon_stays_apart_from_the_next() {
        let mut config = RunConfig::default();
        config.data.source = ":/.::b".into();
        let whole = config.with_absolute_paths();
        let here = std::env::current_dir().unwrap();
        assert_eq!(whole.data.source, format!("{0}/:/.::{0}/b", here.display()));
        assert_eq!(whole.clone().with_absolute_paths(), whole);
    }

    #[test]
    fn data_are_found_where_they_are_now() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        std::fs::create_dir_all(old.join("data")).unwrap();
        std::fs::create_dir_all(old.join("runs/a")).unwrap();
        std::fs::write(old.join("data/x.json"), "").unwrap();
        let stored = DataConfig { source: old.join("data/x.json").display().to_string(), ..DataConfig::default() };
        let places = stored.places_from(&old.join("runs/a"));
        assert_eq!(places.source, [Path::new("../../data/x.json")]);
        assert_eq!(stored.clone().located(&places, &old.join("runs/a")), stored);
        std::fs::rename(&old, &new).unwrap();
        let found = new.canonicalize().unwrap().join("data/x.json").display().to_string();
        assert_eq!(stored.located(&places, &new.join("runs/a")).source, found);
        // An older run knows a relative path only.
        let older = DataConfig { source: "data/x.json".into(), ..DataConfig::default() };
        assert_eq!(older.clone().located(&DataPlaces::default(), &new.join("runs/a")).source, found);
        assert_eq!(older.clone().located(&DataPlaces::default(), folder.path()), older);
    }
}
