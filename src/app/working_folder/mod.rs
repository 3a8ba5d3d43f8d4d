//! The working directory of an interpreter's threads. A uWSGI worker is a process, and may change
//! its directory as it is loaded (`os.chdir("data")`); here the threads of an interpreter get a
//! directory of their own, where the system has that, so that the next interpreter begins where the
//! first one did. In the main interpreter it is the process's. Each function runs on the thread
//! that it is about.

#[cfg_attr(target_os = "linux", path = "own_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "own_other.rs")]
mod own;

use super::generation_state::Setup;
use crate::python::Isolation;
pub(super) use own::{OwnFolder, Place};

/// Before the application is loaded, or at `place`, where it was loaded.
pub(super) fn enter(setup: &Setup, place: Option<Place>) -> Option<OwnFolder> {
    if setup.isolation == Isolation::Main {
        return None;
    }
    let own = OwnFolder::separate()?;
    let entered = match &place {
        Some(place) => own.go_to(place),
        None => own.enter(&setup.plan.folder),
    };
    if let Err(error) = entered {
        let folder = setup.plan.folder.display();
        tracing::warn!("a worker cannot change to its working directory, {folder}: {error}");
    }
    Some(own)
}

/// Where the application has gone as it was loaded, for the interpreter's other threads.
pub(super) fn place(own: &OwnFolder) -> Option<Place> {
    match own.place() {
        Ok(place) => Some(place),
        Err(error) => {
            tracing::warn!("a worker's working directory is lost to its other threads: {error}");
            None
        }
    }
}

/// Once the generation serves: the process has moved since the application was loaded (`--chdir2`,
/// hooks), and this thread follows.
pub(super) fn follow_process(setup: &Setup, own: Option<&OwnFolder>) {
    let Some(own) = own else { return };
    let Some(folder) = OwnFolder::of_process().filter(|now| *now != setup.plan.folder) else {
        return;
    };
    if let Err(error) = own.enter(&folder) {
        let folder = folder.display();
        tracing::warn!("a worker cannot change to the working directory, {folder}: {error}");
    }
}

/// Logs, beside the error of an application that could not be loaded, that another interpreter may
/// have changed the working directory, where all of them share it.
pub(super) fn explain_failure(setup: &Setup, own: Option<&OwnFolder>) {
    if own.is_some() || setup.isolation == Isolation::Main {
        return;
    }
    let now = std::env::current_dir().unwrap_or_default();
    if now != setup.plan.folder {
        tracing::error!(
            "the working directory is {}, and all interpreters share it here: if the application \
             changes it as it is loaded, let it use an absolute path \
             (os.chdir(os.path.dirname(os.path.abspath(__file__))))",
            now.display()
        );
    }
}
