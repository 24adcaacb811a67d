//! [`Dataset::open`]: recognises a source's format by its content.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::candidates::Candidates;
use super::dataset::Dataset;
use super::format::Format;
use super::options::SourceOptions;
use super::parsed_source::{ParsedSource, no_pairs};
use super::{coco_parts, folder, hugging_face, image_folder, parquet, webdataset};
use gxn_base::{Error, Result};

impl Dataset {
    /// Opens a file, a folder, several sources joined by `::`, or shards `name-{0000..0042}.tar`, whose format is
    /// recognised by its content: Karpathy JSON, COCO captions JSON, Flickr `.token`, CSV, TSV, JSONL, a folder of images
    /// with same-named texts, Hugging Face's `imagefolder`, or webdataset tars.
    ///
    /// Whatever cannot be used is in [`Dataset::account`] with its reason.
    ///
    /// # Errors
    /// No such source, no known format, text that is not UTF-8 or not well-formed (with its line), no usable pair, or in
    /// strict mode anything dropped or doubtful.
    pub fn open(source: &Path, options: &SourceOptions) -> Result<Self> {
        if source.is_dir() {
            return read_folder(source, options)?.into_dataset(name_of(source), options);
        }
        if source.exists() {
            return Format::of(source, options)?.read(source, options)?.into_dataset(name_of(source), options);
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
                false => webdataset::read(&files, options),
            };
            return parsed?.into_dataset(name, options);
        }
        Err(Error::not_found(format!("the data {text}"), "nothing there", "a file or a folder"))
    }
}

/// Reads a folder: one table with its images, Hugging Face's tables in the folders below, tar shards, two folders of equal
/// stems, or pairs. What looks like a table and cannot be read is the error, or in the account where there is something
/// else to read.
fn read_folder(folder: &Path, options: &SourceOptions) -> Result<ParsedSource> {
    if let Some(texts) = &options.texts {
        return folder::read(options.images.as_deref().unwrap_or(folder), texts);
    }
    let parts = coco_parts::parts_in(folder);
    if !parts.is_empty() {
        return coco_parts::read(&parts, options);
    }
    let files = visible_files(folder)?;
    let mut candidates = Candidates::among(&files, options);
    let mut parsed = match candidates.take_table(folder)? {
        Some((path, _)) if image_folder::is_metadata(&path) => image_folder::read(folder, &[path], options)?,
        Some((path, format)) => format.read(&path, options)?,
        None => match read_without_table(folder, &files, &mut candidates, options) {
            Err(error) if candidates.has_failed() => return Err(candidates.into_error(folder).unwrap_or(error)),
            outcome => outcome?,
        },
    };
    candidates.report(&mut parsed.account);
    Ok(parsed)
}

/// Reads a folder that has no table of its own; tables in the folders below become candidates.
fn read_without_table(
    folder: &Path,
    files: &[PathBuf],
    candidates: &mut Candidates,
    options: &SourceOptions,
) -> Result<ParsedSource> {
    let is_tar = |path: &&PathBuf| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("tar"));
    let packed: Vec<PathBuf> = files.iter().filter(|path| is_packed_tar(path)).cloned().collect();
    let mut shards: Vec<PathBuf> = files.iter().filter(is_tar).cloned().collect();
    if !shards.is_empty() {
        // The reader names those that are compressed.
        shards.extend(packed);
        return webdataset::read(&shards, options);
    }
    let tables = image_folder::find(folder)?;
    if !tables.is_empty() {
        return image_folder::read(folder, &tables, options);
    }
    let shards = hugging_face::shards_in(folder)?;
    if !shards.is_empty() {
        return parquet::read(&shards, options);
    }
    candidates.look_below(folder, options)?;
    let outcome = match folder::two_inside(folder) {
        Some((images, texts)) => folder::read(&images, &texts),
        None => folder::read(folder, folder),
    };
    if !packed.is_empty() && outcome.as_ref().map_or(true, |parsed| parsed.records.is_empty()) {
        return Err(only_packed(folder, &packed));
    }
    let parsed = outcome?;
    if parsed.records.is_empty() {
        let (name, kind) = (name_of(folder), gxn_base::Kind::Invalid);
        return Err(no_pairs(&name, &parsed.format, &parsed.account, kind));
    }
    Ok(parsed)
}

/// Whether the name is that of a compressed tar.
fn is_packed_tar(path: &Path) -> bool {
    const ENDINGS: [&str; 8] = [".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.z"];
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    ENDINGS.iter().any(|end| name.ends_with(end))
}

/// A folder whose data are compressed archives.
fn only_packed(folder: &Path, packed: &[PathBuf]) -> Error {
    let names: Vec<_> = packed.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy())).collect();
    let count = gxn_base::words::counted(packed.len(), "compressed archive");
    let found = format!("nothing but {count}: {}", gxn_base::words::first_few(&names));
    let hint =
        "decompress them, for example with `gunzip *.tar.gz`; if they hold no samples of a webdataset, unpack them";
    Error::unsupported(folder.display().to_string(), found, "tar archives that are not compressed").with_hint(hint)
}

/// The files in a folder that are not hidden, in order.
fn visible_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io("cannot read", folder, error))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files
        .retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) && path.is_file());
    files.sort();
    Ok(files)
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
        // An empty one stands for every image.
        part.account.unread.iter_mut().filter(|id| !id.is_empty()).for_each(|id| id.insert_str(0, &prefix));
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
pub(super) fn name_of(source: &Path) -> String {
    let real = source.canonicalize().unwrap_or_else(|_| source.to_path_buf());
    let name = if real.is_dir() { real.file_name() } else { real.file_stem() };
    name.map_or_else(|| "data".to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
