//! [`Dataset::open`]: recognises a source's format by its content.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::dataset::Dataset;
use super::format::Format;
use super::image_source::EXTENSIONS;
use super::options::SourceOptions;
use super::parsed_source::ParsedSource;
use super::{coco_parts, folder, hugging_face, parquet, webdataset};
use gxn_base::{Error, Result};

impl Dataset {
    /// Opens a file, a folder, several sources joined by `::`, or shards `name-{0000..0042}.tar`, whose format is
    /// recognised by its content: Karpathy JSON, COCO captions JSON, Flickr `.token`, CSV, TSV, JSONL, a folder of images
    /// with same-named texts, or webdataset tars.
    ///
    /// Whatever cannot be used is in [`Dataset::account`] with its reason.
    ///
    /// # Errors
    /// No such source, no known format, text that is not UTF-8 or not well-formed (with its line), no usable pair, or in
    /// strict mode anything dropped.
    pub fn open(source: &Path, options: &SourceOptions) -> Result<Self> {
        if source.is_dir() {
            return read_folder(source, options)?.into_dataset(stem(source), options);
        }
        if source.exists() {
            return Format::of(source, options)?.read(source, options)?.into_dataset(stem(source), options);
        }
        let text = source.to_string_lossy();
        if text.contains("::") {
            return join(text.split("::").map(|part| Self::open(Path::new(part), options)).collect::<Result<_>>()?);
        }
        if text.contains('{') {
            let name = Path::new(text.split('{').next().unwrap_or_default()).file_name();
            let name =
                name.map_or("shards".into(), |name| name.to_string_lossy().trim_end_matches(['-', '_']).to_owned());
            let files = webdataset::expand(&text)?;
            let parsed = match text.ends_with(".parquet") {
                true => parquet::read(&hugging_face::shards(files, Path::new("")), options),
                false => webdataset::read(&files),
            };
            return parsed?.into_dataset(name, options);
        }
        Err(Error::io("cannot open the data", source, std::io::ErrorKind::NotFound.into()))
    }
}

/// Reads a folder: two folders of equal stems, one table or JSON with its images, tar shards, or pairs.
fn read_folder(folder: &Path, options: &SourceOptions) -> Result<ParsedSource> {
    if let Some(texts) = &options.texts {
        return folder::read(options.images.as_deref().unwrap_or(folder), texts);
    }
    let parts = coco_parts::parts_in(folder);
    if !parts.is_empty() {
        return coco_parts::read(&parts, options);
    }
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io("cannot read", folder, error))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    files.retain(|path| !name(path).starts_with('.'));
    let candidates = files.iter().filter(|path| may_be_table(&name(path), path));
    let mut tables: Vec<(&PathBuf, Format)> =
        candidates.filter_map(|path| Some((path, Format::of(path, options).ok()?))).collect();
    if tables.len() > 1 {
        let names = tables.iter().take(5).map(|(path, _)| name(path)).collect::<Vec<_>>().join(", ");
        return Err(Error::invalid(folder.display().to_string(), format!("several tables: {names}"), "one")
            .with_hint("name the file itself"));
    }
    if let Some((path, format)) = tables.pop() {
        return format.read(path, options);
    }
    let shards: Vec<PathBuf> = files.iter().filter(|path| name(path).ends_with(".tar")).cloned().collect();
    if !shards.is_empty() {
        return webdataset::read(&shards);
    }
    let shards = hugging_face::shards_in(folder)?;
    if !shards.is_empty() {
        return parquet::read(&shards, options);
    }
    match folder::two_inside(folder) {
        Some((images, texts)) => folder::read(&images, &texts),
        None => folder::read(folder, folder),
    }
}

/// Whether the name promises a table of the whole dataset rather than a file that goes with one image.
fn may_be_table(name: &str, path: &Path) -> bool {
    let beside_image = || EXTENSIONS.iter().any(|end| path.with_extension(end).exists());
    [".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".token", ".token.txt"].iter().any(|end| name.ends_with(end))
        && !beside_image()
        || ["captions.txt", "results.txt"].contains(&name)
}

/// One dataset of several. Ids that two of them use are qualified by the later one's name.
fn join(parts: Vec<Dataset>) -> Result<Dataset> {
    let mut whole = Dataset::default();
    for mut part in parts {
        let images: HashSet<&str> = whole.images.iter().map(|image| image.id.as_str()).collect();
        let captions: HashSet<&str> = whole.captions.iter().map(|caption| caption.id.as_str()).collect();
        let taken = |part: &Dataset, prefix: &str| {
            part.images.iter().any(|image| images.contains(format!("{prefix}{}", image.id).as_str()))
                || part.captions.iter().any(|caption| captions.contains(format!("{prefix}{}", caption.id).as_str()))
        };
        let prefixes = std::iter::once(String::new())
            .chain(std::iter::once(format!("{}:", part.name)))
            .chain((2..).map(|number| format!("{}-{number}:", part.name)));
        let prefix = prefixes.into_iter().find(|prefix| !taken(&part, prefix)).unwrap_or_default();
        let offset = whole.images.len();
        part.images.iter_mut().for_each(|image| image.id.insert_str(0, &prefix));
        part.account.unread.iter_mut().for_each(|id| id.insert_str(0, &prefix));
        for caption in &mut part.captions {
            caption.id.insert_str(0, &prefix);
            caption.image += offset;
        }
        let glue = |whole: &mut String, part: String, between: &str| {
            if whole.is_empty() {
                *whole = part;
            } else if *whole != part {
                *whole = format!("{whole}{between}{part}");
            }
        };
        glue(&mut whole.name, part.name, "+");
        glue(&mut whole.format, part.format, ", ");
        whole.images.append(&mut part.images);
        whole.captions.append(&mut part.captions);
        whole.account.append(part.account);
    }
    whole.validate()?;
    Ok(whole)
}

/// The name of a dataset: its file's or folder's stem.
fn stem(source: &Path) -> String {
    let real = source.canonicalize().unwrap_or_else(|_| source.to_path_buf());
    let name = if real.is_dir() { real.file_name() } else { real.file_stem() };
    name.map_or_else(|| "data".to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
