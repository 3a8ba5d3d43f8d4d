//! `--help`, `--help all` and `--help WORD`, rendered from the option table. Pure text, at most 80
//! columns.

use crate::config::table;
use crate::config::table::row::{Class, Group, Kind, OptionRow, Ready, Takes};

const WIDTH: usize = 80;
const INDENT: usize = 8;

/// What stands above the options.
const USAGE: &str = "\
singlemalt: one process serves a WSGI application with many interpreters

usage: singlemalt [OPTIONS] [APPLICATION]

  singlemalt app.py                      the callable in a file
  singlemalt app.py:create_app()         what a function of it returns
  singlemalt pkg.module:app              a callable in a module
  singlemalt --http :9090 --wsgi-file app.py --processes 4 --threads 2

To a running server, by its pidfile, control socket or configuration:

  singlemalt reload --pidfile app.pid    load it anew, and say how that went
  singlemalt rollback --pidfile app.pid  go back to the version before
  singlemalt status --pidfile app.pid    say what the workers do
  singlemalt stacks --pidfile app.pid    say where they stand in Python code
  singlemalt stop --pidfile app.pid      stop, and wait for the end

--help WORD explains every option that WORD occurs in. Each option is also an
environment variable: --http-socket is SINGLEMALT_HTTP_SOCKET or
UWSGI_HTTP_SOCKET; the command line wins.
";

/// Every option with an effect, by group, and how many there are besides.
pub(crate) fn overview() -> String {
    let mut text = USAGE.to_owned();
    text.push_str(&grouped(|row| row.has_effect() && !row.hidden));
    let count = |belongs: fn(&OptionRow) -> bool| {
        let rows = table::rows().filter(|row| belongs(row));
        rows.map(|row| row.names().count()).sum::<usize>()
    };
    let accepted = count(|row| matches!(row.class, Class::Accepted(_)));
    let unsupported = count(|row| matches!(row.class, Class::Unsupported(_)));
    let later = count(|row| row.ready != Ready::Now && !matches!(row.class, Class::Unsupported(_)));
    text.push('\n');
    text.push_str(&wrapped(
        &format!(
            "{accepted} more options of uWSGI are accepted and change nothing in one process, \
             {later} are not yet in this version, {unsupported} are not supported. --help all \
             explains each of them."
        ),
        0,
    ));
    text
}

pub(crate) fn everything() -> String {
    grouped(|row| !row.hidden).trim_start().to_owned()
}

fn grouped(belongs: fn(&OptionRow) -> bool) -> String {
    let mut text = String::new();
    for group in Group::ALL {
        let rows: Vec<_> = table::rows()
            .filter(|row| row.group == *group && belongs(row))
            .collect();
        if !rows.is_empty() {
            text.push_str(&format!("\n{}:\n", group.title()));
        }
        for row in rows {
            text.push_str(&entry(row));
        }
    }
    text
}

/// Every option that `word` occurs in: in a name, or else in the help.
pub(crate) fn about(word: &str) -> String {
    let word = word.trim_start_matches('-').to_ascii_lowercase();
    let in_name = |row: &&OptionRow| {
        let letter = row.short.is_some_and(|letter| word == letter.to_string());
        letter || row.names().any(|name| name.contains(&word))
    };
    let in_help = |row: &&OptionRow| {
        row.help.to_ascii_lowercase().contains(&word)
            || row.class.sentence().to_ascii_lowercase().contains(&word)
    };
    let mut rows: Vec<_> = table::rows().filter(in_name).collect();
    rows.extend(table::rows().filter(|row| !in_name(row)).filter(in_help));
    if rows.is_empty() {
        let mut text = format!("no option has '{word}' in its name or its help\n");
        if let Some(meant) = super::suggestion::closest(&word) {
            text.push_str(&format!("did you mean --help {meant}?\n"));
        }
        return text;
    }
    let mut text = String::new();
    for row in rows {
        text.push_str(&entry(row));
    }
    text
}

/// The option's names on one line, what it does below.
fn entry(row: &OptionRow) -> String {
    let mut names: Vec<String> = Vec::new();
    if let Some(letter) = row.short {
        names.push(format!("-{letter}"));
    }
    names.extend(row.names().map(|name| format!("--{name}")));
    let mut line = names.join(", ");
    match row.takes {
        Takes::Nothing => {}
        Takes::Optionally(_) => line.push_str(&format!("[={}]", row.placeholder)),
        Takes::Always => line.push_str(&format!(" {}", row.placeholder)),
    }
    let mut text = wrapped(&line, 2);
    text.push_str(&wrapped(&explanation(row), INDENT));
    text
}

fn explanation(row: &OptionRow) -> String {
    let mut text = row.help.to_owned();
    if let Kind::Choice(words) = row.kind {
        text.push_str(&format!(" [{}]", words.join(", ")));
    }
    match (row.default, row.takes) {
        (_, Takes::Nothing) | (None | Some(""), _) => {}
        (Some(default), _) => text.push_str(&format!(" [default: {default}]")),
    }
    match row.class {
        Class::Same => {}
        Class::Mapped(how) => text.push_str(&format!(" [in one process: {how}]")),
        Class::Accepted(why) => text.push_str(&format!(" [accepted, no effect: {why}]")),
        Class::Unsupported(why) => return format!("{text} [not supported: {why}]"),
    }
    match row.ready {
        Ready::Now => {}
        Ready::Later => text.push_str(" [not yet in this version]"),
        Ready::LaterAndEssential(instead) => {
            text.push_str(&format!(" [not yet in this version: {instead}]"));
        }
    }
    text
}

/// Lines of at most [`WIDTH`] columns, each behind `indent` spaces.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if lines.is_empty() || column + 1 + width > WIDTH {
            if !lines.is_empty() {
                lines.push('\n');
            }
            lines.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += width;
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_in_help_and_no_line_is_too_long() {
        let (overview, everything) = (overview(), everything());
        for row in table::rows().filter(|row| !row.hidden) {
            assert!(everything.contains(&entry(row)), "{}", row.name);
            assert_eq!(
                overview.contains(&entry(row)),
                row.has_effect(),
                "{}",
                row.name
            );
        }
        for line in overview.lines().chain(everything.lines()) {
            let one_word = line.split_whitespace().count() == 1;
            assert!(line.chars().count() <= WIDTH || one_word, "{line}");
        }
    }

    #[test]
    fn a_word_finds_names_first() {
        let text = about("--chmod");
        assert!(
            text.trim_start().starts_with("-C, --chmod-socket"),
            "{text}"
        );
        assert!(about("p").contains("--processes"));
        assert!(about("zzzzz").starts_with("no option has 'zzzzz'"));
        assert!(about("vaccum").contains("did you mean --help vacuum?"));
    }
}
