//! [`SegmentWriter`]: appends records to a row file.

#[cfg(test)]
use crate::crash_simulation::{self, DiskOp};
use crate::segment::{Chain, HEADER_BYTES, Header, chained, encode_record};
use gxn_base::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Appends records to a row file; they count once the catalogue has adopted them.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    path: PathBuf,
    out: BufWriter<File>,
    header: Header,
    record: Vec<u8>,
    rows: u64,
    chain: Chain,
    length: u64,
    /// A write failed: what the file holds is unknown.
    failed: bool,
    #[cfg(test)]
    pub(crate) room: u64,
}

impl SegmentWriter {
    /// Makes a new file; it replaces one of that name that a stopped writer left.
    pub(crate) fn create(path: PathBuf, header: Header) -> Result<Self> {
        let file = File::create(&path).map_err(|e| Error::io("cannot create", &path, e))?;
        #[cfg(test)]
        crash_simulation::record(|| DiskOp::Create(path.clone()));
        let mut segment_writer = Self::new(path, file, header, (0, [0; 32]), 0);
        let bytes = segment_writer.header.to_bytes();
        segment_writer.write(&bytes)?;
        Ok(segment_writer)
    }

    /// Appends after the first `rows` rows of a file, whose checksum is `chain`; what lies after them is cut off.
    pub(crate) fn reopen(path: PathBuf, header: Header, rows: u64, chain: Chain) -> Result<Self> {
        let open = OpenOptions::new().read(true).write(true).open(&path);
        let mut file = open.map_err(|e| Error::io("cannot open for writing", &path, e))?;
        let length = cut(&mut file, &path, &header, rows)?;
        Ok(Self::new(path, file, header, (rows, chain), length))
    }

    fn new(path: PathBuf, file: File, header: Header, (rows, chain): (u64, Chain), length: u64) -> Self {
        let record = vec![0; header.record_bytes()];
        Self {
            path,
            out: BufWriter::with_capacity(1 << 20, file),
            header,
            record,
            rows,
            chain,
            length,
            failed: false,
            #[cfg(test)]
            room: u64::MAX,
        }
    }

    /// Appends a row; `id` is for messages.
    pub(crate) fn push(&mut self, id: &str, row: &[f32]) -> Result<()> {
        let mut record = std::mem::take(&mut self.record);
        let dims = self.header.dims();
        let pushed = encode_record(&mut record, id, row, dims).and_then(|()| self.push_record(&record));
        self.record = record;
        pushed
    }

    /// Appends a record as another file holds it.
    pub(crate) fn push_record(&mut self, record: &[u8]) -> Result<()> {
        debug_assert_eq!(record.len(), self.header.record_bytes());
        self.write(record)?;
        self.chain = chained(self.chain, record);
        self.rows += 1;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        #[cfg(test)]
        if self.length + bytes.len() as u64 > self.room {
            self.failed = true;
            return Err(Error::io("cannot write", &self.path, std::io::ErrorKind::StorageFull.into()));
        }
        #[cfg(test)]
        crash_simulation::record(|| DiskOp::Write {
            path: self.path.clone(),
            offset: self.length,
            bytes: bytes.to_vec(),
        });
        self.length += bytes.len() as u64;
        let written = self.out.write_all(bytes);
        self.failed |= written.is_err();
        written.map_err(|e| Error::io("cannot write", &self.path, e))
    }

    /// Writes everything to disk.
    pub(crate) fn sync(&mut self) -> Result<()> {
        let failed = std::mem::replace(&mut self.failed, true);
        let mut write = || -> std::io::Result<()> {
            if failed {
                return Err(std::io::Error::other("an earlier write to it failed"));
            }
            self.out.flush()?;
            #[cfg(test)]
            crash_simulation::record(|| DiskOp::Sync(self.path.clone()));
            self.out.get_ref().sync_all()
        };
        write().map_err(|e| Error::io("cannot write", &self.path, e))?;
        self.failed = false;
        Ok(())
    }

    /// Rows in the file.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Checksum of all rows.
    pub(crate) fn chain(&self) -> Chain {
        self.chain
    }

    pub(crate) fn number(&self) -> u64 {
        self.header.number
    }

    /// Length of the file.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }
}

/// Cuts off what lies after the adopted rows, and returns the length of what is left.
fn cut(file: &mut File, path: &Path, header: &Header, rows: u64) -> Result<u64> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    let read = (&*file).take(HEADER_BYTES as u64).read_to_end(&mut bytes);
    read.map_err(|e| Error::io("cannot read", path, e))?;
    Header::parse(&bytes, path)?.require(header, path)?;
    let adopted = header.file_bytes(rows).unwrap_or(u64::MAX);
    let found = file.metadata().map_err(|e| Error::io("cannot read", path, e))?.len();
    crate::file::check_length(path, found, adopted)?;
    let mut shorten = || -> std::io::Result<u64> {
        if found > adopted {
            #[cfg(test)]
            crash_simulation::record(|| DiskOp::SetLength { path: path.to_path_buf(), length: adopted });
            file.set_len(adopted)?;
        }
        file.seek(SeekFrom::Start(adopted))
    };
    shorten().map_err(|e| Error::io("cannot cut", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::Segment;
    use gxn_base::Modality;
    use half::f16;
    use proptest::prelude::*;
    use std::fs;

    fn header() -> Header {
        Header { dims_abstract: 2, dims_grounded: 1, modality: Modality::Image, number: 7 }
    }

    fn written(rows: &[[f32; 3]]) -> (tempfile::TempDir, PathBuf, Chain) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.f16");
        let mut file = SegmentWriter::create(path.clone(), header()).unwrap();
        rows.iter().for_each(|row| file.push("a", row).unwrap());
        file.sync().unwrap();
        let chain = file.chain();
        (dir, path, chain)
    }

    #[test]
    fn rows_come_back() {
        let (_dir, path, chain) = written(&[[1.0, 0.5, -2.0], [0.0; 3], [3.0, 0.0, 4.0]]);
        let segment = Segment::open(&path, 3).unwrap();
        segment.verify(&chain, &path).unwrap();
        assert_eq!(segment.row(2), [3.0, 0.0, 4.0].map(f16::from_f32));
        assert_eq!([segment.inverse_length(1), segment.inverse_length(2)], [0.0, 0.2]);
        let (_dir, path, chain) = written(&[]);
        assert!(Segment::open(&path, 0).unwrap().is_empty());
        Segment::open(&path, 0).unwrap().verify(&chain, &path).unwrap();
    }

    #[test]
    fn unusable_rows_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = SegmentWriter::create(dir.path().join("a"), header()).unwrap();
        for bad in [[1.0, f32::NAN, 0.0], [f32::INFINITY, 0.0, 0.0], [1.0, 70000.0, 0.0]] {
            let error = file.push("cat.jpg", &bad).unwrap_err();
            assert!(error.to_string().starts_with("embedding of cat.jpg: found "), "{error}");
            assert!(error.hint().is_some());
        }
        assert!(file.push("cat.jpg", &[1.0]).unwrap_err().to_string().contains("found 1 values, expected 3"));
        assert_eq!(file.rows(), 0);
        file.sync().unwrap();
    }

    /// Whatever a stopped writer left after the adopted rows, of whatever length, is cut off and overwritten.
    #[test]
    fn a_torn_row_is_cut_at_every_byte() {
        let (_dir, path, chain) = written(&[[1.0, 0.5, -2.0], [3.0, 0.0, 4.0]]);
        let whole = fs::read(&path).unwrap();
        let next = written(&[[1.0, 0.5, -2.0], [3.0, 0.0, 4.0], [5.0, 6.0, 7.0]]);
        let longer = fs::read(&next.1).unwrap();
        assert_eq!(longer[..whole.len()], whole);
        for torn in whole.len()..=longer.len() {
            for garbage in [false, true] {
                let mut bytes = longer[..torn].to_vec();
                bytes[whole.len()..].iter_mut().for_each(|b| *b = if garbage { 0xa5 } else { *b });
                fs::write(&path, &bytes).unwrap();
                Segment::open(&path, 2).unwrap().verify(&chain, &path).unwrap();
                let mut file = SegmentWriter::reopen(path.clone(), header(), 2, chain).unwrap();
                assert_eq!(fs::read(&path).unwrap(), whole);
                file.push("c", &[5.0, 6.0, 7.0]).unwrap();
                file.sync().unwrap();
                assert_eq!((file.chain(), fs::read(&path).unwrap()), (next.2, longer.clone()));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_header_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Header::parse(&bytes, Path::new("x")).is_err());
        }

        /// With the right magic, version and checksum, whatever the rest is.
        #[test]
        fn foreign_headers_never_panic(words in any::<[u32; 5]>(), small in any::<bool>(), rows in any::<u64>(), tail in 0usize..300) {
            use sha2::{Digest, Sha256};
            let shrink = |w: u32, to| if small { w % to } else { w };
            let header = Header { dims_abstract: shrink(words[0], 9), dims_grounded: shrink(words[1], 9), modality: Modality::Image, number: rows };
            let mut bytes = header.to_bytes().to_vec();
            if words[4] % 3 == 0 {
                bytes[20..24].copy_from_slice(&shrink(words[2], 17).to_le_bytes());
                bytes[28..32].copy_from_slice(&shrink(words[3], 3).to_le_bytes());
                let check: [u8; 32] = Sha256::digest(&bytes[..96]).into();
                bytes[96..128].copy_from_slice(&check);
            }
            let good = Header::parse(&bytes, Path::new("x")).is_ok();
            bytes.resize(HEADER_BYTES + tail, 1);
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x");
            fs::write(&path, &bytes).unwrap();
            let rows = shrink(words[4], 4).into();
            let fits = header.file_bytes(rows).is_some_and(|n| n <= bytes.len() as u64);
            prop_assert_eq!(Segment::open(&path, rows).is_ok(), good && fits);
        }
    }

    #[test]
    fn a_flipped_bit_or_a_cut_is_noticed() {
        let (_dir, path, chain) = written(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                fs::write(&path, &bytes).unwrap();
                let found = Segment::open(&path, 2).and_then(|s| {
                    s.header().require(&header(), &path)?;
                    s.verify(&chain, &path)
                });
                assert!(found.is_err(), "bit {bit} of byte {at}");
            }
        }
        for cut in 0..good.len() {
            fs::write(&path, &good[..cut]).unwrap();
            assert!(Segment::open(&path, 2).is_err(), "cut at {cut}");
            assert!(SegmentWriter::reopen(path.clone(), header(), 2, chain).is_err());
        }
        // Two sound records that changed places.
        let mut bytes = good[..HEADER_BYTES].to_vec();
        bytes.extend_from_slice(&good[HEADER_BYTES + 64..]);
        bytes.extend_from_slice(&good[HEADER_BYTES..HEADER_BYTES + 64]);
        fs::write(&path, &bytes).unwrap();
        let error = Segment::open(&path, 2).unwrap().verify(&chain, &path).unwrap_err();
        assert!(error.to_string().starts_with("checksum of "), "{error}");
    }
}
