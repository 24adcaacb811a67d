//! Appending rows of one modality, from one row file to the next.

use crate::catalogue::{CatalogueWriter, SegmentRecord, segment_path};
use crate::folder::Folder;
use crate::meta::IndexMeta;
use crate::segment_writer::SegmentWriter;
use gxn_base::{Modality, Result};

/// Where a new row comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// An embedding `[h ; l]`.
    Vector(&'a [f32]),
    /// A record of another index of the same widths.
    Record(&'a [u8]),
    /// None: only an item whose content has a row can be put.
    Nothing,
}

/// Appends rows to the last row file of a modality, and starts another when it is full.
#[derive(Debug)]
pub(super) struct RollingSegmentWriter {
    modality: Modality,
    tail: Option<Tail>,
}

#[derive(Debug)]
struct Tail {
    first_row: u64,
    rows: SegmentWriter,
    /// Rows that the catalogue was given.
    adopted: Option<u64>,
}

impl RollingSegmentWriter {
    pub(super) fn new(modality: Modality) -> Self {
        Self { modality, tail: None }
    }

    /// Appends a row, whose number it returns; `id` is for messages.
    pub(super) fn push(
        &mut self,
        catalogue: &mut CatalogueWriter,
        folder: &Folder,
        meta: &IndexMeta,
        file_bytes: u64,
        id: &str,
        source: Source<'_>,
    ) -> Result<u64> {
        if self.tail.as_ref().is_some_and(|tail| tail.rows.length() >= file_bytes) {
            self.adopt(catalogue, folder, meta.generation)?;
            self.tail = None;
        }
        if self.tail.is_none() {
            self.tail = Some(self.next_tail(catalogue, folder, meta, file_bytes)?);
        }
        let tail = self.tail.as_mut().expect("just set");
        let row = tail.first_row + tail.rows.rows();
        match source {
            Source::Vector(vector) => tail.rows.push(id, vector)?,
            Source::Record(record) => tail.rows.push_record(record)?,
            Source::Nothing => unreachable!("a row is pushed with its content"),
        }
        Ok(row)
    }

    /// The last file if it has room, else a new one.
    fn next_tail(
        &self,
        catalogue: &mut CatalogueWriter,
        folder: &Folder,
        meta: &IndexMeta,
        file_bytes: u64,
    ) -> Result<Tail> {
        let segments = catalogue.segments(meta.generation, self.modality)?;
        let header = |number| meta.header(self.modality, number);
        if let Some((first_row, last)) = segments.last()
            && header(0).file_bytes(last.rows).is_some_and(|length| length < file_bytes)
        {
            let path = segment_path(folder.dir(), self.modality, last.file);
            let rows = SegmentWriter::reopen(path, header(last.file), last.rows, last.chain())?;
            return Ok(Tail { first_row: *first_row, rows, adopted: Some(last.rows) });
        }
        let number = catalogue.next_file()?;
        let rows = SegmentWriter::create(segment_path(folder.dir(), self.modality, number), header(number))?;
        let first_row = segments.last().map_or(0, |(first, last)| first + last.rows);
        Ok(Tail { first_row, rows, adopted: None })
    }

    /// Writes the rows to disk and enters them in the catalogue, whose next commit makes them count.
    pub(super) fn adopt(&mut self, catalogue: &mut CatalogueWriter, folder: &Folder, generation: u64) -> Result<()> {
        let Some(tail) = &mut self.tail else { return Ok(()) };
        if tail.adopted == Some(tail.rows.rows()) {
            return Ok(());
        }
        tail.rows.sync()?;
        if tail.adopted.is_none() {
            folder.sync_segments()?;
        }
        let record = SegmentRecord::new(tail.rows.number(), tail.rows.rows(), &tail.rows.chain());
        catalogue.set_segment(generation, self.modality, tail.first_row, Some(&record))?;
        tail.adopted = Some(tail.rows.rows());
        Ok(())
    }

    /// Closes the last file; the next row opens it again.
    pub(super) fn close(&mut self) {
        self.tail = None;
    }

    #[cfg(test)]
    pub(super) fn segment_writer(&mut self) -> Option<&mut SegmentWriter> {
        self.tail.as_mut().map(|tail| &mut tail.rows)
    }
}
