//! A Python that runs the server as an extension module, and how to start it again.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// Python's own, on Windows.
const LAUNCHER: &str = "__PYVENV_LAUNCHER__";

/// The Python that has imported the server.
#[derive(Clone, Debug)]
pub struct Host {
    /// `sys.executable`.
    pub executable: PathBuf,
    /// `sys._base_executable`: in a virtualenv of Windows `python.exe` starts this one and waits.
    pub base_executable: PathBuf,
    /// `sys.orig_argv`.
    pub command_line: Vec<OsString>,
    /// `sys.argv`: the script, and the arguments of the command.
    pub script: Vec<OsString>,
    /// `.../singlemalt/__main__.py`.
    pub main_file: PathBuf,
    /// The extension module.
    pub module_file: PathBuf,
    /// `sys.prefix`.
    pub prefix: PathBuf,
    /// What `sys.path` had of it.
    pub packages: Vec<PathBuf>,
    /// Folders that go behind the rest of `sys.path`, because another start has asked for it.
    pub further_packages: Vec<PathBuf>,
    /// What stood first in `sys.path` because of the script.
    pub script_folder: Option<String>,
    /// `sys.flags.optimize`.
    pub optimize: u8,
    /// `sys.flags.no_site`.
    pub no_site: bool,
}

/// Which version of a file is there.
type FileVersion = Option<(SystemTime, u64)>;

static MODULE_AT_START: OnceLock<FileVersion> = OnceLock::new();

fn file_version(file: &Path) -> FileVersion {
    let metadata = file.metadata().ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

impl Host {
    /// The file to execute for the same Python.
    pub(super) fn path(&self) -> io::Result<PathBuf> {
        if cfg!(windows) {
            return Ok(self.base_executable.clone());
        }
        if cfg!(target_os = "linux") {
            let running = std::env::current_exe()?;
            // A name that was made up (--py-programname) leads elsewhere.
            if self.executable.canonicalize().ok() != running.canonicalize().ok() {
                return Ok(running);
            }
        }
        Ok(self.executable.clone())
    }

    /// The command that starts the same Python, without arguments. `name`: what it takes for its
    /// executable.
    ///
    /// # Errors
    /// The system does not tell where it is.
    pub fn command(&self, name: Option<&Path>) -> io::Result<Command> {
        let mut command = Command::new(self.path()?);
        let name = name.unwrap_or(&self.executable);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::arg0(&mut command, name);
        command.envs(self.variable(Some(name)));
        Ok(command)
    }

    /// What tells Python on Windows for which executable it was started.
    pub(super) fn variable(&self, name: Option<&Path>) -> Option<(OsString, OsString)> {
        let name = name.unwrap_or(&self.executable);
        let is_redirected = cfg!(windows) && name != self.base_executable;
        is_redirected.then(|| (LAUNCHER.into(), name.as_os_str().to_owned()))
    }

    /// Notes which file the extension module was loaded from.
    pub(super) fn note_module(&self) {
        MODULE_AT_START.get_or_init(|| file_version(&self.module_file));
    }

    /// Its own options (`-X`, `-W`): what stands between its name and the script.
    pub fn options(&self) -> Vec<OsString> {
        let arguments = self.script.len().saturating_sub(1);
        let end = self.command_line.len().saturating_sub(arguments);
        let own = self.command_line.get(1..end).unwrap_or_default();
        let Some((last, before)) = own.split_last() else {
            return Vec::new();
        };
        let mut options = before.to_vec();
        if self.script.first() != Some(last) {
            // `-m singlemalt`, `-c CODE`, or such a letter behind others: `-Im singlemalt`.
            let letters = options.pop().unwrap_or_default();
            let letters = letters.to_string_lossy();
            match letters.strip_suffix(['m', 'c']) {
                Some("-") => {}
                Some(others) => options.push(others.into()),
                // `-msinglemalt`: the whole option was in the last one.
                None => options.push(letters.as_ref().into()),
            }
        }
        options
    }

    /// Whether the environment is one that a tool made for the command alone: the active
    /// virtualenv is the application's then.
    pub fn is_of_a_tool(&self) -> bool {
        let has = |name: &str| self.prefix.join(name).is_file();
        // `uvx` keeps environments in its cache.
        let is_of_a_cache = |name: &OsStr| {
            let name = name.to_string_lossy();
            ["archive-v", "environments-v", "builds-v"]
                .iter()
                .any(|start| name.starts_with(start))
        };
        has("uv-receipt.toml") || has("pipx_metadata.json") || self.prefix.iter().any(is_of_a_cache)
    }

    /// Whether another file was installed in the place of the extension module since the start.
    pub fn was_replaced(&self) -> bool {
        MODULE_AT_START
            .get()
            .is_some_and(|before| *before != file_version(&self.module_file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(command_line: &str, script: &str) -> Host {
        let words = |text: &str| text.split(' ').map(OsString::from).collect();
        Host {
            executable: "/v/bin/python".into(),
            base_executable: "/usr/bin/python3".into(),
            command_line: words(command_line),
            script: words(script),
            main_file: "/v/singlemalt/__main__.py".into(),
            module_file: "/v/singlemalt/_singlemalt.so".into(),
            prefix: "/v".into(),
            packages: Vec::new(),
            further_packages: Vec::new(),
            script_folder: None,
            optimize: 0,
            no_site: false,
        }
    }

    #[test]
    fn the_options_of_python_are_told_from_the_command() {
        for (command_line, script, options) in [
            ("python bin/singlemalt app.py", "bin/singlemalt app.py", ""),
            (
                "python -X dev -W error bin/singlemalt app.py",
                "bin/singlemalt app.py",
                "-X dev -W error",
            ),
            (
                "python -m singlemalt a b",
                "/v/singlemalt/__main__.py a b",
                "",
            ),
            (
                "python -O -Im singlemalt",
                "/v/singlemalt/__main__.py",
                "-O -I",
            ),
            ("python -c code a", "-c a", ""),
            ("python", "", ""),
        ] {
            let found = host(command_line, script).options();
            let found: Vec<_> = found.iter().map(|text| text.to_string_lossy()).collect();
            assert_eq!(found.join(" "), options, "{command_line}");
        }
    }

    #[test]
    fn environments_of_tools() {
        let mut one = host("python a", "a");
        assert!(!one.is_of_a_tool());
        one.prefix = "/home/me/.cache/uv/archive-v0/abc".into();
        assert!(one.is_of_a_tool());
        let folder = tempfile::tempdir().expect("a folder");
        one.prefix = folder.path().to_path_buf();
        assert!(!one.is_of_a_tool());
        std::fs::write(folder.path().join("uv-receipt.toml"), "").expect("a file");
        assert!(one.is_of_a_tool());
    }
}
