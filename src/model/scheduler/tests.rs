#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// Answers each row with its first token and its length; waits for a permit before each inference; can be told to fail.
struct Gated {
    permits: Arc<Mutex<Receiver<()>>>,
    batches: Sender<Vec<usize>>,
    gains_from_batches: bool,
}

impl Engine for Gated {
    fn score(&mut self, rows: &[&[u32]]) -> Result<Vec<Vec<f32>>, EngineError> {
        let _ = self.permits.lock().unwrap().recv();
        self.batches.send(rows.iter().map(|row| row.len()).collect()).unwrap();
        match rows[0][0] {
            13 => Err(EngineError::Inference("thirteen".to_owned())),
            14 => panic!("fourteen"),
            _ => Ok(rows.iter().map(|row| vec![row[0] as f32, row.len() as f32]).collect()),
        }
    }

    fn gains_from_batches(&self) -> bool {
        self.gains_from_batches
    }
}

struct Bench {
    scheduler: Scheduler,
    permits: Sender<()>,
    batches: Receiver<Vec<usize>>,
}

/// One worker that has passed its warm-up and is waiting for work.
fn bench(queue_tokens: usize, batch_tokens: usize) -> Bench {
    bench_of(true, queue_tokens, batch_tokens)
}

fn bench_of(gains_from_batches: bool, queue_tokens: usize, batch_tokens: usize) -> Bench {
    let (permits, gate) = channel();
    let gate = Arc::new(Mutex::new(gate));
    let (batches, seen) = channel();
    permits.send(()).unwrap();
    let loader: EngineLoader =
        Arc::new(move || Ok(Box::new(Gated { permits: gate.clone(), batches: batches.clone(), gains_from_batches })));
    let settings = SchedulerSettings { workers: 1, queue_tokens, max_wait: Duration::from_secs(600), batch_tokens };
    let scheduler = Scheduler::start(settings, loader, vec![1]).unwrap();
    assert_eq!(seen.recv().unwrap(), [1], "the warm-up");
    Bench { scheduler, permits, batches: seen }
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

fn rows(rows: &[(u32, usize)]) -> Vec<Vec<u32>> {
    rows.iter().map(|(token, length)| vec![*token; *length]).collect()
}

/// Submits a row that occupies the worker until the next permit.
fn occupy(bench: &Bench) -> Pending {
    let pending = bench.scheduler.submit(rows(&[(9, 100)]), Lane::Interactive, later()).unwrap().remove(0);
    while bench.scheduler.queued_tokens() > 0 {
        thread::yield_now();
    }
    pending
}

#[test]
fn every_row_gets_its_own_answer() {
    let bench = bench(10_000, 64);
    let sent: Vec<(u32, usize)> = (100..200).map(|token| (token, 1 + (token as usize * 7) % 50)).collect();
    let pending = bench.scheduler.submit(rows(&sent), Lane::Interactive, later()).unwrap();
    drop(bench.permits);
    for (pending, (token, length)) in pending.into_iter().zip(sent) {
        assert_eq!(pending.blocking_recv().unwrap().unwrap(), [token as f32, length as f32]);
    }
}

#[test]
fn rows_of_like_length_go_together_within_the_budget() {
    let bench = bench(10_000, 60);
    let first = occupy(&bench);
    let _pending = bench
        .scheduler
        .submit(rows(&[(1, 20), (2, 5), (3, 19), (4, 18), (5, 20)]), Lane::Interactive, later())
        .unwrap();
    drop(bench.permits);
    first.blocking_recv().unwrap().unwrap();
    let batches: Vec<_> = (0..4).map(|_| bench.batches.recv().unwrap()).collect();
    assert_eq!(batches, [vec![100], vec![20, 19, 18], vec![5], vec![20]]);
}

#[test]
fn an_engine_that_gains_nothing_from_batches_gets_one_row_at_a_time() {
    let bench = bench_of(false, 10_000, 60);
    let first = occupy(&bench);
    let _pending = bench.scheduler.submit(rows(&[(1, 20), (2, 20)]), Lane::Interactive, later()).unwrap();
    drop(bench.permits);
    first.blocking_recv().unwrap().unwrap();
    let batches: Vec<_> = (0..3).map(|_| bench.batches.recv().unwrap()).collect();
    assert_eq!(batches, [vec![100], vec![20], vec![20]]);
}

#[test]
fn whoever_waits_overtakes_bulk_which_still_gets_its_turns() {
    let bench = bench(10_000, 1);
    let first = occupy(&bench);
    let bulk = bench.scheduler.submit(rows(&[(1, 40), (1, 41), (1, 42)]), Lane::Bulk, later()).unwrap();
    let sent: Vec<(u32, usize)> = (1..=8).map(|length| (2, length)).collect();
    let interactive = bench.scheduler.submit(rows(&sent), Lane::Interactive, later()).unwrap();
    drop(bench.permits);
    for pending in [first].into_iter().chain(bulk).chain(interactive) {
        pending.blocking_recv().unwrap().unwrap();
    }
    let order: Vec<usize> = bench.batches.try_iter().flatten().collect();
    // The row that kept the worker busy was the interactive lane's first turn.
    assert_eq!(order, [100, 1, 2, 40, 3, 4, 5, 41, 6, 7, 8, 42]);
}

#[test]
fn a_full_queue_refuses_all_rows_and_an_empty_one_takes_any() {
    let bench = bench(50, 64);
    let first = occupy(&bench);
    let _large = bench.scheduler.submit(rows(&[(1, 500)]), Lane::Interactive, later()).unwrap();
    let refused = bench.scheduler.submit(rows(&[(1, 10), (1, 10)]), Lane::Interactive, later());
    let Err(ScoreError::Overloaded { retry_after }) = refused else { panic!("{refused:?}") };
    assert!(retry_after > Duration::ZERO);
    assert_eq!(bench.scheduler.queued_tokens(), 500);
    drop(bench.permits);
    first.blocking_recv().unwrap().unwrap();
}

#[test]
fn the_cancelled_and_the_late_are_not_computed() {
    let bench = bench(10_000, 1);
    let first = occupy(&bench);
    drop(bench.scheduler.submit(rows(&[(1, 10)]), Lane::Interactive, later()).unwrap());
    let late = bench.scheduler.submit(rows(&[(2, 11)]), Lane::Interactive, Instant::now()).unwrap().remove(0);
    let good = bench.scheduler.submit(rows(&[(3, 12)]), Lane::Interactive, later()).unwrap().remove(0);
    drop(bench.permits);
    assert!(matches!(late.blocking_recv().unwrap(), Err(ScoreError::DeadlineExceeded)));
    good.blocking_recv().unwrap().unwrap();
    first.blocking_recv().unwrap().unwrap();
    let batches: Vec<_> = bench.batches.try_iter().collect();
    assert_eq!(batches, [vec![100], vec![12]]);
}

#[test]
fn a_failing_or_panicking_engine_answers_and_works_on() {
    let bench = bench(10_000, 1);
    drop(bench.permits);
    for token in [13, 14] {
        let failed = bench.scheduler.submit(rows(&[(token, 3)]), Lane::Interactive, later()).unwrap().remove(0);
        assert!(matches!(failed.blocking_recv().unwrap(), Err(ScoreError::Engine(_))));
    }
    let good = bench.scheduler.submit(rows(&[(5, 3)]), Lane::Interactive, later()).unwrap().remove(0);
    assert_eq!(good.blocking_recv().unwrap().unwrap(), [5.0, 3.0]);
}

#[test]
fn stopping_tells_whoever_waits() {
    let bench = bench(10_000, 1);
    let first = occupy(&bench);
    let waiting = bench.scheduler.submit(rows(&[(1, 10)]), Lane::Interactive, later()).unwrap().remove(0);
    drop(bench.permits);
    drop(bench.scheduler);
    assert!(first.blocking_recv().unwrap().is_ok());
    // It was computed if the worker was quick, told so otherwise; it is not left hanging.
    let told = waiting.blocking_recv().unwrap();
    assert!(matches!(told, Ok(_) | Err(ScoreError::Stopped)), "{told:?}");
}

#[test]
fn an_engine_that_does_not_load_fails_the_start() {
    let settings = SchedulerSettings { workers: 2, queue_tokens: 1, max_wait: Duration::from_secs(1), batch_tokens: 1 };
    let loader: EngineLoader = Arc::new(|| {
        Err(EngineError::Load { file: "model.safetensors".to_owned(), reason: "tensor missing".to_owned() })
    });
    let error = Scheduler::start(settings, loader, vec![1]).err().unwrap().to_string();
    assert!(error.contains("model.safetensors") && error.contains("tensor missing"), "{error}");
}
