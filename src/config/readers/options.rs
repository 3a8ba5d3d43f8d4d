//! Options about options: files, checks, help. Data only.

use crate::config::table::row::{Group, Kind, OptionRow, row};

const FILES: Group = Group::Configuration;
const PRINTS: Group = Group::Information;

options! {
    STRICT = row(FILES, "strict", Kind::Flag,
        "Refuse to start when an option is not supported, instead of saying so and going on.")
        .default("false");
    INI = row(FILES, "ini", Kind::Path, "Read options from an ini file, in this place: later \
        options win. Also without --ini. \
         A section other than [uwsgi] is named behind a colon; - is standard input.")
        .many().value("FILE[:SECTION]").language();
    INI_PASTE = row(FILES, "ini-paste", Kind::Path, "Load the application from a PasteDeploy file, \
        as --paste does, and read the options of its section [uwsgi], if there is one.")
        .many().value("FILE").language();
    INI_PASTE_LOGGED = row(FILES, "ini-paste-logged", Kind::Path, "As --ini-paste, with \
        --paste-logger.")
        .many().value("FILE").language();
    XML = row(FILES, "xml", Kind::Path, "Read options from an XML file: \
        <uwsgi><http>:8000</http></uwsgi>.")
        .also(&["xmlconfig"]).short('x').many().value("FILE[:ID]").language();
    YAML = row(FILES, "yaml", Kind::Path, "Read options from a YAML file: a mapping below the key \
        uwsgi.")
        .also(&["yml"]).short('y').many().value("FILE[:KEY]").language();
    JSON = row(FILES, "json", Kind::Path, "Read options from a JSON file: an object below the key \
        uwsgi.")
        .also(&["js"]).short('j').many().value("FILE[:KEY]").language();
    TOML = row(FILES, "toml", Kind::Path, "Read options from a TOML file: a table [uwsgi] or \
        [singlemalt].")
        .many().value("FILE[:TABLE]").language();
    CONFIG = row(FILES, "config", Kind::Path,
        "Read options from a file, in the format of its ending; - is standard input.")
        .many().value("FILE").language();
    INCLUDE = row(FILES, "include", Kind::Path, "Read a file in this place, whatever its format.")
        .many().value("FILE").language();
    INHERIT = row(FILES, "inherit", Kind::Path,
        "Read a file after everything else, without expanding its placeholders (uWSGI's rule; \
         --include is what is usually meant).")
        .many().value("FILE").language();
    SET = row(FILES, "set", Kind::Text, "Set an option or a placeholder.")
        .short('S').many().value("KEY=VALUE").language();
    SET_PLACEHOLDER = row(FILES, "set-placeholder", Kind::Pair,
        "Set a placeholder, for %(KEY): the only kind that --strict allows.")
        .also(&["set-ph"]).many().language();
    DECLARE_OPTION = row(FILES, "declare-option", Kind::Pair,
        "Make a name for several options: NAME=OPTION=VALUE;OPTION=$1 ...")
        .also(&["declare-option2"]).many().value("NAME=TEMPLATE").language();
    CONDITION = row(FILES, "if-env", Kind::Text,
        "Read what follows, up to else or endif, only if something is so. The value that was \
         looked \
         at is %(_).")
        .also(&["ifenv", "if-not-env", "if-opt", "if-not-opt", "if-exists", "ifexists",
            "if-not-exists", "if-file", "if-not-file", "if-dir", "ifdir", "if-directory",
            "if-not-dir", "if-plugin", "ifplugin", "if-not-plugin", "if-hostname",
            "if-not-hostname", "if-hostname-match", "if-not-hostname-match"])
        .many().value("THING").language();
    CONDITION_RELOAD = row(FILES, "if-reload", Kind::Flag,
        "Read what follows, up to else or endif, only at a reload.")
        .also(&["if-not-reload"]).many().language();
    ELSE = row(FILES, "else", Kind::Text, "Read what follows if the condition before did not hold.")
        .bare("").many().language();
    END = row(FILES, "endif", Kind::Text, "The end of a condition or a repetition.")
        .also(&["end-if", "end", "endfor", "end-for"]).bare("").many().language();
    REPEAT = row(FILES, "for", Kind::Text,
        "Read each option that follows, up to endfor, once for each word, file, number or line; it \
         is %(_).")
        .also(&["for-glob", "for-times", "for-readline"]).many().value("THINGS").language();
    PRINT = row(FILES, "print", Kind::Text, "Print a text at start.")
        .also(&["iprint"]).many().language();
    EXIT = row(FILES, "exit", Kind::Number { min: 0, max: 255 }, "Leave with this code while \
        options are read.")
        .bare("0").value("CODE").language();
    ALLOW_CONFIG_EXEC = row(FILES, "allow-config-exec", Kind::Flag,
        "Let @(exec://COMMAND) in configuration files run commands. On the command line or in the \
         environment only.").language();
    CHECK_CONFIG = row(PRINTS, "check-config", Kind::Flag,
        "Check the configuration and leave: code 0 if it can be used, 1 if not.")
        .command();
    SHOW_CONFIG = row(PRINTS, "show-config", Kind::Flag,
        "Print the configuration in effect, with the origin of each value, and leave; in a file: \
         print it at start.")
        .command();
    EXPLAIN = row(PRINTS, "explain", Kind::Path,
        "Explain a uWSGI configuration line by line: what each option means here, and what is left \
         to do. Also a gunicorn.conf.py, or a gunicorn command line in quotes.")
        .value("FILE").command();
    GET = row(PRINTS, "get", Kind::Text, "Print the value of an option or placeholder, and leave.")
        .many().value("NAME").command();
    COMPLETIONS = row(PRINTS, "completions", Kind::Choice(&["bash", "zsh", "fish", "powershell"]),
        "Print the completion script of a shell.")
        .value("SHELL").command();
    REFERENCE = row(PRINTS, "reference", Kind::Choice(&["markdown", "man"]),
        "Print the reference of all options.")
        .value("FORMAT").command();
    HELP = row(PRINTS, "help", Kind::Text,
        "Print the options that have an effect; with a word, everything about the options that it \
         occurs in; with 'all', about every option.")
        .also(&["usage"]).short('h').bare("").value("WORD").command();
    PLUGIN_LIST = row(PRINTS, "plugin-list", Kind::Flag, "Print what is built in of what uWSGI has \
        plugins for.")
        .also(&["plugins-list"]).command();
    VERSION = row(PRINTS, "version", Kind::Flag, "Print the version.").command();
}
