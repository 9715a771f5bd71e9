//! Shares the engines: one worker thread per engine replica, a queue bounded by tokens, no waiting to fill a batch.
//!
//! A free worker takes the oldest job and, where its engine gains from batches, whatever else of similar length is queued,
//! up to a token budget; padding a mixed batch costs more on a CPU than batching gains. Jobs that someone waits for
//! overtake bulk jobs, which still get every fourth turn. Jobs whose caller is gone or whose deadline has passed leave the
//! queue without being computed. A job that would wait too long, by the speed at which the queue drains, is refused at once.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{Engine, EngineError};

mod queue;

use queue::{Job, Queue};

/// How the scheduler works.
#[derive(Debug, Clone, Copy)]
pub struct SchedulerSettings {
    /// Worker threads, each with an engine of its own; at least 1.
    pub workers: usize,
    /// Tokens that may wait in each lane; more is refused.
    pub queue_tokens: usize,
    /// How long an interactive row may wait for its turn, as far as can be foreseen; what would wait longer is refused.
    /// Bulk rows may wait until their deadline.
    pub max_wait: Duration,
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

/// Loads one engine replica; called on the thread that will own it.
pub type EngineLoader = Arc<dyn Fn() -> Result<Box<dyn Engine>, EngineError> + Send + Sync>;

/// Why rows were not scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The queue is full, or the wait would be too long. Nothing was queued.
    #[error("the queue is full")]
    Overloaded {
        /// When there should be room again, by the speed at which the queue drained of late.
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
        let time_left = deadline.saturating_duration_since(Instant::now());
        queue
            .admits(lane, tokens, time_left, &self.shared.settings)
            .map_err(|retry_after| ScoreError::Overloaded { retry_after })?;
        let mut pending = Vec::with_capacity(rows.len());
        for row in rows {
            let (answer, receiver) = oneshot::channel();
            queue.push(lane, Job { row, deadline, answer });
            pending.push(receiver);
        }
        drop(queue);
        self.shared.work.notify_all();
        Ok(pending)
    }

    /// Tokens that wait now.
    pub fn queued_tokens(&self) -> usize {
        self.shared.lock().tokens()
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.shared.lock().close();
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
            if let Some(batch) = queue.next_batch(tokens) {
                return Some(batch);
            }
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
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
                shared.lock().computed(tokens, began.elapsed());
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
