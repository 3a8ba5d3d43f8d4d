//! A new image of a process, while its stand-in serves: it loads the application, hears signals meanwhile, and takes over. If it
//! cannot, the stand-in serves on and the next image tries again.
//!
//! Main thread; the application is loaded on another one (`sm-load`) so that a stop need not wait for it.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded, select, unbounded};

use super::in_place;
use crate::app::Patience;
use crate::config::Config;
use crate::config::Failure;
use crate::os::pidfile;
use crate::os::service_manager::notify::Notifier;
use crate::os::vacuum::Vacuum;
use crate::reload::event::Event;
use crate::reload::handover::origin::{Inheritance, Origin};
use crate::reload::handover::successor_process::{Heard, StandIn};
use crate::server::supervisor::KILLED_BY;
use crate::server::{hooks, signals};

/// What a stand-in is given to stop when nothing says how long requests may take.
const MERCY: Duration = Duration::from_secs(60);

/// After the first failure; doubled after each.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How often it is looked at whether the stand-in is there.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What came of the loading.
pub enum Loaded<T> {
    /// What was to be loaded.
    Yes(T),
    /// The server was stopped meanwhile, and so was the stand-in: the exit code.
    Stopped(i32),
}

/// Runs `load` while `stand_in` serves, and stops both if that is asked for. What else is heard is put back for whoever
/// supervises later.
///
/// # Errors
/// As `load`.
pub fn load<T: Send>(
    stand_in: &StandIn,
    (sender, receiver): (&Sender<Event>, &Receiver<Event>),
    mercy: Duration,
    load: impl FnOnce(&Patience) -> Result<T, Failure> + Send,
) -> Result<Loaded<T>, Failure> {
    let (interest, given_up) = bounded::<Infallible>(0);
    let patience = Patience {
        until: None,
        given_up,
    };
    let mut interest = Some(interest);
    let mut later = Vec::new();
    let mut code = None;
    let loaded = std::thread::scope(|scope| {
        let (done, is_done) = bounded(1);
        let loader = std::thread::Builder::new()
            .name("sm-load".to_owned())
            .spawn_scoped(scope, move || {
                let loaded = load(&patience);
                // It is waited for below.
                let _heard = done.send(());
                loaded
            })
            .map_err(Failure::new)?;
        loop {
            select! {
                recv(is_done) -> _ => break,
                recv(receiver) -> event => match event.map(as_stop) {
                    Ok(Event::Stop { by, signal }) => match code {
                        None => {
                            tracing::info!("{by}: stopping; the stand-in finishes its requests");
                            code = Some(0);
                            interest = None;
                            stand_in.stop();
                        }
                        Some(_) => {
                            tracing::warn!("{by} again: stopping now");
                            code = Some(KILLED_BY + signal);
                            stand_in.kill();
                        }
                    },
                    Ok(Event::StopNow { by }) => {
                        tracing::warn!("{by}: stopping now");
                        code = Some(0);
                        interest = None;
                        stand_in.kill();
                    }
                    Ok(Event::StandIn(Heard::Left(how))) if code.is_none() => {
                        tracing::error!("the stand-in {how}: clients wait until the application is loaded");
                        later.push(Event::StandIn(Heard::Left(how)));
                    }
                    Ok(event) => later.push(event),
                    Err(_) => break,
                },
            }
        }
        loader
            .join()
            .unwrap_or_else(|_| Err(Failure::new("the start panicked; this is a bug")))
    });
    drop(interest);
    if let Some(code) = code {
        let again = wait_for_its_end(stand_in, receiver, mercy);
        return Ok(Loaded::Stopped(again.unwrap_or(code)));
    }
    for event in later {
        // The receiver is here.
        let _heard = sender.send(event);
    }
    loaded.map(Loaded::Yes)
}

/// What the application in the stand-in wants is wanted of the whole server.
fn as_stop(event: Event) -> Event {
    match event {
        Event::StandIn(Heard::WishStop) => Event::stop("uwsgi.stop()", 0),
        event => event,
    }
}

/// Waits until the stand-in has stopped. A second signal cuts it short, and decides the exit code.
fn wait_for_its_end(
    stand_in: &StandIn,
    receiver: &Receiver<Event>,
    mercy: Duration,
) -> Option<i32> {
    let deadline = Instant::now() + mercy;
    while stand_in.left().is_none() {
        match receiver.recv_timeout(LOOK_INTERVAL) {
            Ok(Event::Stop { by, signal }) => {
                tracing::warn!("{by} again: stopping now");
                stand_in.kill();
                return Some(KILLED_BY + signal);
            }
            Ok(Event::StopNow { by }) => {
                tracing::warn!("{by}: stopping now");
                stand_in.kill();
                return None;
            }
            Ok(_) | Err(_) => {}
        }
        if Instant::now() >= deadline {
            stand_in.see_off(deadline);
        }
    }
    None
}

/// This image cannot serve, and the stand-in does: waits, and lets the next image try. Returns the exit code of a stop, if that
/// comes before.
///
/// # Errors
/// There is no stand-in any more: `failure`.
pub fn try_again(
    config: Option<&Config>,
    origin: &Origin,
    mut left: Inheritance,
    (mut failure, flush): (Failure, &dyn Fn()),
) -> Result<i32, Failure> {
    let Some(stand_in) = left.stand_in() else {
        return Err(failure);
    };
    let (sender, receiver) = unbounded();
    let meanings = config.map(hooks::signals).unwrap_or_default();
    signals::listen(sender.clone(), &meanings).map_err(Failure::new)?;
    in_place::take_signals();
    if left.wants_stop() {
        // The receiver is here.
        let _heard = sender.send(Event::stop("a signal that came meanwhile", 0));
    }
    stand_in.tell(move |heard| {
        // Whoever listened has begun anew, or has left.
        let _gone = sender.send(Event::StandIn(heard));
    });
    let mercy = config.map_or(MERCY, |config| config.process.reload_mercy);
    // The site is served, by the stand-in.
    Notifier::new(std::env::var_os("NOTIFY_SOCKET").as_deref()).ready();
    loop {
        let pause = PAUSE_MIN
            .saturating_mul(1 << left.count_failure().min(10))
            .min(PAUSE_MAX);
        tracing::error!(
            "{}\nthis process cannot take over from its stand-in (pid {}), which serves on with what it has loaded. Mend what is \
             said above: it is tried again in {} s, and at once on SIGHUP",
            failure.text,
            stand_in.pid(),
            pause.as_secs(),
        );
        let until = Instant::now() + pause;
        loop {
            match receiver.recv_deadline(until).map(as_stop) {
                Ok(Event::Stop { by, .. }) => {
                    tracing::info!("{by}: stopping; the stand-in finishes its requests");
                    stand_in.stop();
                    let again = wait_for_its_end(&stand_in, &receiver, mercy);
                    clear(config);
                    return Ok(again.unwrap_or_default());
                }
                Ok(Event::StopNow { by }) => {
                    tracing::warn!("{by}: stopping now");
                    stand_in.see_off(Instant::now());
                    clear(config);
                    return Ok(0);
                }
                Ok(Event::StandIn(Heard::Left(how))) => {
                    tracing::error!("the stand-in {how}: nobody serves any more");
                    clear(config);
                    return Err(failure);
                }
                Ok(Event::Reload { by }) => {
                    tracing::info!("{by}: trying again");
                    break;
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        flush();
        let error = origin.begin_again(&left);
        failure = Failure::new(format_args!("cannot start anew: {error}"));
    }
}

/// `--vacuum`, at an end that comes before anything was noted.
fn clear(config: Option<&Config>) {
    let Some(config) = config else { return };
    let mut vacuum = Vacuum::new(config.sockets.vacuum);
    #[cfg(unix)]
    for listen in &config.sockets.listen {
        if let crate::config::Address::Unix(path) = &listen.address {
            vacuum.note_socket(path);
        }
    }
    drop(pidfile::Files::written_before(config, &mut vacuum));
}
