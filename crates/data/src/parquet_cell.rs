//! [`ParquetCell`]: an image's bytes in a Parquet file, read when they are needed.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use serde::{Serialize, Serializer};

use gxn_base::{Error, Result};

/// A column of image bytes in one file.
#[derive(Debug)]
pub(super) struct ImageColumn {
    pub path: PathBuf,
    /// The file's length when it was opened.
    pub length: u64,
    pub metadata: Arc<ParquetMetaData>,
    /// Position among the leaf columns.
    pub leaf: usize,
}

/// The image bytes in one row of a Parquet file. The file's pages are read when the bytes are, one at a time.
#[derive(Clone)]
pub struct ParquetCell {
    pub(super) column: Arc<ImageColumn>,
    pub(super) group: usize,
    /// In the group.
    pub(super) row_in_group: usize,
    pub(super) row_in_file: usize,
    /// The image's file name as the row gives it; may be empty.
    pub(super) name: Box<str>,
}

impl PartialEq for ParquetCell {
    fn eq(&self, other: &Self) -> bool {
        (self.file(), self.column.leaf, self.row_in_file) == (other.file(), other.column.leaf, other.row_in_file)
    }
}

impl Eq for ParquetCell {}

impl fmt::Debug for ParquetCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParquetCell({self})")
    }
}

impl fmt::Display for ParquetCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.file().display(), self.row_in_file)
    }
}

impl Serialize for ParquetCell {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A reader that stands before `next_row` of a row group. It keeps the page that it reads, so that rows read in order
/// cost one reading of each page.
struct Cursor {
    column: Arc<ImageColumn>,
    group: usize,
    next_row: usize,
    reader: ColumnReaderImpl<ByteArrayType>,
}

thread_local! {
    static CURSOR: RefCell<Option<Cursor>> = const { RefCell::new(None) };
}

impl ParquetCell {
    /// The file.
    pub(super) fn file(&self) -> &Path {
        &self.column.path
    }

    /// The row in the file, from 0.
    pub fn row(&self) -> usize {
        self.row_in_file
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Mean number of bytes of the images of the row group.
    pub(super) fn mean_length(&self) -> u64 {
        let group = self.column.metadata.row_group(self.group);
        let bytes = u64::try_from(group.column(self.column.leaf).uncompressed_size()).unwrap_or(0);
        bytes / u64::try_from(group.num_rows()).unwrap_or(1).max(1)
    }

    /// The encoded image.
    ///
    /// # Errors
    /// The file cannot be read, is damaged or was changed, or the cell is empty.
    pub(super) fn read(&self) -> Result<Vec<u8>> {
        let cursor = CURSOR.with_borrow_mut(Option::take).filter(|cursor| {
            Arc::ptr_eq(&cursor.column, &self.column)
                && cursor.group == self.group
                && cursor.next_row <= self.row_in_group
        });
        let mut cursor = match cursor {
            Some(cursor) => cursor,
            None => self.open()?,
        };
        let bytes = guarded(|| cursor.read(self.row_in_group)).map_err(|error| damaged(self.to_string(), &error))?;
        CURSOR.with_borrow_mut(|kept| *kept = Some(cursor));
        bytes.ok_or_else(|| Error::invalid(self.to_string(), "an empty cell", "the bytes of an image"))
    }

    fn open(&self) -> Result<Cursor> {
        let ImageColumn { path, length, metadata, leaf } = &*self.column;
        let fail = |error| Error::io("cannot read", path, error);
        let file = File::open(path).map_err(fail)?;
        let now = file.metadata().map_err(fail)?.len();
        if now != *length {
            let expected = format!("{length} bytes, as when it was opened");
            return Err(Error::invalid(path.display().to_string(), format!("{now} bytes"), expected));
        }
        let group = metadata.row_group(self.group);
        let rows = usize::try_from(group.num_rows()).unwrap_or(0);
        let reader = guarded(|| {
            let pages = SerializedPageReader::new(Arc::new(file), group.column(*leaf), rows, None)?;
            Ok(ColumnReaderImpl::new(group.column(*leaf).column_descr_ptr(), Box::new(pages)))
        });
        let reader = reader.map_err(|error| damaged(self.to_string(), &error))?;
        Ok(Cursor { column: self.column.clone(), group: self.group, next_row: 0, reader })
    }
}

impl Cursor {
    /// The cell at `row`; `None` where it is null or empty.
    fn read(&mut self, row: usize) -> Result<Option<Vec<u8>>, ParquetError> {
        let wanted = row - self.next_row;
        let (mut levels, mut values): (Vec<i16>, Vec<ByteArray>) = (Vec::new(), Vec::new());
        let skipped = if wanted == 0 { 0 } else { self.reader.skip_records(wanted)? };
        let (records, ..) = self.reader.read_records(1, Some(&mut levels), None, &mut values)?;
        if skipped != wanted || records != 1 {
            return Err(ParquetError::General(format!("the column ends before row {row} of its group")));
        }
        self.next_row = row + 1;
        Ok(values.pop().map(|value| value.data().to_vec()).filter(|bytes| !bytes.is_empty()))
    }
}

/// What `read` returns; its panic, which some damaged files cause in the reader of Parquet, becomes an error.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    outcome.unwrap_or_else(|_| Err(ParquetError::General("values that cannot be".into())))
}

/// A fault of a Parquet file.
pub(super) fn damaged(what: String, error: &ParquetError) -> Error {
    Error::invalid(what, format!("damaged data ({error})"), "a complete Parquet file")
        .with_hint("copy or download the file again")
}
