//! Tests of the reload history.

use super::*;

const NOW: Duration = Duration::ZERO;

fn outcome(history: &ReloadHistory, number: u64) -> Option<String> {
    match history.wait(number, NOW, false) {
        Progress::Ended(reload) => Some(format!("{} {}", reload.outcome, reload.reason)),
        Progress::Canary(..) | Progress::Loading | Progress::ServedElsewhere => None,
    }
}

#[test]
fn a_wait_ends_when_another_process_serves() {
    let history = std::sync::Arc::new(ReloadHistory::default());
    let number = history.next_number();
    history.received(number);
    history.begin("first", Way::Exec, 1);
    let waits = {
        let history = std::sync::Arc::clone(&history);
        std::thread::spawn(move || history.wait(number, Duration::MAX / 4, false))
    };
    history.hand_over();
    assert_eq!(waits.join().expect("no panic"), Progress::ServedElsewhere);
    let resumed = ReloadHistory::from_predecessor(&history.for_successor());
    resumed.end(Outcome::Serves(1));
    assert_eq!(outcome(&resumed, number).as_deref(), Some("serves "));
}

#[test]
fn a_request_is_answered_by_the_reload_that_began_after_it() {
    let history = ReloadHistory::default();
    assert_eq!(history.latest().outcome, "none");
    let first = history.next_number();
    history.received(first);
    history.begin("first", Way::Swap, 1);
    let (second, third) = (history.next_number(), history.next_number());
    history.received(second);
    history.received(third);
    assert!(history.latest().one_more_waits);
    assert_eq!(outcome(&history, first), None);
    history.end(Outcome::Failed("NameError".to_owned()));
    assert_eq!(
        outcome(&history, first).as_deref(),
        Some("failed NameError")
    );
    assert_eq!(
        outcome(&history, second),
        None,
        "the old version failed, not this one"
    );
    history.begin("second", Way::Swap, 1);
    history.end(Outcome::Serves(3));
    assert_eq!(outcome(&history, second).as_deref(), Some("serves "));
    assert_eq!(outcome(&history, third).as_deref(), Some("serves "));
    assert_eq!(
        outcome(&history, first).as_deref(),
        Some("failed NameError")
    );
    let latest = history.latest();
    assert_eq!((latest.number, latest.generation), (2, 3));
    assert!(history.knows(third) && !history.knows(third + 1) && !history.knows(0));
}

#[test]
fn a_request_during_shutdown_is_abandoned() {
    let history = ReloadHistory::default();
    let first = history.next_number();
    history.received(first);
    history.begin("first", Way::Swap, 1);
    let second = history.next_number();
    history.received(second);
    history.close("the server stops");
    assert_eq!(
        outcome(&history, first).as_deref(),
        Some("given up the server stops")
    );
    assert_eq!(
        outcome(&history, second).as_deref(),
        Some("given up the server stops")
    );
    let third = history.next_number();
    history.received(third);
    assert_eq!(
        outcome(&history, third).as_deref(),
        Some("given up the server stops")
    );
}

#[test]
fn the_successor_answers() {
    let history = ReloadHistory::default();
    assert_eq!(history.for_successor(), "");
    let first = history.next_number();
    history.received(first);
    history.begin("touch-reload: my file has changed", Way::Swap, 1);
    let second = history.next_number();
    let next = ReloadHistory::from_predecessor(&history.for_successor());
    assert_eq!(next.latest().outcome, "loading");
    assert_eq!(next.latest().by, "touch-reload: my file has changed");
    next.end(Outcome::Serves(1));
    assert_eq!(outcome(&next, first).as_deref(), Some("serves "));
    assert_eq!(outcome(&next, second).as_deref(), Some("serves "));
    assert_eq!(next.next_number(), second + 1);
    assert_eq!(ReloadHistory::from_predecessor("").latest().outcome, "none");
    assert_eq!(
        ReloadHistory::from_predecessor("nonsense").latest().outcome,
        "none"
    );
}

fn asked(history: &ReloadHistory) -> u64 {
    let number = history.next_number();
    history.received(number);
    number
}

fn stage(stage: usize) -> CanaryReport {
    CanaryReport {
        stage,
        ..CanaryReport::default()
    }
}

#[test]
fn a_wait_reports_the_canary_and_then_the_end() {
    let history = ReloadHistory::default();
    let first = asked(&history);
    history.begin("first", Way::Swap, 1);
    history.set_generation(2);
    history.set_canary(stage(1));
    assert_eq!(history.latest().outcome, "canary");
    assert_eq!(
        history.wait(first, NOW, true),
        Progress::Canary(stage(1), 2)
    );
    // A wait that began before the stage ends with it; one that began in it does not.
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| history.wait(first, Duration::from_secs(60), true));
        while !waits.is_finished() {
            history.set_canary(stage(2));
            history.set_canary(stage(3));
        }
        assert!(matches!(waits.join(), Ok(Progress::Canary(_, 2))));
    });
    history.end(Outcome::Withdrawn("5 of 20 failed".to_owned()));
    // What comes late changes nothing.
    history.end(Outcome::Serves(2));
    history.set_canary(stage(4));
    assert_eq!(
        outcome(&history, first).as_deref(),
        Some("withdrawn 5 of 20 failed")
    );
    let latest = history.latest();
    assert_eq!((latest.old, latest.makes, latest.generation), (1, 2, 0));
    assert!(latest.canary.is_some());
    let counts = history.counts();
    assert_eq!((counts.done, counts.failed, counts.withdrawn), (0, 0, 1));
}

#[test]
fn a_rollback_abandons_the_reload_that_runs_and_the_one_that_waits() {
    let history = ReloadHistory::default();
    let first = asked(&history);
    history.begin("first", Way::Swap, 2);
    let second = asked(&history);
    history.abandon("a rollback came");
    history.begin("back", Way::Rollback, 2);
    history.end(Outcome::Serves(1));
    for number in [first, second] {
        assert_eq!(
            outcome(&history, number).as_deref(),
            Some("given up a rollback came")
        );
    }
    let latest = history.latest();
    assert_eq!(
        (latest.outcome, latest.way, latest.generation),
        ("serves", "rollback", 1)
    );
    assert!(!latest.one_more_waits);
}

#[test]
fn a_reload_that_has_not_ended_is_abandoned_by_the_next() {
    let history = ReloadHistory::default();
    let first = asked(&history);
    history.begin("first", Way::Swap, 1);
    history.begin("second", Way::Swap, 1);
    assert_eq!(
        outcome(&history, first).as_deref(),
        Some("given up another reload came")
    );
    history.end(Outcome::Serves(3));
    assert_eq!(history.counts().done, 1);
    assert_eq!(history.latest().number, 2);
}

#[test]
fn a_replaced_interpreter_is_no_reload() {
    let history = ReloadHistory::default();
    history.end(Outcome::Failed("no fresh interpreter".to_owned()));
    assert_eq!(history.latest().outcome, "none");
}

#[test]
fn the_oldest_reloads_are_forgotten() {
    let history = ReloadHistory::default();
    for generation in 0..100 {
        let number = history.next_number();
        history.received(number);
        history.begin("test", Way::Swap, 1);
        history.end(Outcome::Serves(generation));
    }
    // The oldest that is remembered covers those before it: it is younger than they.
    assert!(outcome(&history, 1).is_some());
    assert_eq!(history.state.lock().ended.len(), ENDED_MAX);
}
