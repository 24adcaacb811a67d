//! [`Lazy`]: a value that is made at its first use.

use std::sync::{Mutex, OnceLock, PoisonError};

use gxn_base::Result;

/// A value that is made at its first use; a failure is tried again at the next.
#[derive(Debug)]
pub(crate) struct Lazy<T> {
    value: OnceLock<T>,
    making: Mutex<()>,
}

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Self { value: OnceLock::new(), making: Mutex::new(()) }
    }
}

impl<T> Lazy<T> {
    pub(crate) fn get(&self, make: impl FnOnce() -> Result<T>) -> Result<&T> {
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        // `make` never waits for other threads of a pool: one of them may wait here.
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let value = match self.value.get() {
            Some(value) => return Ok(value),
            None => make()?,
        };
        Ok(self.value.get_or_init(|| value))
    }
}
