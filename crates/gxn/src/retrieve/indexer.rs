//! Images and captions → an index: only what is new or changed is encoded.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use gxn_base::{Error, Progress, Result};
use gxn_data::{ContentHash, Dataset, Dropped, FileStamp, ImageLimits, has_word, read_limited};
use gxn_index::filter::is_of_image;
use gxn_index::{CaptionItem, Change, DamagedItems, Modality, VectorStore, VectorStoreWriter};
use rayon::prelude::*;

use super::discovery::{Discovery, ImageFile};
use super::empty_folders::EmptyFolders;
use super::options::IndexOptions;
use super::report::IndexReport;
use crate::encoder::{Encoder, ImageFeature, ImageInput};

/// Images that are encoded together; the unit of progress.
const BATCH: usize = 64;
/// Images whose files are in memory at once, at least.
const TOGETHER: usize = 16;
/// Captions that are encoded together.
const CAPTION_BATCH: usize = 1024;
/// Work of this long is kept, whatever happens next.
const COMMIT_EVERY: Duration = Duration::from_secs(30);

/// An index on its way to what its source holds.
pub(super) struct Indexer<'a> {
    encoder: &'a Encoder,
    writer: Box<dyn VectorStoreWriter>,
    found: &'a Discovery,
    dataset: Option<&'a Dataset>,
    limits: ImageLimits,
    /// Read files that look unchanged, too.
    reread: bool,
    /// Items to be encoded again.
    damaged: DamagedItems,
    progress: &'a dyn Progress,
    report: IndexReport,
    committed: Instant,
    /// Contents that got a further name: where the former one is gone, the image was moved.
    linked: HashSet<String>,
}

/// The content of an image, and what the CNN makes of it where the content is new.
type Read = Result<(String, Option<ImageFeature>)>;

impl<'a> Indexer<'a> {
    pub(super) fn new(
        encoder: &'a Encoder,
        writer: Box<dyn VectorStoreWriter>,
        found: &'a Discovery,
        dataset: Option<&'a Dataset>,
        options: &IndexOptions,
        progress: &'a dyn Progress,
    ) -> Self {
        let (dropped, without_path) = (found.dropped.clone(), found.without_path.clone());
        let columns = found.images.iter().flat_map(|image| image.meta.keys());
        let hidden: BTreeSet<&String> = columns.filter(|name| is_of_image(name)).collect();
        let hidden_columns = hidden.into_iter().cloned().collect();
        let undecoded = found.undecoded;
        let report = IndexReport { dropped, without_path, undecoded, hidden_columns, ..IndexReport::default() };
        let (committed, linked) = (Instant::now(), HashSet::new());
        let (limits, reread, damaged) = (options.limits(), options.reread, DamagedItems::default());
        Self { encoder, writer, found, dataset, limits, reread, damaged, progress, report, committed, linked }
    }

    /// Encodes the items again whose rows are not what was written.
    pub(super) fn repair(&mut self) -> Result<()> {
        self.damaged = self.writer.release_damaged()?;
        Ok(())
    }

    /// Adds what is new or changed.
    pub(super) fn encode(&mut self) -> Result<()> {
        self.images()?;
        self.captions()
    }

    pub(super) fn commit(&mut self) -> Result<()> {
        self.writer.commit()
    }

    pub(super) fn finish(self) -> Result<(Box<dyn VectorStore>, IndexReport)> {
        Ok((self.writer.finish()?, self.report))
    }

    fn images(&mut self) -> Result<()> {
        let mut todo = Vec::new();
        for image in &self.found.images {
            // Taken before the file is read: a later change is seen the next time.
            match image.source.stamp() {
                Err(error) => self.skip(image, &error),
                Ok(stamp) if self.is_known(image, stamp)? => self.report.unchanged += 1,
                Ok(stamp) => todo.push((image, stamp)),
            }
        }
        let total = self.found.images.len();
        let mut done = total - todo.len();
        self.progress.update("images", done, total);
        for batch in todo.chunks(BATCH) {
            self.batch(batch)?;
            done += batch.len();
            self.progress.update("images", done, total);
            self.go_on()?;
        }
        if self.writer.meta().images.count > 0 {
            return Ok(());
        }
        let found = match self.report.dropped.first() {
            Some(first) => format!("none readable of {total} ({}: {})", first.what, first.reason),
            None => "none".into(),
        };
        Err(Error::invalid("the images to index", found, "at least one image"))
    }

    /// Whether the index holds the image of this file, as far as that is known without reading it; other columns are
    /// brought up to date.
    fn is_known(&mut self, image: &ImageFile, stamp: FileStamp) -> Result<bool> {
        if self.reread || self.damaged.images.contains(&image.id) {
            return Ok(false);
        }
        let Some(item) = self.writer.image(&image.id)? else { return Ok(false) };
        let now = image.item(item.sha256.clone(), (item.width, item.height), stamp);
        let is_same_file = (now.size, now.mtime_unix_ms, now.file) == (item.size, item.mtime_unix_ms, item.file);
        if !is_same_file || item.sha256.is_empty() {
            return Ok(false);
        }
        Ok(now == item || self.writer.link_image(&now)?.is_some())
    }

    /// Images of which size or time are not known: each is read once, and encoded unless its content is known.
    fn batch(&mut self, batch: &[(&ImageFile, FileStamp)]) -> Result<()> {
        let mut encoded: HashMap<String, ImageFeature> = HashMap::new();
        let mut open = Vec::new();
        for (&(image, stamp), read) in batch.iter().zip(self.read(batch)?) {
            match read {
                Ok((content, None)) if self.link(image, &content, stamp)? => {}
                Ok((content, None)) => open.push((image, stamp, content)),
                Ok((content, Some(found))) => {
                    encoded.insert(content.clone(), found);
                    open.push((image, stamp, content));
                }
                Err(error) => self.skip(image, &error),
            }
        }
        // The rare rest: copies of what cannot be decoded, and contents whose only name another image took meanwhile.
        open.retain(|(image, _, content)| {
            if !encoded.contains_key(content) {
                match self.encoder.image_feature(&image.source, &self.limits) {
                    Ok(found) if found.content.is_some_and(|read| read.to_string() == *content) => {
                        encoded.insert(content.clone(), found);
                    }
                    // The next refresh sees its new time.
                    Ok(_) => self.drop(image, "it was changed while it was read".into()),
                    Err(error) => self.skip(image, &error),
                }
            }
            encoded.contains_key(content)
        });
        if open.is_empty() {
            return Ok(());
        }
        let (mut row_of, mut features) = (HashMap::new(), Vec::new());
        for (_, _, content) in &open {
            if !row_of.contains_key(content) {
                row_of.insert(content.clone(), row_of.len());
                features.extend_from_slice(&encoded[content].feature);
            }
        }
        let rows = self.encoder.encode_features(&features);
        for (image, stamp, content) in open {
            if !self.link(image, &content, stamp)? {
                let item = image.item(content.clone(), encoded[&content].size, stamp);
                self.writer.put_image(&item, &rows.joined(row_of[&content]))?;
                self.report.encoded += 1;
            }
        }
        Ok(())
    }

    /// The content of each image, and what the encoder makes of those whose content is new, on all cores. Of several images of
    /// one content one is encoded.
    fn read(&mut self, batch: &[(&ImageFile, FileStamp)]) -> Result<Vec<Read>> {
        let together = TOGETHER.max(2 * rayon::current_num_threads());
        let (mut begun, mut found) = (HashSet::new(), Vec::with_capacity(batch.len()));
        for batch in batch.chunks(together) {
            found.extend(self.read_together(batch, &mut begun)?);
        }
        Ok(found)
    }

    /// [`Indexer::read`] for a few images, whose files are all in memory. What has `begun` is not encoded again.
    fn read_together(
        &mut self,
        batch: &[(&ImageFile, FileStamp)],
        begun: &mut HashSet<ContentHash>,
    ) -> Result<Vec<Read>> {
        let (encoder, limits) = (self.encoder, self.limits);
        let files: Vec<Result<(Vec<u8>, ContentHash)>> = (batch.par_iter())
            .map(|(image, _)| {
                let bytes = read_limited(&image.source, &limits)?;
                let hash = ContentHash::of(&bytes);
                Ok((bytes, hash))
            })
            .collect();
        let mut new = Vec::new();
        for (slot, file) in files.iter().enumerate() {
            let Ok((bytes, hash)) = file else { continue };
            if self.writer.image_of_content(&hash.to_string())?.is_none() && begun.insert(*hash) {
                new.push((slot, bytes, *hash));
            }
        }
        let names: Vec<String> = new.iter().map(|(slot, ..)| batch[*slot].0.source.to_string()).collect();
        let inputs = new.iter().zip(&names);
        let inputs: Vec<ImageInput<'_>> =
            inputs.map(|((_, bytes, hash), name)| ImageInput::Bytes { bytes, name, content: Some(*hash) }).collect();
        let slots = new.iter().map(|(slot, ..)| *slot);
        let mut features: HashMap<usize, Result<ImageFeature>> =
            slots.zip(encoder.image_features(&inputs, &limits)?).collect();
        let found = files.into_iter().enumerate().map(|(slot, file)| {
            let (_, hash) = file?;
            let feature = features.remove(&slot).transpose()?;
            Ok((hash.to_string(), feature))
        });
        Ok(found.collect())
    }

    /// Gives an image to a content that the index holds. False, and nothing done, if it does not.
    fn link(&mut self, image: &ImageFile, content: &str, stamp: FileStamp) -> Result<bool> {
        let former = self.writer.image(&image.id)?;
        let Some(twin) = self.writer.image_of_content(content)? else { return Ok(false) };
        let item = image.item(content.to_string(), (twin.width, twin.height), stamp);
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

    fn skip(&mut self, image: &ImageFile, error: &Error) {
        self.drop(image, error.in_full());
    }

    fn drop(&mut self, image: &ImageFile, reason: String) {
        self.report.dropped.push(Dropped { what: image.path.clone(), reason });
    }

    /// The captions of a dataset, as far as the index holds their images.
    fn captions(&mut self) -> Result<()> {
        let Some(data) = self.dataset else { return Ok(()) };
        let found: HashSet<&str> = self.found.images.iter().map(|image| image.id.as_str()).collect();
        let mut fresh: Vec<CaptionItem> = Vec::new();
        let mut held: Option<(usize, bool)> = None;
        for (at, caption) in data.captions.iter().enumerate() {
            let image_id = data.images[caption.image].id.as_str();
            let is_held = match held {
                Some((image, is_held)) if image == caption.image => is_held,
                _ => found.contains(image_id) && self.writer.image(image_id)?.is_some(),
            };
            held = Some((caption.image, is_held));
            if !is_held {
                continue;
            }
            if !has_word(&caption.text) {
                // A query of it is refused, too: its embedding would be chance.
                self.report.wordless.push(caption.id.clone());
                continue;
            }
            let item =
                CaptionItem { id: caption.id.clone(), image_id: image_id.to_string(), text: caption.text.clone() };
            let is_known = !self.damaged.captions.contains(&item.id)
                && self.writer.caption(&item.id)?.is_some_and(|known| known == item);
            if !is_known && self.writer.link_caption(&item)?.is_none() {
                fresh.push(item);
            }
            if fresh.len() == CAPTION_BATCH {
                self.encode_captions(&std::mem::take(&mut fresh))?;
                self.progress.update("captions", at + 1, data.captions.len());
                self.go_on()?;
            }
        }
        self.encode_captions(&fresh)?;
        self.go_on()
    }

    fn encode_captions(&mut self, captions: &[CaptionItem]) -> Result<()> {
        if captions.is_empty() {
            return Ok(());
        }
        let texts: Vec<&str> = captions.iter().map(|caption| caption.text.as_str()).collect();
        let rows = self.encoder.encode_texts(&texts)?;
        for (row, caption) in captions.iter().enumerate() {
            self.writer.put_caption(caption, &rows.joined(row))?;
        }
        self.report.captions_encoded += captions.len();
        Ok(())
    }

    /// Deletes what the source no longer has; what could not be read stays, and what was in a folder that is empty now,
    /// unless `from_empty`.
    pub(super) fn remove_gone(&mut self, from_empty: bool) -> Result<()> {
        let found = self.found;
        let mut empty = EmptyFolders::default();
        let present: HashSet<&str> = found.images.iter().map(|image| image.id.as_str()).collect();
        for id in self.writer.ids(Modality::Image)? {
            if present.contains(id.as_str()) {
                continue;
            }
            if found.may_hold(&id) {
                self.report.kept.push(id);
                continue;
            }
            let item = self.writer.image(&id)?;
            let was_moved = item.as_ref().is_some_and(|item| self.linked.contains(&item.sha256));
            let path = item.map(|item| found.root.as_deref().unwrap_or(Path::new("")).join(item.path));
            if !from_empty && !was_moved && path.is_some_and(|path| empty.had(&path)) {
                self.report.kept.push(id);
            } else {
                self.writer.remove(Modality::Image, &id)?;
                if !was_moved {
                    self.report.removed.push(id);
                }
            }
        }
        self.report.dropped.extend(empty.dropped());
        let captions = self.dataset.map_or(&[][..], |data| &data.captions[..]);
        let wordless: HashSet<&String> = self.report.wordless.iter().collect();
        let wanted = captions.iter().filter(|caption| !wordless.contains(&caption.id));
        let wanted: HashSet<&str> = wanted.map(|caption| caption.id.as_str()).collect();
        let kept: HashSet<&str> = self.report.kept.iter().map(String::as_str).collect();
        for id in self.writer.ids(Modality::Text)? {
            if wanted.contains(id.as_str()) {
                continue;
            }
            // Where an image, or what names it, could not be read, its captions were not either.
            let may_stay = |image: &str| kept.contains(image) || found.may_hold(image);
            let stays = self.dataset.is_some()
                && (found.has_unread() || !kept.is_empty())
                && self.writer.caption(&id)?.is_some_and(|caption| may_stay(&caption.image_id));
            if !stays {
                self.writer.remove(Modality::Text, &id)?;
                self.report.captions_removed += 1;
            }
        }
        Ok(())
    }

    /// Stops where that is asked for; else commits now and then.
    fn go_on(&mut self) -> Result<()> {
        if self.progress.cancelled() {
            return Err(Error::interrupted());
        }
        if self.committed.elapsed() >= COMMIT_EVERY {
            self.writer.commit()?;
            self.committed = Instant::now();
        }
        Ok(())
    }
}
