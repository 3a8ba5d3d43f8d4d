//! The command as a program.

use singlemalt::python::exit_now;
use singlemalt::server::run_command;

fn main() {
    exit_now(run_command())
}
