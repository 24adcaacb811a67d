//! [`Buffer`]: floats on cache-line boundaries. Sixteen floats that straddle two lines cost two loads.

use std::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable};

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Floats from a 64-byte boundary on; the length is a multiple of sixteen.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffer(Vec<Line>);

impl Buffer {
    /// At least `length` zeros.
    pub(super) fn zeros(length: usize) -> Self {
        Self(vec![Line([0.0; 16]); length.div_ceil(16)])
    }

    /// Makes room for `length` floats; what is there stays, what is new is zero.
    pub(super) fn grow(&mut self, length: usize) {
        if self.len() < length {
            self.0.resize(length.div_ceil(16), Line([0.0; 16]));
        }
    }
}

impl From<Vec<f32>> for Buffer {
    fn from(values: Vec<f32>) -> Self {
        let mut buffer = Self::zeros(values.len());
        buffer[..values.len()].copy_from_slice(&values);
        buffer
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}
