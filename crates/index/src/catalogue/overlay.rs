//! Checking a database without touching its file.

use super::{guard, malformed};
use gxn_base::{Error, Result};
use redb::{Builder, StorageBackend};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Mutex;

/// Compares every page of the catalogue with its checksum.
pub(crate) fn check_integrity(path: &Path) -> Result<()> {
    let file = File::open(path).map_err(|e| Error::io("cannot open", path, e))?;
    let length = file.metadata().map_err(|e| Error::io("cannot read", path, e))?.len();
    let overlay = Overlay(Mutex::new(State { file, file_length: length, length, written: BTreeMap::new() }));
    let mut database = guard(path, || Ok(Builder::new().set_cache_size(64 << 20).create_with_backend(overlay)?))?;
    let sound = guard(path, || Ok(database.check_integrity()?));
    // After a panic over damage it may panic once more when it is closed: not while the first one unwinds, which would abort.
    let _ = guard(path, move || {
        drop(database);
        Ok(())
    });
    if sound? { Ok(()) } else { Err(malformed(path, "pages whose checksums do not agree")) }
}

/// A file whose changes stay in memory.
#[derive(Debug)]
struct Overlay(Mutex<State>);

#[derive(Debug)]
struct State {
    file: File,
    /// Bytes of the file that still show.
    file_length: u64,
    length: u64,
    /// Changed blocks by number.
    written: BTreeMap<u64, Box<[u8]>>,
}

const BLOCK: u64 = 4096;

impl State {
    fn block(&mut self, number: u64) -> std::io::Result<Box<[u8]>> {
        if let Some(block) = self.written.get(&number) {
            return Ok(block.clone());
        }
        let mut block = vec![0; BLOCK as usize].into_boxed_slice();
        let start = number * BLOCK;
        let there = self.file_length.saturating_sub(start).min(BLOCK) as usize;
        if there > 0 {
            self.file.seek(SeekFrom::Start(start))?;
            self.file.read_exact(&mut block[..there])?;
        }
        Ok(block)
    }

    /// Visits the blocks of a range: block, where in it, where in the range.
    fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            (at < length).then(|| {
                let (block, inside) = ((offset + at as u64) / BLOCK, ((offset + at as u64) % BLOCK) as usize);
                let end = length.min(at + BLOCK as usize - inside);
                let piece = (block, inside, at..end);
                at = end;
                piece
            })
        })
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.state().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        let mut state = self.state();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > state.length) {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        for (block, inside, range) in State::pieces(offset, out.len()) {
            let held = state.block(block)?;
            let length = range.len();
            out[range].copy_from_slice(&held[inside..inside + length]);
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> std::io::Result<()> {
        let mut state = self.state();
        state.length = length;
        if length < state.file_length {
            state.file_length = length;
            state.written.split_off(&length.div_ceil(BLOCK));
        }
        Ok(())
    }

    fn sync_data(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        let mut state = self.state();
        for (block, inside, range) in State::pieces(offset, data.len()) {
            let mut held = state.block(block)?;
            held[inside..inside + range.len()].copy_from_slice(&data[range]);
            state.written.insert(block, held);
        }
        Ok(())
    }
}

impl Overlay {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
