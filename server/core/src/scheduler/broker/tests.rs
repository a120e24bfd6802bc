//! Order, turns, lost workers, and that no evaluation is ever lost or in two places.

use proptest::prelude::*;

use super::*;
use crate::scheduler::blocked::BlockedEvals;

const SECOND: i64 = 1_000_000_000;
const ALL: [&str; 3] = ["service", "batch", FAILED_QUEUE];

fn id(number: u8) -> Vec<u8> {
    vec![number; 16]
}

fn eval(number: u8, job: &str, priority: i32) -> Evaluation {
    Evaluation {
        id: id(number),
        namespace: "default".into(),
        job_id: job.into(),
        priority,
        r#type: "service".into(),
        status: EvalStatus::Pending.into(),
        create_index: number.into(),
        ..Default::default()
    }
}

fn broker(evals: &[Evaluation]) -> EvalBroker {
    let mut broker = EvalBroker::new(BrokerOptions::default());
    evals.iter().for_each(|eval| broker.enqueue(eval.clone(), 0));
    broker
}

fn next(broker: &mut EvalBroker, now_ns: i64) -> Option<(u8, Token)> {
    broker.dequeue(&ALL, now_ns).map(|delivery| (delivery.eval.id[0], delivery.token))
}

fn drain(broker: &mut EvalBroker, now_ns: i64) -> Vec<u8> {
    std::iter::from_fn(|| next(broker, now_ns).map(|(number, _)| number)).collect()
}

#[test]
fn higher_priority_goes_first_then_what_came_first() {
    let mut broker = broker(&[eval(1, "a", 50), eval(2, "b", 90), eval(4, "d", 50), eval(3, "c", 50)]);
    assert_eq!(drain(&mut broker, 0), [2, 1, 4, 3]);
}

#[test]
fn a_worker_gets_only_what_it_schedules_and_the_best_of_that() {
    let mut broker = broker(&[
        Evaluation { r#type: "batch".into(), ..eval(1, "a", 50) },
        eval(2, "b", 10),
        Evaluation { r#type: "system".into(), ..eval(3, "c", 99) },
    ]);
    let batch = broker.dequeue(&["batch"], 0).map(|delivery| delivery.eval.id);
    assert_eq!(batch, Some(id(1)));
    assert_eq!(broker.dequeue(&["batch"], 0).map(|delivery| delivery.eval.id), None);
    assert_eq!(drain(&mut broker, 0), [2], "no one asked for system jobs");
}

#[test]
fn one_evaluation_of_a_job_is_out_at_a_time_and_the_newest_follows() {
    let mut broker = broker(&[eval(1, "a", 50), eval(2, "a", 90), eval(3, "a", 50), eval(4, "a", 10)]);
    let (first, token) = next(&mut broker, 0).unwrap();
    assert_eq!(first, 1, "the first had its turn before the others came");
    assert_eq!(next(&mut broker, 0), None);
    let outdated = broker.ack(&id(1), token, 0).unwrap();
    assert_eq!(outdated.iter().map(|eval| eval.id[0]).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(drain(&mut broker, 0), [4]);
    assert_eq!(broker.stats().total(), 1);
}

#[test]
fn one_that_waits_too_long_is_handed_out_when_a_newer_copy_does_not_wait() {
    let late = Evaluation { wait_until_ns: 3600 * SECOND, ..eval(1, "a", 50) };
    let mut broker = broker(std::slice::from_ref(&late));
    assert_eq!(next(&mut broker, SECOND), None);
    broker.enqueue(Evaluation { wait_until_ns: 7200 * SECOND, ..late.clone() }, SECOND);
    broker.enqueue(Evaluation { wait_until_ns: 5 * SECOND, ..late.clone() }, SECOND);
    assert_eq!(broker.next_deadline(), Some(5 * SECOND));
    broker.enqueue(Evaluation { wait_until_ns: 0, ..late }, 2 * SECOND);
    assert_eq!(drain(&mut broker, 2 * SECOND), [1]);
    assert_eq!(broker.stats().total(), 1);
}

#[test]
fn a_clock_that_is_set_back_delays_neither_what_was_given_back_nor_the_loss_of_a_worker() {
    let hour = 3600 * SECOND;
    let mut broker = broker(&[eval(1, "a", 50), eval(2, "b", 40)]);
    let (_, token) = next(&mut broker, hour).unwrap();
    broker.nack(&id(1), token, hour).unwrap();
    let (second, _) = next(&mut broker, hour).unwrap();
    assert_eq!((second, next(&mut broker, 0)), (2, None));
    broker.clock_was_set_back(0);
    assert_eq!(drain(&mut broker, 0), [1]);
    let timeout_ns = BrokerOptions::default().nack_timeout_ns;
    assert_eq!(broker.next_deadline(), Some(timeout_ns));
    broker.advance(timeout_ns);
    assert!(broker.next_deadline().is_some_and(|next| next < hour), "the lost worker's is taken back");
}

#[test]
fn jobs_of_one_name_in_two_namespaces_have_turns_of_their_own() {
    let other = Evaluation { namespace: "other".into(), ..eval(2, "a", 50) };
    assert_eq!(drain(&mut broker(&[eval(1, "a", 50), other]), 0), [1, 2]);
}

#[test]
fn what_comes_back_waits_longer_every_time_and_then_has_failed() {
    let mut broker = broker(&[eval(1, "a", 50), eval(2, "a", 50)]);
    let mut now = 0;
    for (delay, deliveries) in [(SECOND, 1), (20 * SECOND, 2)] {
        let (number, token) = next(&mut broker, now).unwrap();
        assert_eq!(number, 1);
        broker.nack(&id(1), token, now).unwrap();
        assert_eq!(broker.next_deadline(), Some(now + delay), "after delivery {deliveries}");
        assert_eq!(next(&mut broker, now + delay - 1), None, "it keeps its job's turn while it waits");
        now += delay;
    }
    let (_, token) = next(&mut broker, now).unwrap();
    broker.nack(&id(1), token, now).unwrap();
    assert!(broker.dequeue(&["service", "batch"], now).is_none());
    assert_eq!((broker.stats().failed, broker.next_deadline()), (1, None));
    let failed = broker.dequeue(&[FAILED_QUEUE], now).unwrap();
    assert_eq!(failed.eval.id, id(1));
    broker.ack(&id(1), failed.token, now).unwrap();
    assert_eq!(drain(&mut broker, now), [2]);
}

#[test]
fn an_evaluation_is_due_since_it_was_made_or_its_time_came_however_often_it_comes_back() {
    let made = |number, job: &str, seconds: i64| Evaluation {
        create_time_ns: seconds * SECOND,
        ..eval(number, job, 50)
    };
    let oldest = |broker: &EvalBroker| broker.stats().oldest_due_ns;
    let mut broker = EvalBroker::new(BrokerOptions::default());
    broker.enqueue(Evaluation { wait_until_ns: 50 * SECOND, priority: 10, ..made(1, "a", 10) }, 20 * SECOND);
    assert_eq!(None, oldest(&broker), "it is not due yet");
    broker.enqueue(made(2, "b", 15), 20 * SECOND);
    assert_eq!(Some(15 * SECOND), oldest(&broker));
    let (_, token) = next(&mut broker, 60 * SECOND).unwrap();
    broker.nack(&id(2), token, 60 * SECOND).unwrap();
    assert_eq!(Some(15 * SECOND), oldest(&broker), "it is not decided");
    broker.forget(&id(2));
    assert_eq!(Some(50 * SECOND), oldest(&broker), "its time has come");
    broker.forget(&id(1));
    broker.enqueue(Evaluation { status: EvalStatus::Blocked.into(), ..made(3, "c", 1) }, 70 * SECOND);
    let stats = broker.stats();
    assert_eq!(Some(70 * SECOND), stats.oldest_due_ns, "it was decided before");
    assert_eq!((1, Some(SECOND)), (stats.woken, stats.oldest_woken_ns));
}

#[test]
fn a_worker_that_does_not_answer_loses_its_evaluation() {
    let mut broker = broker(&[eval(1, "a", 50)]);
    let (_, token) = next(&mut broker, 0).unwrap();
    assert_eq!(broker.next_deadline(), Some(60 * SECOND));
    broker.advance(60 * SECOND - 1);
    assert!(broker.outstanding(&id(1), token).is_ok());
    broker.advance(60 * SECOND);
    assert_eq!(broker.ack(&id(1), token, 60 * SECOND), Err(BrokerError::NotOutstanding));
    let (_, newer) = next(&mut broker, 61 * SECOND).unwrap();
    assert_eq!(broker.ack(&id(1), token, 61 * SECOND), Err(BrokerError::TokenMismatch));
    assert_eq!(broker.nack(&id(1), token, 61 * SECOND), Err(BrokerError::TokenMismatch));
    assert_eq!(broker.ack(&id(1), newer, 61 * SECOND), Ok(vec![]));
    assert_eq!(broker.stats(), BrokerStats::default());
}

#[test]
fn a_worker_whose_plan_waits_is_not_lost() {
    let mut broker = broker(&[eval(1, "a", 50)]);
    let (_, token) = next(&mut broker, 0).unwrap();
    broker.pause_timeout(&id(1), token).unwrap();
    assert_eq!(broker.next_deadline(), None);
    broker.advance(3600 * SECOND);
    broker.resume_timeout(&id(1), token, 3600 * SECOND).unwrap();
    assert_eq!(broker.next_deadline(), Some(3660 * SECOND));
    broker.ack(&id(1), token, 3601 * SECOND).unwrap();
    assert_eq!(broker.next_deadline(), None);
}

#[test]
fn an_evaluation_with_a_time_waits_for_it() {
    let at = Evaluation { wait_until_ns: 30 * SECOND, ..eval(1, "a", 50) };
    let after = Evaluation { wait_ns: 20 * SECOND, ..eval(2, "b", 50) };
    let mut broker = broker(&[at, after, eval(3, "a", 50)]);
    assert_eq!(broker.next_deadline(), Some(20 * SECOND));
    let (number, token) = next(&mut broker, 0).unwrap();
    assert_eq!(number, 3, "who waits for a time does not hold up the job");
    broker.ack(&id(3), token, 0).unwrap();
    assert_eq!(drain(&mut broker, 20 * SECOND), [2]);
    assert_eq!(drain(&mut broker, 30 * SECOND), [1]);
}

#[test]
fn one_that_is_woken_while_a_worker_has_it_is_looked_at_again() {
    let mut broker = broker(&[eval(1, "a", 50)]);
    let (_, token) = next(&mut broker, 0).unwrap();
    broker.enqueue(Evaluation { status: EvalStatus::Blocked.into(), ..eval(1, "a", 50) }, 0);
    assert_eq!(next(&mut broker, 0), None);
    broker.ack(&id(1), token, 0).unwrap();
    let again = broker.dequeue(&ALL, 0).unwrap();
    assert_eq!(again.eval.status(), EvalStatus::Blocked);
}

#[test]
fn evaluations_that_are_finished_or_here_already_are_not_taken_in() {
    let finished = Evaluation { status: EvalStatus::Complete.into(), ..eval(1, "a", 50) };
    let mut broker = broker(&[finished, eval(2, "b", 50), eval(2, "b", 50)]);
    broker.enqueue(Evaluation { id: vec![1], ..eval(3, "c", 50) }, 0);
    assert_eq!(drain(&mut broker, 0), [2]);
}

#[test]
fn what_is_forgotten_gives_its_turn_to_the_next() {
    let mut broker = broker(&[eval(1, "a", 50), eval(2, "a", 50), eval(3, "a", 90)]);
    broker.forget(&id(1));
    assert_eq!(broker.stats().total(), 2);
    let (number, token) = next(&mut broker, 0).unwrap();
    assert_eq!(number, 3);
    broker.forget(&id(3));
    assert!(broker.outstanding(&id(3), token).is_ok(), "what a worker has is left to it");
    broker.forget(&id(2));
    broker.ack(&id(3), token, 0).unwrap();
    assert_eq!(broker.stats(), BrokerStats::default());
    assert!(broker.jobs.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    New {
        job: u8,
        priority: i32,
        wait_s: i64,
    },
    Dequeue,
    /// A worker finishes: its evaluation is complete or becomes blocked.
    Done {
        worker: usize,
        blocks: bool,
    },
    Nack {
        worker: usize,
    },
    Pause {
        worker: usize,
    },
    Pass {
        seconds: i64,
    },
    Unblock {
        class: u8,
    },
    Untrack {
        job: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8, 0..3, prop_oneof![3 => Just(0), 1 => 1..40_i64])
            .prop_map(|(job, priority, wait_s)| Step::New { job, priority, wait_s }),
        5 => Just(Step::Dequeue),
        4 => (0..5_usize, any::<bool>()).prop_map(|(worker, blocks)| Step::Done { worker, blocks }),
        2 => (0..5_usize).prop_map(|worker| Step::Nack { worker }),
        1 => (0..5_usize).prop_map(|worker| Step::Pause { worker }),
        2 => (0..70_i64).prop_map(|seconds| Step::Pass { seconds }),
        2 => (0..3_u8).prop_map(|class| Step::Unblock { class }),
        1 => (0..4_u8).prop_map(|job| Step::Untrack { job }),
    ]
}

/// Maximum number of woken evaluations that the model puts into the broker at a time.
const WOKEN_AT_ONCE_MAX: usize = 2;

/// Both structures, the workers, and the unfinished evaluations.
#[derive(Default)]
struct Model {
    broker: EvalBroker,
    blocked: BlockedEvals,
    workers: Vec<Delivery>,
    open: BTreeSet<Vec<u8>>,
    now_ns: i64,
    index: u64,
}

impl Model {
    fn take(&mut self, step: Step) {
        self.index += 1;
        let datacenters = ["dc1".to_owned()];
        match step {
            Step::New { job, priority, wait_s } => {
                let id = u128::from(self.index).to_be_bytes().to_vec();
                let wait_until_ns = if wait_s > 0 { self.now_ns + wait_s * SECOND } else { 0 };
                let new = Evaluation { id, create_index: self.index, wait_until_ns, ..eval(0, "", priority) };
                let new = Evaluation { job_id: job.to_string(), snapshot_index: self.index, ..new };
                self.open.insert(new.id.clone());
                self.broker.enqueue(new, self.now_ns);
            }
            Step::Dequeue => self.workers.extend(self.broker.dequeue(&ALL, self.now_ns)),
            Step::Done { worker, blocks } if worker < self.workers.len() => {
                let Delivery { eval, token } = self.workers.remove(worker);
                if self.broker.outstanding(&eval.id, token).is_err() {
                    return assert!(self.broker.ack(&eval.id, token, self.now_ns).is_err());
                }
                if blocks {
                    let eligible = [("c1".to_owned(), true), ("c2".to_owned(), false)].into();
                    let eval = Evaluation {
                        status: EvalStatus::Blocked.into(),
                        class_eligibility: eligible,
                        ..eval.clone()
                    };
                    let duplicate = self.blocked.block(eval, &datacenters);
                    duplicate.iter().for_each(|eval| assert!(self.open.remove(&eval.id)));
                } else {
                    self.open.remove(&eval.id);
                }
                let outdated = self.broker.ack(&eval.id, token, self.now_ns).expect("it is outstanding");
                outdated.iter().for_each(|eval| assert!(self.open.remove(&eval.id)));
            }
            Step::Nack { worker } if worker < self.workers.len() => {
                let Delivery { eval, token } = self.workers.remove(worker);
                let _ = self.broker.nack(&eval.id, token, self.now_ns);
            }
            Step::Pause { worker } if worker < self.workers.len() => {
                let Delivery { eval, token } = &self.workers[worker];
                let _ = self.broker.pause_timeout(&eval.id, *token);
            }
            Step::Pass { seconds } => {
                self.now_ns += seconds * SECOND;
                self.broker.advance(self.now_ns);
                assert!(self.broker.next_deadline().is_none_or(|next| next > self.now_ns));
            }
            Step::Unblock { class } => {
                self.blocked.unblock(&format!("c{class}"), "dc1", self.index);
            }
            Step::Untrack { job } => {
                let untracked = self.blocked.untrack("default", &job.to_string());
                untracked.iter().for_each(|eval| assert!(self.open.remove(&eval.id)));
            }
            Step::Done { .. } | Step::Nack { .. } | Step::Pause { .. } => {}
        }
        let room = WOKEN_AT_ONCE_MAX.saturating_sub(self.broker.woken());
        let woken = self.blocked.take_woken(room);
        woken.into_iter().for_each(|eval| self.broker.enqueue(eval, self.now_ns));
    }

    fn verify(&self) {
        for id in &self.open {
            let in_broker = self.broker.evals.contains_key(id.as_slice());
            assert!(in_broker ^ self.blocked.contains(id), "{id:?} is in exactly one place");
        }
        assert_eq!(self.broker.evals.len() + self.blocked.stats().blocked, self.open.len());
        assert_eq!(self.broker.stats().total(), self.broker.evals.len());
        let is_woken = |tracked: &&Tracked| tracked.eval.status() == EvalStatus::Blocked;
        assert!(self.broker.evals.values().filter(is_woken).count() <= self.broker.woken());
        assert!(self.broker.woken.iter().all(|id| self.broker.evals.contains_key(id)));
        self.broker.verify();
    }
}

impl EvalBroker {
    /// Checks that every evaluation is in the index of its place and in no other, and that every job has one turn.
    fn verify(&self) {
        let waiting: usize = self.jobs.values().map(|turns| turns.waiting.len()).sum();
        let stats = self.stats();
        let placed = |is: fn(&Place) -> bool| self.evals.values().filter(|it| is(&it.place)).count();
        assert_eq!(placed(|place| *place == Place::Ready), stats.ready);
        assert_eq!(placed(|place| matches!(place, Place::Outstanding { .. })), stats.outstanding);
        assert_eq!((waiting, self.delayed.len()), (stats.waiting, stats.delayed));
        let due = self.evals.iter().filter_map(|(id, tracked)| Some((tracked.due_ns?, *id)));
        assert_eq!(due.collect::<BTreeSet<_>>(), self.due);
        for (id, tracked) in &self.evals {
            let rank = rank_of(*id, tracked);
            let turns = self.jobs.get(&JobKey::from(&tracked.eval));
            let has_turn = turns.is_some_and(|turns| turns.turn == Some(*id));
            let waits_for_its_time = matches!(tracked.place, Place::Delayed { has_turn: false, .. });
            assert!(waits_for_its_time || tracked.due_ns.is_some());
            match tracked.place {
                Place::Ready => assert!(has_turn && self.ready[self.queue_of(tracked)].contains(&rank)),
                Place::Waiting => assert!(!has_turn && turns.unwrap().waiting.contains(&rank)),
                Place::Delayed { until_ns, has_turn: keeps } => {
                    assert!(keeps == has_turn && self.delayed.contains(&(until_ns, *id)));
                }
                Place::Outstanding { deadline_ns, .. } => {
                    assert!(has_turn && deadline_ns.is_none_or(|at| self.deadlines.contains(&(at, *id))));
                }
            }
        }
        assert!(self.jobs.values().all(|turns| turns.turn.is_some_and(|id| self.evals.contains_key(&id))));
    }
}

proptest! {
    #[test]
    fn every_open_evaluation_is_in_exactly_one_place(steps in proptest::collection::vec(step(), 1..200)) {
        let mut model = Model { broker: EvalBroker::new(BrokerOptions::default()), ..Model::default() };
        for step in steps {
            model.take(step);
            model.verify();
        }
        // No evaluation is stuck: with workers that finish everything, all evaluations end.
        model.workers.clear();
        for _ in 0..10_000 {
            if model.open.is_empty() {
                break;
            }
            model.take(Step::Pass { seconds: 60 });
            for class in 0..3 {
                model.take(Step::Unblock { class });
            }
            for job in 0..4 {
                model.take(Step::Untrack { job });
            }
            let paused: Vec<Vec<u8>> = model.open.iter().cloned().collect();
            for id in paused {
                if let Some(Tracked { place: Place::Outstanding { token, deadline_ns: None }, .. }) =
                    model.broker.evals.get(id.as_slice())
                {
                    let token = *token;
                    model.broker.resume_timeout(&id, token, model.now_ns).unwrap();
                }
            }
            while let Some(delivery) = model.broker.dequeue(&ALL, model.now_ns) {
                model.workers.push(delivery);
                model.take(Step::Done { worker: 0, blocks: false });
            }
        }
        model.verify();
        prop_assert!(model.open.is_empty());
    }
}
