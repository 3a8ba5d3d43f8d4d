//! Background work that belongs to no request: timers, cron, file monitors, alarms, commands.
//!
//! `app` registers triggers here, `reload` watches files, `server` starts the threads (`sm-clock`,
//! `sm-watch`, `sm-alarm`; commands have one each). A callback only queues a signal or an event: no
//! code of this room may run Python, open sockets or wait for a worker. Read `clockwork` first.
//!
//! - [`watch`]: tells when files change
//! - `timers`, [`cron`]: when something is due, as pure functions of the time
//! - [`registrations`]: which signals one generation of the application handles, and what raises
//!   them
//! - [`clockwork`]: the thread that raises them
//! - [`spooler`]: tasks in directories
//! - [`alarms`]: messages that run commands, raise signals or stand out in the log
//! - [`commands`]: commands of `--touch-exec`
//! - [`cron_command`]: commands that run at certain times

pub mod alarms;
pub mod clockwork;
pub mod commands;
pub mod cron;
pub mod cron_command;
pub mod registrations;
pub mod spooler;
mod timers;
mod trigger;
pub mod watch;

pub use timers::TimerSpec;
pub use trigger::Trigger;
