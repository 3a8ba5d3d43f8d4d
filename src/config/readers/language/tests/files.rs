//! Files that name files: inside conditions and loops, and when there is none.

use super::{Site, check};

/// A file may be named inside a condition or a loop, and have some of its own.
#[test]
fn a_file_inside_a_condition_or_a_loop() {
    let site = Site::new(&[
        (
            "if.ini",
            "[uwsgi]\nif-env = NAME\nini = {}/%(_).ini\nb = %(_)\nelse =\nc = 1\nendif =\nd = 1\n",
        ),
        (
            "for.ini",
            "[uwsgi]\nfor = blue red\nini = {}/%(_).ini\nb = %(_)\nendfor =\n",
        ),
        (
            "else.ini",
            "[uwsgi]\nif-not-env = NAME\na = 1\nelse =\nini = {}/red.ini\nb = 1\nendif =\nc = 1\n",
        ),
        ("blue.ini", "[uwsgi]\nif-env = PORT\nblue = %(_)\nendif =\n"),
        ("red.ini", "[uwsgi]\nred = 1\n"),
    ]);
    for (file, expected) in [
        ("if.ini", "blue=9090, b=blue, d=1"),
        ("for.ini", "blue=9090, red=1, b=blue, b=red"),
        ("else.ini", "red=1, b=1, c=1"),
    ] {
        assert_eq!(site.shown(&format!("{{}}/{file}")), expected, "{file}");
        assert_eq!(site.warnings(&format!("{{}}/{file}")), "", "{file}");
    }
}

#[test]
fn a_loop_over_the_lines_of_a_file_that_is_not_there() {
    check("for-readline = %d/none\nx = %(_)\nendfor =\ny = 1", "y=1");
    let site = Site::new(&[(
        "a.ini",
        "[uwsgi]\nfor-readline = none\nenv = %(_)\nendfor =\n",
    )]);
    assert_eq!(
        site.warnings("{}/a.ini"),
        "for-readline: there is no file none, and what is below is not read, as in uWSGI (a.ini \
         line 2)"
    );
}

/// Files of variables have empty lines, and lines without a value.
#[test]
fn the_lines_of_a_file_as_variables() {
    let site = Site::new(&[
        (
            "a.ini",
            "[uwsgi]\nmodule = app\nfor-readline = %dvariables\nenv = %(_)\nendfor =\n",
        ),
        ("variables", "A=1\n\nB\nC=x=y\n"),
    ]);
    let config = site.configured("{}/a.ini");
    let pair = |key: &str, text: &str| (key.to_owned(), text.to_owned());
    assert_eq!(
        config.python.environment_set,
        [pair("A", "1"), pair("C", "x=y")]
    );
    assert_eq!(config.python.environment_unset, ["B"]);
    let warning = config
        .warnings
        .join("\n")
        .replace(&format!("{}/", site.root()), "");
    assert_eq!(
        warning,
        "env has no '=', and so removes the variable, as in uWSGI (a.ini line 4)"
    );
}

#[test]
fn a_file_cannot_be_named_by_a_variable() {
    check(
        "ini = $(NAME).ini",
        "error: $(NAME).ini cannot be read: there is no such file (a.ini line 2)\n  files are read \
         before variables and \
         placeholders are replaced, as in uWSGI: name the file on the command line, or with if-env \
         and %(_)",
    );
}

/// uWSGI has no option `app`; here it is one.
#[test]
fn app_is_a_placeholder_where_uwsgi_files_make_it_one() {
    let site = Site::new(&[
        (
            "a.ini",
            "[uwsgi]\napp = my shop\nmodule = shop\nprocname = %(app)\n",
        ),
        ("b.ini", "[uwsgi]\napp = my shop\nmodule = shop\n"),
        ("c.toml", "[singlemalt]\napp = \"shop.py\"\n"),
    ]);
    for (file, app, warnings) in [
        ("a.ini", "shop", ""),
        (
            "b.ini",
            "shop",
            "app my shop (b.ini line 2) is passed over: uWSGI has no such option, and another \
             names the application",
        ),
        ("c.toml", "shop.py", ""),
    ] {
        let config = site.configured(&format!("{{}}/{file}"));
        assert_eq!(config.app.choice.unwrap().to_string(), app, "{file}");
        let said = config
            .warnings
            .join("\n")
            .replace(&format!("{}/", site.root()), "");
        assert_eq!(said, warnings, "{file}");
    }
}
