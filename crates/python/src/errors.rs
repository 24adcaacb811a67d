//! Errors of the library as exceptions of the package, by kind.

use gxn_base::{Error, Kind};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;

/// The exception of an error.
pub fn exception(error: Error) -> PyErr {
    Python::attach(|py| {
        let class = match error.kind() {
            Kind::Interrupted => return PyKeyboardInterrupt::new_err(error.to_string()),
            Kind::NotFound => "NotFoundError",
            Kind::Invalid => "InvalidError",
            Kind::Damaged => "DamagedError",
            Kind::Conflict => "ConflictError",
            Kind::Unsupported => "UnsupportedError",
            Kind::Busy => "BusyError",
            Kind::Io => "SystemRefusedError",
            _ => "Error",
        };
        let arguments = (error.in_full(), error.hint().map(|hint| hint.into_owned()));
        let made = py.import("gxn._errors").and_then(|module| module.getattr(class)?.call1(arguments));
        made.map_or_else(|_| PyRuntimeError::new_err(error.in_full()), PyErr::from_value)
    })
}

/// Whether the user pressed Ctrl-C; then the exception that says so.
pub fn check_interrupt() -> PyResult<()> {
    Python::attach(|py| py.check_signals())
}
