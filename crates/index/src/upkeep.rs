//! Upkeep: row files with many dead rows are written anew without them, and codes and sketches are derived of the rows.

use crate::appender::Appender;
use crate::catalogue::{SegmentRecord, StoredItem, codes_path, segment_path, sketch_path};
use crate::change::parse;
use crate::codes::{self, Codes, can_be_coded};
use crate::item::{CaptionItem, ImageItem, Item};
use crate::segment::Segment;
use crate::shelf::header;
use crate::sketch::{self, Sketches, can_be_sketched};
use crate::writer::IndexWriter;
use gxn_base::Modality;
use gxn_base::Result;
use std::collections::HashSet;

/// What [`IndexWriter::compact`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactReport {
    /// Row files written anew or removed.
    pub files: u64,
    /// Dead rows taken away.
    pub rows: u64,
    /// Bytes of these rows.
    pub bytes: u64,
}

/// What can be derived of a row file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tier {
    Codes,
    Sketches,
}

impl IndexWriter {
    /// Commits, then takes the dead rows out of every row file where they are more than `share` of all (0 for every
    /// file with any). Rows keep their order, and so do hits of equal score. Each file is one transaction; open readers
    /// go on with the old one.
    ///
    /// # Errors
    /// As [`IndexWriter::commit`].
    pub fn compact(&mut self, share: f64) -> Result<CompactReport> {
        self.commit()?;
        let mut report = CompactReport::default();
        for side in [Modality::Image, Modality::Text] {
            if self.meta.collection(side).is_none_or(|collection| collection.dead_rows == 0) {
                continue;
            }
            let generation = self.meta.generation;
            for (first, record) in self.ledger().segments(generation, side)? {
                let dead = self.ledger().dead(generation, side, first, record.rows)?;
                if dead.is_empty() || dead.len() as f64 <= share * record.rows as f64 {
                    continue;
                }
                report.files += 1;
                report.rows += dead.len() as u64;
                report.bytes += dead.len() as u64 * header(&self.meta, side, 0).record_bytes() as u64;
                self.noting_failure(|writer| writer.rewrite(side, first, &record, &dead))?;
            }
        }
        if report.files > 0 {
            self.sweep()?;
            self.ledger().shrink()?;
        }
        Ok(report)
    }

    /// Commits, then makes the 8-bit codes of every row file of a side with at least `side_bytes` bytes of rows, where
    /// they are missing or damaged, or lack more than a tenth of the rows. Returns the number of files written.
    /// [`IndexWriter::finish`] does it from [`INSTANT_BYTES`](crate::INSTANT_BYTES) on, without a look for damage beyond
    /// the header.
    ///
    /// # Errors
    /// As [`IndexWriter::commit`]; the index is then whole all the same.
    pub fn make_codes(&mut self, side_bytes: u64) -> Result<u64> {
        self.derive(Tier::Codes, side_bytes, true)
    }

    /// The same of the 4-bit sketches ([`Method::Sketches`](crate::Method::Sketches)).
    ///
    /// # Errors
    /// As [`IndexWriter::make_codes`].
    pub fn make_sketches(&mut self, side_bytes: u64) -> Result<u64> {
        self.derive(Tier::Sketches, side_bytes, true)
    }

    pub(crate) fn derive(&mut self, tier: Tier, side_bytes: u64, look_for_damage: bool) -> Result<u64> {
        self.commit()?;
        let (generation, space) = (self.meta.generation, self.meta.space);
        let mut written = 0;
        for (side, other) in [(Modality::Image, Modality::Text), (Modality::Text, Modality::Image)] {
            let header = header(&self.meta, side, 0);
            let segments = self.ledger().segments(generation, side)?;
            let rows: u64 = segments.iter().map(|(_, record)| record.rows).sum();
            let can_be = match tier {
                Tier::Codes => can_be_coded(header.dims()),
                Tier::Sketches => can_be_sketched(header.dims()),
            };
            if rows == 0 || rows * (header.record_bytes() as u64) < side_bytes || !can_be {
                continue;
            }
            let dir = self.folder.dir().to_path_buf();
            let others = self.ledger().segments(generation, other)?;
            let open =
                |side, record: &SegmentRecord| Segment::open(&segment_path(&dir, side, record.file), record.rows);
            let others = others.first().map(|(_, record)| open(other, record)).transpose()?;
            for (_, record) in segments {
                let segment = open(side, &record)?;
                let path = segment_path(&dir, side, record.file);
                let covered = match tier {
                    Tier::Codes => Codes::open(&codes_path(&path), &segment).and_then(|codes| {
                        let sound = if look_for_damage { codes.verify(&path) } else { Ok(()) };
                        sound.map(|()| codes.len())
                    }),
                    Tier::Sketches => {
                        let measure = crate::kernel::Measure::of(space.similarity, side);
                        Sketches::open(&sketch_path(&path), &segment, measure).and_then(|sketches| {
                            let sound = if look_for_damage { sketches.verify() } else { Ok(()) };
                            sound.map(|()| sketches.len())
                        })
                    }
                };
                if covered.map_or(0, |rows| rows as u64) * 10 < record.rows * 9 {
                    match tier {
                        Tier::Codes => codes::write(&codes_path(&path), &segment)?,
                        Tier::Sketches => sketch::write(&sketch_path(&path), &segment, &space, others.as_ref())?,
                    }
                    written += 1;
                }
            }
        }
        Ok(written)
    }

    fn rewrite(&mut self, side: Modality, first: u64, old: &SegmentRecord, dead: &[u64]) -> Result<()> {
        // The file may be the one that new rows go to.
        self.images.close();
        self.captions.close();
        let generation = self.meta.generation;
        let dead: HashSet<u64> = dead.iter().copied().collect();
        let path = segment_path(self.folder.dir(), side, old.file);
        let segment = Segment::open(&path, old.rows)?;
        segment.header().require(&header(&self.meta, side, old.file), &path)?;
        if dead.len() as u64 == old.rows {
            self.ledger().set_segment(generation, side, first, None)?;
        } else {
            let number = self.ledger().next_file()?;
            let new_path = segment_path(self.folder.dir(), side, number);
            let mut rows = Appender::create(new_path, header(&self.meta, side, number))?;
            let mut moves = Vec::new();
            for row in (first..first + old.rows).filter(|row| !dead.contains(row)) {
                let to = first + rows.rows();
                rows.push_record(segment.record((row - first) as usize))?;
                if to != row {
                    moves.push((row, to));
                }
            }
            let content = match side {
                Modality::Image => content::<ImageItem>,
                Modality::Text => content::<CaptionItem>,
            };
            self.ledger().move_rows(generation, side, moves, content)?;
            rows.sync()?;
            self.folder.sync_segments()?;
            let record = SegmentRecord::new(number, rows.rows(), &rows.chain());
            self.ledger().set_segment(generation, side, first, Some(&record))?;
        }
        let mut dead: Vec<u64> = dead.into_iter().collect();
        dead.sort_unstable();
        self.meta.collection_mut(side).dead_rows -= dead.len() as u64;
        self.ledger().set_dead(generation, side, dead, false)?;
        let meta = self.meta.clone();
        self.ledger().set_meta(&meta)?;
        self.ledger().commit().map(drop)
    }
}

fn content<T: Item>(stored: &StoredItem) -> Result<String> {
    Ok(parse::<T>(stored)?.content().into_owned())
}
