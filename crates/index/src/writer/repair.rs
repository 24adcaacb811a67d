//! Repairing an index: what is not what was written is released, so that its items can be put again.

use super::{Former, IndexSettings, IndexWriter};
use crate::catalogue::{CATALOGUE_FILE, CatalogueWriter, check_integrity, segment_path, sketch_path};
use crate::file::write_start;
use crate::item::{CaptionItem, ImageItem, Item};
use crate::kernel::Measure;
use crate::meta::IndexMeta;
use crate::quantized::Sketches;
use crate::segment::Segment;
use gxn_base::{Kind, Modality, Result};
use std::collections::HashSet;
use std::path::Path;

use super::mutate::parse;

/// Ids of the items whose rows are damaged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DamagedItems {
    /// Of images.
    pub images: HashSet<String>,
    /// Of captions.
    pub captions: HashSet<String>,
}

impl IndexWriter {
    /// [`IndexWriter::update`] for an index that may be damaged: headers of row files are restored from the catalogue, and
    /// a catalogue with damaged pages is set aside for a new index. [`IndexWriter::release_damaged`] does the rest.
    ///
    /// # Errors
    /// As [`IndexWriter::create`].
    pub fn repair(dir: &Path, settings: IndexSettings) -> Result<Self> {
        Self::open(dir, settings, Former::Repair)
    }

    /// Compares all rows with their checksums, and lets go of those that are damaged: the items returned stay as they are
    /// until they are put again, which then takes their new embeddings. [`IndexWriter::finish`] rewrites their files.
    ///
    /// # Errors
    /// If a row file cannot be read, or the catalogue cannot be written.
    pub fn release_damaged(&mut self) -> Result<DamagedItems> {
        Ok(DamagedItems { images: self.release::<ImageItem>()?, captions: self.release::<CaptionItem>()? })
    }

    fn release<T: Item>(&mut self) -> Result<HashSet<String>> {
        let (generation, modality, mut ids) = (self.meta.generation, T::MODALITY, HashSet::new());
        for (first, record) in self.catalogue().segments(generation, modality)? {
            let path = segment_path(self.folder.dir(), modality, record.file);
            let segment = Segment::open(&path, record.rows)?;
            let sketches = sketch_path(&path);
            let measure = Measure::of(self.meta.space.similarity, modality);
            if sketches.exists() && Sketches::open(&sketches, &segment, measure).and_then(|s| s.verify()).is_err() {
                // Derived from the rows: a large index gets them again in the end.
                let _ = std::fs::remove_file(&sketches);
            }
            let damaged = segment.damaged_rows(&record.chain());
            if !damaged.is_empty() {
                self.to_rewrite.insert((modality, record.file));
            }
            for row in damaged.into_iter().map(|row| first + row as u64) {
                for stored in self.catalogue().items_of(generation, modality, row)? {
                    let content = parse::<T>(&stored)?.content().into_owned();
                    self.release_content(modality, &content, row)?;
                    ids.insert(stored.id);
                }
            }
        }
        Ok(ids)
    }

    /// Forgets that `row` has this content, if it does.
    pub(super) fn release_content(&mut self, modality: Modality, content: &str, row: u64) -> Result<()> {
        let generation = self.meta.generation;
        if !content.is_empty() && self.catalogue().row_of_content(generation, modality, content)? == Some(row) {
            self.catalogue().set_content(generation, modality, content, None)?;
        }
        Ok(())
    }
}

/// Refuses a catalogue that has damaged pages.
pub(super) fn require_sound_pages(dir: &Path) -> Result<()> {
    let path = dir.join(CATALOGUE_FILE);
    match check_integrity(&path) {
        Err(error) if error.kind() == Kind::Damaged => Err(error),
        // That of a new index, or one that tells on opening what is wrong.
        _ => Ok(()),
    }
}

/// Writes the headers of row files again that are not as the catalogue has them.
pub(super) fn restore_headers(dir: &Path, meta: &IndexMeta, catalogue: &mut CatalogueWriter) -> Result<()> {
    for modality in [Modality::Image, Modality::Text] {
        for (_, record) in catalogue.segments(meta.generation, modality)? {
            let (path, header) = (segment_path(dir, modality, record.file), meta.header(modality, record.file));
            let opened = Segment::open(&path, record.rows).and_then(|segment| segment.header().require(&header, &path));
            let length = std::fs::metadata(&path).map_or(0, |file| file.len());
            let is_long_enough = header.file_bytes(record.rows).is_some_and(|least| length >= least);
            if opened.is_err_and(|error| error.kind() != Kind::Io) && is_long_enough {
                write_start(&path, &header.to_bytes())?;
            }
        }
    }
    Ok(())
}
