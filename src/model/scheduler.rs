//! Shares the engines: one worker thread per engine replica, a queue bounded by tokens, no waiting to fill a batch.
//!
//! A free worker takes the oldest job and, where its engine gains from batches, whatever else of similar length is queued,
//! up to a token budget; padding a mixed batch costs more on a CPU than batching gains. Jobs that someone waits for
//! overtake bulk jobs, which still get every fourth turn. Jobs whose caller is gone or whose deadline has passed leave the
//! queue without being computed.

use std::{
    collections::VecDeque,
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{Engine, EngineError};

/// How the scheduler works.
#[derive(Debug, Clone, Copy)]
pub struct SchedulerSettings {
    /// Worker threads, each with an engine of its own; at least 1.
    pub workers: usize,
    /// Tokens that may wait; more is refused.
    pub queue_tokens: usize,
    /// Tokens, padding included, that one inference takes at most, unless a single row is longer.
    pub batch_tokens: usize,
}

/// How soon someone looks at the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Someone waits for it.
    Interactive,
    /// One of many; it may take a while.
    Bulk,
}

/// While both lanes have work, bulk gets one turn in so many.
const BULK_TURN: u32 = 4;

/// Loads one engine replica; called on the thread that will own it.
pub type EngineLoader = Arc<dyn Fn() -> Result<Box<dyn Engine>, EngineError> + Send + Sync>;

/// Why rows were not scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The queue is full. Nothing was queued.
    #[error("the queue is full")]
    Overloaded {
        /// When there should be room again, from the speed of late.
        retry_after: Duration,
    },
    /// The deadline passed first.
    #[error("the deadline passed")]
    DeadlineExceeded,
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] Arc<EngineError>),
    /// The scheduler is stopping.
    #[error("the scheduler has stopped")]
    Stopped,
}

/// Why the workers did not come up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An engine could not be loaded, or failed its warm-up.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A thread could not be started.
    #[error("cannot start a worker thread: {0}")]
    Thread(#[from] io::Error),
}

/// The worker threads and their queue. Dropping it stops them after the inference at hand; waiting jobs are told
/// [`ScoreError::Stopped`].
pub struct Scheduler {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    settings: SchedulerSettings,
}

#[derive(Default)]
struct Queue {
    interactive: VecDeque<Job>,
    bulk: VecDeque<Job>,
    // Turns of the interactive lane since the last one of the bulk lane.
    turns: u32,
    tokens: usize,
    closed: bool,
    // Tokens a second that one worker computed, a moving average; 0 until the first inference.
    worker_rate: f64,
}

struct Job {
    row: Vec<u32>,
    deadline: Instant,
    answer: oneshot::Sender<Result<Vec<f32>, ScoreError>>,
}

/// The answer to one row, to be awaited.
pub type Pending = oneshot::Receiver<Result<Vec<f32>, ScoreError>>;

impl Scheduler {
    /// Starts the workers and returns when every engine has loaded and scored `warm_up`. Blocks; not for async threads.
    ///
    /// # Errors
    /// The first engine's failure; all threads have ended then.
    pub fn start(settings: SchedulerSettings, loader: EngineLoader, warm_up: Vec<u32>) -> Result<Self, StartError> {
        let shared = Arc::new(Shared { queue: Mutex::default(), work: Condvar::new(), settings });
        let mut scheduler = Self { shared: shared.clone(), workers: Vec::with_capacity(settings.workers) };
        let (report, reports) = mpsc::channel();
        for index in 0..settings.workers {
            let (shared, loader, warm_up, report) = (shared.clone(), loader.clone(), warm_up.clone(), report.clone());
            let worker = thread::Builder::new().name(format!("engine-{index}")).spawn(move || {
                let started = guarded(|| {
                    let mut engine = loader()?;
                    engine.score(&[&warm_up])?;
                    Ok(engine)
                });
                match started {
                    Ok(engine) => {
                        // The receiver is gone only when another worker's failure has ended the start.
                        let _ = report.send(Ok(()));
                        work(&shared, engine);
                    }
                    Err(error) => {
                        let _ = report.send(Err(error));
                    }
                }
            })?;
            scheduler.workers.push(worker);
        }
        drop(report);
        for started in reports.iter().take(settings.workers) {
            started?;
        }
        Ok(scheduler)
    }

    /// Queues `rows` together, in one lane, or not at all; each is answered by itself.
    ///
    /// # Errors
    /// [`ScoreError::Overloaded`] when they do not fit the queue, [`ScoreError::Stopped`].
    pub fn submit(&self, rows: Vec<Vec<u32>>, lane: Lane, deadline: Instant) -> Result<Vec<Pending>, ScoreError> {
        let tokens: usize = rows.iter().map(Vec::len).sum();
        let mut queue = self.shared.lock();
        if queue.closed {
            return Err(ScoreError::Stopped);
        }
        // An empty queue takes any request, or one larger than the bound could never be served.
        if queue.tokens > 0 && queue.tokens + tokens > self.shared.settings.queue_tokens {
            let rate = queue.worker_rate.max(1.0) * self.workers.len() as f64;
            let retry_after = Duration::from_secs_f64((queue.tokens as f64 / rate).clamp(0.05, 30.0));
            return Err(ScoreError::Overloaded { retry_after });
        }
        let mut pending = Vec::with_capacity(rows.len());
        for row in rows {
            let (answer, receiver) = oneshot::channel();
            queue.tokens += row.len();
            queue.lane(lane).push_back(Job { row, deadline, answer });
            pending.push(receiver);
        }
        drop(queue);
        self.shared.work.notify_all();
        Ok(pending)
    }

    /// Tokens that wait now.
    pub fn queued_tokens(&self) -> usize {
        self.shared.lock().tokens
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        for lane in [Lane::Interactive, Lane::Bulk] {
            for job in queue.lane(lane).drain(..) {
                let _ = job.answer.send(Err(ScoreError::Stopped));
            }
        }
        queue.tokens = 0;
        drop(queue);
        self.shared.work.notify_all();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

impl Shared {
    // No code can panic while it holds the lock with the queue half changed, so a poisoned lock still holds a sound queue.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work and takes a batch of up to `tokens`, or one job; `None` when the scheduler stops.
    fn next_batch(&self, tokens: usize) -> Option<Vec<Job>> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            queue.drop_dead();
            if let Some(lane) = queue.next_lane() {
                return Some(queue.gather(lane, tokens));
            }
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Queue {
    fn lane(&mut self, lane: Lane) -> &mut VecDeque<Job> {
        match lane {
            Lane::Interactive => &mut self.interactive,
            Lane::Bulk => &mut self.bulk,
        }
    }

    /// Whose turn it is; `None` when nothing waits.
    fn next_lane(&mut self) -> Option<Lane> {
        let bulk = !self.bulk.is_empty() && (self.interactive.is_empty() || self.turns + 1 >= BULK_TURN);
        match bulk {
            true => self.turns = 0,
            false if self.interactive.is_empty() => return None,
            false => self.turns = self.turns.saturating_add(1),
        }
        Some(if bulk { Lane::Bulk } else { Lane::Interactive })
    }

    fn drop_dead(&mut self) {
        let now = Instant::now();
        let is_dead = |job: &Job| job.answer.is_closed() || job.deadline <= now;
        for lane in [Lane::Interactive, Lane::Bulk] {
            // Before every inference, under the lock: as a rule there is nothing to move.
            if !self.lane(lane).iter().any(is_dead) {
                continue;
            }
            let (dead, alive): (VecDeque<_>, VecDeque<_>) = mem::take(self.lane(lane)).into_iter().partition(is_dead);
            *self.lane(lane) = alive;
            for job in dead {
                self.tokens -= job.row.len();
                let _ = job.answer.send(Err(ScoreError::DeadlineExceeded));
            }
        }
    }

    /// Takes the oldest job of `lane` and what there is of similar length: no row more than a quarter, or four tokens,
    /// shorter than the longest.
    fn gather(&mut self, lane: Lane, batch_tokens: usize) -> Vec<Job> {
        let jobs = self.lane(lane);
        let mut batch: Vec<Job> = jobs.pop_front().into_iter().collect();
        let (mut shortest, mut longest) = batch.first().map_or((0, 0), |job| (job.row.len(), job.row.len()));
        let mut index = 0;
        while index < jobs.len() {
            let length = jobs[index].row.len();
            let (low, high) = (shortest.min(length), longest.max(length));
            if high - low <= (high / 4).max(4) && high * (batch.len() + 1) <= batch_tokens {
                // The index was just seen to be within bounds.
                batch.extend(jobs.remove(index));
                (shortest, longest) = (low, high);
            } else {
                index += 1;
            }
        }
        self.tokens -= batch.iter().map(|job| job.row.len()).sum::<usize>();
        batch
    }
}

fn work(shared: &Shared, mut engine: Box<dyn Engine>) {
    // What one worker takes and computes row by row, another might have begun with.
    let tokens = if engine.gains_from_batches() { shared.settings.batch_tokens } else { 0 };
    while let Some(batch) = shared.next_batch(tokens) {
        let began = Instant::now();
        let rows: Vec<&[u32]> = batch.iter().map(|job| job.row.as_slice()).collect();
        let tokens: usize = rows.iter().map(|row| row.len()).sum();
        let scored = guarded(|| engine.score(&rows)).and_then(|scored| {
            if scored.len() == batch.len() && scored.iter().flatten().all(|logit| logit.is_finite()) {
                Ok(scored)
            } else {
                Err(EngineError::Inference("the engine's answer is not one finite row each".to_owned()))
            }
        });
        match scored {
            Ok(scored) => {
                let rate = tokens as f64 / began.elapsed().as_secs_f64().max(1e-6);
                let mut queue = shared.lock();
                queue.worker_rate = if queue.worker_rate == 0.0 { rate } else { 0.9 * queue.worker_rate + 0.1 * rate };
                drop(queue);
                for (job, logits) in batch.into_iter().zip(scored) {
                    let _ = job.answer.send(Ok(logits));
                }
            }
            Err(error) => {
                tracing::error!(%error, rows = batch.len(), "inference failed");
                let error = Arc::new(error);
                for job in batch {
                    let _ = job.answer.send(Err(ScoreError::Engine(error.clone())));
                }
            }
        }
    }
}

/// Runs engine code, which calls into foreign libraries, so that a panic there is an error here.
fn guarded<T>(run: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(EngineError::Inference("the engine panicked".to_owned())))
}

#[cfg(test)]
mod tests;
