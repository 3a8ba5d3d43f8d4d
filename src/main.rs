//! The command: reads the configuration, runs the server, leaves with its exit code.

use singlemalt::config::{self, Command};
use singlemalt::python::exit_now;
use singlemalt::server::{self, Exit, Failure};

fn main() {
    let exit = match server::wait_if_waiter() {
        Some(waited) => waited.unwrap_or_else(|failure| failed(&failure)),
        None => run(),
    };
    let code = match &exit.fallback {
        Some(file) => server::start_with(file).unwrap_or_else(|why| {
            say_error(&why);
            1
        }),
        None => exit.code,
    };
    // Python is never finalised and its threads may still run: leave without running C's exit
    // handlers.
    exit_now(code)
}

fn failed(failure: &Failure) -> Exit {
    say_error(&failure.text);
    Exit::with(i32::from(failure.code))
}

fn run() -> Exit {
    let code = match config::from_args(std::env::args_os().skip(1), std::env::vars_os()) {
        Ok(Command::Run(config)) => {
            say(&config.prints);
            return server::run(&config).unwrap_or_else(|failure| {
                let exit = failed(&failure);
                Exit::of_first(&config, exit.code)
            });
        }
        Ok(Command::CheckConfig(config)) => {
            say(&config.prints);
            for warning in &config.warnings {
                print(&mut std::io::stderr(), &format!("warning: {warning}\n"));
            }
            0
        }
        Ok(Command::Exit(code)) => code,
        Ok(Command::Pidfile(command)) => {
            let (code, text) = server::ask_by_pidfile(&command);
            if code == 0 {
                print(&mut std::io::stdout(), &format!("{text}\n"));
            } else {
                say_error(&text);
            }
            code
        }
        Ok(Command::Control(subcommand)) => match server::ask_by_control(&subcommand) {
            Ok((code, text)) => {
                print(&mut std::io::stdout(), &format!("{text}\n"));
                code
            }
            Err((code, text)) => {
                say_error(&text);
                code
            }
        },
        Ok(Command::Help(text) | Command::ShowConfig(text) | Command::Print(text)) => {
            print(&mut std::io::stdout(), &text)
        }
        Ok(Command::Version) => print(
            &mut std::io::stdout(),
            concat!("singlemalt ", env!("CARGO_PKG_VERSION"), "\n"),
        ),
        Err(error) => {
            server::could_not_begin(&error.to_string());
            say_error(&error.to_string());
            1
        }
    };
    Exit::with(code)
}

/// What `print` in a configuration file asked for.
fn say(lines: &[String]) {
    for line in lines {
        print(&mut std::io::stderr(), &format!("{line}\n"));
    }
}

fn say_error(text: &str) {
    print(&mut std::io::stderr(), &format!("error: {text}\n"));
}

/// Returns the exit code: a closed pipe (`singlemalt --help | head`) is not worth a word.
fn print(out: &mut dyn std::io::Write, text: &str) -> i32 {
    i32::from(
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .is_err(),
    )
}
