//! Loading apps: what is found, and what a person reads when it is not.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use singlemalt::python::{
    AppTarget, Consequence, Ended, InterpreterThread, Isolation, LoadFailure, TargetKind,
};
use singlemalt::wsgi::Chosen;

use crate::harness::*;

/// The text of a failure, without what differs between machines and versions of Python.
fn told(app: &App, failure: &LoadFailure) -> String {
    let text = app.redacted(&failure.to_string());
    let text = text.replace(
        &std::env::current_dir()
            .expect("a folder")
            .display()
            .to_string(),
        "[cwd]",
    );
    let text = text.replace(runtime().prefix(), "[prefix]");
    let short = runtime()
        .version()
        .rsplit_once('.')
        .map_or("", |(short, _)| short)
        .to_owned();
    let marks =
        |line: &&str| line.trim().is_empty() || line.trim().chars().any(|c| !"~^".contains(c));
    text.replace(&format!("Python {short}"), "Python 3.X")
        .lines()
        .filter(marks)
        .collect::<Vec<_>>()
        .join("\n")
}

fn failure(app: &App, callable: Option<&str>) -> Box<LoadFailure> {
    load(strongest(), &app.target(callable)).expect_err("it must not load")
}

fn module(name: &str) -> AppTarget {
    AppTarget {
        kind: TargetKind::Module(name.into()),
        callable: None,
    }
}

#[test]
fn a_file_is_loaded_as_uwsgi_names_it() {
    on_worker(|| {
        let app = App::files(&[
            (
                "app.py",
                "import sibling, sys\nassert sys.modules[__name__].__file__ == __file__\n\
                 def application(environ, start_response):\n    start_response('200 OK', [])\n    return [__name__.encode()]\n",
            ),
            ("sibling.py", ""),
        ]);
        with_app(spec(strongest()), &app, |thread| {
            let path = app.path("app").display().to_string();
            let name = format!("uwsgi_file_{}", path.replace(['/', '.', '\\', ':'], "_"));
            assert_eq!(get(thread, "/").body(), name);
        });
    });
}

#[test]
fn callables_of_every_kind_are_found() {
    on_worker(|| {
        let source = r#"
def handler(environ, start_response):
    start_response('200 OK', [])
    return [b'function']

class Site:
    def __init__(self, name='class'):
        self.name = name
    def __call__(self, environ, start_response):
        start_response('200 OK', [])
        return [self.name.encode()]
    def method(self, environ, start_response):
        start_response('200 OK', [])
        return [b'method']

class Whole:
    """A class as the app: called for each request, iterated."""
    def __init__(self, environ, start_response):
        start_response('200 OK', [])
    def __iter__(self):
        yield b'instance'

site = Site()
holder = Site()
holder.inner = Site('dotted')

def create_app(name='factory', *, debug=False):
    return Site(f'{name} {debug}')
"#;
        let app = App::new(source);
        let cases = [
            ("handler", "function"),
            ("site", "class"),
            ("site.method", "method"),
            ("Whole", "instance"),
            ("holder.inner", "dotted"),
            ("create_app()", "factory False"),
            ("create_app('x', debug=True)", "x True"),
            (" create_app( name = \"y\" )", "y False"),
        ];
        for (callable, expected) in cases {
            let mut thread =
                InterpreterThread::create(runtime(), spec(strongest())).expect("created");
            let loaded = thread.load(&app.target(Some(callable))).expect("it loads");
            assert_eq!(loaded.callable, callable.trim_end());
            assert!(
                get(&mut thread, "/").body().contains(expected),
                "{callable}"
            );
            thread.end(GRACE);
        }
    });
}

#[test]
fn application_is_the_default_and_app_stands_in() {
    on_worker(|| {
        let both = App::new("application = app = print");
        assert_eq!(
            load(strongest(), &both.target(None)).expect("loads").note,
            None
        );
        let other = App::new("app = print");
        let loaded = load(strongest(), &other.target(None)).expect("loads");
        assert_eq!(loaded.callable, "app");
        assert_eq!(
            other.redacted(&loaded.note.expect("a note")),
            "[app]/app.py has no `application`; its `app` is served"
        );
    });
}

#[test]
fn a_module_is_found_on_the_python_path() {
    on_worker(|| {
        let app = App::files(&[
            ("pkg_on_path/__init__.py", ""),
            ("pkg_on_path/wsgi.py", "application = print"),
        ]);
        let mut with_path = spec(strongest());
        with_path.python_path = vec![app.folder().to_path_buf()];
        let mut thread = InterpreterThread::create(runtime(), with_path).expect("created");
        let loaded = thread.load(&module("pkg_on_path.wsgi")).expect("loads");
        assert_eq!(
            (loaded.name.as_str(), loaded.callable.as_str()),
            ("pkg_on_path.wsgi", "application")
        );
        let nested = thread
            .load(&module("pkg_on_path.nothing.wsgi"))
            .expect_err("no such module");
        snapshot("load_missing_module", &told(&app, &nested));
        thread.end(GRACE);
        let elsewhere =
            load(strongest(), &module("pkg_on_path.wsgi")).expect_err("not on that path");
        assert!(matches!(
            *elsewhere,
            LoadFailure::NotFound { is_file: false, .. }
        ));
    });
}

/// Several apps of one interpreter are told apart by their numbers; one that does not load leaves the others alone.
#[test]
fn several_apps_in_one_interpreter() {
    for isolation in isolations() {
        on_worker(move || {
            let who = "def make(name):\n    def app(environ, start_response):\n        start_response('200 OK', [])\n        return [name.encode()]\n    return app\n";
            let app = App::new(who);
            let mut thread =
                InterpreterThread::create(runtime(), spec(isolation)).expect("an interpreter");
            for (at, name) in ["zero", "one", "two"].iter().enumerate() {
                let callable = if at == 1 {
                    "missing".to_owned()
                } else {
                    format!("make('{name}')")
                };
                let loaded = thread.load_app(at, &format!("/{name}"), &app.target(Some(&callable)));
                assert_eq!(loaded.is_ok(), at != 1, "{name}");
            }
            let mut ask = |app| {
                let chosen = Chosen {
                    app,
                    prefix_bytes: 2,
                };
                request_for(&mut thread, chosen, "GET /p/x HTTP/1.1\nHost: a").body()
            };
            assert_eq!(ask(0), "zero");
            assert!(ask(1).starts_with("500 "), "it is not loaded");
            assert_eq!(ask(2), "two");
            assert!(ask(3).starts_with("500 "), "there is none");
            assert_eq!(thread.end(GRACE), Ended::Ended);
        });
    }
}

#[test]
fn every_failure_names_the_thing_and_the_way_out() {
    on_worker(|| {
        let cases: [(&str, &str, Option<&str>); 12] = [
            (
                "factories",
                "def main(): pass\ndef create_app(): pass",
                None,
            ),
            (
                "no_callable",
                "import os\nfrom collections import OrderedDict\ndef helper(one): pass\ndef create_app(): pass\n\
                 class Site: pass\nclass Whole:\n    def __iter__(self): pass\n\
                 site = type('S', (), {'__call__': print})()\nnumber = 3",
                None,
            ),
            (
                "no_such_name",
                "def application(environ, start_response): pass",
                Some("aplication"),
            ),
            ("nothing_callable", "number = 3", None),
            ("not_callable", "application = {'a': 1}", None),
            (
                "factory_returns_none",
                "def create_app(): pass",
                Some("create_app()"),
            ),
            (
                "factory_is_no_function",
                "create_app = 3",
                Some("create_app()"),
            ),
            (
                "bad_expression",
                "def create_app(x): pass",
                Some("create_app(os.environ)"),
            ),
            (
                "raises",
                "import json\ndef helper():\n    json.loads('{')\nhelper()",
                None,
            ),
            ("missing_import", "import not_installed_here.part", None),
            (
                "python_2",
                "def application(e, s):\n    print 'hello'\n",
                None,
            ),
            ("exits", "import sys\nsys.exit('no database')", None),
        ];
        for (name, source, callable) in cases {
            let app = App::new(source);
            snapshot(
                &format!("load_{name}"),
                &told(&app, &failure(&app, callable)),
            );
        }
        let app = App::files(&[("apps.py", ""), ("other.py", "")]);
        snapshot("load_missing_file", &told(&app, &failure(&app, None)));
        let folder = AppTarget {
            kind: TargetKind::File(app.folder().to_path_buf()),
            callable: None,
        };
        snapshot(
            "load_folder",
            &told(&app, &load(strongest(), &folder).expect_err("a folder")),
        );
    });
}

#[test]
fn after_a_failure_the_same_interpreter_can_load_again() {
    on_worker(|| {
        let app = App::new("1/0");
        let mut thread = InterpreterThread::create(runtime(), spec(strongest())).expect("created");
        assert!(matches!(
            thread.load(&app.target(None)),
            Err(LoadFailure::Raised { .. })
        ));
        std::fs::write(app.path("app.py"), "application = print  # repaired").expect("written");
        thread.load(&app.target(None)).expect("loads now");
        thread.end(GRACE);
    });
}

/// Compiles a C extension with single-phase initialisation, as most wheels have it: it refuses own-GIL interpreters.
/// `None` where there is no C compiler or no Python.h.
fn single_phase_extension(folder: &Path, name: &str) -> Option<PathBuf> {
    let source = folder.join(format!("{name}.c"));
    std::fs::write(
        &source,
        format!(
            "#include <Python.h>\nstatic struct PyModuleDef def = {{PyModuleDef_HEAD_INIT, \"{name}\", NULL, -1, NULL}};\n\
             PyMODINIT_FUNC PyInit_{name}(void) {{ return PyModule_Create(&def); }}\n"
        ),
    )
    .expect("a file");
    let ask = "import sysconfig; print(sysconfig.get_path('include'), sysconfig.get_config_var('EXT_SUFFIX'))";
    let answer = Command::new(runtime().executable())
        .args(["-c", ask])
        .output()
        .ok()?;
    let answer = String::from_utf8(answer.stdout).ok()?;
    let (include, suffix) = answer.trim().rsplit_once(' ')?;
    let library = folder.join(format!("{name}{suffix}"));
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-I", include, "-o"])
        .args([&library, &source])
        .status()
        .ok()?;
    status.success().then_some(library)
}

/// An app that is refused, with the extension in a package of its own.
fn refused_app(init: &str, app: &str) -> Option<App> {
    let app = App::files(&[
        ("app.py", app),
        ("fastpkg/__init__.py", init),
        ("fastpkg/core.py", "from . import _speed"),
    ]);
    single_phase_extension(&app.path("fastpkg"), "_speed")?;
    Some(app)
}

fn own_gil_and_compiler<T>(made: Option<T>) -> Option<T> {
    if made.is_none() {
        let said = writeln!(
            std::io::stderr(),
            "skipped: no C compiler, or no headers of this Python"
        );
        said.expect("standard error");
    }
    made.filter(|_| runtime().supports_own_gil())
}

/// The extensions that a failure names, each with its importer.
fn blamed(failure: &LoadFailure) -> Vec<String> {
    let LoadFailure::ExtensionsRefused { refused, .. } = failure else {
        panic!("{failure}")
    };
    let named = refused.iter();
    named
        .map(|one| format!("{} by {}", one.module, one.importer))
        .collect()
}

/// A fallback is believed of the package that caught the error and went on, and of no other code.
#[test]
fn the_code_that_goes_on_without_an_extension_is_told_apart() {
    on_worker(|| {
        let caught = "try:\n    import fastpkg\nexcept ImportError:\n    fastpkg = None\n";
        for (init, app, consequence) in [
            // Pillow: the package passes the error on, and the app catches it.
            (
                "try:\n    from . import _speed\nexcept ImportError:\n    raise",
                caught,
                Consequence::Missing,
            ),
            // numpy: the package raises another error.
            (
                "try:\n    from . import _speed\nexcept ImportError as e:\n    raise ImportError('no') from e",
                caught,
                Consequence::Missing,
            ),
            // The package keeps the error for later.
            (
                "try:\n    from . import _speed\nexcept ImportError as e:\n    why = e",
                "import fastpkg\n",
                Consequence::Missing,
            ),
            // A function of the package copes.
            (
                "def load():\n    try:\n        from . import _speed\n    except ImportError:\n        return None\nload()",
                "import fastpkg\n",
                Consequence::OwnFallback,
            ),
        ] {
            let app = refused_app(init, &format!("{app}application = print"));
            let Some(app) = own_gil_and_compiler(app) else {
                return;
            };
            let loaded = load(Isolation::OwnGil, &app.target(None)).expect("it copes");
            let [refused] = loaded.refused.as_slice() else {
                panic!("{:?}", loaded.refused)
            };
            assert_eq!(refused.consequence, consequence, "{init}");
        }
    });
}

#[test]
fn an_extension_that_refuses_is_named_with_its_importer() {
    on_worker(|| {
        let app = refused_app(
            "from fastpkg import core",
            "import fastpkg\napplication = print",
        );
        let Some(app) = own_gil_and_compiler(app) else {
            return;
        };
        let failure = load(Isolation::OwnGil, &app.target(None)).expect_err("refused");
        assert_eq!(blamed(&failure), ["fastpkg._speed by fastpkg.core"]);
        snapshot("load_refused", &told(&app, &failure));
        load(Isolation::Main, &app.target(None)).expect("main takes everything");
    });
}

#[test]
fn a_refusal_is_found_behind_other_errors() {
    on_worker(|| {
        // As numpy does (another ImportError), as polars does (swallowed, then a NameError), in a group.
        let wrapped = "try:\n    from . import _speed\nexcept ImportError as e:\n    raise RuntimeError('broken install') from e";
        let context =
            "try:\n    from . import _speed\nexcept ImportError as e:\n    raise ValueError('hm')";
        let hidden = "try:\n    from . import _speed\nexcept ImportError:\n    pass\nclass A(_speed.Base): pass";
        let group = "try:\n    from . import _speed\nexcept ImportError as e:\n    raise ExceptionGroup('many', [KeyError(1), e])";
        for init in [wrapped, context, hidden, group] {
            let app = refused_app(init, "import fastpkg\napplication = print");
            let Some(app) = own_gil_and_compiler(app) else {
                return;
            };
            let failure = load(Isolation::OwnGil, &app.target(None)).expect_err("refused");
            assert_eq!(blamed(&failure), ["fastpkg._speed by fastpkg"]);
        }
    });
}

#[test]
fn an_unrelated_error_is_not_blamed_on_a_refusal() {
    on_worker(|| {
        let init = "try:\n    from . import _speed\nexcept ImportError:\n    _speed = None";
        let app = refused_app(init, "import fastpkg\n1/0");
        let Some(app) = own_gil_and_compiler(app) else {
            return;
        };
        let failure = load(Isolation::OwnGil, &app.target(None)).expect_err("raises");
        assert!(matches!(*failure, LoadFailure::Raised { .. }), "{failure}");
    });
}

#[test]
fn what_was_done_without_is_reported() {
    on_worker(|| {
        let init = "try:\n    from . import _speed\nexcept ImportError:\n    _speed = None";
        let app = refused_app(init, "import fastpkg\napplication = print");
        let Some(app) = own_gil_and_compiler(app) else {
            return;
        };
        let loaded = load(Isolation::OwnGil, &app.target(None)).expect("the package copes");
        let [refused] = loaded.refused.as_slice() else {
            panic!("{:?}", loaded.refused)
        };
        assert_eq!(
            (refused.module.as_str(), refused.importer.as_str()),
            ("fastpkg._speed", "fastpkg")
        );
        assert_eq!(refused.consequence, Consequence::OwnFallback);
    });
}

#[test]
fn the_twin_of_a_refused_extension_is_loaded() {
    on_worker(|| {
        let app = refused_app(
            "from . import _speed",
            "import fastpkg\napplication = fastpkg._speed.application",
        );
        let Some(app) = own_gil_and_compiler(app) else {
            return;
        };
        std::fs::write(app.path("fastpkg/_speed.py"), "application = print").expect("written");
        let loaded = load(Isolation::OwnGil, &app.target(None)).expect("the twin loads");
        assert!(
            loaded
                .refused
                .iter()
                .any(|refused| refused.module == "fastpkg._speed"
                    && refused.consequence == Consequence::Twin)
        );
    });
}

#[test]
fn a_late_refusal_is_a_500() {
    on_worker(|| {
        let app = refused_app(
            "from . import _speed",
            "def application(environ, start_response):\n    import fastpkg\n",
        );
        let Some(app) = own_gil_and_compiler(app) else {
            return;
        };
        with_app(spec(Isolation::OwnGil), &app, |thread| {
            for _ in 0..2 {
                assert_eq!(get(thread, "/").status(), 500);
            }
        });
    });
}

#[test]
fn a_module_is_compiled_as_python_does_it() {
    on_worker(|| {
        let app = App::files(&[
            (
                "app.py",
                r#"
import importlib, sys
seen = []
sys.addaudithook(lambda event, facts: seen.append(facts) if event == "compile" else None)
wrote_none, sys.dont_write_bytecode = sys.dont_write_bytecode, True
import latin
assert latin.TEXT == "\xe9", latin.TEXT
# Other tests share the main interpreter.
sources = [source for source, path in seen if path == latin.__file__]
assert len(sources) == 1 and latin.TEXT.encode("latin-1") in sources[0], seen

def failure(name):
    try:
        importlib.import_module(name)
    except Exception as error:
        frames, at = [], error.__traceback__
        while at is not None:
            frames.append(at.tb_frame.f_code.co_filename)
            at = at.tb_next
        return f"{type(error).__name__}: {getattr(error, 'msg', error)}", [name for name in frames if "singlemalt" in name]

assert failure("bad") == ("SyntaxError: invalid syntax", []), failure("bad")
nul = failure("nul")
assert "null bytes" in nul[0] and nul[1] == [], nul
# What is no source of a module goes to the built-in function.
loader = latin.__loader__
assert loader.source_to_code("x = 1", "given.py").co_filename == "given.py"
try:
    loader.source_to_code(b"", "given.py", _optimize=7)
    assert False, "there is no such level"
except ValueError:
    pass
sys.dont_write_bytecode = wrote_none

def application(environ, start_response):
    start_response('200 OK', [])
    return []
"#,
            ),
            ("latin.py", ""),
            ("bad.py", "x = = 1\n"),
            ("nul.py", "x = '\0'\n"),
        ]);
        std::fs::write(
            app.path("latin.py"),
            b"# -*- coding: latin-1 -*-\nTEXT = '\xe9'\n",
        )
        .expect("a file");
        for isolation in isolations() {
            with_app(spec(isolation), &app, |thread| {
                let answer = get(thread, "/");
                assert_eq!(answer.status(), 200, "{isolation:?}");
            });
        }
    });
}

#[test]
fn a_file_makes_no_types_of_syntax_trees() {
    if strongest() == Isolation::Main {
        return; // other tests have made them there
    }
    on_worker(|| {
        let app = App::new(
            "kinds = [kind for kind in object.__subclasses__() if kind.__name__ == 'AST']\n\
             def application(environ, start_response):\n    start_response('200 OK', [])\n    return [repr(kinds).encode()]\n",
        );
        with_app(spec(strongest()), &app, |thread| {
            assert_eq!(get(thread, "/").body(), "[]");
        });
    });
}
