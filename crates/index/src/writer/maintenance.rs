//! Maintenance: row files with many dead rows are rewritten without them, and sketches are made of the rows.

use super::IndexWriter;
use super::mutate::parse;
use crate::catalogue::{SegmentRecord, StoredItem, segment_path, sketch_path};
use crate::item::{CaptionItem, ImageItem, Item};
use crate::kernel::Measure;
use crate::quantized::{self, Sketches, can_be_sketched};
use crate::segment::Segment;
use crate::segment_writer::SegmentWriter;
use gxn_base::{Modality, Result};
use std::collections::HashSet;

/// What [`IndexWriter::compact`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactReport {
    /// Row files rewritten or removed.
    pub files: u64,
    /// Dead rows removed.
    pub rows: u64,
    /// Bytes of these rows.
    pub bytes: u64,
}

impl IndexWriter {
    /// Commits, then rewrites every row file where dead rows are more than `share` of all (0 for every file with any)
    /// without them. Rows keep their order, and so do hits of equal score. Each file is one transaction; open readers
    /// keep the old one.
    ///
    /// # Errors
    /// As [`IndexWriter::commit`].
    pub fn compact(&mut self, share: f64) -> Result<CompactReport> {
        self.commit()?;
        let mut report = CompactReport::default();
        for modality in [Modality::Image, Modality::Text] {
            if self.meta.collection(modality).is_none_or(|collection| collection.dead_rows == 0) {
                continue;
            }
            let generation = self.meta.generation;
            for (first, record) in self.catalogue().segments(generation, modality)? {
                let dead = self.catalogue().dead(generation, modality, first, record.rows)?;
                let is_damaged = self.to_rewrite.contains(&(modality, record.file));
                if dead.is_empty() || !is_damaged && dead.len() as f64 <= share * record.rows as f64 {
                    continue;
                }
                report.files += 1;
                report.rows += dead.len() as u64;
                report.bytes += dead.len() as u64 * self.meta.header(modality, 0).record_bytes() as u64;
                self.poison_on_error(|writer| writer.rewrite(modality, first, &record, &dead))?;
            }
        }
        if report.files > 0 {
            self.sweep()?;
            self.catalogue().shrink()?;
        }
        Ok(report)
    }

    /// Commits, then makes the 4-bit sketches ([`Method::Sketches`](crate::Method::Sketches)) of every row file of a modality
    /// with at least `modality_bytes` bytes of rows, where they are missing or damaged, or lack more than a tenth of the rows.
    /// Returns the number of files written. [`IndexWriter::finish`] does it from
    /// [`INSTANT_BYTES`](crate::INSTANT_BYTES) on, checking only headers for damage.
    ///
    /// # Errors
    /// As [`IndexWriter::commit`]; the index is then whole all the same.
    pub fn make_sketches(&mut self, modality_bytes: u64) -> Result<u64> {
        self.write_sketches(modality_bytes, true)
    }

    pub(super) fn write_sketches(&mut self, modality_bytes: u64, verify: bool) -> Result<u64> {
        self.commit()?;
        let (generation, space) = (self.meta.generation, self.meta.space);
        let mut written = 0;
        for (modality, other) in [(Modality::Image, Modality::Text), (Modality::Text, Modality::Image)] {
            let header = self.meta.header(modality, 0);
            let segments = self.catalogue().segments(generation, modality)?;
            let rows: u64 = segments.iter().map(|(_, record)| record.rows).sum();
            let few = rows == 0 || rows * (header.record_bytes() as u64) < modality_bytes;
            if few || !can_be_sketched(header.dims()) {
                continue;
            }
            let dir = self.folder.dir().to_path_buf();
            let open = |modality, record: &SegmentRecord| {
                Segment::open(&segment_path(&dir, modality, record.file), record.rows)
            };
            let others = self.catalogue().segments(generation, other)?;
            let others = others.first().map(|(_, record)| open(other, record)).transpose()?;
            for (_, record) in segments {
                let segment = open(modality, &record)?;
                let path = sketch_path(&segment_path(&dir, modality, record.file));
                let sketches = Sketches::open(&path, &segment, Measure::of(space.similarity, modality));
                let sound = sketches.and_then(|sketches| {
                    if verify {
                        sketches.verify()?;
                    }
                    Ok(sketches.len())
                });
                if sound.map_or(0, |rows| rows as u64) * 10 < record.rows * 9 {
                    quantized::write(&path, &segment, &space, others.as_ref())?;
                    written += 1;
                }
            }
        }
        Ok(written)
    }

    fn rewrite(&mut self, modality: Modality, first: u64, old: &SegmentRecord, dead: &[u64]) -> Result<()> {
        // The file may be the one that new rows go to.
        self.images.close();
        self.captions.close();
        let generation = self.meta.generation;
        let dead: HashSet<u64> = dead.iter().copied().collect();
        let path = segment_path(self.folder.dir(), modality, old.file);
        let segment = Segment::open(&path, old.rows)?;
        segment.header().require(&self.meta.header(modality, old.file), &path)?;
        if dead.len() as u64 == old.rows {
            self.catalogue().set_segment(generation, modality, first, None)?;
        } else {
            let number = self.catalogue().next_file()?;
            let new_path = segment_path(self.folder.dir(), modality, number);
            let mut rows = SegmentWriter::create(new_path, self.meta.header(modality, number))?;
            let mut moves = Vec::new();
            for row in (first..first + old.rows).filter(|row| !dead.contains(row)) {
                let to = first + rows.rows();
                rows.push_record(segment.record((row - first) as usize))?;
                if to != row {
                    moves.push((row, to));
                }
            }
            let content = match modality {
                Modality::Image => content::<ImageItem>,
                Modality::Text => content::<CaptionItem>,
            };
            self.catalogue().move_rows(generation, modality, moves, content)?;
            rows.sync()?;
            self.folder.sync_segments()?;
            let record = SegmentRecord::new(number, rows.rows(), &rows.chain());
            self.catalogue().set_segment(generation, modality, first, Some(&record))?;
        }
        let mut dead: Vec<u64> = dead.into_iter().collect();
        dead.sort_unstable();
        self.meta.collection_mut(modality).dead_rows -= dead.len() as u64;
        self.catalogue().set_dead(generation, modality, dead, false)?;
        let meta = self.meta.clone();
        self.catalogue().set_meta(&meta)?;
        self.catalogue().commit().map(drop)
    }
}

fn content<T: Item>(stored: &StoredItem) -> Result<String> {
    Ok(parse::<T>(stored)?.content().into_owned())
}
