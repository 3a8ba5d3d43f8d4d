//! Due times of timers. Pure: the time is an argument.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerSpec {
    pub number: u8,
    pub period: Duration,
    /// `None`: without end.
    pub iterations: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    at: Instant,
    spec: TimerSpec,
    left: Option<u32>,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    /// The heap has its greatest entry on top; the earliest one is needed there.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

#[derive(Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Timer>,
}

impl Timers {
    pub(super) fn add(&mut self, now: Instant, spec: TimerSpec) {
        self.heap.push(Timer {
            at: now + spec.period,
            spec,
            left: spec.iterations,
        });
    }

    /// Replaces all timers. An endless timer that existed before keeps its next time, so a reload
    /// does not shift it. One with an end starts anew: the new code has asked for all of it.
    pub(super) fn replace(&mut self, now: Instant, specs: impl IntoIterator<Item = TimerSpec>) {
        let mut before = std::mem::take(&mut self.heap).into_vec();
        for spec in specs {
            let at = before
                .iter()
                .position(|timer| timer.spec == spec && spec.iterations.is_none())
                .map_or(now + spec.period, |index| before.swap_remove(index).at);
            self.heap.push(Timer {
                at,
                spec,
                left: spec.iterations,
            });
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|timer| timer.at)
    }

    /// Takes the due signals, in order. A late timer (the machine slept) raises one signal for all
    /// missed times and keeps its interval.
    pub(super) fn due(&mut self, now: Instant) -> Vec<u8> {
        let mut due = Vec::new();
        while let Some(timer) = self.heap.peek().copied().filter(|timer| timer.at <= now) {
            self.heap.pop();
            due.push(timer.spec.number);
            let left = match timer.left {
                Some(0 | 1) => continue,
                left => left.map(|left| left - 1),
            };
            let late = now.saturating_duration_since(timer.at).as_nanos();
            let period = timer.spec.period.as_nanos().max(1);
            let missed = u32::try_from(late / period).unwrap_or(u32::MAX);
            let mut at = timer.at + timer.spec.period.saturating_mul(missed.saturating_add(1));
            if at <= now {
                at = now + timer.spec.period;
            }
            self.heap.push(Timer {
                at,
                spec: timer.spec,
                left,
            });
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn every(number: u8, seconds: u64) -> TimerSpec {
        TimerSpec {
            number,
            period: SECOND * seconds as u32,
            iterations: None,
        }
    }

    /// The signals of each second from `from` to `to`, both included.
    fn run(timers: &mut Timers, start: Instant, from: u32, to: u32) -> Vec<(u32, u8)> {
        let mut raised = Vec::new();
        for second in from..=to {
            raised.extend(
                timers
                    .due(start + SECOND * second)
                    .into_iter()
                    .map(|number| (second, number)),
            );
        }
        raised
    }

    #[test]
    fn timers_keep_their_beat() {
        let start = Instant::now();
        let mut timers = Timers::default();
        assert_eq!(timers.next(), None);
        timers.add(start, every(26, 2));
        timers.add(start, every(17, 3));
        assert_eq!(timers.next(), Some(start + SECOND * 2));
        let raised = run(&mut timers, start, 1, 6);
        assert_eq!(raised[..3], [(2, 26), (3, 17), (4, 26)]);
        let mut last = [raised[3], raised[4]];
        last.sort_unstable();
        assert_eq!(last, [(6, 17), (6, 26)]);
    }

    #[test]
    fn a_timer_with_an_end_ends() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.add(
            start,
            TimerSpec {
                iterations: Some(1),
                ..every(30, 40)
            },
        );
        timers.add(
            start,
            TimerSpec {
                iterations: Some(2),
                ..every(31, 10)
            },
        );
        assert_eq!(
            run(&mut timers, start, 1, 200),
            [(10, 31), (20, 31), (40, 30)]
        );
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn what_was_missed_is_raised_once_and_the_beat_is_kept() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.add(start, every(1, 3));
        assert_eq!(timers.due(start + SECOND * 100), [1]);
        assert_eq!(timers.next(), Some(start + SECOND * 102));
    }

    #[test]
    fn a_reload_neither_delays_nor_hastens() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.replace(start, [every(1, 10), every(2, 10)]);
        let later = start + SECOND * 4;
        timers.replace(later, [every(1, 10), every(3, 10), every(1, 10)]);
        let mut raised = run(&mut timers, start, 5, 14);
        raised.sort_unstable();
        assert_eq!(raised, [(10, 1), (14, 1), (14, 3)]);
    }

    #[test]
    fn a_reload_begins_a_timer_with_an_end_anew() {
        let start = Instant::now();
        let once = TimerSpec {
            iterations: Some(1),
            ..every(1, 10)
        };
        let mut timers = Timers::default();
        timers.replace(start, [once]);
        timers.replace(start + SECOND * 4, [once]);
        assert_eq!(run(&mut timers, start, 5, 30), [(14, 1)]);
    }

    #[test]
    fn a_period_that_no_clock_can_miss_is_no_endless_loop() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.add(
            start,
            TimerSpec {
                period: Duration::from_nanos(1),
                ..every(1, 1)
            },
        );
        assert_eq!(timers.due(start + SECOND * 100_000), [1]);
        assert!(timers.next() > Some(start + SECOND * 100_000));
    }
}
