//! `--completions SHELL`: scripts that complete options, made from the option table. Pure text.
//!
//! Options with an effect, and those of uWSGI that are accepted, are offered; values are offered
//! where the table knows them, else files.

use crate::config::control::subcommand;
use crate::config::error::ConfigError;
use crate::config::spooler::command as spool;
use crate::config::table;
use crate::config::table::row::{Class, Kind, OptionRow, Takes};

pub(crate) fn script(shell: &str) -> Result<String, ConfigError> {
    match shell {
        "bash" => Ok(bash()),
        "zsh" => Ok(zsh()),
        "fish" => Ok(fish()),
        "powershell" => Ok(powershell()),
        other => Err(ConfigError::new(format!(
            "--completions wants one of bash, zsh, fish, powershell, got '{other}' (command line)"
        ))),
    }
}

fn offered() -> impl Iterator<Item = &'static OptionRow> {
    table::rows().filter(|row| !row.hidden && !matches!(row.class, Class::Unsupported(_)))
}

/// The words that a value can be; empty where any text will do.
fn words(row: &OptionRow) -> &'static [&'static str] {
    match row.kind {
        Kind::Choice(words) => words,
        Kind::Flag => &["true", "false"],
        _ => &[],
    }
}

const HEAD: &str = "Made from the option table by `singlemalt --completions`; do not edit.";

/// The first words that are no application, and what they do.
fn commands() -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_servers = subcommand::WORDS.iter();
    let of_servers = of_servers.map(|(word, _, help)| (*word, *help));
    of_servers.chain([(spool::WORD, spool::HELP)])
}

/// The subcommands, where they can stand: as the first word.
fn subcommands() -> String {
    let words: Vec<&str> = commands().map(|(word, _)| word).collect();
    words.join(" ")
}

fn bash() -> String {
    let mut names: Vec<String> = Vec::new();
    let mut cases = String::new();
    for row in offered() {
        names.extend(row.names().map(|name| format!("--{name}")));
        if let Kind::Choice(words) = row.kind {
            let patterns: Vec<String> = row.names().map(|name| format!("--{name}")).collect();
            cases.push_str(&format!(
                "        {})\n            COMPREPLY=($(compgen \
                 -W \"{}\" -- \"$word\"))\n            return ;;\n",
                patterns.join("|"),
                words.join(" ")
            ));
        }
    }
    format!(
        "# {HEAD}\n_singlemalt() {{\n    local word=\"${{COMP_WORDS[COMP_CWORD]}}\"\n    \
         case \"${{COMP_WORDS[COMP_CWORD-1]}}\" in\n{cases}    esac\n    if [[ $word == -* ]]; \
         then\n        \
         COMPREPLY=($(compgen -W \"{}\" -- \"$word\"))\n    else\n        \
         COMPREPLY=($(compgen -f -- \"$word\"))\n        \
         [[ $COMP_CWORD == 1 ]] && COMPREPLY+=($(compgen -W \"{}\" -- \"$word\"))\n    fi\n    \
         return 0\n}}\ncomplete -o filenames -F _singlemalt singlemalt\n",
        names.join(" "),
        subcommands()
    )
}

fn zsh() -> String {
    let mut text = format!("#compdef singlemalt\n# {HEAD}\n_arguments \\\n");
    for row in offered() {
        let help = quoted_for_zsh(row.help);
        for name in row.names() {
            let many = if row.adds_up { "*" } else { "" };
            let value = match (row.takes, words(row)) {
                (Takes::Nothing, _) => String::new(),
                (_, []) if matches!(row.kind, Kind::Path) => ":file:_files".to_owned(),
                (_, []) => format!(":{}: ", quoted_for_zsh(row.placeholder)),
                (_, words) => format!(":word:({})", words.join(" ")),
            };
            let equals = match row.takes {
                Takes::Nothing => "",
                Takes::Optionally(_) => "=-",
                Takes::Always => "=",
            };
            text.push_str(&format!("  '{many}--{name}{equals}[{help}]{value}' \\\n"));
            if let Some(letter) = row.short.filter(|_| name == row.name) {
                // Its value may follow at once or as the next word.
                let joint = equals.replace('=', "+").replace("+-", "-");
                text.push_str(&format!("  '{many}-{letter}{joint}[{help}]{value}' \\\n"));
            }
        }
    }
    text.push_str(&format!(
        "  '1:command, application or configuration \
         file:_alternative \"commands\\:command\\:({})\" \
         \"files\\:file\\:_files\"' \\\n  '*:application or configuration file:_files'\n",
        subcommands()
    ));
    text
}

fn quoted_for_zsh(text: &str) -> String {
    text.replace('\'', "")
        .replace('[', "(")
        .replace(']', ")")
        .replace(':', "\\:")
}

fn fish() -> String {
    let mut text = format!("# {HEAD}\n");
    for (word, help) in commands() {
        text.push_str(&format!(
            "complete -c singlemalt -n __fish_use_subcommand -a {word} -d '{help}'\n"
        ));
    }
    for row in offered() {
        let help = row.help.replace('\\', "\\\\").replace('\'', "\\'");
        for (index, name) in row.names().enumerate() {
            let mut line = format!("complete -c singlemalt -l {name}");
            if let Some(letter) = row.short.filter(|_| index == 0) {
                line.push_str(&format!(" -s {letter}"));
            }
            if row.takes == Takes::Always {
                line.push_str(" -r");
            }
            if let Kind::Choice(words) = row.kind {
                line.push_str(&format!(" -f -a '{}'", words.join(" ")));
            } else if row.takes == Takes::Always && !matches!(row.kind, Kind::Path) {
                line.push_str(" -f");
            }
            text.push_str(&format!("{line} -d '{help}'\n"));
        }
    }
    text
}

fn powershell() -> String {
    let mut text = format!(
        "# {HEAD}\nRegister-ArgumentCompleter -Native -CommandName singlemalt -ScriptBlock {{\n    \
         param($word, $line, $position)\n    $options = @(\n"
    );
    for (word, help) in commands() {
        text.push_str(&format!("        ,@('{word}', '{help}')\n"));
    }
    for row in offered() {
        let help = row.help.replace('\'', "''");
        for name in row.names() {
            text.push_str(&format!("        ,@('--{name}', '{help}')\n"));
        }
    }
    text.push_str(
        "    )\n    $options | Where-Object { $_[0] -like \"$word*\" } | ForEach-Object {\n        \
         [System.Management.Automation.CompletionResult]::new($_[0], $_[0], 'ParameterName', \
         $_[1])\n    }\n}\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_knows_every_option_that_is_offered() {
        for shell in ["bash", "zsh", "fish", "powershell"] {
            let script = script(shell).unwrap();
            for row in offered() {
                for name in row.names() {
                    assert!(script.contains(name), "{shell}: {name}");
                }
            }
            assert!(script.ends_with('\n'));
        }
        assert!(script("tcsh").is_err());
    }

    #[test]
    fn quotes_are_balanced() {
        for line in zsh().lines().filter(|line| line.starts_with("  '")) {
            assert_eq!(line.matches('\'').count(), 2, "{line}");
        }
    }
}
