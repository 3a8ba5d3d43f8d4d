//! Checks the CPython that this build embeds, and says in one line what to do where it will not do.
//!
//! pyo3's own build scripts have run before this one and chosen an interpreter (`PYO3_PYTHON`, else what
//! `tools/find-python` finds); they accept more than singlemalt does. Linking: the binary and the tests get an rpath, so that they
//! start without `LD_LIBRARY_PATH`, and a statically linked libpython keeps its symbols for extension modules.
//!
//! The Python sources in `src/python/` are compiled with that interpreter, for `src/python/code.rs`.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use pyo3_build_config::{InterpreterConfig, PythonImplementation};

/// Minor versions of CPython 3 that are supported.
const SUPPORTED: std::ops::RangeInclusive<u8> = 12..=15;
/// The first minor version whose free-threaded build is supported: pyo3 has no 3.13t.
const FREE_THREADED: u8 = 14;

/// Set by maturin: the wheel's extension module is built, which finds Python in the process.
const EXTENSION_VARIABLE: &str = "PYO3_BUILD_EXTENSION_MODULE";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PYO3_PYTHON");
    println!("cargo:rerun-if-env-changed={EXTENSION_VARIABLE}");
    let config = pyo3_build_config::get();
    if let Some(executable) = config.executable() {
        println!("cargo:rerun-if-changed={executable}");
    }
    let target_os = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if let Err(why) = check(config, &target_os) {
        println!("cargo::error={why}");
        return;
    }
    if let Err(why) = compile_sources(config.executable()) {
        println!("cargo::error={why}");
        return;
    }

    pyo3_build_config::use_pyo3_cfgs();
    if is_extension() {
        return;
    }
    // Each of these says nothing on a system where it has no meaning.
    pyo3_build_config::add_libpython_rpath_link_args();
    pyo3_build_config::add_python_framework_link_args();
    if !config.shared() && target_os != "windows" {
        println!("cargo:rustc-link-arg=-rdynamic");
        // The runtime cannot ask the loader where a libpython lies that is part of itself.
        if let Some(executable) = config.executable() {
            println!("cargo:rustc-env=SINGLEMALT_BUILD_PYTHON={executable}");
        }
    }
}

fn is_extension() -> bool {
    env::var_os(EXTENSION_VARIABLE).is_some()
}

/// What is wrong with the interpreter and the way out, as one line.
fn check(config: &InterpreterConfig, target_os: &str) -> Result<(), String> {
    let version = config.target_abi().version();
    let what = match config.executable() {
        Some(path) => format!("Python {version} ({path})"),
        None => format!("Python {version}"),
    };
    let is_cpython = config.target_abi().implementation() == PythonImplementation::CPython;
    if !is_cpython || version.major != 3 || !SUPPORTED.contains(&version.minor) {
        return Err(format!("singlemalt cannot embed {what}: {}", way_out()));
    }
    if config.target_abi().kind().is_free_threaded() && version.minor < FREE_THREADED {
        return Err(format!(
            "singlemalt cannot embed {what}: free-threaded CPython is supported from 3.{FREE_THREADED} on; {}",
            way_out()
        ));
    }
    let Some(executable) = config.executable() else {
        return Ok(()); // a cross build: no interpreter of that system is here to look at
    };
    if !Path::new(executable).exists() {
        return Err(format!(
            "{what}, which this build was configured for, is gone: run `cargo clean`, or set PYO3_PYTHON"
        ));
    }
    if let (Some(folder), Some(name)) = (config.lib_dir(), config.lib_name())
        && target_os != "windows"
        && !is_extension()
    {
        let ends: &[&str] = if config.shared() {
            &["so", "dylib", "tbd"]
        } else {
            &["a"]
        };
        let linkable = |end: &&str| Path::new(folder).join(format!("lib{name}.{end}")).exists();
        if !ends.iter().any(linkable) {
            return Err(format!(
                "{what} has no lib{name}.{} in {folder} to link with: install its development package, or {}",
                ends[usize::from(target_os == "macos" && ends.len() > 1)],
                way_out()
            ));
        }
    }
    Ok(())
}

/// Writes the Python sources as marshalled code, and a table of them. Without an interpreter (a cross build) the table is empty.
fn compile_sources(executable: Option<&str>) -> Result<(), String> {
    println!("cargo:rerun-if-changed=src/python");
    println!("cargo:rerun-if-changed=tools/compile-python");
    let folder = env::var("OUT_DIR").map_err(|error| error.to_string())?;
    let table = Path::new(&folder).join("python_code.rs");
    let Some(executable) = executable else {
        let empty = "pub(super) const MAGIC: std::ffi::c_long = 0;\npub(super) const CODE: [(&str, &[u8]); 0] = [];\n";
        return fs::write(table, empty).map_err(|error| error.to_string());
    };
    let output = Command::new(executable)
        .args([
            "-I",
            "-S",
            "-B",
            "tools/compile-python",
            "src/python",
            &folder,
        ])
        // Sets of constants are in the order of their hashes; the same sources make the same program.
        .env("PYTHONHASHSEED", "0")
        .output()
        .map_err(|error| format!("cannot run {executable}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("it said nothing");
    Err(format!("{executable} cannot compile src/python: {last}"))
}

/// Names a suitable interpreter if one is here, else what to install.
fn way_out() -> String {
    let found = Command::new("sh")
        .args(["tools/find-python", "--search"])
        .output();
    let Ok(output) = found else {
        // No shell on this system, so nothing that could search.
        return format!("set PYO3_PYTHON to {}", supported());
    };
    let line = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        format!("set PYO3_PYTHON={} ({})", line(&output.stdout), supported())
    } else {
        let said = line(&output.stderr);
        said.strip_prefix("singlemalt: ")
            .unwrap_or(&said)
            .to_owned()
    }
}

fn supported() -> String {
    format!("CPython 3.{} to 3.{}", SUPPORTED.start(), SUPPORTED.end())
}
