//! Texts of `hook-*` options become actions: `exec:COMMAND`, `write:FILE TEXT` and so on, by the
//! names that uWSGI registers for them. Pure; nothing is done here.

use std::path::PathBuf;

use super::types::{HookAction, Phase, Principal, SignalMeaning};
use crate::config::values::value;

/// The phase in an option's name: `hook-post-fork`, `exec-as-root`.
pub(crate) fn phase(option: &str) -> Option<Phase> {
    if option == "exec" {
        return Some(Phase::PreApp);
    }
    let name = option
        .strip_prefix("hook-")
        .or_else(|| option.strip_prefix("exec-"))?;
    let found = Phase::ALL.iter().find(|(phase, _)| *phase == name);
    found.map(|(_, phase)| *phase)
}

pub(crate) fn principal(text: &str) -> Principal {
    match text.parse() {
        Ok(number) => Principal::Number(number),
        Err(_) => Principal::Name(text.to_owned()),
    }
}

/// What the text asks for. `Err` is the end of the sentence "`hook-...` ...".
pub(crate) fn action(text: &str) -> Result<HookAction, String> {
    let (name, argument) = match text.split_once(':') {
        Some((name, argument)) => (name.trim(), argument),
        None => (text.trim(), ""),
    };
    let path = || match argument {
        "" => Err(format!("wants a path behind {name}:")),
        path if path.contains('\0') => Err(format!("wants a path behind {name}:")),
        path => Ok(PathBuf::from(path)),
    };
    let two = |what: &str| {
        let parts = argument
            .split_once(' ')
            .filter(|(first, _)| !first.is_empty());
        parts.ok_or_else(|| format!("wants {name}:{what}, got '{text}'"))
    };
    let with_text = |end: &str| {
        two("FILE TEXT").map(|(file, text)| (PathBuf::from(file), format!("{text}{end}")))
    };
    Ok(match name {
        "exec" | "safeexec" if argument.trim().is_empty() => {
            return Err(format!("wants {name}:COMMAND, got '{text}'"));
        }
        "exec" => HookAction::Exec(argument.to_owned()),
        "safeexec" => HookAction::SafeExec(argument.to_owned()),
        "cd" | "chdir" => HookAction::ChangeDirectory(path()?),
        "mkdir" => HookAction::MakeDirectory(path()?),
        "putenv" => {
            let (key, value) = value::pair(argument)?;
            HookAction::SetEnvironment(key, value)
        }
        "chmod" => {
            let (file, mode) = two("FILE MODE")?;
            HookAction::ChangeMode(PathBuf::from(file), value::mode(mode)?)
        }
        "sticky" => HookAction::Sticky(path()?),
        "chown" | "chown2" => {
            let (file, owner) = two("FILE USER GROUP")?;
            let Some((user, group)) = owner.split_once(' ') else {
                return Err(format!("wants {name}:FILE USER GROUP, got '{text}'"));
            };
            HookAction::ChangeOwner(PathBuf::from(file), principal(user), principal(group))
        }
        "create" | "creat" => HookAction::Create(path()?),
        "write" => with_text("").map(|(file, text)| HookAction::Write(file, text))?,
        "writen" => with_text("\n").map(|(file, text)| HookAction::Write(file, text))?,
        "append" => with_text("").map(|(file, text)| HookAction::Append(file, text))?,
        // Without a text it appends an empty line.
        "appendn" if !argument.contains(' ') => HookAction::Append(path()?, "\n".to_owned()),
        "appendn" => with_text("\n").map(|(file, text)| HookAction::Append(file, text))?,
        "writefifo" => with_text("").map(|(file, text)| HookAction::WriteFifo(file, text))?,
        "unlink" => HookAction::Unlink(path()?),
        "wait_for_fs" => HookAction::WaitForPath(path()?),
        "wait_for_file" => HookAction::WaitForFile(path()?),
        "wait_for_dir" => HookAction::WaitForDirectory(path()?),
        "print" | "log" => HookAction::Log(argument.to_owned()),
        "alarm" => {
            let (alarm, message) = two("NAME TEXT")?;
            HookAction::Alarm(alarm.to_owned(), message.to_owned())
        }
        "exit" => HookAction::Exit(argument.trim().parse().unwrap_or(0)),
        "unix_signal" => {
            let (signal, function) = two("SIGNAL FUNCTION")?;
            HookAction::Signal(meaning(signal, function.trim())?)
        }
        other => return Err(not_an_action(other, text)),
    })
}

/// Why a name is no action here; the end of the sentence "`hook-...` ...".
fn not_an_action(name: &str, text: &str) -> String {
    match name {
        "mount" | "umount" | "pivot_root" => format!(
            "asks for {name}, which is not supported: mount file systems before the server starts"
        ),
        "call" | "callret" | "callint" | "callintret" => format!(
            "asks for {name}, which is not supported: there are no functions of uWSGI's binary \
             to call"
        ),
        "rpc" | "retryrpc" | "hostname" => format!("asks for {name}, which is not supported"),
        "" => format!("wants ACTION:ARGUMENT, such as exec:COMMAND, got '{text}'"),
        other => format!("asks for {other}, and there is no such action"),
    }
}

/// The number of a signal, with or without `SIG` where it has a name.
fn signal(text: &str) -> Result<i32, String> {
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let number = match name {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "USR1" => 10,
        "USR2" => 12,
        "TERM" => 15,
        number => number.parse().unwrap_or(0),
    };
    match number {
        1..=64 => Ok(number),
        _ => Err(format!("wants the number of a signal, got '{text}'")),
    }
}

fn meaning(number: &str, function: &str) -> Result<SignalMeaning, String> {
    let number = signal(number)?;
    match function {
        "gracefully_kill_them_all" => Ok(SignalMeaning::GracefulStop(number)),
        "kill_them_all" => Ok(SignalMeaning::Stop(number)),
        "grace_them_all" => Ok(SignalMeaning::Reload(number)),
        "reap_them_all" => Ok(SignalMeaning::ReloadAtOnce(number)),
        other => Err(format!(
            "names {other}, a function of uWSGI's binary; gracefully_kill_them_all, kill_them_all, \
             grace_them_all and reap_them_all are understood"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match action(text) {
            Ok(action) => format!("{action:?}"),
            Err(why) => format!("error {why}"),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn actions() {
        check("exec:echo a:b", r#"Exec("echo a:b")"#);
        check("cd:/srv", r#"ChangeDirectory("/srv")"#);
        check("chmod:/run/a.sock 660", r#"ChangeMode("/run/a.sock", 432)"#);
        check(
            "chown:/run/a www-data 33",
            r#"ChangeOwner("/run/a", Name("www-data"), Number(33))"#,
        );
        check("write:/a b c", r#"Write("/a", "b c")"#);
        check("writen:/a b", r#"Write("/a", "b\n")"#);
        check("appendn:/a", r#"Append("/a", "\n")"#);
        check("putenv:A=B", r#"SetEnvironment("A", "B")"#);
        check("print:hello", r#"Log("hello")"#);
        check("exit", "Exit(0)");
        check("exit:3", "Exit(3)");
        check(
            "unix_signal:15 gracefully_kill_them_all",
            "Signal(GracefulStop(15))",
        );
        check("unix_signal:SIGHUP grace_them_all", "Signal(Reload(1))");
    }

    #[test]
    fn what_cannot_be_meant() {
        check(
            "",
            "error wants ACTION:ARGUMENT, such as exec:COMMAND, got ''",
        );
        check(
            "dance:now",
            "error asks for dance, and there is no such action",
        );
        check("exec: ", "error wants exec:COMMAND, got 'exec: '");
        check("safeexec", "error wants safeexec:COMMAND, got 'safeexec'");
        check("cd:", "error wants a path behind cd:");
        check("write:/a", "error wants write:FILE TEXT, got 'write:/a'");
        check(
            "chown:/a b",
            "error wants chown:FILE USER GROUP, got 'chown:/a b'",
        );
        check(
            "mount:proc none /proc",
            "error asks for mount, which is not supported: mount file systems before the server \
             starts",
        );
        check(
            "unix_signal:99 kill_them_all",
            "error wants the number of a signal, got '99'",
        );
    }

    #[test]
    fn every_phase_has_an_option() {
        for (name, expected) in Phase::ALL {
            assert_eq!(phase(&format!("hook-{name}")), Some(*expected));
        }
        assert_eq!(phase("exec-as-user-atexit"), Some(Phase::AsUserAtExit));
        assert_eq!(phase("exec"), Some(Phase::PreApp));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,30}|[a-z_]{2,10}:\\PC{0,20}") {
            if let Err(why) = action(&text) {
                prop_assert!(!why.is_empty());
            }
        }
    }
}
