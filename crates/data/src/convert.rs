//! [`convert`]: writes a [`Dataset`] in another format.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::dataset::{Caption, Dataset, Image};
use super::image::{ImageLimits, decode_image};
use super::image_resolver::check_relative;
use super::image_source::{ImageSource, has_image_extension, is_image_extension};
use super::parquet_writer;
use gxn_base::fs::{build_folder_atomically, write_atomically, write_synced};
use gxn_base::{Error, Progress, Remedy, Result};

/// Formats that can be written. All are read back by [`Dataset::open`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataFormat {
    /// The native format: keeps everything.
    Jsonl,
    /// Karpathy's JSON: loses `meta`.
    Karpathy,
    /// Webdataset tars: keeps everything; the `txt` member holds the first caption for other programs.
    Webdataset,
    /// A caption a row: loses `meta`.
    Csv,
    /// Shards of Hugging Face's `datasets`: keeps everything.
    Parquet,
}

impl FromStr for DataFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "jsonl" => Ok(Self::Jsonl),
            "karpathy" => Ok(Self::Karpathy),
            "wds" | "webdataset" => Ok(Self::Webdataset),
            "csv" => Ok(Self::Csv),
            "parquet" => Ok(Self::Parquet),
            _ => Err(Error::invalid("the format", format!("{text:?}"), "jsonl, karpathy, wds, csv or parquet")),
        }
    }
}

impl fmt::Display for DataFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jsonl => "jsonl",
            Self::Karpathy => "karpathy",
            Self::Webdataset => "wds",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        })
    }
}

/// What becomes of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFiles {
    /// Copied: the output is a new folder with the table and `images/`.
    Copy,
    /// Left where they are: the output is one file, whose folder must lie above the images. Not for webdataset and
    /// Parquet.
    Refer,
}

/// Samples in each shard.
const SHARD: usize = 10_000;

/// Writes `data` to `out` and returns the file to open (the folder, for webdataset and Parquet). Nothing is half-written: the output
/// gets its name when it is complete.
///
/// # Errors
/// `out` exists as a file or as a folder with files, an image cannot be read or referred to, writing fails, or `progress` is cancelled.
pub fn convert(
    data: &Dataset,
    format: DataFormat,
    out: &Path,
    files: ImageFiles,
    progress: &dyn Progress,
) -> Result<PathBuf> {
    match (format, files) {
        (DataFormat::Webdataset | DataFormat::Parquet, ImageFiles::Refer) => Err(Error::unsupported(
            "the images of an archive",
            "to be left where they are",
            "copies: an archive holds its images",
        )
        .with_remedy(Remedy::CopyImages)),
        (DataFormat::Parquet, ImageFiles::Copy) => {
            let names = names_for(data);
            build_folder_atomically(out, |folder| parquet_writer::write_shards(data, &names, SHARD, folder, progress))?;
            Ok(out.to_path_buf())
        }
        (DataFormat::Webdataset, ImageFiles::Copy) => {
            build_folder_atomically(out, |folder| write_shards(data, folder, progress))?;
            Ok(out.to_path_buf())
        }
        (_, ImageFiles::Refer) => {
            if out.is_file() {
                return Err(Error::conflict(out.display().to_string(), "a file", "the name of a new one")
                    .with_hint("it may be the data themselves: remove it first, or name another file"));
            }
            let names: Vec<String> = data.images.iter().map(|image| name_from(image, out)).collect::<Result<_>>()?;
            let table = table(data, format, &names);
            write_atomically(out, |file| file.write_all(table.as_bytes()))?;
            Ok(out.to_path_buf())
        }
        (_, ImageFiles::Copy) => {
            let names = names_for(data);
            let file = match format {
                DataFormat::Karpathy => "dataset.json",
                DataFormat::Csv => "captions.csv",
                _ => "captions.jsonl",
            };
            build_folder_atomically(out, |folder| {
                copy_images(data, &names, folder, progress)?;
                write_synced(&folder.join(file), table(data, format, &names).as_bytes())
            })?;
            Ok(out.join(file))
        }
    }
}

/// The image's path from `out`'s folder.
fn name_from(image: &Image, out: &Path) -> Result<String> {
    let refuse = |found: String| {
        Error::conflict(format!("image {}", image.id), found, "a file below the output's folder")
            .with_remedy(Remedy::CopyImages)
    };
    let path = match &image.source {
        ImageSource::File(path) => path,
        ImageSource::Converted { .. } => return Err(refuse("a file that a command decodes".into())),
        _ => return Err(refuse("a part of an archive".into())),
    };
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let real = |path: &Path| path.canonicalize().map_err(|error| Error::io("cannot open", path, error));
    let (folder, path) = (real(folder)?, real(path)?);
    let below = path.strip_prefix(&folder).map_err(|_| refuse(path.display().to_string()))?;
    Ok(below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/"))
}

/// Safe and distinct file names, near the ids, below the output folder.
fn names_for(data: &Dataset) -> Vec<String> {
    let mut taken = HashSet::new();
    let name = |image: &Image| {
        let ending = ending(&image.source);
        let clean = |c: char| if c.is_alphanumeric() || "._-/".contains(c) { c } else { '_' };
        let id: String = image.id.chars().map(clean).collect();
        let stem =
            if has_image_extension(Path::new(&id)) { id.rsplit_once('.').map_or("", |(stem, _)| stem) } else { &id };
        let parts = stem.split('/').filter(|part| !part.is_empty()).map(|part| match part.trim_start_matches('.') {
            "" => "_",
            part => part,
        });
        let stem = parts.collect::<Vec<_>>().join("/");
        let numbered = |number: usize| match number {
            1 => format!("images/{stem}.{ending}"),
            _ => format!("images/{stem}-{number}.{ending}"),
        };
        // Lower case: some file systems do not tell A.jpg from a.jpg.
        let name = (1..).map(numbered).find(|name| taken.insert(name.to_lowercase())).expect("numbers do not end");
        debug_assert!(check_relative(&name).is_ok());
        name
    };
    data.images.iter().map(name).collect()
}

/// How the image's file is to end: as it does, or by its content where it has no usual ending.
fn ending(source: &ImageSource) -> String {
    match Path::new(source.name()).extension().and_then(std::ffi::OsStr::to_str) {
        Some(ending) if is_image_extension(ending) => ending.to_ascii_lowercase(),
        _ => {
            let format = source.first_bytes().ok().and_then(|bytes| image::guess_format(&bytes).ok());
            format.and_then(|format| format.extensions_str().first()).map_or("jpg", |ending| *ending).to_owned()
        }
    }
}

fn copy_images(data: &Dataset, names: &[String], folder: &Path, progress: &dyn Progress) -> Result<()> {
    let folders: HashSet<PathBuf> =
        names.iter().filter_map(|name| folder.join(name).parent().map(Path::to_path_buf)).collect();
    for folder in folders {
        std::fs::create_dir_all(&folder).map_err(|error| Error::io("cannot write", &folder, error))?;
    }
    let done = AtomicUsize::new(0);
    let copy = |(image, name): (&Image, &String)| {
        if progress.cancelled() {
            return Err(Error::interrupted());
        }
        write_synced(&folder.join(name), &image.source.read()?)?;
        progress.update("images", done.fetch_add(1, Ordering::Relaxed) + 1, data.images.len());
        Ok(())
    };
    data.images.par_iter().zip(names).try_for_each(copy)
}

/// The ids of an image's captions, unless they are the ones that reading would give anyway.
fn caption_ids(image: &Image, captions: &[Caption]) -> Option<Vec<String>> {
    let usual = captions.iter().enumerate().all(|(k, caption)| caption.id == format!("{}#{k}", image.id));
    (!usual).then(|| captions.iter().map(|caption| caption.id.clone()).collect())
}

fn table(data: &Dataset, format: DataFormat, names: &[String]) -> String {
    let rows = data.images.iter().zip(names).enumerate();
    match format {
        DataFormat::Csv => {
            let mut csv = csv::Writer::from_writer(Vec::new());
            csv.write_record(["image", "caption", "split", "id", "caption_id"]).expect("memory takes every record");
            for (at, (image, name)) in rows {
                for caption in &data.captions[data.captions_of(at)] {
                    let split = image.split.to_string();
                    let row = [name.as_str(), &caption.text, &split, &image.id, &caption.id];
                    csv.write_record(row).expect("memory takes every record");
                }
            }
            String::from_utf8(csv.into_inner().expect("memory takes every record")).expect("made of strings")
        }
        DataFormat::Karpathy => {
            let mut images = Vec::new();
            for (at, (image, name)) in rows {
                let sentence = |caption: &Caption| {
                    let tokens = super::tokenize(&caption.text);
                    json!({"raw": caption.text, "tokens": tokens, "sentid": number_or_text(&caption.id)})
                };
                let captions = &data.captions[data.captions_of(at)];
                let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
                let sentences: Vec<Value> = captions.iter().map(sentence).collect();
                images.push(json!({"id": image.id, "filepath": folder, "filename": file, "imgid": at,
                    "split": image.split.to_string(), "sentences": sentences}));
            }
            json!({"dataset": data.name, "images": images}).to_string()
        }
        _ => rows.map(|(at, (image, name))| format!("{}\n", row(data, at, image, Some(name)))).collect(),
    }
}

fn number_or_text(id: &str) -> Value {
    match id.parse::<u64>() {
        Ok(number) if number.to_string() == id => number.into(),
        _ => id.into(),
    }
}

/// The native object of one image; without `name` it is the JSON member of a tar.
fn row(data: &Dataset, at: usize, image: &Image, name: Option<&str>) -> Value {
    let captions = &data.captions[data.captions_of(at)];
    let mut row = Map::new();
    if let Some(name) = name {
        row.insert("image".into(), name.into());
    }
    row.insert("id".into(), image.id.clone().into());
    row.insert("captions".into(), captions.iter().map(|caption| caption.text.clone()).collect());
    row.insert("split".into(), image.split.to_string().into());
    if let Some(ids) = caption_ids(image, captions) {
        row.insert("caption_ids".into(), ids.into());
    }
    if !image.meta.is_empty() {
        row.insert("meta".into(), Value::Object(image.meta.clone()));
    }
    Value::Object(row)
}

fn write_shards(data: &Dataset, folder: &Path, progress: &dyn Progress) -> Result<()> {
    let indices: Vec<usize> = (0..data.images.len()).collect();
    for (shard, samples) in indices.chunks(SHARD).enumerate() {
        let path = folder.join(format!("shard-{shard:04}.tar"));
        let mut failure = None;
        write_atomically(&path, |file| {
            let mut tar = tar::Builder::new(file);
            for &at in samples {
                let members = if progress.cancelled() { Err(Error::interrupted()) } else { members(data, at) };
                match members {
                    Ok(members) => {
                        members.iter().try_for_each(|(name, bytes)| append(&mut tar, name, bytes))?;
                        progress.update("images", at + 1, data.images.len());
                    }
                    Err(error) => {
                        failure = Some(error);
                        return Err(io::ErrorKind::Other.into());
                    }
                }
            }
            tar.finish()
        })
        .map_err(|error| failure.take().unwrap_or(error))?;
    }
    Ok(())
}

/// `000000012.jpg`, `.json` and `.txt` of the image at `at`.
fn members(data: &Dataset, at: usize) -> Result<[(String, Vec<u8>); 3]> {
    use image::ImageFormat;
    let image = &data.images[at];
    let mut bytes = image.source.read()?;
    let ending = match image::guess_format(&bytes) {
        Ok(ImageFormat::Jpeg) => "jpg",
        Ok(ImageFormat::Png) => "png",
        Ok(ImageFormat::WebP) => "webp",
        // Readers of webdataset know no other kinds: the pixels are kept, the file is not.
        _ => {
            let pixels = decode_image(&bytes, &image.source.to_string(), &ImageLimits::default())?;
            bytes.clear();
            pixels.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).map_err(|error| {
                Error::invalid(format!("image {}", image.id), error.to_string(), "an image that PNG can hold")
            })?;
            "png"
        }
    };
    let first = data.captions[data.captions_of(at)].first().map_or("", |caption| &caption.text);
    Ok([
        (format!("{at:09}.{ending}"), bytes),
        (format!("{at:09}.json"), row(data, at, image, None).to_string().into_bytes()),
        (format!("{at:09}.txt"), first.as_bytes().to_vec()),
    ])
}

/// Headers without time and owner: the same data give the same tar.
fn append(tar: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    tar.append_data(&mut header, name, bytes)
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
