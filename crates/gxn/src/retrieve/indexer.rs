//! Pictures and captions → an index.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use gxn_index::{CaptionItem, ImageItem, Index, IndexSettings, IndexWriter, Side};

use super::retriever::index_space;
use crate::checkpoint::Encoder;
use crate::data::{Dataset, Dropped, ImageLimits, ImageSource};
use crate::{Error, Result};

/// Names of picture files end like this.
const PICTURE_EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "jpe", "png", "gif", "webp", "bmp", "tif", "tiff"];
/// What the index notes of the indexed folder.
pub(super) const ROOT: &str = "root";
/// Pictures that are decoded and looked at together; the unit of progress.
const BATCH: usize = 64;

/// What is indexed.
#[derive(Debug)]
pub enum IndexSource<'a> {
    /// Pictures of a folder.
    Folder {
        /// The folder.
        root: &'a Path,
        /// Paths relative to it, and where the bytes are: see [`folder_pictures`].
        pictures: Vec<(String, ImageSource)>,
    },
    /// A data set: its pictures and its captions.
    Dataset(&'a Dataset),
}

/// What indexing did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IndexReport {
    /// Pictures in the index.
    pub images: usize,
    /// Of these, how many were taken over from the former index because their content is the same.
    pub reused: usize,
    /// Captions in the index.
    pub captions: usize,
    /// Pictures that could not be read.
    pub dropped: Vec<Dropped>,
    /// Seconds it took.
    pub seconds: f64,
}

/// How far indexing is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IndexProgress {
    /// Pictures done.
    pub done: usize,
    /// Pictures in all.
    pub total: usize,
    /// Pictures a second.
    pub rate: f64,
}

/// Embeds everything of `source` and replaces the index in `dir` at once; the former one serves until then. Pictures
/// whose content the former index of the same model holds are not looked at again. `model_path` is noted so that search
/// finds the model.
///
/// # Errors
/// When the index cannot be written, nothing could be read, or `progress` breaks off.
pub fn build_index(
    encoder: &Encoder,
    model_path: &Path,
    source: IndexSource<'_>,
    dir: &Path,
    limits: &ImageLimits,
    progress: &mut dyn FnMut(IndexProgress) -> ControlFlow<()>,
) -> Result<IndexReport> {
    let start = Instant::now();
    let former = Former::open(dir, encoder.fingerprint());
    let mut extra = serde_json::Map::new();
    let model = std::fs::canonicalize(model_path).unwrap_or_else(|_| model_path.to_path_buf());
    extra.insert("model_path".into(), model.display().to_string().into());
    if let IndexSource::Folder { root, .. } = &source {
        extra.insert(ROOT.into(), root_from(dir, root).into());
    }
    let settings = IndexSettings { model: encoder.fingerprint().to_string(), space: index_space(encoder), extra };
    let mut writer = IndexWriter::create(dir, settings)?;
    let mut report = IndexReport::default();

    let pictures: Vec<(String, String, &ImageSource, serde_json::Map<_, _>)> = match &source {
        IndexSource::Folder { pictures, .. } => {
            pictures.iter().map(|(path, source)| (path.clone(), path.clone(), source, Default::default())).collect()
        }
        IndexSource::Dataset(data) => data
            .images
            .iter()
            .map(|image| (image.id.clone(), lasting_path(&image.source), &image.source, image.meta.clone()))
            .collect(),
    };
    let mut present = std::collections::HashSet::new();
    for chunk in pictures.chunks(BATCH) {
        let sources: Vec<ImageSource> = chunk.iter().map(|(_, _, source, _)| (*source).clone()).collect();
        for (outcome, (id, path, _, meta)) in former.embeddings(encoder, &sources, limits).into_iter().zip(chunk) {
            match outcome {
                Ok(found) => {
                    report.reused += usize::from(found.reused);
                    let (width, height) = found.size;
                    let item = ImageItem {
                        id: id.clone(),
                        path: path.clone(),
                        sha256: found.sha256,
                        width,
                        height,
                        meta: meta.clone(),
                        ..Default::default()
                    };
                    writer.push_image(&item, &found.embedding)?;
                    present.insert(id.as_str());
                    report.images += 1;
                }
                Err(error) => report.dropped.push(Dropped { what: path.clone(), reason: error.to_string() }),
            }
        }
        let done = report.images + report.dropped.len();
        let rate = done as f64 / start.elapsed().as_secs_f64().max(1e-9);
        if progress(IndexProgress { done, total: pictures.len(), rate }).is_break() {
            return Err(Error::Interrupted);
        }
    }
    if report.images == 0 {
        let found = match report.dropped.first() {
            Some(first) => {
                format!("{} files, none of them readable ({}: {})", pictures.len(), first.what, first.reason)
            }
            None => "no picture".into(),
        };
        return Err(Error::unexpected(format!("the pictures for {}", dir.display()), found, "at least one picture"));
    }
    if let IndexSource::Dataset(data) = &source {
        let captions: Vec<_> =
            data.captions.iter().filter(|c| present.contains(data.images[c.image].id.as_str())).collect();
        let texts: Vec<&str> = captions.iter().map(|c| c.text.as_str()).collect();
        let rows = encoder.embed_texts(&texts);
        for (row, caption) in captions.iter().enumerate() {
            let image_id = data.images[caption.image].id.clone();
            let item = CaptionItem { id: caption.id.clone(), image_id, text: caption.text.clone() };
            writer.push_caption(&item, &rows.joined(row))?;
        }
        report.captions = captions.len();
    }
    writer.finish()?;
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

/// The indexed folder as seen from the index's folder, so that both can be moved together: `..` where the index lies in
/// it, else the whole path.
fn root_from(dir: &Path, root: &Path) -> String {
    let real = |path: &Path| {
        std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.into())
    };
    let (dir, root) = (std::path::absolute(dir).unwrap_or_else(|_| dir.into()), real(root));
    if dir.parent().is_some_and(|above| real(above) == root) { "..".into() } else { root.display().to_string() }
}

/// Where the picture is, whatever the working folder will be.
fn lasting_path(source: &ImageSource) -> String {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    match source {
        ImageSource::File(path) => ImageSource::File(absolute(path)).to_string(),
        ImageSource::TarMember { archive, member, .. } => format!("{}!{member}", absolute(archive).display()),
    }
}

/// The index that is about to be replaced, if the same model made it.
struct Former {
    index: Option<Index>,
    by_content: HashMap<String, usize>,
}

struct Found {
    embedding: Vec<f32>,
    sha256: String,
    size: (u32, u32),
    reused: bool,
}

impl Former {
    fn open(dir: &Path, fingerprint: &str) -> Self {
        let index = Index::open(dir).ok().filter(|index| index.require_model(fingerprint).is_ok());
        let mut by_content = HashMap::new();
        if let Some(index) = &index {
            for row in index.rows(Side::Image) {
                if let Ok(item) = index.image(row) {
                    by_content.insert(item.sha256, row);
                }
            }
        }
        Self { index, by_content }
    }

    fn embeddings(&self, encoder: &Encoder, sources: &[ImageSource], limits: &ImageLimits) -> Vec<Result<Found>> {
        let mut found: Vec<Option<Result<Found>>> = sources.iter().map(|source| self.lookup(source)).collect();
        let missing: Vec<usize> = (0..sources.len()).filter(|&at| found[at].is_none()).collect();
        let wanted: Vec<ImageSource> = missing.iter().map(|&at| sources[at].clone()).collect();
        let looked_at = encoder.features(&wanted, limits);
        let features: Vec<f32> =
            looked_at.iter().filter_map(|r| r.as_ref().ok()).flat_map(|f| f.feature.iter().copied()).collect();
        let rows = encoder.embed_features(&features);
        let mut row = 0;
        for (at, outcome) in missing.into_iter().zip(looked_at) {
            found[at] = Some(outcome.map(|feature| {
                let embedding = rows.joined(row);
                row += 1;
                Found { embedding, sha256: feature.content.to_string(), size: feature.size, reused: false }
            }));
        }
        found.into_iter().flatten().collect()
    }

    fn lookup(&self, source: &ImageSource) -> Option<Result<Found>> {
        if self.by_content.is_empty() {
            return None;
        }
        let sha256 = source.content_hash().ok()?.to_string();
        let row = *self.by_content.get(&sha256)?;
        let index = self.index.as_ref()?;
        let item = index.image(row).ok()?;
        let embedding = index.row(Side::Image, row).ok()?;
        Some(Ok(Found { embedding, sha256, size: (item.width, item.height), reused: true }))
    }
}

/// The picture files below `root` by their names, as paths relative to it, sorted. Hidden files and folders (macOS's
/// `._` files and the index itself among them) are passed over unless `hidden`; links are followed, loops are not.
///
/// # Errors
/// When `root` is no folder that can be read, or holds no picture.
pub fn folder_pictures(root: &Path, hidden: bool, excluded: &[String]) -> Result<Vec<(String, ImageSource)>> {
    if !root.is_dir() {
        return Err(Error::unexpected(root.display().to_string(), "no folder", "a folder of pictures"));
    }
    let looked_into = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0
            || ((hidden || !name.starts_with('.'))
                && name != super::retriever::INDEX_FOLDER
                && !(entry.file_type().is_dir() && excluded.iter().any(|e| *e == name)))
    };
    let mut pictures = Vec::new();
    let mut others = 0;
    for entry in walkdir::WalkDir::new(root).follow_links(true).into_iter().filter_entry(looked_into) {
        // A loop of links or a folder without permission: what lies behind it cannot be indexed.
        let Ok(entry) = entry else { continue };
        if !entry.file_type().is_file() {
            continue;
        }
        let extension = entry.path().extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        if !PICTURE_EXTENSIONS.contains(&extension.as_str()) {
            others += 1;
            continue;
        }
        let relative = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_string_lossy().into_owned();
        pictures.push((relative, ImageSource::File(entry.path().to_path_buf())));
    }
    if pictures.is_empty() {
        return Err(Error::unexpected(
            format!("the pictures in {}", root.display()),
            format!("none among {others} files"),
            "files such as photo.jpg",
        )
        .with_hint("hidden files and folders are passed over; --include-hidden looks into them"));
    }
    pictures.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(pictures)
}
