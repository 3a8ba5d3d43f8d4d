//! Import circles between the files of one room.
//!
//! A unit is a file, together with the folder of its name that holds its private parts (`turn.rs` and
//! `turn/`). A name that a `mod.rs` passes on with `pub use` counts as a use of the file that it
//! comes from. Tests inside files do not count.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Complaints, Text, rust_files, without_comments_and_strings};

/// Pairs of files that are in a circle; only goes down.
const CIRCLES_MAX: usize = 0;

/// The path of a module from the crate's root.
type Module = Vec<String>;

/// The files of `src/` as modules.
struct Modules {
    /// Each module and the unit that it belongs to.
    units: BTreeMap<Module, Module>,
    /// What a `mod.rs` passes on: the module and the name, and where it comes from.
    passed_on: BTreeMap<(Module, String), Module>,
}

impl Modules {
    fn of(files: &[Text]) -> Self {
        let all: BTreeSet<Module> = files.iter().map(|file| module_of(&file.path)).collect();
        let folders: BTreeSet<Module> = files
            .iter()
            .filter(|file| file.path.ends_with("/mod.rs"))
            .map(|file| module_of(&file.path))
            .collect();
        let unit_of = |module: &Module| {
            let owner = (1..module.len())
                .map(|length| module[..length].to_vec())
                .find(|above| all.contains(above) && !folders.contains(above));
            owner.unwrap_or_else(|| module.clone())
        };
        let units = all.iter().map(|one| (one.clone(), unit_of(one))).collect();
        let mut modules = Self {
            units,
            passed_on: BTreeMap::new(),
        };
        for file in files.iter().filter(|file| file.path.ends_with("/mod.rs")) {
            let here = module_of(&file.path);
            for (path, name) in uses(&code_of(file), true, &here) {
                if let Some(from) = modules.module_named(&path) {
                    modules.passed_on.insert((here.clone(), name), from);
                }
            }
        }
        modules
    }

    /// The module that a path leads to: its longest beginning that is one, or what that passes on.
    fn module_named(&self, path: &[String]) -> Option<Module> {
        let length = (1..=path.len())
            .rev()
            .find(|&length| self.units.contains_key(&path[..length]))?;
        let module = path[..length].to_vec();
        let name = path.get(length);
        let passed = name.and_then(|name| self.passed_on.get(&(module.clone(), name.clone())));
        Some(passed.cloned().unwrap_or(module))
    }

    /// The units that a file uses, of its own room.
    fn used_by(&self, file: &Text) -> BTreeSet<Module> {
        let here = module_of(&file.path);
        let code = code_of(file);
        let mut paths: Vec<Module> = uses(&code, false, &here)
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        paths.extend(inline_paths(&code, &here));
        paths
            .iter()
            .filter_map(|path| self.module_named(path))
            .filter(|module| module[0] == here[0])
            .map(|module| self.units[&module].clone())
            .collect()
    }
}

/// `src/net/os/sendfile_linux.rs` is `net::os::sendfile`.
fn module_of(path: &str) -> Module {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut parts: Module = inside.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    if let Some(last) = parts.last_mut() {
        *last = without_system(last).to_owned();
    }
    parts
}

fn without_system(name: &str) -> &str {
    let systems = ["_unix", "_windows", "_linux", "_other", "_portable"];
    let stem = systems.iter().find_map(|system| name.strip_suffix(system));
    stem.unwrap_or(name)
}

/// The code of a file up to its tests.
fn code_of(file: &Text) -> String {
    let lines = file.text.lines().map(without_comments_and_strings);
    let lines = lines.map(|line| line.replace("pub(in crate::", "pub("));
    let lines = lines.take_while(|line| !line.starts_with("mod tests {"));
    lines.collect::<Vec<_>>().join("\n")
}

/// An absolute path of names, if it leads into this crate.
fn absolute(path: &str, here: &Module) -> Option<Module> {
    let mut names: Vec<&str> = path.split("::").map(str::trim).collect();
    let mut base = match *names.first()? {
        "crate" => Vec::new(),
        "self" | "super" => here.clone(),
        _ => return None,
    };
    while let Some("crate" | "self" | "super") = names.first().copied() {
        if names.remove(0) == "super" {
            base.pop();
        }
    }
    let names = names.into_iter().map(without_system);
    base.extend(names.map(str::to_owned));
    Some(base)
}

/// What `use` statements name, those that pass names on or the others: each path, and its last name.
fn uses(code: &str, passes_on: bool, here: &Module) -> Vec<(Module, String)> {
    let keyword = "use ";
    let mut found = Vec::new();
    for (at, _) in code.match_indices(keyword) {
        let begins = code[..at].rsplit('\n').next().unwrap_or_default();
        let is_wanted = match begins.trim() {
            "" => !passes_on,
            "pub" | "pub(crate)" | "pub(super)" => passes_on,
            _ => false,
        };
        if !is_wanted {
            continue;
        }
        let tree = code[at + keyword.len()..].split(';').next();
        let tree = tree.unwrap_or_default().replace(" as ", "@");
        let tree: String = tree.split_whitespace().collect();
        for path in leaves(&tree) {
            // `a as b` is `a`. Inside a `mod.rs` a plain name may be a child.
            let path = path.split('@').next().unwrap_or_default().to_owned();
            let path = match path.split("::").next() {
                Some("crate" | "self" | "super") => path,
                _ => format!("self::{path}"),
            };
            if let Some(path) = absolute(&path, here) {
                let name = path.last().cloned().unwrap_or_default();
                found.push((path, name));
            }
        }
    }
    found
}

/// `a::{b, c::{d, self}}` is `a::b`, `a::c::d`, `a::c`.
fn leaves(tree: &str) -> Vec<String> {
    let Some((before, group)) = tree.split_once('{') else {
        return vec![tree.to_owned()];
    };
    let group = group.strip_suffix('}').unwrap_or(group);
    let mut level = 0;
    let mut parts = vec![String::new()];
    for letter in group.chars() {
        match letter {
            '{' => level += 1,
            '}' => level -= 1,
            _ => {}
        }
        match (letter, level) {
            (',', 0) => parts.push(String::new()),
            _ => parts.last_mut().expect("never empty").push(letter),
        }
    }
    parts.retain(|part| !part.is_empty());
    let parts = parts.iter().flat_map(|part| leaves(part));
    parts
        .map(|part| match part.as_str() {
            "self" => before.trim_end_matches("::").to_owned(),
            part => format!("{before}{part}"),
        })
        .collect()
}

/// Paths in code that begin with `crate::` or `super::`.
fn inline_paths(code: &str, here: &Module) -> Vec<Module> {
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let path: String = code[at..]
                .chars()
                .take_while(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ':'))
                .collect();
            found.extend(absolute(path.trim_end_matches(':'), here));
        }
    }
    found
}

/// What can be reached from `start`.
fn reached(graph: &BTreeMap<Module, BTreeSet<Module>>, start: &Module) -> BTreeSet<Module> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&Module> = graph[start].iter().collect();
    while let Some(unit) = next.pop() {
        if seen.insert(unit.clone()) {
            next.extend(graph.get(unit).into_iter().flatten());
        }
    }
    seen
}

#[test]
fn no_file_of_a_room_imports_in_a_circle() {
    let files: Vec<Text> = rust_files("src")
        .into_iter()
        .filter(|file| file.path.matches('/').count() > 1)
        .filter(|file| !file.path.ends_with("tests.rs") && !file.path.contains("/tests/"))
        .collect();
    let modules = Modules::of(&files);
    let mut graph: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for file in &files {
        let unit = &modules.units[&module_of(&file.path)];
        let used = modules.used_by(file);
        let used = used.into_iter().filter(|other| other != unit);
        graph.entry(unit.clone()).or_default().extend(used);
    }
    let mut complaints = Complaints::new("import circles inside a room");
    for file in &files {
        let unit = module_of(&file.path);
        let Some(used) = graph.get(&unit) else {
            continue;
        };
        for other in used {
            if reached(&graph, other).contains(&unit) {
                complaints.add(file, 0, format!("in a circle with {}", other.join("::")));
            }
        }
    }
    complaints.check_at_most(CIRCLES_MAX);
}

#[test]
fn the_reader_of_imports_sees_them() {
    let here: Module = ["net".to_owned(), "turn".to_owned()].to_vec();
    let paths = |code: &str| -> Vec<String> {
        let all = uses(code, false, &here);
        all.iter().map(|(path, _)| path.join("::")).collect()
    };
    assert_eq!(paths("use super::poll::Ready;"), ["net::poll::Ready"]);
    assert_eq!(paths("pub use super::poll::Ready;"), Vec::<String>::new());
    assert_eq!(
        paths("use super::{slots::{self, SlotId}, Net};"),
        ["net::slots", "net::slots::SlotId", "net::Net"]
    );
    assert_eq!(
        paths("use super::sendfile_linux as sendfile;"),
        ["net::sendfile"]
    );
    assert_eq!(
        inline_paths("crate::app::run()", &here)[0].join("::"),
        "app::run"
    );
    assert_eq!(
        module_of("src/net/os/sendfile_linux.rs").join("::"),
        "net::os::sendfile"
    );
}
