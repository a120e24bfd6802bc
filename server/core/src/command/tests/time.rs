//! The time of entries: the leader's stamp, and the reset of a wrong time by an operator.

use ordu_proto::command::{TimeReset, TimeWasReset};
use serde_json::json;

use super::super::{read_envelope, stamped};
use super::children::{launch, periodic};
use super::*;
use crate::limits::ENTRY_ROWS_READ_MAX;
use crate::state::rows::{Evals, PeriodicLaunches};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;
/// The correct time.
const NOW: i64 = 1_700_000_000 * SECOND;

#[test]
fn the_stamp_is_the_time_whatever_the_proposer_put_there() {
    for proposed in [0, 1, NOW, i64::MAX, -1] {
        for (clock, expected) in [(NOW, NOW), (0, 0), (1, 1), (i64::MAX, i64::MAX), (-7, 0), (i64::MIN, 0)] {
            let mut envelope = envelope(Some(id(1)), 3, proposed, registered("a", "{}", 1));
            envelope.head.earliest_index = 9;
            let bytes = stamped(&envelope.encode_to_vec(), clock);
            let read = read_envelope(bytes.into()).unwrap();
            envelope.head.time_ns = expected;
            assert_eq!(envelope.head, read.head, "{proposed}, {clock}");
        }
    }
}

#[test]
fn no_stamp_is_too_large_for_what_is_reckoned_with_it() {
    let mut world = World::new();
    let at = |stamp, command: Proposal| stamped(&envelope(None, 0, 0, command).encode_to_vec(), stamp);
    let every_second = json!({"Enabled": true, "Spec": "* * * * * *", "SpecType": "cron"});
    for stamp in [i64::MAX, i64::MIN] {
        let commands = [
            Proposal::from(periodic("p", &every_second)),
            launch("p", i64::MAX, 1).into(),
            registered("a", "{}", 2).into(),
            super::children::parameterized("q", "optional").into(),
            super::children::dispatch("q", &[("must", "1")], b"", 3).into(),
        ];
        world.batch(&commands.map(|command| at(stamp, command)));
        assert_eq!(i64::MAX, world.machine.cluster().time_ns);
    }
}

impl World {
    /// Resets the time while the clock says `now_ns`.
    fn reset(&mut self, now_ns: i64) -> TimeWasReset {
        self.time_ns = now_ns - 1_000;
        let command = TimeReset { time_ns: now_ns + SECOND, tolerance_ns: 2 * SECOND, after: vec![] };
        self.answer(command)
    }

    fn launch_ns(&self, job_id: &str) -> i64 {
        read::periodic_launch(&self.tables, "default", job_id).unwrap().unwrap().launch_ns
    }

    fn launched_child(&mut self, launch_ns: i64, eval: u64) -> String {
        self.answer(launch("p", launch_ns, eval)).child_id
    }
}

#[test]
fn a_reset_lets_time_and_launches_go_on_from_now_and_changes_no_job() {
    let mut world = World::new();
    let minutely = json!({"Enabled": true, "Spec": "* * * * *", "SpecType": "cron", "TimeZone": "UTC"});
    world.time_ns = NOW - HOUR;
    world.accept(periodic("p", &minutely));
    world.accept(periodic("rare", &json!({"Enabled": true, "Spec": "0 0 1 1 *", "SpecType": "cron"})));
    world.time_ns = NOW + HOUR;
    assert_eq!(format!("p/periodic-{}", (NOW + HOUR) / SECOND), world.launched_child(NOW + HOUR, 1));
    // The clocks are correct again; without a reset nothing is launched.
    world.time_ns = NOW;
    assert_eq!("", world.launched_child(NOW + 40 * SECOND, 2));
    let (job, other, rare) = (world.job("p"), world.launch_ns("rare"), world.job("rare"));

    let reset = world.reset(NOW);
    let expected = TimeWasReset {
        index: world.index,
        before_ns: world.machine.cluster().time_ns + HOUR + 1_000,
        time_ns: NOW,
        launches: 1,
        evaluations: 0,
        after: vec![],
    };
    assert_eq!(expected, reset);
    assert_eq!((NOW, NOW), (world.machine.cluster().time_ns, world.launch_ns("p")));
    assert_eq!((job, other, rare), (world.job("p"), world.launch_ns("rare"), world.job("rare")));
    world.reload();
    assert_eq!(NOW, world.machine.cluster().time_ns);
    // Launches due before the reset are not repeated. Later ones are launched, even if the
    // wrong clock has already launched them.
    assert_eq!("", world.launched_child(NOW - 20 * SECOND, 3));
    assert_eq!(format!("p/periodic-{}", NOW / SECOND + 40), world.launched_child(NOW + 40 * SECOND, 4));
    let again = world.launched_child(NOW + HOUR, 5);
    assert_eq!(format!("p/periodic-{}-{}", (NOW + HOUR) / SECOND, reset.index), again);
    assert_eq!(
        (again, 0),
        (world.eval(5).job_id, world.job(&format!("p/periodic-{}", (NOW + HOUR) / SECOND)).version)
    );
    assert_eq!((0, 0), {
        world.accept(launch("p", NOW + HOUR, 6));
        let reset = world.reset(NOW + HOUR + SECOND);
        (reset.launches, reset.evaluations)
    });
}

#[test]
fn the_launcher_and_the_broker_are_told_of_what_a_reset_mends() {
    let mut world = World::new();
    world.time_ns = NOW + HOUR;
    world.accept(periodic("p", &json!({"Enabled": true, "Spec": "* * * * *", "SpecType": "cron"})));
    let waiting = |number: u64, until_ns| Evaluation {
        id: id(number).to_vec(),
        namespace: "default".into(),
        job_id: "p".into(),
        wait_until_ns: until_ns,
        status: EvalStatus::Pending.into(),
        ..Evaluation::default()
    };
    let over = Evaluation { status: EvalStatus::Complete.into(), ..waiting(3, NOW + 2 * HOUR) };
    world.accept(EvalUpdate { evals: vec![waiting(1, NOW + 2 * HOUR), waiting(2, NOW - HOUR), over] });
    let bytes = stamped(
        &envelope(None, 0, 0, TimeReset { time_ns: NOW, tolerance_ns: 0, after: vec![] }).encode_to_vec(),
        NOW,
    );
    let changes = world.batch(&[bytes]).remove(0).changes;
    let launches: Vec<&[u8]> =
        changes.iter().filter_map(|change| Some(&*change.of::<PeriodicLaunches>()?.key)).collect();
    assert_eq!(launches, [key::job("default", "p")]);
    let evals = changes.iter().filter_map(|change| change.of::<Evals>()?.new.as_ref());
    let due: Vec<(u8, i64)> = evals.map(|eval| (eval.id[15], eval.wait_until_ns)).collect();
    assert_eq!(vec![(1, 0)], due);
    assert_eq!(
        (NOW + HOUR).abs_diff(world.eval(1).create_time_ns) / HOUR as u64,
        0,
        "its creation stays told"
    );
}

#[test]
fn a_reset_that_reads_more_than_one_entry_may_goes_on_in_further_ones() {
    const EVALS: usize = 2 * ENTRY_ROWS_READ_MAX + 10;
    let mut world = World::new();
    world.time_ns = NOW + HOUR;
    world.accept(periodic("p", &json!({"Enabled": true, "Spec": "* * * * *", "SpecType": "cron"})));
    let waiting = |number: usize| Evaluation {
        id: id(number as u64).to_vec(),
        namespace: "default".into(),
        job_id: "p".into(),
        wait_until_ns: NOW + 2 * HOUR,
        status: EvalStatus::Pending.into(),
        ..Evaluation::default()
    };
    world.accept(EvalUpdate { evals: (1..=EVALS).map(waiting).collect() });
    world.time_ns = NOW - 1_000;
    let (mut after, mut moved) = (Vec::new(), Vec::new());
    loop {
        let command = TimeReset { time_ns: NOW, tolerance_ns: SECOND, after };
        let reset = world.answer(command);
        moved.push((reset.launches, reset.evaluations as usize));
        if reset.after.is_empty() {
            break;
        }
        after = reset.after;
    }
    // The launch record counts as a row, too.
    assert_eq!(vec![(1, ENTRY_ROWS_READ_MAX - 1), (0, ENTRY_ROWS_READ_MAX), (0, 11)], moved);
    let still_waits = (1..=EVALS).filter(|number| world.eval(*number as u64).wait_until_ns != 0);
    assert_eq!(0, still_waits.count());
}

#[test]
fn a_reset_to_the_time_of_another_clock_than_the_asked_server_s_is_refused() {
    let mut world = World::new();
    world.accept(registered("a", "{}", 1));
    for (asked, told) in [(NOW, "3600 s ahead of"), (NOW + 2 * HOUR, "3600 s behind"), (i64::MIN, "ahead of")]
    {
        world.time_ns = NOW + HOUR - 1_000;
        let before = world.state_rows();
        let command = TimeReset { time_ns: asked, tolerance_ns: 10 * SECOND, after: vec![] };
        let Outcome::Refused(refusal) = world.apply(command) else { panic!("not refused") };
        assert_eq!(409, refusal.status);
        assert!(refusal.text.contains(told), "{}", refusal.text);
        assert_eq!(before, world.state_rows());
    }
}
