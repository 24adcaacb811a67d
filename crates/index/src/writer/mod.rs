//! Making and changing an index: rows are written to disk, then one transaction of the catalogue makes them count.

mod maintenance;
mod mutate;
mod repair;
mod rolling_writer;

pub use maintenance::CompactReport;
pub use mutate::Change;
pub use repair::DamagedItems;

use crate::catalogue::{CatalogueWriter, segment_path};
use crate::folder::Folder;
use crate::meta::IndexMeta;
use crate::reader::{INSTANT_BYTES, Index};
use crate::segment::Segment;
use crate::segment_writer::SegmentWriter;
use crate::space::Space;
use gxn_base::{Error, Kind, Modality, Result};
use rolling_writer::RollingSegmentWriter;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::path::Path;

/// A row file is closed when it is this long; compaction rewrites whole files.
const FILE_BYTES: u64 = 1 << 30;
/// Share of dead rows above which a row file is compacted.
pub const DEAD_SHARE: f64 = 0.2;

/// What an index is made for.
#[derive(Clone, Debug)]
pub struct IndexSettings {
    /// Fingerprint of the model that makes the embeddings.
    pub model: String,
    /// Similarity, λ and widths.
    pub space: Space,
    /// Whatever the caller wants to find again, such as where the model lies.
    pub extra: Map<String, Value>,
}

/// Writes an index into a folder.
///
/// [`IndexWriter::commit`] makes all that was done since the last one count, on disk and at once; before it returns, a
/// crash leaves all or nothing of it. A new index, or one that takes the place of another model's, can be found only
/// after [`IndexWriter::finish`]: until then the old one serves. Dropping the writer undoes what was not committed.
///
/// After an error of the disk the writer refuses all further work; what was committed stands.
#[derive(Debug)]
pub struct IndexWriter {
    meta: IndexMeta,
    images: RollingSegmentWriter,
    captions: RollingSegmentWriter,
    // Dropped before the folder, whose lock it works under.
    catalogue: Option<CatalogueWriter>,
    folder: Folder,
    file_bytes: u64,
    /// The generation to replace at the end.
    former: Option<u64>,
    /// Nobody can see this generation yet.
    building: bool,
    /// Something of this generation is on disk for good.
    committed: bool,
    /// This writer put a damaged catalogue in quarantine.
    quarantined: bool,
    /// Row files with lower numbers stay until the index is finished, whether or not the catalogue lists them: those of an
    /// index whose catalogue is damaged or lost.
    protected_below: u64,
    /// Images of captions that may be missing.
    pending_images: HashSet<String>,
    /// Row files with damaged rows.
    to_rewrite: HashSet<(Modality, u64)>,
    failed: bool,
}

/// What becomes of an index that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Former {
    Continue,
    Repair,
    Replace,
}

/// Where a writer begins.
struct Start {
    catalogue: CatalogueWriter,
    meta: IndexMeta,
    former: Option<u64>,
    building: bool,
    committed: bool,
    quarantined: bool,
    protected_below: u64,
}

impl IndexWriter {
    /// Starts a new index in `dir`, which is made if it is missing. An index already there serves until the end.
    ///
    /// # Errors
    /// If the settings are impossible, another writer is at work, or `dir` cannot be written, holds other things or an
    /// index of a later version of the format, which is left as it is.
    pub fn create(dir: &Path, settings: IndexSettings) -> Result<Self> {
        Self::open(dir, settings, Former::Replace)
    }

    /// Continues the index in `dir` if it was made for the same model and space; else one that was begun for
    /// them and interrupted; else starts a new one as [`IndexWriter::create`] does. `settings.extra` replaces the
    /// former one. A damaged catalogue is kept with its row files until the new index is finished, and put back if
    /// nothing is committed.
    ///
    /// # Errors
    /// As [`IndexWriter::create`].
    pub fn update(dir: &Path, settings: IndexSettings) -> Result<Self> {
        Self::open(dir, settings, Former::Continue)
    }

    /// Opens the finished index in `dir` to change it, whatever model made it. Another one never takes its place.
    ///
    /// # Errors
    /// If there is none, its catalogue or a row file is missing or damaged, another writer is at work, or `dir` cannot be
    /// written.
    pub fn change(dir: &Path) -> Result<Self> {
        let folder = Folder::claim(dir)?;
        let start = Self::start_change(dir).inspect_err(|_| folder.undo())?;
        Self::begin(folder, start)
    }

    fn open(dir: &Path, settings: IndexSettings, plan: Former) -> Result<Self> {
        settings.space.check()?;
        let folder = Folder::claim(dir)?;
        // Without a writer nobody else removes what the claim made.
        let mut start = Self::start(dir, &folder, &settings, plan).inspect_err(|_| folder.undo())?;
        start.meta.extra = settings.extra;
        Self::begin(folder, start)
    }

    fn begin(folder: Folder, start: Start) -> Result<Self> {
        let Start { catalogue, meta, former, building: is_building, committed, quarantined, protected_below } = start;
        let mut writer = Self {
            meta,
            images: RollingSegmentWriter::new(Modality::Image),
            captions: RollingSegmentWriter::new(Modality::Text),
            catalogue: Some(catalogue),
            folder,
            file_bytes: FILE_BYTES,
            former: former.filter(|_| is_building),
            building: is_building,
            committed,
            quarantined,
            protected_below,
            pending_images: HashSet::new(),
            to_rewrite: HashSet::new(),
            failed: false,
        };
        writer.cut()?;
        if !is_building {
            // A crash may have come between the commit and this.
            writer.folder.finalize()?;
        }
        writer.sweep()?;
        Ok(writer)
    }

    /// The catalogue in a claimed folder and its finished index.
    fn start_change(dir: &Path) -> Result<Start> {
        let (mut catalogue, current, _) = open_catalogue(dir)?;
        let meta = current.ok_or_else(|| {
            Error::not_found(format!("index {}", dir.display()), "none that is finished", "a finished one")
        })?;
        rows_are_there(dir, &meta, &mut catalogue)?;
        let (building, committed, quarantined) = (false, true, false);
        Ok(Start { catalogue, meta, former: None, building, committed, quarantined, protected_below: 0 })
    }

    /// The catalogue in a claimed folder, or a new one, and the index to write to.
    fn start(dir: &Path, folder: &Folder, settings: &IndexSettings, plan: Former) -> Result<Start> {
        let mut quarantined = false;
        let pages = if plan == Former::Repair { repair::require_sound_pages(dir) } else { Ok(()) };
        let (mut catalogue, current, building) = match pages.and_then(|()| open_catalogue(dir)) {
            Err(error) if error.kind() == Kind::Damaged => {
                folder.quarantine()?;
                quarantined = true;
                open_catalogue(dir).inspect_err(|_| folder.restore_quarantined())?
            }
            other => other?,
        };
        let mut protected_below = 0;
        if current.is_none() || folder.holds_damaged() {
            protected_below = folder.free_file_number();
            catalogue.number_files_from(protected_below)?;
        }
        if let (Former::Repair, Some(current)) = (plan, &current) {
            repair::restore_headers(dir, current, &mut catalogue)?;
        }
        let fits = |meta: &IndexMeta, catalogue: &mut CatalogueWriter| {
            plan != Former::Replace
                && meta.model == settings.model
                && meta.space == settings.space
                && rows_are_there(dir, meta, catalogue).is_ok()
        };
        let former = current.as_ref().map(|meta| meta.generation);
        let (meta, building, committed) = match (current, building) {
            (Some(current), _) if fits(&current, &mut catalogue) => (current, false, true),
            (_, Some(building)) if fits(&building, &mut catalogue) => (building, true, true),
            (_, stale) => {
                let last = stale.as_ref().map(|meta| meta.generation).max(former).unwrap_or(0);
                if let Some(stale) = stale {
                    catalogue.remove_generation(stale.generation)?;
                }
                let meta = IndexMeta::new(last + 1, settings.model.clone(), settings.space, settings.extra.clone());
                catalogue.make_tables(meta.generation, Modality::Image)?;
                catalogue.set_building(Some(meta.generation))?;
                (meta, true, false)
            }
        };
        Ok(Start { catalogue, meta, former, building, committed, quarantined, protected_below })
    }

    /// Length of a row file after which a new one is begun; 1 GiB if this is never called.
    pub fn set_file_bytes(&mut self, bytes: u64) {
        self.file_bytes = bytes;
    }

    /// What the index is made for and holds, as it will be after a commit.
    pub fn meta(&self) -> &IndexMeta {
        &self.meta
    }

    /// Writes everything to disk and makes it count.
    ///
    /// # Errors
    /// If a caption of an index in use has no image, or the disk is full; then nothing since the last commit counts.
    pub fn commit(&mut self) -> Result<()> {
        self.require_sound()?;
        if !self.building {
            self.require_images_of_captions()?;
        }
        self.poison_on_error(Self::commit_all)
    }

    /// Commits, puts the index in the place of the old one if there is one, compacts it above [`DEAD_SHARE`], makes
    /// its sketches if it is large, and opens it.
    ///
    /// # Errors
    /// If a caption's image was never added, or the disk is full; what was last committed stands.
    pub fn finish(mut self) -> Result<Index> {
        self.require_sound()?;
        self.require_images_of_captions()?;
        self.poison_on_error(|writer| {
            if writer.building {
                let generation = writer.meta.generation;
                writer.catalogue().set_current(generation)?;
                writer.catalogue().set_building(None)?;
                if let Some(former) = writer.former {
                    writer.catalogue().remove_generation(former)?;
                }
            }
            writer.commit_all()?;
            writer.building = false;
            writer.former = None;
            writer.protected_below = 0;
            writer.folder.finalize()
        })?;
        self.compact(DEAD_SHARE)?;
        // Search can do without them: a disk that is full now must not look like a lost index.
        let _ = self.write_sketches(INSTANT_BYTES, false);
        self.sweep()?;
        let dir = self.folder.dir().to_path_buf();
        drop(self);
        Index::open(&dir)
    }

    /// Nothing is written where nothing was changed.
    fn commit_all(&mut self) -> Result<()> {
        let generation = self.meta.generation;
        let Self { images, captions, catalogue, folder, meta, .. } = self;
        let catalogue = catalogue.as_mut().expect("the catalogue is open until the drop");
        images.adopt(catalogue, folder, generation)?;
        captions.adopt(catalogue, folder, generation)?;
        catalogue.set_meta(meta)?;
        catalogue.commit()?;
        self.committed = true;
        Ok(())
    }

    fn catalogue(&mut self) -> &mut CatalogueWriter {
        self.catalogue.as_mut().expect("the catalogue is open until the drop")
    }

    /// While an index is built, captions may come long before their images, even before an interruption: all are
    /// checked in the end. Later it is enough to check those that were added.
    fn require_images_of_captions(&mut self) -> Result<()> {
        let generation = self.meta.generation;
        let mut missing = None;
        if self.building {
            if self.meta.captions.is_some() {
                missing = self.catalogue().missing_image(generation)?;
            }
        } else {
            let mut pending_images = std::mem::take(&mut self.pending_images);
            let mut still = HashSet::new();
            for id in pending_images.drain() {
                if self.catalogue().row_of(generation, Modality::Image, &id)?.is_none()
                    && !self.captions_of(&id)?.is_empty()
                {
                    still.insert(id);
                }
            }
            missing = still.iter().min().cloned();
            self.pending_images = still;
        }
        let Some(id) = missing else { return Ok(()) };
        let what = format!("image {id} of a caption");
        Err(Error::not_found(what, "no such image", "an image of the index")
            .with_hint("add the image, or leave its captions out"))
    }

    /// Refuses to go on after a failed write.
    fn require_sound(&self) -> Result<()> {
        if self.failed {
            let other = std::io::Error::other("an earlier write to it failed");
            return Err(Error::io("cannot write", self.folder.dir(), other));
        }
        Ok(())
    }

    /// Does what must be done whole or not at all: after an error the writer refuses all further work.
    fn poison_on_error<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.failed = true;
        let done = work(self)?;
        self.failed = false;
        Ok(done)
    }

    /// Cuts what a stopped writer left after the adopted rows.
    fn cut(&mut self) -> Result<()> {
        for modality in [Modality::Image, Modality::Text] {
            let generation = self.meta.generation;
            for (_, record) in self.catalogue().segments(generation, modality)? {
                let path = segment_path(self.folder.dir(), modality, record.file);
                SegmentWriter::reopen(path, self.meta.header(modality, record.file), record.rows, record.chain())?;
            }
        }
        Ok(())
    }

    /// Removes row files that no generation has, and files of older versions.
    fn sweep(&mut self) -> Result<()> {
        let mut used = HashSet::new();
        let (current, building) = self.catalogue().generations()?;
        for generation in current.into_iter().chain(building) {
            for modality in [Modality::Image, Modality::Text] {
                let segments = self.catalogue().segments(generation, modality)?;
                used.extend(segments.into_iter().map(|(_, record)| (modality, record.file)));
            }
        }
        self.folder.sweep(&used, self.protected_below);
        Ok(())
    }
}

impl Drop for IndexWriter {
    /// Removes what was not committed. A failure cannot be reported here; the next writer tries again.
    fn drop(&mut self) {
        self.images.close();
        self.captions.close();
        self.catalogue = None;
        if !self.committed && self.quarantined {
            self.folder.restore_quarantined();
            self.folder.sweep(&HashSet::new(), self.protected_below);
        } else if !self.committed {
            if let Ok(catalogue) = CatalogueWriter::open(self.folder.dir()) {
                self.catalogue = Some(catalogue);
                let _ = self.sweep();
                self.catalogue = None;
            }
            self.folder.undo();
        }
    }
}

type Opened = (CatalogueWriter, Option<IndexMeta>, Option<IndexMeta>);

/// The catalogue, its current generation, and the one being built.
fn open_catalogue(dir: &Path) -> Result<Opened> {
    let mut catalogue = CatalogueWriter::open(dir)?;
    let (current, building) = catalogue.generations()?;
    let mut meta = |number: Option<u64>| number.map(|number| catalogue.meta(number)).transpose();
    let (current, building) = (meta(current)?, meta(building)?);
    Ok((catalogue, current, building))
}

/// Refuses a generation whose row files are missing or too short: no writer can continue it.
fn rows_are_there(dir: &Path, meta: &IndexMeta, catalogue: &mut CatalogueWriter) -> Result<()> {
    for modality in [Modality::Image, Modality::Text] {
        for (_, record) in catalogue.segments(meta.generation, modality)? {
            let path = segment_path(dir, modality, record.file);
            Segment::open(&path, record.rows)?.header().require(&meta.header(modality, record.file), &path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
