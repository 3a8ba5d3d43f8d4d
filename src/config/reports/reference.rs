//! The reference of all options, made from the table: docs/options.md and the manual page
//! docs/singlemalt.1. A test compares the files with this; `just gen` writes them. Pure text.

use crate::config::control::subcommand;
use crate::config::error::ConfigError;
use crate::config::spooler::command as spool;
use crate::config::table;
use crate::config::table::row::{Class, Group, Kind, OptionRow, Ready, Takes};

pub(crate) fn render(format: &str) -> Result<String, ConfigError> {
    match format {
        "markdown" => Ok(markdown()),
        "man" => Ok(manual()),
        other => Err(ConfigError::new(format!(
            "--reference wants one of markdown, man, got '{other}' (command line)"
        ))),
    }
}

const CLASSES: &str = "\
Each option has a class, which compares it with uWSGI's option of the same name:

| class | meaning |
|---|---|
| E | the same effect, or an option of singlemalt only |
| M | the same purpose, mapped to one process; the text says how |
| A | accepted without effect; the text says why none is needed |
| X | not supported; the text says why, or what to use instead. The server starts with a warning, except with `--strict`, or if that would be dangerous or useless |

\"Later\" marks options that this version does not implement yet; using one is a warning at start, and an error with `--strict`.
";

fn markdown() -> String {
    let mut text = String::from(
        "<!-- Generated from the option table by `just gen`. Do not edit. -->\n\n# Options\n\n",
    );
    text.push_str(
        "Every option works on the command line (`--http-socket :8000`), in a file\n\
         (`http-socket = :8000`) and in the environment (`SINGLEMALT_HTTP_SOCKET` or\n\
         `UWSGI_HTTP_SOCKET`). [configuration.md](configuration.md) explains files and their syntax;\n\
         `singlemalt --help WORD` prints the text below for one option.\n\n",
    );
    text.push_str(CLASSES);
    for group in Group::ALL {
        let rows: Vec<_> = table::rows()
            .filter(|row| row.group == *group && !row.hidden)
            .collect();
        if rows.is_empty() {
            continue;
        }
        text.push_str(&format!(
            "\n## {}\n\n| option | class | what it does |\n|---|---|---|\n",
            group.title()
        ));
        for row in rows {
            text.push_str(&format!(
                "| {} | {} | {} |\n",
                names(row),
                letter(row),
                cell(&explanation(row))
            ));
        }
    }
    text
}

/// The class as one letter, with a word for what comes later.
pub(crate) fn letter(row: &OptionRow) -> &'static str {
    match (row.class, row.ready) {
        (Class::Accepted(_), _) => "A",
        (Class::Unsupported(_), _) => "X",
        (Class::Same, Ready::Now) => "E",
        (Class::Same, _) => "E, later",
        (Class::Mapped(_), Ready::Now) => "M",
        (Class::Mapped(_), _) => "M, later",
    }
}

fn names(row: &OptionRow) -> String {
    let mut names: Vec<String> = row.names().map(|name| format!("`--{name}`")).collect();
    if let Some(letter) = row.short {
        names.push(format!("`-{letter}`"));
    }
    let value = match row.takes {
        Takes::Nothing => String::new(),
        Takes::Optionally(_) => format!(" `[{}]`", row.placeholder),
        Takes::Always => format!(" `{}`", row.placeholder),
    };
    cell(&format!("{}{value}", names.join(", ")))
}

/// What it does, its words, bounds and default, and its place in one process.
fn explanation(row: &OptionRow) -> String {
    let mut text = row.help.to_owned();
    match row.kind {
        Kind::Choice(words) => text.push_str(&format!(" One of {}.", words.join(", "))),
        Kind::Number { min, max } if max < 1 << 40 => text.push_str(&format!(" {min} to {max}.")),
        _ => {}
    }
    if let Some(default) = row.default.filter(|default| *default != "false") {
        text.push_str(&format!(" Default: {default}."));
    }
    match row.class {
        Class::Same => {}
        Class::Mapped(how) => text.push_str(&format!(" In one process: {how}.")),
        Class::Accepted(why) => text.push_str(&format!(" No effect: {why}.")),
        Class::Unsupported(why) => text.push_str(&format!(" Not supported: {why}.")),
    }
    if let Ready::LaterAndEssential(instead) = row.ready {
        text.push_str(&format!(" Using it is an error: {instead}."));
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

fn manual() -> String {
    let mut text = format!(
        ".\\\" Generated from the option table by `just gen`. Do not edit.\n\
         .TH SINGLEMALT 1 \"\" \"singlemalt {}\" \"User commands\"\n\
         .SH NAME\nsinglemalt \\- one process serves a WSGI application with many interpreters\n\
         .SH SYNOPSIS\n.B singlemalt\n[\\fIOPTIONS\\fR] [\\fIAPPLICATION\\fR]\n\
         .SH DESCRIPTION\n\
         The application is a file (app.py), a module (pkg.module:app), or either with a call that \
         returns it (app.py:create_app()). A name that ends in .ini, .xml, .yaml, .json or .toml is \
         a configuration file in uWSGI's syntax.\n.PP\n\
         Every option also works in a file (http\\-socket = :8000) and in the environment \
         (SINGLEMALT_HTTP_SOCKET, UWSGI_HTTP_SOCKET). The command line takes precedence over the \
         environment; a file applies at the place where it is named; the last value wins, and lists \
         are joined.\n",
        env!("CARGO_PKG_VERSION")
    );
    text.push_str(
        ".SH COMMANDS\nAs the first word, for a running server, named by its pidfile \
         (\\-\\-pidfile), its control socket (\\-\\-control) or its configuration file.\n",
    );
    for (word, _, what) in subcommand::WORDS {
        text.push_str(&format!(".TP\n\\fBsinglemalt {word}\\fR\n{}\n", roff(what)));
    }
    for (flag, what) in subcommand::FLAGS {
        text.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", roff(flag), roff(what)));
    }
    text.push_str(&format!(
        ".TP\n\\fBsinglemalt {}\\fR\n{}\n",
        spool::WORD,
        roff(spool::HELP)
    ));
    for group in Group::ALL {
        let rows: Vec<_> = table::rows()
            .filter(|row| {
                row.group == *group && !row.hidden && !matches!(row.class, Class::Unsupported(_))
            })
            .collect();
        if rows.is_empty() {
            continue;
        }
        text.push_str(&format!(".SH {}\n", group.title().to_uppercase()));
        for row in rows {
            let short = row
                .short
                .map(|letter| format!("\\-{letter}, "))
                .unwrap_or_default();
            let names: Vec<String> = row.names().map(|name| roff(&format!("--{name}"))).collect();
            let value = match row.takes {
                Takes::Nothing => String::new(),
                Takes::Optionally(_) => format!("\\fR[=\\fI{}\\fR]", roff(row.placeholder)),
                Takes::Always => format!("\\fR \\fI{}\\fR", roff(row.placeholder)),
            };
            text.push_str(&format!(
                ".TP\n\\fB{short}{}{value}\\fR\n",
                names.join(", ")
            ));
            let later = if row.ready == Ready::Now {
                ""
            } else {
                " (Not yet in this version.)"
            };
            text.push_str(&format!("{}{later}\n", roff(&explanation(row))));
        }
    }
    text.push_str(
        ".SH EXIT STATUS\n.TP\n0\nThe server was stopped.\n.TP\n1\nThe configuration is invalid, or the \
         server could not start.\n.TP\n22\nThe application could not be loaded, and \\-\\-need\\-app was given.\n\
         .PP\nOf a command:\n",
    );
    for (code, what) in subcommand::EXIT_CODES {
        text.push_str(&format!(".TP\n{code}\n{}\n", roff(what)));
    }
    text.push_str(".SH SEE ALSO\nuwsgi(1)\n");
    text
}

/// Hyphens and backslashes have a meaning in roff, and so has a line that begins with a dot or an
/// apostrophe.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_name_every_option_that_they_should() {
        let (markdown, manual) = (markdown(), manual());
        for row in table::rows().filter(|row| !row.hidden) {
            for name in row.names() {
                assert!(markdown.contains(&format!("`--{name}`")), "{name}");
                if !matches!(row.class, Class::Unsupported(_)) {
                    assert!(manual.contains(&roff(&format!("--{name}"))), "{name}");
                }
            }
        }
        assert!(render("html").is_err());
    }
}
