//! Pictures and captions → an index, or its refreshment: only what is new or changed is looked at.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use gxn_index::{CaptionItem, Change, IndexMeta, IndexSettings, IndexWriter, Modality};
use rayon::prelude::*;
use serde_json::{Map, Value};

use super::listing::{Listing, Picture, Shard, dataset_root};
use super::notes::{KIND, MODEL, ROOT, SHARD, SOURCE, noted, noted_place, real, seen_from};
use super::retriever::index_space;
use crate::encoder::Encoder;
use gxn_base::{Error, Kind, Result};
use gxn_data::{Dataset, Dropped, ImageLimits, ImageSource};

/// Pictures that are decoded and looked at together; the unit of progress.
const BATCH: usize = 64;
/// Captions that are embedded together.
const CAPTION_BATCH: usize = 1024;
/// What was done in so much time is kept, whatever happens next.
const COMMIT_EVERY: Duration = Duration::from_secs(30);

/// A note of what was indexed: the pictures of a folder.
const PICTURES: &str = "pictures";
/// The same: a data set.
pub(super) const DATA_SET: &str = "data set";

/// What is indexed.
#[derive(Debug, Clone, Copy)]
pub enum IndexSource<'a> {
    /// The pictures of a folder.
    Folder(&'a Path),
    /// A data set, its pictures and its captions, and the path that it was read from.
    Dataset(&'a Dataset, &'a Path),
}

impl IndexSource<'_> {
    fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::Dataset(_, path) => path,
        }
    }

    /// As the index notes it.
    fn kind(&self) -> &'static str {
        match self {
            Self::Folder(_) => PICTURES,
            Self::Dataset(..) => DATA_SET,
        }
    }
}

/// An index to be made or refreshed.
#[derive(Debug, Clone)]
pub struct IndexJob<'a> {
    /// What it is made of.
    pub source: IndexSource<'a>,
    /// The pictures of that.
    pub listing: &'a Listing,
    /// The share of the source that `listing` is.
    pub shard: Option<Shard>,
    /// Its folder.
    pub dir: &'a Path,
    /// The run or checkpoint; noted, so that search finds it.
    pub model: &'a Path,
    /// Pictures that cost more are left out.
    pub limits: ImageLimits,
    /// The source, and whether it is read as a data set, may be another than that of the index's items, which then go.
    pub other_source: bool,
    /// Noted in the index as it is.
    pub notes: Map<String, Value>,
}

/// What indexing did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IndexReport {
    /// Pictures in the index.
    pub images: usize,
    /// Captions in the index.
    pub captions: usize,
    /// Pictures that were looked at.
    pub encoded: usize,
    /// Pictures found as they were, by size and time or by content.
    pub unchanged: usize,
    /// Pictures whose content was known under another name: copied or moved.
    pub linked: usize,
    /// Ids of pictures that were taken out, because the source no longer has them under any name.
    pub removed: Vec<String>,
    /// Pictures that could not be read; one that the index holds stays in it as it was.
    pub dropped: Vec<Dropped>,
    /// Ids of pictures that stay as they were, because nothing could be seen where they were: a folder that cannot be read,
    /// a link to a disk that is not there.
    pub kept: Vec<String>,
    /// Captions that were embedded, and captions that were taken out.
    pub caption_changes: [usize; 2],
    /// Seconds it took.
    pub seconds: f64,
}

impl IndexReport {
    /// Whether the index is as it was before.
    pub fn is_unchanged(&self) -> bool {
        self.encoded + self.linked + self.removed.len() == 0 && self.caption_changes == [0, 0]
    }
}

/// How far indexing is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IndexProgress {
    /// Pictures done.
    pub done: usize,
    /// Pictures in all.
    pub total: usize,
    /// Pictures a second, of those that had to be read.
    pub rate: f64,
}

/// Makes the index of `job`, or brings it up to date: what is new or changed is embedded, what is gone is taken out, what
/// has another name is linked to the embedding it has. An index of another model serves until the new one is whole.
///
/// What is done is committed every half minute and when `progress` breaks off; the same call goes on from there.
///
/// # Errors
/// When the index is one of another source, cannot be written, nothing could be read, or `progress` breaks off
/// ([`Error::Interrupted`]).
pub fn refresh_index(
    encoder: &Encoder,
    job: &IndexJob<'_>,
    progress: &mut dyn FnMut(IndexProgress) -> ControlFlow<()>,
) -> Result<IndexReport> {
    let start = Instant::now();
    job.require_same_source()?;
    let settings = job.settings(encoder);
    let mut work = Work {
        encoder,
        job,
        writer: IndexWriter::update(job.dir, settings)?,
        report: IndexReport { dropped: job.listing.dropped.clone(), ..IndexReport::default() },
        committed: Instant::now(),
        linked: HashSet::new(),
        progress,
    };
    let outcome = work.pictures().and_then(|()| work.captions());
    if let Err(error) = outcome {
        if error.kind() == Kind::Interrupted {
            work.writer.commit()?;
        }
        return Err(error);
    }
    work.remove_gone()?;
    let Work { writer, mut report, .. } = work;
    let index = writer.finish()?;
    (report.images, report.captions) = (index.count(Modality::Image), index.count(Modality::Text));
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

impl IndexJob<'_> {
    /// Refuses to take the pictures of another source out of an index.
    fn require_same_source(&self) -> Result<()> {
        let Ok(meta) = IndexMeta::read(self.dir) else { return Ok(()) };
        let source = noted_place(self.dir, &meta, SOURCE).or_else(|| noted_place(self.dir, &meta, ROOT));
        let Some(source) = source else { return Ok(()) };
        let (shard, now) = (self.shard.map(|s| format!("{}/{}", s.number, s.of)), real(self.source.path()));
        let noted_shard = noted(&meta, SHARD);
        if self.other_source {
            return Ok(());
        }
        if source == now && noted_shard == shard.as_deref() {
            return self.require_same_kind(&meta);
        }
        let name = |path: &Path, shard: Option<&str>| match shard {
            Some(shard) => format!("share {shard} of {}", path.display()),
            None => path.display().to_string(),
        };
        let what = format!("source of the index {}", self.dir.display());
        Err(Error::invalid(what, name(&now, shard.as_deref()), name(&source, noted_shard)).with_hint(
            "name another folder with --index, or take the new source with --other-source: pictures that it lacks leave \
             the index",
        ))
    }

    /// Refuses to make plain pictures of a data set, which would take all captions out, and the other way round, which
    /// would take out all pictures without any. A folder looks like one or the other by what lies in it today.
    fn require_same_kind(&self, meta: &IndexMeta) -> Result<()> {
        let (now, before) = (self.source.kind(), noted(meta, KIND));
        let Some(before) = before.filter(|before| *before != now) else { return Ok(()) };
        let (said, hint) = match now {
            PICTURES => (
                "a folder of pictures without captions",
                "look with gxn data check SOURCE; --other-source goes on without captions, which then leave the index",
            ),
            _ => (
                "a data set, pictures with captions",
                "--pictures goes on with all pictures of the folder; --other-source makes it the index of the data set, \
                 which pictures without captions leave",
            ),
        };
        let what = format!("what the index {} is of", self.dir.display());
        Err(Error::invalid(what, said, format!("{before}, as before")).with_hint(hint))
    }

    fn settings(&self, encoder: &Encoder) -> IndexSettings {
        let mut extra = self.notes.clone();
        extra.insert(MODEL.into(), real(self.model).display().to_string().into());
        extra.insert(SOURCE.into(), seen_from(self.dir, self.source.path()).into());
        extra.insert(KIND.into(), self.source.kind().into());
        let root = match self.source {
            IndexSource::Folder(root) => Some(root.to_path_buf()),
            IndexSource::Dataset(_, source) => dataset_root(source),
        };
        if let Some(root) = root {
            extra.insert(ROOT.into(), seen_from(self.dir, &root).into());
        }
        if let Some(Shard { number, of }) = self.shard {
            extra.insert(SHARD.into(), format!("{number}/{of}").into());
        }
        IndexSettings { model: encoder.fingerprint().to_string(), space: index_space(encoder), extra }
    }
}

/// A refreshment under way.
struct Work<'a> {
    encoder: &'a Encoder,
    job: &'a IndexJob<'a>,
    writer: IndexWriter,
    report: IndexReport,
    committed: Instant,
    /// Contents that got a further name: where the former one is gone, the picture was moved.
    linked: HashSet<String>,
    progress: &'a mut dyn FnMut(IndexProgress) -> ControlFlow<()>,
}

/// When and how large a file was, taken before it is read: a later change is seen the next time.
type Stamp = (u64, i64);

impl Work<'_> {
    fn pictures(&mut self) -> Result<()> {
        let listing = self.job.listing;
        let mut todo = Vec::new();
        for picture in &listing.pictures {
            match picture.source.stamp() {
                Err(error) => self.drop_picture(picture, &error),
                Ok(stamp) if self.is_known(picture, stamp)? => self.report.unchanged += 1,
                Ok(stamp) => todo.push((picture, stamp)),
            }
        }
        let total = listing.pictures.len();
        let (before, start) = (total - todo.len(), Instant::now());
        for (at, chunk) in todo.chunks(BATCH).enumerate() {
            self.chunk(chunk)?;
            let worked = at * BATCH + chunk.len();
            let rate = worked as f64 / start.elapsed().as_secs_f64().max(1e-9);
            if (self.progress)(IndexProgress { done: before + worked, total, rate }).is_break() {
                return Err(Error::interrupted());
            }
            self.commit_now_and_then()?;
        }
        if self.writer.meta().images.count > 0 {
            return Ok(());
        }
        let found = match self.report.dropped.first() {
            Some(first) => format!("{total} files, none of them readable ({}: {})", first.what, first.reason),
            None => "no picture".into(),
        };
        Err(Error::invalid(format!("the pictures for {}", self.job.dir.display()), found, "at least one picture"))
    }

    /// Whether the index holds the picture with this size and time; other columns are brought up to date.
    fn is_known(&mut self, picture: &Picture, stamp: Stamp) -> Result<bool> {
        let Some(item) = self.writer.image(&picture.id)? else { return Ok(false) };
        if (item.size, item.mtime_unix_ms) != stamp || item.sha256.is_empty() {
            return Ok(false);
        }
        let now = picture.item(item.sha256.clone(), (item.width, item.height), stamp);
        Ok(now == item || self.writer.link_image(&now)?.is_some())
    }

    /// Pictures of which size or time are not known: by content first, then by looking at them.
    fn chunk(&mut self, chunk: &[(&Picture, Stamp)]) -> Result<()> {
        let contents: Vec<Result<String>> =
            chunk.par_iter().map(|(picture, _)| Ok(picture.source.content_hash()?.to_string())).collect();
        let mut news: Vec<(&Picture, Stamp)> = Vec::new();
        let mut copies: HashMap<String, Vec<(&Picture, Stamp)>> = HashMap::new();
        for (&(picture, stamp), content) in chunk.iter().zip(contents) {
            match content {
                Err(error) => self.drop_picture(picture, &error),
                Ok(content) if self.link(picture, &content, stamp)? => {}
                Ok(content) => match copies.get_mut(&content) {
                    Some(copies) => copies.push((picture, stamp)),
                    None => {
                        copies.insert(content, Vec::new());
                        news.push((picture, stamp));
                    }
                },
            }
        }
        let sources: Vec<&ImageSource> = news.iter().map(|(picture, _)| &picture.source).collect();
        let looked_at = self.encoder.image_features(&sources, &self.job.limits)?;
        let features: Vec<f32> =
            looked_at.iter().filter_map(|r| r.as_ref().ok()).flat_map(|f| f.feature.iter().copied()).collect();
        let rows = self.encoder.encode_features(&features);
        let mut row = 0;
        for ((picture, stamp), outcome) in news.into_iter().zip(looked_at) {
            match outcome {
                Ok(feature) => {
                    let item = picture.item(
                        feature.content.map(|content| content.to_string()).unwrap_or_default(),
                        feature.size,
                        stamp,
                    );
                    self.writer.put_image(&item, &rows.joined(row))?;
                    self.report.encoded += 1;
                    row += 1;
                }
                Err(error) => self.drop_picture(picture, &error),
            }
        }
        for (content, copies) in copies {
            for (picture, stamp) in copies {
                if !self.link(picture, &content, stamp)? {
                    let reason = "the same content as a file that cannot be used".to_string();
                    self.report.dropped.push(Dropped { what: picture.path.clone(), reason });
                }
            }
        }
        Ok(())
    }

    /// Notes a picture whose content the index holds. False, and nothing done, if it does not.
    fn link(&mut self, picture: &Picture, content: &str, stamp: Stamp) -> Result<bool> {
        let former = self.writer.image(&picture.id)?;
        let Some(twin) = self.writer.image_of_content(content)? else { return Ok(false) };
        let item = picture.item(content.to_string(), (twin.width, twin.height), stamp);
        let Some(change) = self.writer.link_image(&item)? else { return Ok(false) };
        let same = change == Change::Unchanged || former.is_some_and(|former| former.sha256 == content);
        if same {
            self.report.unchanged += 1;
        } else {
            self.report.linked += 1;
            self.linked.insert(content.to_string());
        }
        Ok(true)
    }

    fn drop_picture(&mut self, picture: &Picture, error: &Error) {
        self.report.dropped.push(Dropped { what: picture.path.clone(), reason: error.to_string() });
    }

    /// The captions of a data set, as far as the index holds their pictures.
    fn captions(&mut self) -> Result<()> {
        let IndexSource::Dataset(data, _) = self.job.source else { return Ok(()) };
        let listed: HashSet<&str> = self.job.listing.pictures.iter().map(|picture| picture.id.as_str()).collect();
        let mut fresh: Vec<CaptionItem> = Vec::new();
        let mut held: Option<(usize, bool)> = None;
        for caption in &data.captions {
            let image_id = data.images[caption.image].id.as_str();
            let is_held = match held {
                Some((image, is_held)) if image == caption.image => is_held,
                _ => listed.contains(image_id) && self.writer.image(image_id)?.is_some(),
            };
            held = Some((caption.image, is_held));
            if !is_held {
                continue;
            }
            let item =
                CaptionItem { id: caption.id.clone(), image_id: image_id.to_string(), text: caption.text.clone() };
            if self.writer.caption(&item.id)?.as_ref() != Some(&item) && self.writer.link_caption(&item)?.is_none() {
                fresh.push(item);
            }
            if fresh.len() == CAPTION_BATCH {
                self.embed_captions(&std::mem::take(&mut fresh))?;
            }
        }
        self.embed_captions(&fresh)
    }

    fn embed_captions(&mut self, captions: &[CaptionItem]) -> Result<()> {
        if captions.is_empty() {
            return Ok(());
        }
        let texts: Vec<&str> = captions.iter().map(|caption| caption.text.as_str()).collect();
        let rows = self.encoder.encode_texts(&texts);
        for (row, caption) in captions.iter().enumerate() {
            self.writer.put_caption(caption, &rows.joined(row))?;
        }
        self.report.caption_changes[0] += captions.len();
        let total = self.job.listing.pictures.len();
        if (self.progress)(IndexProgress { done: total, total, rate: f64::INFINITY }).is_break() {
            return Err(Error::interrupted());
        }
        self.commit_now_and_then()
    }

    /// Takes out what the source no longer has; what could not be looked at stays.
    fn remove_gone(&mut self) -> Result<()> {
        let listing = self.job.listing;
        let present: HashSet<&str> = listing.pictures.iter().map(|picture| picture.id.as_str()).collect();
        for id in self.writer.ids(Modality::Image)? {
            if present.contains(id.as_str()) {
                continue;
            }
            if listing.may_hold(&id) {
                self.report.kept.push(id);
            } else {
                let was_moved = self.writer.image(&id)?.is_some_and(|item| self.linked.contains(&item.sha256));
                self.writer.remove(Modality::Image, &id)?;
                if !was_moved {
                    self.report.removed.push(id);
                }
            }
        }
        let (wanted, has_captions): (HashSet<&str>, bool) = match self.job.source {
            IndexSource::Dataset(data, _) => (data.captions.iter().map(|caption| caption.id.as_str()).collect(), true),
            IndexSource::Folder(_) => (HashSet::new(), false),
        };
        let kept: HashSet<&str> = self.report.kept.iter().map(String::as_str).collect();
        for id in self.writer.ids(Modality::Text)? {
            if wanted.contains(id.as_str()) {
                continue;
            }
            // Where a picture could not be looked at, its captions were not either.
            let stays = has_captions
                && !kept.is_empty()
                && self.writer.caption(&id)?.is_some_and(|caption| kept.contains(caption.image_id.as_str()));
            if !stays {
                self.writer.remove(Modality::Text, &id)?;
                self.report.caption_changes[1] += 1;
            }
        }
        Ok(())
    }

    fn commit_now_and_then(&mut self) -> Result<()> {
        if self.committed.elapsed() >= COMMIT_EVERY {
            self.writer.commit()?;
            self.committed = Instant::now();
        }
        Ok(())
    }
}
