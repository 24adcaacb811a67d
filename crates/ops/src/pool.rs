//! [`Buffer`]: floats on cache-line boundaries. Large ones are used again: fresh memory comes in zeroed pages, which cost
//! more than many a kernel that fills them.

use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Shorter buffers come from the allocator.
const SHORTEST: usize = 1 << 14;
/// Floats that the pool keeps at most (1 GiB); more goes back to the system.
const MOST: usize = 1 << 28;
/// Floats of a cache line: vectors that cross two lines load at half the speed.
const LINE: usize = 16;

/// Buffers that nobody uses, and their floats together.
static POOL: Mutex<(Vec<Vec<f32>>, usize)> = Mutex::new((Vec::new(), 0));

/// Floats that begin with a cache line and go back to the pool when dropped.
#[derive(Debug, Default)]
pub struct Buffer {
    storage: Vec<f32>,
    start: usize,
    count: usize,
}

impl Buffer {
    /// `count` floats that hold anything, results of earlier computations included.
    pub fn dirty(count: usize) -> Self {
        let storage = pooled(count + LINE).unwrap_or_else(|| vec![0.0; count + LINE]);
        // The compiler may answer that it cannot tell; then nothing is aligned and everything still right.
        let start = storage.as_ptr().align_offset(LINE * size_of::<f32>());
        Self { storage, start: if start < LINE { start } else { 0 }, count }
    }

    /// `count` zeros.
    pub fn zeros(count: usize) -> Self {
        let mut buffer = Self::dirty(count);
        buffer.fill(0.0);
        buffer
    }

    /// Makes room for `count` floats; where there was not enough, the new ones hold anything.
    pub fn grow(&mut self, count: usize) {
        if self.count < count {
            *self = Self::dirty(count);
        }
    }
}

/// The smallest buffer of the pool that is large enough, and not much too large.
fn pooled(count: usize) -> Option<Vec<f32>> {
    if count < SHORTEST {
        return None;
    }
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let fits = |buffer: &Vec<f32>| (count..=count + count / 4).contains(&buffer.len());
    let best = (0..pool.0.len()).filter(|&k| fits(&pool.0[k])).min_by_key(|&k| pool.0[k].len())?;
    let buffer = pool.0.swap_remove(best);
    pool.1 -= buffer.len();
    Some(buffer)
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let storage = std::mem::take(&mut self.storage);
        if storage.len() >= SHORTEST {
            let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
            if pool.1 + storage.len() <= MOST {
                pool.1 += storage.len();
                pool.0.push(storage);
            }
        }
    }
}

impl From<&[f32]> for Buffer {
    fn from(values: &[f32]) -> Self {
        let mut buffer = Self::dirty(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        Self::from(&**self)
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.storage[self.start..self.start + self.count]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.storage[self.start..self.start + self.count]
    }
}

/// The memory of a tensor, which goes back to the pool with it.
impl AllocationController for Buffer {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(self);
        // SAFETY: the types have the same layout, and the caller may only write initialised bytes.
        Ok(unsafe { &mut *(std::ptr::from_mut(bytes) as *mut [MaybeUninit<u8>]) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes: &[u8] = bytemuck::cast_slice(self);
        // SAFETY: the types have the same layout, and nothing is written through the result.
        Ok(unsafe { &*(std::ptr::from_ref(bytes) as *const [MaybeUninit<u8>]) })
    }
}

impl From<Buffer> for Bytes {
    fn from(buffer: Buffer) -> Self {
        let size = size_of_val::<[f32]>(&buffer);
        // SAFETY: all of the buffer is initialised.
        unsafe { Bytes::from_controller(Box::new(buffer), size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back() {
        // A size that no other test asks for.
        let count = 3_000_017;
        let mut buffer = Buffer::dirty(count);
        buffer.fill(7.0);
        let at = buffer.as_ptr();
        assert_eq!(at as usize % 64, 0);
        drop(buffer);
        let again = Buffer::dirty(count - 10);
        assert_eq!((again.as_ptr(), again.len()), (at, count - 10));
        let other = again.clone();
        assert!(other.as_ptr() != at && *other == *again);
        drop(again);
        assert!(Buffer::zeros(count).iter().all(|&value| value == 0.0));
        assert!(Buffer::dirty(0).is_empty());
    }

    #[test]
    fn tensors_lend_their_memory() {
        use burn::tensor::{DType, Device, Tensor, TensorData};
        let mut buffer = Buffer::dirty(2_000_003);
        buffer.fill(1.5);
        let at = buffer.as_ptr();
        let data = TensorData::from_bytes(buffer.into(), [2_000_003], DType::F32);
        let tensor = Tensor::<1>::from_data(data, &Device::flex());
        let doubled = tensor.clone() * 2.0;
        assert!(doubled.into_data().try_into_vec::<f32>().unwrap().iter().all(|&value| value == 3.0));
        // The first owner's values stay as they are while another writes.
        let sum = tensor.clone().add_scalar(1.0).sum().into_scalar::<f32>();
        assert_eq!(sum, 2.5 * 2_000_003.0);
        assert!(tensor.into_data().try_into_vec::<f32>().unwrap().iter().all(|&value| value == 1.5));
        assert_eq!(Buffer::dirty(2_000_003).as_ptr(), at);
    }
}
