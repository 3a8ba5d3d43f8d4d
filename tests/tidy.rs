//! The house rules as tests: who may import whom, where `unsafe` may stand, what a file looks like, and that
//! the documents speak of what exists.
//!
//! Reads files only; needs no Python and no git, and knows nothing of the crate but its folders.

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/measures.rs"]
mod measures;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room (a folder of `src/`) and the rooms it may import. A new edge is a change of this table, so it is seen
/// in review. `lib.rs` and `main.rs` stand outside.
const DOORS: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("wsgi", &["protocol"]),
    ("files", &["wsgi"]),
    ("routing", &["protocol", "wsgi", "files"]),
    ("config", &["protocol", "routing"]),
    ("telemetry", &["config"]),
    ("extensions", &[]),
    ("python", &["protocol", "wsgi", "extensions"]),
    ("tls", &["wsgi"]),
    ("net", &["protocol", "wsgi", "tls"]),
    ("shared", &[]),
    ("background", &["config"]),
    (
        "app",
        &[
            "protocol",
            "config",
            "wsgi",
            "telemetry",
            "extensions",
            "python",
            "net",
            "shared",
            "background",
        ],
    ),
    ("os", &["config", "telemetry"]),
    ("waiter", &["config", "telemetry", "os"]),
    (
        "reload",
        &[
            "protocol",
            "wsgi",
            "files",
            "config",
            "python",
            "net",
            "background",
            "app",
            "os",
            "waiter",
        ],
    ),
    (
        "admin",
        &[
            "protocol", "config", "python", "net", "shared", "app", "os", "reload",
        ],
    ),
    (
        "server",
        &[
            "protocol",
            "wsgi",
            "files",
            "routing",
            "config",
            "telemetry",
            "python",
            "tls",
            "net",
            "shared",
            "background",
            "app",
            "extensions",
            "os",
            "waiter",
            "reload",
            "admin",
        ],
    ),
];

/// The room of `unsafe`, and the one file outside of it: two calls of Windows for which there is no safe interface.
const UNSAFE_PLACES: [&str; 2] = ["src/python/", "src/waiter/share_windows.rs"];

/// A file that grows past this has a second noun in it.
const LINES_MAX: usize = 700;

/// Names that say where code was left, not what it is.
const NAMES_THAT_SAY_NOTHING: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "misc", "shared", "stuff",
];

/// A bound that only goes down follows when the figure is this much lower.
const SLACK: usize = 10;

/// Folders that are not ours to judge: built, downloaded, or git's.
const NOT_OURS: &[&str] = &[
    "target",
    ".git",
    "__pycache__",
    ".pytest_cache",
    "node_modules",
];

#[test]
fn rooms_import_only_through_their_doors() {
    let mut complaints =
        Complaints::new("imports that tests/tidy.rs's table of doors does not allow");
    for file in rust_files("src") {
        let Some((room, depth)) = room_of(&file.path) else {
            continue;
        };
        let Some((_, allowed)) = DOORS.iter().find(|(name, _)| *name == room) else {
            complaints.add(&file, 0, format!("the room {room} is not in the table"));
            continue;
        };
        for (number, imported) in rooms_named(&file.code()) {
            if imported != room && !allowed.contains(&imported.as_str()) {
                complaints.add(&file, number, format!("{room} may not use {imported}"));
            }
        }
        // `super::super::...` that climbs out of the room would hide an import from the check above.
        let climbs_out = "super::".repeat(depth.max(2));
        for (number, line) in file.code_lines() {
            if line.contains(&climbs_out) {
                complaints.add(
                    &file,
                    number,
                    "leaves its room by super::, say crate::ROOM".to_owned(),
                );
            }
        }
    }
    complaints.check();
}

#[test]
fn the_table_of_doors_names_the_rooms_that_exist_and_has_no_circle() {
    let mut rooms: Vec<String> = fs::read_dir(root().join("src"))
        .expect("src/")
        .map(|entry| entry.expect("an entry of src/").path())
        .filter(|path| path.is_dir())
        .map(|path| name_of(&path))
        .collect();
    rooms.sort();
    let mut table: Vec<&str> = DOORS.iter().map(|(room, _)| *room).collect();
    table.sort_unstable();
    assert_eq!(
        rooms, table,
        "the folders of src/ and the rooms of the table differ"
    );

    // In the order of the table every room imports only rooms that stand before it: there can be no circle.
    for (index, (room, allowed)) in DOORS.iter().enumerate() {
        for door in *allowed {
            let before = DOORS[..index].iter().any(|(name, _)| name == door);
            assert!(
                before,
                "{room} imports {door}, which must stand above it in the table"
            );
        }
    }
}

#[test]
fn every_source_file_opens_with_what_it_is() {
    let mut complaints = Complaints::new("files that do not open with a //! header");
    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        if !file.text.starts_with("//! ") {
            complaints.add(&file, 1, "first line".to_owned());
        }
    }
    complaints.check();
}

#[test]
fn unsafe_stands_in_its_places_only() {
    let mut complaints = Complaints::new("`unsafe` outside src/python/");
    let files = rust_files("src")
        .into_iter()
        .chain(rust_files("tests"))
        .chain(rust_files("benches"));
    let is_elsewhere = |file: &Text| {
        !UNSAFE_PLACES
            .iter()
            .any(|place| file.path.starts_with(place))
    };
    for file in files.filter(is_elsewhere) {
        for (number, line) in file.code_lines() {
            let lifts_the_lint = line.contains("unsafe_code")
                && (line.contains("allow(") || line.contains("expect("));
            if words(&line).any(|word| word == "unsafe") || lifts_the_lint {
                complaints.add(&file, number, line.trim().to_owned());
            }
        }
    }
    complaints.check();
}

#[test]
fn file_names_say_what_is_in_them() {
    let mut complaints = Complaints::new("files whose names say nothing");
    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        let stem = name_of(Path::new(&file.path)).replace(".rs", "");
        if NAMES_THAT_SAY_NOTHING.contains(&stem.as_str()) {
            complaints.add(&file, 0, "name it after its noun".to_owned());
        }
    }
    complaints.check();
}

#[test]
fn no_file_is_too_long_to_read() {
    let mut complaints = Complaints::new("files with more than 700 lines");
    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        let lines = file.text.lines().count();
        if lines > LINES_MAX {
            complaints.add(&file, lines, "has a second noun in it".to_owned());
        }
    }
    complaints.check();
}

#[test]
fn nothing_is_left_open() {
    // Put together here, so that this file does not find itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
    ];
    let mut complaints = Complaints::new("work left open (finish it, or open an issue)");
    for file in text_files() {
        for (number, line) in file.lines() {
            if marks.iter().any(|mark| line.contains(mark)) {
                complaints.add(&file, number, line.trim().to_owned());
            }
        }
    }
    complaints.check();
}

#[test]
fn nothing_committed_depends_on_where_it_was_written() {
    let folders = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let hosts = [
        concat!("crates", ".io"),
        concat!("pypi", ".org"),
        concat!("python", "hosted.org"),
        concat!("npmjs", ".org"),
        concat!("deb.", "debian.org"),
    ];
    let mut complaints = Complaints::new("paths of one machine, or hosts of package registries");
    for file in text_files()
        .into_iter()
        .filter(|file| !file.path.ends_with("Cargo.lock"))
    {
        for (number, line) in file.lines() {
            let is_ours = |folder: &&str| {
                let at = line.find(*folder);
                at.is_some_and(|at| {
                    !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '.')
                })
            };
            if folders.iter().any(is_ours) || hosts.iter().any(|host| line.contains(host)) {
                complaints.add(&file, number, line.trim().to_owned());
            }
        }
    }
    complaints.check();
}

#[test]
fn the_documents_name_only_commands_that_exist() {
    let justfile = fs::read_to_string(root().join("justfile")).expect("justfile");
    let recipes: Vec<&str> = justfile
        .lines()
        .filter(|line| {
            line.starts_with(|first: char| first.is_ascii_lowercase()) && !line.contains(":=")
        })
        .filter_map(|line| line.split_once(':'))
        .filter_map(|(head, _)| head.split_whitespace().next())
        .filter(|name| *name != "set")
        .collect();
    assert!(
        recipes.contains(&"test"),
        "the recipes were not understood: {recipes:?}"
    );

    let mut complaints = Complaints::new("commands of just that the justfile does not have");
    for file in documents() {
        for (number, line) in file.lines() {
            for (at, _) in line.match_indices("just ") {
                let is_command =
                    at == 0 || matches!(line.as_bytes()[at - 1], b'`' | b'$' | b';') || {
                        line[..at].ends_with("$ ")
                            || line[..at].ends_with("&& ")
                            || line[..at].trim().is_empty()
                    };
                let name: String = line[at + "just ".len()..]
                    .chars()
                    .take_while(|letter| letter.is_ascii_lowercase() || *letter == '-')
                    .collect();
                // A sentence may start a line with "just"; a command stands in a code block or a code span.
                let in_code = file.is_in_code(number) || line[..at].matches('`').count() % 2 == 1;
                if is_command && in_code && !name.is_empty() && !recipes.contains(&name.as_str()) {
                    complaints.add(&file, number, format!("just {name}"));
                }
            }
        }
    }
    complaints.check();
}

#[test]
fn the_documents_point_at_files_that_exist() {
    let mut complaints = Complaints::new("links and paths that lead nowhere");
    for file in documents() {
        let folder = Path::new(&file.path)
            .parent()
            .unwrap_or(Path::new(""))
            .to_path_buf();
        for (number, line) in file.lines() {
            for (at, _) in line.match_indices("](") {
                let link = line[at + 2..].split(')').next().unwrap_or_default();
                let path = link.split('#').next().unwrap_or_default();
                let is_local = !path.is_empty() && !link.contains("://");
                if is_local && !root().join(&folder).join(path).exists() {
                    complaints.add(&file, number, link.to_owned());
                }
            }
            for span in line.split('`').skip(1).step_by(2) {
                let is_path = [
                    "src/",
                    "tests/",
                    "docs/",
                    "tools/",
                    "examples/",
                    "configs/",
                    "snapshots/",
                ]
                .iter()
                .any(|top| span.starts_with(top));
                let is_plain = !span.contains([' ', '*', '{', '<']);
                let path = span.split([':', '#']).next().unwrap_or_default();
                if is_path && is_plain && !root().join(path).exists() {
                    complaints.add(&file, number, span.to_owned());
                }
            }
        }
    }
    complaints.check();
}

#[test]
fn the_architecture_page_shows_every_room() {
    let page =
        fs::read_to_string(root().join("docs/architecture.md")).expect("docs/architecture.md");
    for (room, allowed) in DOORS {
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `src/{room}/`")))
            .unwrap_or_else(|| panic!("docs/architecture.md has no row for src/{room}/"));
        let told = row.rsplit('|').nth(1).unwrap_or_default().trim();
        let allowed = if allowed.is_empty() {
            "nothing".to_owned()
        } else {
            allowed.join(", ")
        };
        assert_eq!(
            told, allowed,
            "docs/architecture.md says what {room} may use"
        );
    }
}

#[test]
fn every_snapshot_has_a_test() {
    let mut complaints = Complaints::new("snapshots whose test is gone");
    for file in text_files()
        .into_iter()
        .filter(|file| file.path.ends_with(".snap"))
    {
        let source = file
            .text
            .lines()
            .find_map(|line| line.strip_prefix("source: "));
        match source {
            Some(source) if root().join(source.trim_matches('"')).exists() => {}
            Some(source) => {
                complaints.add(&file, 0, format!("made by {source}, which does not exist"))
            }
            None => complaints.add(&file, 0, "does not say which file made it".to_owned()),
        }
        if !file.path.starts_with("snapshots/") {
            complaints.add(&file, 0, "snapshots live in snapshots/".to_owned());
        }
    }
    complaints.check();
}

/// One text file of the repository.
struct Text {
    /// Relative to the repository, with `/`.
    path: String,
    text: String,
}

impl Text {
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    /// The lines of a Rust file without comments and without what stands in string literals.
    fn code_lines(&self) -> impl Iterator<Item = (usize, String)> {
        self.lines()
            .map(|(number, line)| (number, without_comments_and_strings(line)))
    }

    fn code(&self) -> String {
        let lines: Vec<String> = self.code_lines().map(|(_, line)| line).collect();
        lines.join("\n")
    }

    /// Whether a line of a Markdown file stands in a fenced block.
    fn is_in_code(&self, number: usize) -> bool {
        let fences = self
            .text
            .lines()
            .take(number)
            .filter(|line| line.trim_start().starts_with("```"));
        fences.count() % 2 == 1
    }
}

/// What a test has found, shown all at once.
struct Complaints {
    about: &'static str,
    found: String,
}

impl Complaints {
    fn new(about: &'static str) -> Self {
        Self {
            about,
            found: String::new(),
        }
    }

    fn add(&mut self, file: &Text, line: usize, what: String) {
        writeln!(self.found, "  {}:{line}: {what}", file.path)
            .expect("writing to a String cannot fail");
    }

    fn check(self) {
        assert!(self.found.is_empty(), "{}:\n{}", self.about, self.found);
    }

    /// For a measure that does not hold everywhere yet: not more than `most`, which only goes down.
    fn check_at_most(self, most: usize) {
        let count = self.found.lines().count();
        let (about, found) = (self.about, &self.found);
        assert!(count <= most, "{count} {about}, at most {most}:\n{found}");
        assert!(
            count + SLACK > most,
            "only {count} {about}: lower the bound of {most} in tests/tidy"
        );
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Every file under `folder` that is text.
fn files_under(folder: &Path, found: &mut Vec<Text>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder's entry").path())
        .collect();
    paths.sort();
    for path in paths {
        let name = name_of(&path);
        if NOT_OURS.contains(&name.as_str()) || name.starts_with(".venv") || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            files_under(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let relative = path
                .strip_prefix(root())
                .expect("a path under the repository");
            let path = relative.to_string_lossy().replace('\\', "/");
            found.push(Text { path, text });
        }
    }
}

fn text_files() -> Vec<Text> {
    let mut found = Vec::new();
    files_under(root(), &mut found);
    assert!(found.len() > 10, "the repository was not found");
    found
}

fn rust_files(folder: &str) -> Vec<Text> {
    let mut found = Vec::new();
    files_under(&root().join(folder), &mut found);
    found.retain(|file| file.path.ends_with(".rs"));
    found
}

/// What people read: the Markdown files of the top and of docs/.
fn documents() -> Vec<Text> {
    let mut found = text_files();
    found.retain(|file| {
        file.path.ends_with(".md") && (!file.path.contains('/') || file.path.starts_with("docs/"))
    });
    assert!(
        found.iter().any(|file| file.path == "README.md"),
        "no README.md"
    );
    found
}

/// The room of a source file, and how many `super::` lead from it to the crate's root.
fn room_of(path: &str) -> Option<(String, usize)> {
    let inside = path.strip_prefix("src/")?;
    let (room, rest) = inside.split_once('/')?;
    let below = rest.split('/').count();
    let depth = if rest.ends_with("mod.rs") {
        below
    } else {
        below + 1
    };
    Some((room.to_owned(), depth))
}

/// The rooms that Rust code names behind `crate::`, also in a group (`crate::{http::Limits, wsgi}`), each with its line.
fn rooms_named(code: &str) -> Vec<(usize, String)> {
    let mut rooms = Vec::new();
    for (at, start) in code.match_indices("crate::") {
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let number = code[..at].matches('\n').count() + 1;
        let rest = &code[at + start.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            rooms.extend(words(rest).next().map(|room| (number, room.to_owned())));
            continue;
        };
        let mut level = 0_usize;
        let mut expects_room = true;
        for (index, letter) in group.char_indices() {
            match letter {
                '{' => level += 1,
                '}' if level == 0 => break,
                '}' => level -= 1,
                ',' if level == 0 => expects_room = true,
                _ if expects_room && level == 0 && letter.is_alphabetic() => {
                    rooms.extend(
                        words(&group[index..])
                            .next()
                            .map(|room| (number, room.to_owned())),
                    );
                    expects_room = false;
                }
                _ => {}
            }
        }
    }
    rooms.retain(|(_, name)| DOORS.iter().any(|(room, _)| room == name));
    rooms
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .filter(|word| !word.is_empty())
}

/// Cuts a line of Rust down to its code. Line by line only: enough for rustfmt's output.
fn without_comments_and_strings(line: &str) -> String {
    let mut code = String::new();
    let mut letters = line.chars().peekable();
    let mut in_string = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if in_string => {
                letters.next();
            }
            '"' => in_string = !in_string,
            '\'' if !in_string && letters.peek() == Some(&'"') => {
                letters.next();
            }
            '/' if !in_string && letters.peek() == Some(&'/') => break,
            _ if in_string => {}
            _ => code.push(letter),
        }
    }
    code
}

#[test]
fn the_checks_see_what_they_look_for() {
    let rooms = |code| {
        rooms_named(code)
            .into_iter()
            .map(|(_, room)| room)
            .collect::<Vec<_>>()
    };
    assert_eq!(rooms("use crate::wsgi::Limits;"), ["wsgi"]);
    assert_eq!(
        rooms("use crate::{protocol::{Limits, wsgi}, net, python::X};"),
        ["protocol", "net", "python"]
    );
    assert_eq!(
        rooms("let it = crate::wsgi::canned(crate::protocol::http::Version::Http11);"),
        ["wsgi", "protocol"]
    );
    assert_eq!(rooms("use pyo3_crate::wsgi;"), Vec::<String>::new());
    assert_eq!(
        rooms_named("\nuse crate::{\n    net,\n};"),
        [(2, "net".to_owned())]
    );
    assert_eq!(room_of("src/net/turn.rs"), Some(("net".to_owned(), 2)));
    assert_eq!(
        room_of("src/config/options/mod.rs"),
        Some(("config".to_owned(), 2))
    );
    assert_eq!(room_of("src/lib.rs"), None);
    assert_eq!(
        without_comments_and_strings(r#"call("crate::net // no"); // crate::app"#),
        "call(); "
    );
    assert!(!words("unsafe_code").any(|word| word == "unsafe"));
}
