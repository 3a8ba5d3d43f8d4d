//! How the interpreters of a generation are made, and why. Pure but for the look at the process's
//! list of refused extensions.

use crate::app::plan::Plan;
use crate::app::start_report::ShapeChange;
use crate::python::{Isolation, RefusedExtension, Runtime};

/// What a person can do about an extension that only the main interpreter can load.
const WAY_OUT: &str = "--isolation main starts faster, without trying; more parallel Python needs \
                       more servers behind a proxy";

/// The isolation that a generation begins with, and why it is that one.
pub(in crate::app) fn choose(plan: &Plan, runtime: &Runtime) -> (Isolation, String) {
    if let Some(isolation) = plan.isolation.asked_for() {
        return (isolation, "asked for".to_owned());
    }
    if runtime.is_free_threaded() {
        return (Isolation::Main, of_free_threaded(runtime));
    }
    if !runtime.supports_own_gil() {
        let version = runtime.version();
        let why = format!("CPython {version} has no usable own-GIL interpreters; 3.13 has");
        return (Isolation::Main, why);
    }
    let extensions = &plan.process.refused_extensions;
    extensions.recall(key(plan, runtime));
    if extensions.needs_main() {
        let mut why = because_of(&extensions.missed());
        if let Some(file) = extensions.remembered_in() {
            let file = file.display();
            why.push_str(&format!(
                "\nan earlier start has found that out ({file}; --isolation-cache off tries again)"
            ));
        }
        return (Isolation::Main, why);
    }
    (Isolation::OwnGil, String::new())
}

/// Why the main interpreter is right for a free-threaded CPython, and what its GIL is on for.
pub(in crate::app) fn of_free_threaded(runtime: &Runtime) -> String {
    if runtime.runs_in_parallel() {
        return "free-threaded CPython runs its threads in parallel".to_owned();
    }
    let extensions = runtime.gil_turned_on_by();
    if extensions.is_empty() {
        return "free-threaded CPython, but its GIL is on (PYTHON_GIL=1)".to_owned();
    }
    let mut lines = vec![
        "free-threaded CPython, but its GIL is on: these extensions do not declare that they work \
         without it"
            .to_owned(),
    ];
    lines.extend(extensions.iter().map(|one| format!("  {one}")));
    lines.push(
        "until all of them do, threads take turns; PYTHON_GIL=0 in the environment keeps it off at \
         your own risk"
            .to_owned(),
    );
    lines.join("\n")
}

/// The application and its environment, for the file that remembers.
fn key(plan: &Plan, runtime: &Runtime) -> String {
    let mut key = format!(
        "Python {} in {}, {}:",
        runtime.version(),
        runtime.prefix(),
        plan.folder.display()
    );
    for (place, target) in plan.apps.iter() {
        key.push_str(&format!(" {}={target}", place.mountpoint()));
    }
    key
}

/// Why the main interpreter is needed, in lines.
pub(in crate::app) fn because_of(refused: &[RefusedExtension]) -> String {
    let mut lines =
        vec!["these extensions refuse interpreters with a GIL of their own:".to_owned()];
    lines.extend(refused.iter().map(|one| format!("  {one}")));
    lines.push(WAY_OUT.to_owned());
    lines.join("\n")
}

/// Interpreters that were asked for with one thread each, and became threads of the main one.
pub(in crate::app) fn shape_change(plan: &Plan, isolation: Isolation) -> Option<ShapeChange> {
    let is_changed = isolation == Isolation::Main
        && plan.isolation.asked_for().is_none()
        && plan.interpreters > 1;
    is_changed.then_some(ShapeChange {
        processes: plan.interpreters,
        threads: plan.threads,
    })
}
