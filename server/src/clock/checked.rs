//! The clock that a server uses: the wall clock, as long as it does not jump and agrees with the other
//! members' clocks.
//!
//! A wall clock can be set wrong at any moment, and a wrong time must not get into the log. So the server
//! remembers when its wall clock was last found right, and measures the time since then with the monotonic
//! clock. If the two differ by more than the limit, the wall clock has jumped, and the server ignores it
//! until the next comparison with the other members. That comparison finds the wall clock right (the machine
//! was suspended, or its clock was wrong before and has been corrected) or wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ordu_core::limits::KNOWN_SERVERS_MAX;
use tokio::sync::watch;
use tokio::time::Instant;

use super::now_ns;
use crate::cluster::HEARD_WITHIN;
use crate::limits::LimitsInForce;

/// The result of comparing this server's clock with the members' clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// There are other members, and none has reported its time yet.
    #[default]
    Unknown,
    /// This server's clock is within the limit.
    Right {
        /// This server's clock minus the median of all.
        offset_ns: i64,
    },
    /// This server's clock is beyond the limit.
    Wrong {
        /// This server's clock minus the median of all.
        offset_ns: i64,
        /// The number of clocks compared, including this server's.
        clocks: usize,
        /// Whether the middle clocks agree, so that the median is meaningful. If only two clocks are compared
        /// and differ, either may be wrong.
        is_certain: bool,
    },
}

impl Verdict {
    /// Whether the clock was found to be wrong.
    pub fn is_wrong(self) -> bool {
        matches!(self, Verdict::Wrong { .. })
    }

    /// Returns this server's clock minus the median; zero if unknown.
    pub fn offset_ns(self) -> i64 {
        match self {
            Verdict::Unknown => 0,
            Verdict::Right { offset_ns } | Verdict::Wrong { offset_ns, .. } => offset_ns,
        }
    }
}

/// A clock's time at a moment of the monotonic clock, so that jumps of this server's wall clock do not affect
/// it.
#[derive(Clone, Copy, Debug)]
struct Reading {
    time_ns: i64,
    at: Instant,
}

impl Reading {
    /// Extrapolates the reading to now.
    fn now_ns(self) -> i64 {
        self.time_ns.saturating_add(nanoseconds(self.at.elapsed()))
    }
}

/// The clock of a server. A cheap handle.
#[derive(Clone)]
pub struct ServerClock(Arc<Inner>);

struct Inner {
    limits: LimitsInForce,
    readings: Mutex<Readings>,
    verdict: watch::Sender<Verdict>,
}

#[derive(Default)]
struct Readings {
    /// The last time that the members agreed on; `None` before that, and if there is no other member.
    agreed: Option<Reading>,
    /// The median of the last comparison, whether the members agreed or not.
    median: Option<Reading>,
    others: BTreeMap<u64, Reading>,
}

impl ServerClock {
    /// Creates a clock that may differ from the other members' clocks by the skew in `limits`.
    pub fn new(limits: LimitsInForce) -> Self {
        let (verdict, _) = watch::channel(Verdict::Unknown);
        Self(Arc::new(Inner { limits, readings: Mutex::default(), verdict }))
    }

    fn readings(&self) -> MutexGuard<'_, Readings> {
        self.0.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the maximum skew between clocks.
    pub fn skew_max(&self) -> Duration {
        self.0.limits.get().clock_skew_max
    }

    /// Returns this server's time in nanoseconds since 1970.
    pub fn now_ns(&self) -> i64 {
        let (wall_ns, jumped) = self.look();
        jumped.unwrap_or(wall_ns)
    }

    /// Whether the wall clock has jumped and has not been found right since.
    pub fn has_jumped(&self) -> bool {
        self.look().1.is_some()
    }

    /// Returns the wall clock and, if it has jumped, the time it would show without the jump.
    fn look(&self) -> (i64, Option<i64>) {
        let agreed = self.readings().agreed;
        let wall_ns = now_ns();
        let expected_ns = agreed.map(Reading::now_ns);
        (wall_ns, expected_ns.filter(|expected_ns| !self.is_near(wall_ns, *expected_ns)))
    }

    fn limit_ns(&self) -> u64 {
        nanoseconds(self.skew_max()).unsigned_abs()
    }

    fn is_near(&self, one_ns: i64, other_ns: i64) -> bool {
        one_ns.abs_diff(other_ns) <= self.limit_ns()
    }

    /// Records another server's time, assumed to be read halfway between `asked` and now. Must be called only
    /// for servers of this cluster.
    pub fn note(&self, server: u64, time_ns: i64, asked: Instant) {
        let now = Instant::now();
        let at = asked + now.saturating_duration_since(asked) / 2;
        let others = &mut self.readings().others;
        others.insert(server, Reading { time_ns, at });
        if others.len() > KNOWN_SERVERS_MAX
            && let Some(oldest) = others.iter().min_by_key(|(_, it)| it.at).map(|(server, _)| *server)
        {
            others.remove(&oldest);
        }
    }

    /// Compares the wall clock with the clocks of the other members heard from recently. If there are others
    /// but none was heard from, keeps the previous verdict.
    pub fn check(&self, others: &[u64]) {
        let mut readings = self.readings();
        readings.others.retain(|_, reading| reading.at.elapsed() <= HEARD_WITHIN);
        let wall_ns = now_ns();
        if others.is_empty() {
            readings.agreed = None;
            drop(readings);
            self.decide(Verdict::Right { offset_ns: 0 });
            return;
        }
        let of_members = readings.others.iter().filter(|(server, _)| others.contains(server));
        let mut times: Vec<i64> = of_members.map(|(_, reading)| reading.now_ns()).collect();
        if times.is_empty() {
            return;
        }
        times.push(wall_ns);
        let (median_ns, apart_ns) = median(&mut times);
        let offset_ns = wall_ns.saturating_sub(median_ns);
        let now = Instant::now();
        readings.median = Some(Reading { time_ns: median_ns, at: now });
        let verdict = if self.is_near(wall_ns, median_ns) {
            readings.agreed = Some(Reading { time_ns: wall_ns, at: now });
            Verdict::Right { offset_ns }
        } else {
            let is_certain = apart_ns <= self.limit_ns();
            if is_certain {
                readings.agreed = Some(Reading { time_ns: median_ns, at: now });
            }
            Verdict::Wrong { offset_ns, clocks: times.len(), is_certain }
        };
        drop(readings);
        self.decide(verdict);
    }

    fn decide(&self, verdict: Verdict) {
        self.0.verdict.send_if_modified(|known| std::mem::replace(known, verdict) != verdict);
    }

    /// Returns the result of the last comparison.
    pub fn verdict(&self) -> Verdict {
        *self.0.verdict.borrow()
    }

    /// Returns a receiver of the verdicts.
    pub fn verdicts(&self) -> watch::Receiver<Verdict> {
        self.0.verdict.subscribe()
    }

    /// Returns those of `others` that were heard from recently and whose clocks are within the limit of the
    /// median.
    pub fn right_among(&self, others: &[u64]) -> Vec<u64> {
        let readings = self.readings();
        let Some(median_ns) = readings.median.map(Reading::now_ns) else { return Vec::new() };
        let is_right = |server: &u64| {
            let reading = readings.others.get(server).filter(|it| it.at.elapsed() <= HEARD_WITHIN);
            reading.is_some_and(|reading| self.is_near(reading.now_ns(), median_ns))
        };
        others.iter().copied().filter(is_right).collect()
    }
}

/// Returns the median (for an even count the mean of the middle two) and the difference of the middle two.
/// Sorts `times`.
fn median(times: &mut [i64]) -> (i64, u64) {
    times.sort_unstable();
    let (below, above) = (times[(times.len() - 1) / 2], times[times.len() / 2]);
    (i64::midpoint(below, above), above.abs_diff(below))
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::clock::simulate;

    const SECOND: i64 = 1_000_000_000;
    const HOUR: i64 = 3600 * SECOND;
    const START: i64 = 1_700_000_000 * SECOND;

    thread_local! {
        static WALL: Cell<i64> = const { Cell::new(START) };
        static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
    }

    /// A wall clock that follows the tests' paused time, and jumps when a test says so.
    fn wall_ns() -> i64 {
        WALL.get() + SINCE.get().map_or(0, |since| nanoseconds(since.elapsed()))
    }

    fn jump(by_ns: i64) {
        WALL.set(WALL.get() + by_ns);
    }

    fn clock() -> ServerClock {
        WALL.set(START);
        SINCE.set(Some(Instant::now()));
        simulate(wall_ns);
        ServerClock::new(LimitsInForce::default())
    }

    /// Records readings of servers with ids from 2 on, whose clocks are off by `others`, and compares.
    fn greeted(clock: &ServerClock, others: &[i64]) -> Vec<u64> {
        let true_ns = START + SINCE.get().map_or(0, |since| nanoseconds(since.elapsed()));
        let ids: Vec<u64> = (2..).take(others.len()).collect();
        for (id, offset_ns) in ids.iter().zip(others) {
            clock.note(*id, true_ns + offset_ns, Instant::now());
        }
        clock.check(&ids);
        ids
    }

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[test]
    fn medians_are_of_all_members_and_the_own_clock() {
        for (mut times, expected) in [
            (vec![0], (0, 0)),
            (vec![0, 10], (5, 10)),
            (vec![0, 100, 10], (10, 0)),
            (vec![0, 100, 10, 20], (15, 10)),
            (vec![-100, 0, 100, 10, 20], (10, 0)),
            (vec![i64::MIN, i64::MAX, i64::MAX], (i64::MAX, 0)),
            (vec![i64::MIN, i64::MAX], (0, u64::MAX)),
        ] {
            // The mean of the two extremes is rounded towards zero.
            assert_eq!(expected, median(&mut times), "{times:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_is_wrong_when_it_is_further_from_the_median_than_the_bound() {
        let wrong = |offset_ns, clocks, is_certain| Verdict::Wrong { offset_ns, clocks, is_certain };
        let right = |offset_ns| Verdict::Right { offset_ns };
        for (others, expected) in [
            (vec![], right(0)),
            (vec![10 * SECOND], right(-5 * SECOND)),
            (vec![-12 * SECOND], wrong(6 * SECOND, 2, false)),
            (vec![HOUR, 0], right(0)),
            (vec![HOUR, HOUR + SECOND], wrong(-HOUR, 3, true)),
            (vec![HOUR, HOUR, HOUR + SECOND], wrong(-HOUR, 4, true)),
            (vec![HOUR, 2 * HOUR, 0], wrong(-HOUR / 2, 4, false)),
            (vec![HOUR, 0, 0, SECOND], right(0)),
            (vec![-HOUR, -HOUR, -HOUR, 0], wrong(HOUR, 5, true)),
        ] {
            let clock = clock();
            greeted(&clock, &others);
            assert_eq!(expected, clock.verdict(), "{others:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_is_not_followed_until_the_others_say_that_it_was_right() {
        let clock = clock();
        assert_eq!(Verdict::Unknown, clock.verdict());
        greeted(&clock, &[0, 0]);
        for jumped in [HOUR, -2 * HOUR] {
            jump(jumped);
            pass(100).await;
            assert!(clock.has_jumped());
            assert_eq!(wall_ns() - WALL.get() + START, clock.now_ns());
            greeted(&clock, &[0, 0]);
            assert!(clock.verdict().is_wrong() && clock.has_jumped());
            assert_eq!(wall_ns() - WALL.get() + START, clock.now_ns());
        }
        // The clock is corrected.
        jump(HOUR);
        assert!(!clock.has_jumped() && clock.verdict().is_wrong());
        greeted(&clock, &[0, 0]);
        assert_eq!((Verdict::Right { offset_ns: 0 }, wall_ns()), (clock.verdict(), clock.now_ns()));
        // The machine was suspended: the wall clock went on, and all other clocks agree with it.
        jump(HOUR);
        assert_eq!(wall_ns() - HOUR, clock.now_ns());
        greeted(&clock, &[HOUR, HOUR]);
        assert_eq!((Verdict::Right { offset_ns: 0 }, wall_ns()), (clock.verdict(), clock.now_ns()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_wrong_from_the_start_is_put_right_by_the_others_and_not_by_one_of_two() {
        let first = clock();
        greeted(&first, &[HOUR, HOUR]);
        assert_eq!(wall_ns() + HOUR, first.now_ns());
        let second = clock();
        greeted(&second, &[HOUR]);
        assert_eq!((true, wall_ns()), (second.verdict().is_wrong(), second.now_ns()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_alone_goes_by_its_own_clock_and_one_that_hears_of_nobody_by_what_it_knew() {
        let alone = clock();
        alone.check(&[]);
        jump(HOUR);
        alone.check(&[]);
        assert_eq!((Verdict::Right { offset_ns: 0 }, wall_ns()), (alone.verdict(), alone.now_ns()));
        let cut_off = clock();
        let others = greeted(&cut_off, &[0, 0]);
        jump(HOUR);
        pass(8).await;
        cut_off.check(&others);
        assert_eq!(
            (Verdict::Right { offset_ns: 0 }, wall_ns() - HOUR),
            (cut_off.verdict(), cut_off.now_ns())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_servers_that_were_heard_of_lately_and_agree_with_the_median_can_lead_instead() {
        let clock = clock();
        jump(HOUR);
        let others = greeted(&clock, &[0, SECOND, 2 * HOUR, 0]);
        assert!(clock.verdict().is_wrong());
        assert_eq!(vec![2, 3, 5], clock.right_among(&others));
        assert_eq!(vec![3], clock.right_among(&[3, 4, 9]));
        pass(8).await;
        assert!(clock.right_among(&others).is_empty());
        for id in 10..(10 + KNOWN_SERVERS_MAX as u64 + 5) {
            clock.note(id, 1, Instant::now());
        }
        assert_eq!(KNOWN_SERVERS_MAX, clock.readings().others.len());
    }
}
