//! Arrays of NumPy, through Python's buffers: the package needs NumPy where it runs, not where it is built.

use gxn::model::EmbeddingRows;
use gxn_base::Error;
use pyo3::buffer::{Element, PyBuffer};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict};

use crate::errors::exception;

/// Values `[rows, width]` as an array of float32.
pub fn matrix<'py>(py: Python<'py>, values: &[f32], rows: usize, width: usize) -> PyResult<Bound<'py, PyAny>> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
    array(py, &bytes, "float32", &[rows, width])
}

/// The bytes of an array's values as an array of this type and shape.
pub fn array<'py>(py: Python<'py>, bytes: &[u8], kind: &str, shape: &[usize]) -> PyResult<Bound<'py, PyAny>> {
    // A bytearray can be written to, as arrays usually can.
    let flat = py.import("numpy")?.call_method1("frombuffer", (PyByteArray::new(py, bytes), kind))?;
    flat.call_method1("reshape", (shape.to_vec(),))
}

/// The rows `[h ; l]` of embeddings, as `gxn encode` writes them.
pub fn joined(rows: &EmbeddingRows) -> Vec<f32> {
    (0..rows.count).flat_map(|row| rows.joined(row)).collect()
}

/// An array's values in the order of its rows, and its shape; `None` if it is no buffer of this type.
pub fn values<T: Element>(value: &Bound<'_, PyAny>) -> PyResult<Option<(Vec<T>, Vec<usize>)>> {
    match PyBuffer::<T>::get(value) {
        Ok(buffer) => Ok(Some((buffer.to_vec(value.py())?, buffer.shape().to_vec()))),
        Err(_) => Ok(None),
    }
}

/// Rows `[N, width]` of embeddings.
pub struct Rows {
    pub values: Vec<f32>,
    pub count: usize,
    pub width: usize,
}

impl Rows {
    /// What NumPy makes of `value`, as float32.
    ///
    /// # Errors
    /// When it has not two dimensions.
    pub fn of(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = value.py();
        let keywords = PyDict::new(py);
        keywords.set_item("dtype", "float32")?;
        let array = py.import("numpy")?.call_method("ascontiguousarray", (value,), Some(&keywords))?;
        match values::<f32>(&array)? {
            Some((values, shape)) if shape.len() == 2 => Ok(Self { values, count: shape[0], width: shape[1] }),
            _ => {
                let shape = array.getattr("shape")?.str()?.to_string();
                Err(exception(Error::invalid("the embeddings", format!("shape {shape}"), "rows of values, [N, width]")))
            }
        }
    }

    /// The rows' levels: rows of two levels are `[h ; l]`.
    pub fn levels(&self, levels: usize) -> (usize, Vec<f32>, Option<Vec<f32>>) {
        let dim = self.width / levels.max(1);
        let level = |from: usize| -> Vec<f32> {
            self.values.chunks_exact(self.width.max(1)).flat_map(|row| &row[from..from + dim]).copied().collect()
        };
        (dim, level(0), (levels > 1).then(|| level(dim)))
    }
}
