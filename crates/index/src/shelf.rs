//! The growing end of one side's rows.

use crate::appender::Appender;
use crate::catalogue::{Ledger, SegmentRecord, segment_path};
use crate::folder::Folder;
use crate::meta::IndexMeta;
use crate::segment::Header;
use gxn_base::Modality;
use gxn_base::Result;

/// Where a new row comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// An embedding `[h ; l]`.
    Vector(&'a [f32]),
    /// A record of another index of the same widths.
    Record(&'a [u8]),
    /// Nowhere: only what is held already can be linked.
    Nothing,
}

/// Appends rows to the last row file of a side, and begins another when it is full.
#[derive(Debug)]
pub(crate) struct Shelf {
    side: Modality,
    tail: Option<Tail>,
}

#[derive(Debug)]
struct Tail {
    first_row: u64,
    rows: Appender,
    /// Rows that the catalogue knows of.
    noted: Option<u64>,
}

impl Shelf {
    pub(crate) fn new(side: Modality) -> Self {
        Self { side, tail: None }
    }

    /// Appends a row, whose number it returns; `id` is for messages.
    pub(crate) fn push(
        &mut self,
        ledger: &mut Ledger,
        folder: &Folder,
        meta: &IndexMeta,
        file_bytes: u64,
        id: &str,
        source: Source<'_>,
    ) -> Result<u64> {
        if self.tail.as_ref().is_some_and(|tail| tail.rows.length() >= file_bytes) {
            self.note(ledger, folder, meta.generation)?;
            self.tail = None;
        }
        if self.tail.is_none() {
            self.tail = Some(self.next_tail(ledger, folder, meta, file_bytes)?);
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
    fn next_tail(&self, ledger: &mut Ledger, folder: &Folder, meta: &IndexMeta, file_bytes: u64) -> Result<Tail> {
        let segments = ledger.segments(meta.generation, self.side)?;
        let header = |number| header(meta, self.side, number);
        if let Some((first_row, last)) = segments.last()
            && header(0).file_bytes(last.rows).is_some_and(|length| length < file_bytes)
        {
            let path = segment_path(folder.dir(), self.side, last.file);
            let rows = Appender::reopen(path, header(last.file), last.rows, last.chain())?;
            return Ok(Tail { first_row: *first_row, rows, noted: Some(last.rows) });
        }
        let number = ledger.next_file()?;
        let rows = Appender::create(segment_path(folder.dir(), self.side, number), header(number))?;
        let first_row = segments.last().map_or(0, |(first, last)| first + last.rows);
        Ok(Tail { first_row, rows, noted: None })
    }

    /// Brings the rows to disk and notes them in the ledger, to be adopted by its next commit.
    pub(crate) fn note(&mut self, ledger: &mut Ledger, folder: &Folder, generation: u64) -> Result<()> {
        let Some(tail) = &mut self.tail else { return Ok(()) };
        if tail.noted == Some(tail.rows.rows()) {
            return Ok(());
        }
        tail.rows.sync()?;
        if tail.noted.is_none() {
            folder.sync_segments()?;
        }
        let record = SegmentRecord::new(tail.rows.number(), tail.rows.rows(), &tail.rows.chain());
        ledger.set_segment(generation, self.side, tail.first_row, Some(&record))?;
        tail.noted = Some(tail.rows.rows());
        Ok(())
    }

    /// Closes the last file; the next row opens it again.
    pub(crate) fn close(&mut self) {
        self.tail = None;
    }

    #[cfg(test)]
    pub(crate) fn appender(&mut self) -> Option<&mut Appender> {
        self.tail.as_mut().map(|tail| &mut tail.rows)
    }
}

/// The header of a row file of an index.
pub(crate) fn header(meta: &IndexMeta, side: Modality, number: u64) -> Header {
    let (h, l) = (meta.space.dims_abstract as u32, meta.space.dims_grounded as u32);
    Header { dims_abstract: h, dims_grounded: l, side, number }
}
