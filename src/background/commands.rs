//! Commands of `--touch-exec`. Each has a thread that waits for its end and logs a failure.

use super::cron_command::shell;

/// Runs a command in a shell. `by` names the cause, for the log.
pub fn start(by: &'static str, command: &str) {
    let mut child = match shell(command).spawn() {
        Ok(child) => child,
        Err(error) => {
            tracing::error!("{by}: cannot run \"{command}\": {error}");
            return;
        }
    };
    let command = command.to_owned();
    let thread = std::thread::Builder::new().name("sm-command".to_owned());
    let attended = thread.spawn(move || match child.wait() {
        Ok(status) if status.success() => {}
        Ok(status) => tracing::warn!("{by}: \"{command}\" failed: {status}"),
        Err(error) => tracing::error!("{by}: waiting for \"{command}\" failed: {error}"),
    });
    if let Err(error) = attended {
        tracing::error!(%error, "{by}: cannot wait for a command");
    }
}
