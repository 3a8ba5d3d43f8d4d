//! Golden tests of the language of configuration files: every magic variable in every format,
//! passes, logic, arithmetic, declared options, sections, and the traps that are kept.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::entries::Loaded;
use super::loader::{Loader, Stop};
use crate::config::read::from_arguments;
use crate::config::readers::command_line;
use crate::config::readers::layers;
use crate::config::readers::system_facts::SystemFacts;
use crate::config::{Command, Config, ConfigError};

mod files;
mod schemes;

fn system(directory: &Path) -> SystemFacts {
    let variables = [("NAME", "blue"), ("EMPTY", ""), ("PORT", "9090")];
    SystemFacts {
        is_reload: false,
        directory: directory.to_owned(),
        host: "box.example".to_owned(),
        cores: 8,
        started_micros: 1_700_000_000_123_456,
        uid: 33,
        gid: 34,
        user: "www-data".to_owned(),
        group: "web".to_owned(),
        program: "/usr/bin/singlemalt".to_owned(),
        environment: variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), OsString::from(text)))
            .collect::<HashMap<_, _>>(),
    }
}

/// A directory with these files; `{}` in names and texts stands for it.
struct Site {
    directory: tempfile::TempDir,
}

impl Site {
    fn new(files: &[(&str, &str)]) -> Site {
        let directory = tempfile::tempdir().unwrap();
        let site = Site { directory };
        for (name, text) in files {
            let path = site.directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, site.fill(text)).unwrap();
        }
        site
    }

    /// The directory as the loader names it: links resolved, slashes.
    fn root(&self) -> String {
        let path = if cfg!(unix) {
            self.directory.path().canonicalize().unwrap()
        } else {
            self.directory.path().to_owned()
        };
        path.display().to_string().replace('\\', "/")
    }

    fn fill(&self, text: &str) -> String {
        text.replace("{}", &self.root())
    }

    fn load(&self, line: &str) -> Result<Loaded, Stop> {
        let arguments: Vec<String> = line
            .split_whitespace()
            .map(|word| self.fill(word))
            .collect();
        let layer = command_line::read(&arguments).unwrap();
        let system = system(self.directory.path());
        let may_execute = line.contains("--allow-config-exec");
        let mut loader = Loader::new(&system, may_execute);
        loader.add_layer(layers::COMMAND_LINE, layer)?;
        loader.finish()
    }

    /// What was read, without the lines that name files: `key=value, ...`, or the error.
    fn shown(&self, line: &str) -> String {
        let text = match self.load(line) {
            Ok(loaded) => {
                let entries = loaded.entries.iter().filter(|entry| {
                    let of_files = [
                        "ini",
                        "include",
                        "inherit",
                        "config",
                        "xml",
                        "yaml",
                        "set",
                        "allow-config-exec",
                    ];
                    !of_files.contains(&entry.key.as_str())
                        && entry.row.is_none_or(|row| row.name != "set-placeholder")
                });
                let shown = entries.map(|entry| format!("{}={}", entry.key, entry.text));
                shown.collect::<Vec<_>>().join(", ")
            }
            Err(Stop::Exit(code)) => format!("exit {code}"),
            Err(Stop::Error(error)) => format!("error: {error}"),
        };
        text.replace(&format!("{}/", self.root()), "")
    }

    fn warnings(&self, line: &str) -> String {
        let loaded = self.load(line).unwrap();
        loaded
            .warnings
            .join("\n")
            .replace(&format!("{}/", self.root()), "")
    }

    fn run(&self, line: &str) -> Result<Command, ConfigError> {
        let arguments: Vec<String> = line
            .split_whitespace()
            .map(|word| self.fill(word))
            .collect();
        from_arguments(&arguments, &system(self.directory.path()))
    }

    fn configured(&self, line: &str) -> Config {
        match self.run(line) {
            Ok(Command::Run(config)) => *config,
            other => panic!("{line}: {other:?}"),
        }
    }
}

/// The lines of `[uwsgi]`, and what comes of them.
#[track_caller]
fn check(lines: &str, expected: &str) {
    let site = Site::new(&[
        ("a.ini", &format!("[uwsgi]\n{lines}\n")),
        ("there/file.txt", "one\ntwo\n"),
    ]);
    assert_eq!(site.shown("{}/a.ini"), expected, "{lines}");
}

#[test]
fn every_magic_variable_in_every_format() {
    let letters = "vVhopsdenctTxikuUgGb0123456789OPSDENCXIJj[";
    // Deep enough that every digit names a directory.
    let folder = "conf/a/b/c/d/e/f/g/h/i";
    let ini: String = letters
        .chars()
        .map(|letter| format!("v{} = <%{letter}>\n", u32::from(letter)))
        .collect();
    let xml: String = letters
        .chars()
        .map(|letter| format!("<v{0}>(%{letter})</v{0}>\n", u32::from(letter)))
        .collect::<String>()
        .replace("(%(", "(");
    let yaml: String = letters
        .chars()
        .map(|letter| format!("  v{}: '<%{letter}>'\n", u32::from(letter)))
        .collect();
    let json: Vec<String> = letters
        .chars()
        .map(|letter| format!("\"v{}\": \"<%{letter}>\"", u32::from(letter)))
        .collect();
    let toml: String = letters
        .chars()
        .map(|letter| format!("v{} = \"<%{letter}>\"\n", u32::from(letter)))
        .collect();
    let site = Site::new(&[
        (&*format!("{folder}/app.v2.ini"), &*format!("[blue]\n{ini}")),
        (
            &format!("{folder}/app.v2.xml"),
            &format!("<c><uwsgi id='blue'>{xml}</uwsgi></c>"),
        ),
        (
            &*format!("{folder}/app.v2.yaml"),
            &*format!("blue:\n{yaml}"),
        ),
        (
            &format!("{folder}/app.v2.json"),
            &format!("{{\"blue\": {{{}}}}}", json.join(",")),
        ),
        (
            &*format!("{folder}/app.v2.toml"),
            &*format!("[blue]\n{toml}"),
        ),
    ]);
    let root = site.root();
    for ending in ["ini", "xml", "yaml", "json", "toml"] {
        let name = format!("{root}/{folder}/app.v2.{ending}");
        let loaded = site.load(&format!("{name}:blue")).unwrap();
        let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty()).collect();
        let expected = |letter: char| -> Option<String> {
            let value = match letter {
                'v' => root.clone(),
                'V' => env!("CARGO_PKG_VERSION").to_owned(),
                'h' => "box.example".to_owned(),
                'o' | 'p' | 'O' | 'P' => name.clone(),
                's' | 'S' => format!("app.v2.{ending}"),
                'd' | 'D' => format!("{root}/{folder}/"),
                'e' | 'E' => ending.to_owned(),
                'n' | 'N' => "app.v2".to_owned(),
                'c' | 'C' => "i".to_owned(),
                't' => "1700000000".to_owned(),
                'T' => "1700000000123456".to_owned(),
                'x' | 'X' => "blue".to_owned(),
                'k' => "8".to_owned(),
                'u' => "33".to_owned(),
                'U' => "www-data".to_owned(),
                'g' => "34".to_owned(),
                'G' => "web".to_owned(),
                'b' => "/usr/bin/singlemalt".to_owned(),
                digit if digit.is_ascii_digit() => {
                    parts[usize::from(digit as u8 - b'0')].to_owned()
                }
                '[' => "\u{1b}".to_owned(),
                _ => return None,
            };
            Some(value)
        };
        for letter in letters.chars() {
            let key = format!("v{}", u32::from(letter));
            let Some(entry) = loaded.entries.iter().find(|entry| entry.key == key) else {
                panic!("{ending}: %{letter}");
            };
            let value = entry.text.get(1..entry.text.len() - 1).unwrap();
            match expected(letter) {
                // The directory of a link is kept as it is given.
                Some(expected) if letter == 'v' => assert!(
                    expected.ends_with(value.trim_start_matches("/private"))
                        || value.ends_with(&expected),
                    "{value}"
                ),
                Some(expected) => assert_eq!(value, expected, "{ending}: %{letter}"),
                None if letter.eq_ignore_ascii_case(&'i') => assert!(value.parse::<u64>().is_ok()),
                None => assert_eq!(value.len(), 8, "{ending}: %{letter}: {value}"),
            }
        }
    }
}

#[test]
fn upper_case_is_the_first_file() {
    let site = Site::new(&[
        (
            "first.ini",
            "[uwsgi]\ninclude = {}/sub/second.xml\nn = %n\n",
        ),
        (
            "sub/second.xml",
            "<uwsgi><both>%n %N %c %C %s %S</both></uwsgi>",
        ),
    ]);
    let shown = site.shown("{}/first.ini");
    let directory = site.root().rsplit('/').next().unwrap().to_owned();
    assert_eq!(
        shown,
        format!("both=second first sub {directory} second.xml first.ini, n=first")
    );
}

#[cfg(unix)]
#[test]
fn a_link_is_not_resolved() {
    let site = Site::new(&[("releases/7/app.ini", "[uwsgi]\nwhere = %p\n")]);
    fs::create_dir(site.directory.path().join("current")).unwrap();
    std::os::unix::fs::symlink(
        site.directory.path().join("releases/7/app.ini"),
        site.directory.path().join("current/app.ini"),
    )
    .unwrap();
    assert_eq!(site.shown("{}/current/app.ini"), "where=current/app.ini");
}

#[test]
fn percent_signs() {
    check("a = 100%%", "a=100%");
    check("log-format = %(uri) %%", "log-format=%(uri) %");
    check("daemonize = /a-%Y.log", "daemonize=/a-.log");
    let site = Site::new(&[(
        "a.ini",
        "[uwsgi]\n; %Y\nlogto = /a-%Y.log\n[other]\nx = %q\n",
    )]);
    assert_eq!(
        site.warnings("{}/a.ini"),
        "%Y is no magic variable and is removed, as in uWSGI; write %%Y (a.ini line 3)"
    );
}

#[test]
fn passes() {
    check("http = :$(PORT)", "http=:9090");
    check("a = $(NOT_SET:8000)$(EMPTY)", "a=8000");
    check("a = $(NOT_SET)", "a=$(NOT_SET)");
    check(
        "base = /srv\nchdir = %(base)/app",
        "base=/srv, chdir=/srv/app",
    );
    check(
        "chdir = %(base)/app\nbase = /$(NAME)",
        "chdir=/blue/app, base=/blue",
    );
    check("a = 1\na = 2\nb = %(a)", "a=1, a=2, b=1");
    check("a = <@(%d/there/file.txt)>", "a=<one\ntwo>");
    check(
        "processes = 2\nthreads = %(processes * 4)",
        "processes=2, threads=8",
    );
    check(
        "workers = 2\nthreads = %(processes)",
        "workers=2, threads=%(processes)",
    );
    check(
        "cores = %k\nprocesses = %(cores - 1)",
        "cores=8, processes=7",
    );
    check(
        "set-placeholder = p=1\nset = q=2\nset = processes=3\na = %(p)%(q)",
        "p=1, q=2, processes=3, a=12",
    );
    check(
        "a = %(b)\nb = %(a)",
        "error: a refers to itself, or to more than can be meant: %(b) (a.ini line 2)",
    );
    check(
        "set-ph = http=1",
        "error: set-ph cannot make http a placeholder: it is an option (a.ini line 2)\n  give the \
         placeholder another name",
    );
    let site = Site::new(&[(
        "a.ini",
        "[uwsgi]\nchdir = %(base)\nchdir2 = %(a+b)\nprocname = $(NO)\n",
    )]);
    assert_eq!(
        site.warnings("{}/a.ini"),
        "$(NO) is not set, and stands as it is (a.ini line 4)\n\
         %(base) stands for nothing, and is left as it is (a.ini line 2)\n\
         %(a+b) stands for nothing, and is left as it is; an operator wants spaces around it \
         (a.ini line 3)"
    );
}

#[test]
fn conditions() {
    check("if-env = NAME\na = %(_)\nendif =\nb = 1", "a=blue, b=1");
    check("if-env = NAME=blue\na = 1\nendif", "a=1");
    check("if-env = NAME=red\na = 1\nelse =\na = 2\nend-if =", "a=2");
    check("if-env = NAME\na = 1\nelse\na = 2\nendif", "a=1");
    check("if-not-env = NAME\na = 1\nendif", "");
    check("if-not-env = OTHER\na = 1\nendif", "a=1");
    check("p = 1\nif-opt = p\na = %(_)\nendif", "p=1, a=1");
    check("p = 1\nif-opt = p=2\na = 1\nelse\na = 3\nendif", "p=1, a=3");
    check("if-not-opt = p\na = 1\nendif", "a=1");
    check("if-file = %d/there/file.txt\na = 1\nendif", "a=1");
    check(
        "if-dir = %d/there\na = 1\nendif\nif-not-dir = %d/there\nb = 1\nendif",
        "a=1",
    );
    check(
        "if-exists = %d/there\na = 1\nendif\nif-not-exists = %d/no\nb = 1\nendif",
        "a=1, b=1",
    );
    check("if-not-file = %d/no\na = 1\nendif", "a=1");
    check(
        "if-plugin = python3\na = 1\nendif\nif-not-plugin = psgi\nb = 1\nendif",
        "a=1, b=1",
    );
    check(
        "if-hostname = box.example\na = 1\nendif\nif-not-hostname = x\nb = 1\nendif",
        "a=1, b=1",
    );
    check(
        "if-hostname-match = ^box\\.\na = 1\nendif\nif-not-hostname-match = ^box\nb = 1\nendif",
        "a=1",
    );
    check(
        "if-reload = true\na = 1\nelse\na = 2\nendif\nif-not-reload = true\nb = 1\nendif",
        "a=2, b=1",
    );
    check(
        "if-env = NAME\nif-env = PORT\na = 1\nendif",
        "error: if-env cannot stand inside if-env (a.ini line 3)\n  if-env begins at a.ini line 2; \
         close it with endif or endfor",
    );
    check(
        "else =\na = 1",
        "error: else has no condition before it (a.ini line 2)",
    );
    check(
        "if-hostname-match = (\na = 1\nendif",
        "error: if-hostname-match wants a regular expression: found open group without closing ')' \
         (a.ini line 2)",
    );
    let site = Site::new(&[("a.ini", "[uwsgi]\nif-env = NAME\na = 1\n")]);
    assert_eq!(
        site.warnings("{}/a.ini"),
        "if-env has no endif: what is read behind a.ini belongs to it, too, as in uWSGI (a.ini \
         line 2)"
    );
}

#[test]
fn loops() {
    check(
        "for = a b\nx = %(_)\ny = <%(_)>\nendfor =",
        "x=a, x=b, y=<a>, y=<b>",
    );
    check("for-times = 3\nx = %(_)\nend-for", "x=1, x=2, x=3");
    check(
        "for-readline = %d/there/file.txt\nx = %(_)\nendfor",
        "x=one, x=two",
    );
    check(
        "for-glob = %d/there/*.txt\nx = %(_)\nendfor",
        "x=there/file.txt",
    );
    check("for-glob = %dnone/*\nx = %(_)\nendfor", "x=none/*");
    check(
        "for-times = 100000000\nx = 1\nendfor",
        "error: for-times wants at most 10000, got 100000000 (a.ini line 2)",
    );
    let site = Site::new(&[]);
    assert_eq!(
        site.shown("--for 1 --http 127.0.0.1:%(_) --endfor --module app"),
        "http=127.0.0.1:1, module=app"
    );
}

#[test]
fn files_stand_where_they_are_named() {
    let site = Site::new(&[
        (
            "a.ini",
            "[uwsgi]\np1 = 1\nini = {}/b.ini:x\np3 = 3\n[more]\np4 = 4\n",
        ),
        (
            "b.ini",
            "[x]\np2 = 2\nini = :y\n[y]\ny = %x\ninclude = {}/c.json\n",
        ),
        ("c.json", "{\"uwsgi\": {\"c\": [1, true, null]}}"),
        ("d.yaml", "uwsgi:\n  d: 1\n"),
        ("t.ini", "[uwsgi]\ninherit = {}/base.ini\na = 1\n"),
        ("base.ini", "[uwsgi]\na = 2\nb = %(a)\n"),
        ("loop.ini", "[uwsgi]\nini = :uwsgi\n"),
        ("exit.ini", "[uwsgi]\nexit = 3\nfoo = %(\n"),
    ]);
    assert_eq!(
        site.shown("--threads 1 {}/a.ini -p 2 {}/d.yaml"),
        "threads=1, p1=1, p2=2, y=y, c=1, c=1, c=0, p3=3, processes=2, d=1"
    );
    assert_eq!(site.shown("{}/a.ini:more"), "p4=4");
    assert_eq!(site.shown("{}/t.ini"), "a=1, a=2, b=%(a)");
    assert_eq!(
        site.shown("{}/loop.ini"),
        "error: :uwsgi is read by itself, or through 16 files (loop.ini line 2)"
    );
    assert_eq!(site.shown("{}/exit.ini"), "exit 3");
}

#[test]
fn declared_options() {
    check(
        "declare-option = site=module=$1;http=:$2;env=ALL=$1-$2\nsite = app 9000",
        "declare-option=site=module=$1;http=:$2;env=ALL=$1-$2, site=app 9000, module=app, \
         http=:9000, env=ALL=app-9000",
    );
    check(
        "declare-option = http=module=x",
        "error: declare-option cannot declare http: it is an option already (a.ini line 2)",
    );
    check(
        "declare-option = site=ini=$1\nsite = x",
        "error: site is declared with ini, which it cannot set (a.ini line 3)",
    );
}

#[test]
fn the_traps_are_kept_and_warned_of() {
    let site = Site::new(&[(
        "a.ini",
        "[uwsgi]\nmodule = app ; the app\nmodule = app\nneed-app = false ; not now\nprocesses = 4 \
         ; four\n\
         reload-on-rss = 512M\nvacuum = yes please\nwsgi-strict = False\nmanage-script-name = \
         TRUE\npost-buffering = true\nchmod-socket\nbuffer_size = 4096\nprint = hello %n\n",
    )]);
    let config = site.configured("{}/a.ini");
    assert!(config.app.need_app && config.sockets.vacuum && config.app.manage_script_name);
    assert!(!config.app.wsgi_strict, "upper case does not matter");
    assert_eq!(config.workers.processes, 4);
    assert_eq!(config.limits.body_memory_bytes_max, 1 << 20);
    assert_eq!(config.sockets.mode, Some(0o666));
    assert_eq!(config.limits.request.head_bytes_max, 32 << 10);
    assert_eq!(config.prints, ["hello a"]);
    let warnings = config.warnings.join("\n");
    for part in [
        "need-app 'false ; not now' is true",
        "processes '4 ; four' is read as 4",
        "vacuum 'yes please' is true",
        "post-buffering 'true' is no number: uWSGI reads it as 0, and here it is as if it were not \
         written",
        "buffer_size is not an option",
        "did you mean buffer-size?",
        "module: '; the app' belongs to the value: a comment must have a line of its own (",
    ] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
    assert!(!warnings.contains("wsgi-strict") && !warnings.contains("manage-script-name"));
}

#[test]
fn a_variable_that_is_not_set_is_named() {
    for (line, error) in [
        (
            "processes = $(WORKERS)",
            "processes wants a number, and WORKERS is not set in the environment",
        ),
        (
            "socket-timeout = $(WAIT)s",
            "socket-timeout wants seconds, and WAIT is not set in the environment",
        ),
        (
            "http = :$(NO_PORT)",
            "http wants an address, and NO_PORT is not set in the environment",
        ),
    ] {
        let site = Site::new(&[("a.ini", &format!("[uwsgi]\nmodule = app\n{line}\n"))]);
        let found = site.run("{}/a.ini").unwrap_err().to_string();
        assert!(found.starts_with(error), "{found}");
        assert!(
            found.contains("set it, or say what it is otherwise: $("),
            "{found}"
        );
    }
}

#[test]
fn a_file_may_show_itself() {
    let site = Site::new(&[("a.ini", "[uwsgi]\nmodule = app\nshow-config = true\n")]);
    let prints = site.configured("{}/a.ini").prints;
    assert!(prints.contains(&"module = app".to_owned()), "{prints:?}");
    let site = Site::new(&[("a.ini", "[uwsgi]\nmodule = app\nshow-config = false\n")]);
    assert_eq!(site.configured("{}/a.ini").prints, [""; 0]);
}

#[test]
fn what_was_written_is_there_for_the_application() {
    let site = Site::new(&[(
        "a.ini",
        "[uwsgi]\nmodule = app\nmy-key = 1\nmy-key = %(my-key)2\n",
    )]);
    let config = site.configured("{}/a.ini");
    let found: Vec<_> = config
        .written
        .iter()
        .filter(|(key, _)| key == "my-key")
        .map(|(_, text)| text.as_str())
        .collect();
    assert_eq!(found, ["1", "12"]);
    let name = config
        .magic_table
        .iter()
        .find(|(letter, _)| *letter == 'n')
        .map(|(_, text)| text.as_str());
    assert_eq!(name, Some("a"));
}

#[test]
fn files_that_are_none() {
    let site = Site::new(&[
        ("a.ini", "[app:main]\nuse = egg:x\n"),
        ("b.conf", "x"),
        ("e.xml", "<uwsgi><a>1</uwsgi>"),
    ]);
    assert_eq!(
        site.shown("{}/a.ini"),
        "error: a.ini has no [uwsgi] section (command line)\n  it has app:main"
    );
    assert_eq!(
        site.shown("--include {}/b.conf"),
        "error: --include cannot tell the format of b.conf by its ending (command line)\n  say it: \
         --ini, --xml, --yaml, --json or --toml FILE"
    );
    assert!(site.shown("{}/e.xml").contains("(e.xml line 1)"));
    fs::write(site.directory.path().join("u.ini"), b"[uwsgi]\na = \xff\n").unwrap();
    assert_eq!(
        site.shown("{}/u.ini"),
        "error: u.ini line 2 is not UTF-8\n  save the file as UTF-8"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_file_panics(
        lines in prop::collection::vec(
            prop_oneof![
                Just("if-env = NAME".to_owned()), Just("else \
                    =".to_owned()), Just("endif".to_owned()),
                Just("for = a b".to_owned()), Just("endfor".to_owned()), Just("set = \
                    a=%(b)".to_owned()),
                Just("declare-option = x=http=$1".to_owned()), Just("x = :1 é".to_owned()),
                Just("b = %(a + \
                    1)$(NAME)%n%%".to_owned()), Just("[other]".to_owned()), Just("[uwsgi]".to_owned()),
                "[a-z-]{1,12} = \\PC{0,16}", "\\PC{0,20}",
            ],
            0..12,
        )
    ) {
        let text = format!("[uwsgi]\n{}\n", lines.join("\n"));
        let site = Site::new(&[]);
        fs::write(site.directory.path().join("a.ini"), text).unwrap();
        drop(site.load("{}/a.ini"));
        drop(crate::config::reports::explain::explain(&site.fill("{}/a.ini"), &system(site.directory.path())));
    }
}
