//! The extension module `singlemalt._singlemalt`: runs the command in the Python that imports it,
//! and ends the process. Main thread, main interpreter.

#![allow(
    clippy::disallowed_macros,
    reason = "the module is imported by the main interpreter, before there is another one"
)]

use pyo3::prelude::*;

/// Runs the server.
// It needs no GIL: without this a free-threaded Python would switch one on.
#[pymodule(gil_used = false)]
mod _singlemalt {
    use std::ffi::OsString;
    use std::path::PathBuf;

    use pyo3::prelude::*;
    use singlemalt::python::exit_now;
    use singlemalt::server::{Host, run_command, set_host};

    /// Runs the command that `sys.argv` gives, and ends the process with its exit code.
    ///
    /// `files`: `__main__.py` and this module. `script_folder`: what stood first in `sys.path`
    /// because of the script. `packages`: the folders of the environment in `sys.path`.
    #[pyfunction]
    fn main(
        py: Python<'_>,
        files: [PathBuf; 2],
        script_folder: Option<String>,
        packages: Vec<PathBuf>,
    ) -> PyResult<()> {
        let sys = py.import("sys")?;
        let flags = sys.getattr("flags")?;
        let path = |name: &str| sys.getattr(name)?.extract::<PathBuf>();
        let words = |name: &str| sys.getattr(name)?.extract::<Vec<OsString>>();
        let [main_file, module_file] = files;
        set_host(Host {
            executable: path("executable")?,
            base_executable: path("_base_executable")?,
            command_line: words("orig_argv")?,
            script: words("argv")?,
            main_file,
            module_file,
            prefix: path("prefix")?,
            packages,
            further_packages: Vec::new(),
            script_folder,
            optimize: flags.getattr("optimize")?.extract()?,
            no_site: flags.getattr("no_site")?.extract::<u8>()? != 0,
        });
        drop((flags, sys));
        py.detach(|| exit_now(run_command()))
    }
}
