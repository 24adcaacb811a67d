//! The Python module `gxn._native`: what the package `gxn` is made of. Long work runs without the interpreter's lock.

mod arrays;
mod encoder;
mod errors;
mod evaluation;
mod images;
mod index;
mod training;

use pyo3::prelude::*;

/// Runs the command `gxn` with these arguments, the program's name first; returns its exit code.
#[pyfunction]
fn run_command(py: Python<'_>, arguments: Vec<String>) -> u8 {
    py.detach(|| gxn_cli::run(arguments))
}

#[pymodule(name = "_native")]
fn native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<encoder::Encoder>()?;
    module.add_class::<index::Index>()?;
    module.add_class::<index::Hit>()?;
    module.add_function(wrap_pyfunction!(evaluation::evaluate, module)?)?;
    module.add_function(wrap_pyfunction!(evaluation::caption_scores, module)?)?;
    module.add_function(wrap_pyfunction!(training::train, module)?)?;
    module.add_function(wrap_pyfunction!(run_command, module)?)
}
