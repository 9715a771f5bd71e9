//! What waits for the workers: two lanes, each bounded, and an estimate of how long a job in them waits.

use std::{
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{Lane, SchedulerSettings, ScoreError};

/// While both lanes have work, bulk gets one turn in so many.
const BULK_TURN: u32 = 4;

/// How much the latest inference moves the estimate of the workers' speed.
const RATE_WEIGHT: f64 = 0.1;

/// One row that waits, and who waits for it.
pub(super) struct Job {
    pub(super) row: Vec<u32>,
    pub(super) deadline: Instant,
    pub(super) answer: oneshot::Sender<Result<Vec<f32>, ScoreError>>,
}

#[derive(Default)]
pub(super) struct Queue {
    interactive: Waiting,
    bulk: Waiting,
    // Turns of the interactive lane since the last one of the bulk lane.
    turns: u32,
    pub(super) closed: bool,
    // Tokens a second that one worker computed, a moving average; 0 until the first inference.
    worker_rate: f64,
}

/// The jobs of one lane, oldest first, and their tokens.
#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    tokens: usize,
}

impl Queue {
    fn lane(&mut self, lane: Lane) -> &mut Waiting {
        match lane {
            Lane::Interactive => &mut self.interactive,
            Lane::Bulk => &mut self.bulk,
        }
    }

    /// Tokens that wait in both lanes.
    pub(super) fn tokens(&self) -> usize {
        self.interactive.tokens + self.bulk.tokens
    }

    /// Takes note of how long one worker took for `tokens`.
    pub(super) fn computed(&mut self, tokens: usize, took: Duration) {
        let rate = tokens as f64 / took.as_secs_f64().max(1e-6);
        let known = self.worker_rate > 0.0;
        self.worker_rate = if known { (1.0 - RATE_WEIGHT) * self.worker_rate + RATE_WEIGHT * rate } else { rate };
    }

    /// Whether `tokens` more may wait in `lane`; if not, after which time they should be able to.
    ///
    /// A lane with nothing in it takes any request, or one larger than the bounds could never be served.
    pub(super) fn admits(
        &self,
        lane: Lane,
        tokens: usize,
        time_left: Duration,
        settings: &SchedulerSettings,
    ) -> Result<(), Duration> {
        let (waiting, longest) = match lane {
            Lane::Interactive => (self.interactive.tokens, settings.max_wait.min(time_left)),
            Lane::Bulk => (self.bulk.tokens, time_left),
        };
        let wait = self.expected_wait(lane, settings.workers);
        if waiting == 0 || (wait <= longest && waiting + tokens <= settings.queue_tokens) {
            return Ok(());
        }
        // Until the wait is short enough again or the lane has room, whichever comes last.
        let surplus = (waiting + tokens).saturating_sub(settings.queue_tokens);
        let room = Duration::from_secs_f64(surplus as f64 / self.rate(settings.workers));
        Err(wait.saturating_sub(longest).max(room).clamp(Duration::from_millis(50), Duration::from_secs(30)))
    }

    /// How long a job that came now would wait for its turn, by the speed of late; nothing as long as that is not known.
    fn expected_wait(&self, lane: Lane, workers: usize) -> Duration {
        let (interactive, bulk) = (self.interactive.tokens, self.bulk.tokens);
        let ahead = match lane {
            // Bulk's turns in between are jobs of about the same size.
            Lane::Interactive => interactive + bulk.min(interactive / (BULK_TURN as usize - 1)),
            Lane::Bulk => interactive + bulk,
        };
        if self.worker_rate == 0.0 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(ahead as f64 / self.rate(workers))
    }

    fn rate(&self, workers: usize) -> f64 {
        self.worker_rate.max(1.0) * workers as f64
    }

    pub(super) fn push(&mut self, lane: Lane, job: Job) {
        let waiting = self.lane(lane);
        waiting.tokens += job.row.len();
        waiting.jobs.push_back(job);
    }

    /// The next batch of up to `tokens`, or one job, without those that nobody waits for any more; `None` when nothing waits.
    pub(super) fn next_batch(&mut self, tokens: usize) -> Option<Vec<Job>> {
        let now = Instant::now();
        self.interactive.drop_dead(now);
        self.bulk.drop_dead(now);
        let lane = self.next_lane()?;
        Some(self.lane(lane).gather(tokens))
    }

    /// Whose turn it is; `None` when nothing waits.
    fn next_lane(&mut self) -> Option<Lane> {
        let idle = self.interactive.jobs.is_empty();
        let bulk = !self.bulk.jobs.is_empty() && (idle || self.turns + 1 >= BULK_TURN);
        match bulk {
            true => self.turns = 0,
            false if idle => return None,
            false => self.turns = self.turns.saturating_add(1),
        }
        Some(if bulk { Lane::Bulk } else { Lane::Interactive })
    }

    /// Refuses all that comes from now on and tells those who wait.
    pub(super) fn close(&mut self) {
        self.closed = true;
        for waiting in [mem::take(&mut self.interactive), mem::take(&mut self.bulk)] {
            for job in waiting.jobs {
                let _ = job.answer.send(Err(ScoreError::Stopped));
            }
        }
    }
}

impl Waiting {
    /// Takes out the jobs whose caller is gone or whose deadline has passed.
    fn drop_dead(&mut self, now: Instant) {
        let is_dead = |job: &Job| job.answer.is_closed() || job.deadline <= now;
        // Before every inference, under the lock: as a rule there is nothing to move.
        if !self.jobs.iter().any(is_dead) {
            return;
        }
        let (dead, alive): (VecDeque<_>, VecDeque<_>) = mem::take(&mut self.jobs).into_iter().partition(is_dead);
        self.jobs = alive;
        for job in dead {
            self.tokens -= job.row.len();
            let _ = job.answer.send(Err(ScoreError::DeadlineExceeded));
        }
    }

    /// Takes the oldest job and what there is of similar length: no row more than a quarter, or four tokens, shorter than
    /// the longest.
    fn gather(&mut self, batch_tokens: usize) -> Vec<Job> {
        let jobs = &mut self.jobs;
        let mut batch: Vec<Job> = jobs.pop_front().into_iter().collect();
        let (mut shortest, mut longest) = batch.first().map_or((0, 0), |job| (job.row.len(), job.row.len()));
        let mut index = 0;
        while index < jobs.len() && longest * (batch.len() + 1) <= batch_tokens {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SETTINGS: SchedulerSettings =
        SchedulerSettings { workers: 2, queue_tokens: 10_000, max_wait: Duration::from_secs(1), batch_tokens: 1 };
    const LONG: Duration = Duration::from_secs(10);

    /// Holds so many tokens in each lane and computes a thousand a second with each worker.
    fn queue(interactive: usize, bulk: usize) -> Queue {
        let mut queue = Queue::default();
        queue.computed(1_000, Duration::from_secs(1));
        for (lane, tokens) in [(Lane::Interactive, interactive), (Lane::Bulk, bulk)] {
            let (answer, _) = oneshot::channel();
            queue.push(lane, Job { row: vec![0; tokens], deadline: Instant::now() + LONG, answer });
        }
        queue
    }

    #[test]
    fn what_would_wait_too_long_is_told_how_long() {
        assert_eq!(queue(2_000, 0).admits(Lane::Interactive, 1, LONG, &SETTINGS), Ok(()));
        let refused = queue(5_000, 0).admits(Lane::Interactive, 1, LONG, &SETTINGS);
        assert_eq!(refused, Err(Duration::from_millis(1_500)), "2.5 seconds of work, 1 may be waited");
        let hurried = queue(2_000, 0).admits(Lane::Interactive, 1, Duration::from_millis(400), &SETTINGS);
        assert_eq!(hurried, Err(Duration::from_millis(600)), "it could not be done by its deadline");
    }

    #[test]
    fn bulk_work_hardly_counts_for_those_who_wait_and_may_itself_wait_until_its_deadline() {
        assert_eq!(queue(1_200, 9_000).admits(Lane::Interactive, 1, LONG, &SETTINGS), Ok(()));
        assert_eq!(queue(1_200, 9_000).admits(Lane::Bulk, 1, LONG, &SETTINGS), Ok(()));
        assert!(queue(1_200, 9_000).admits(Lane::Bulk, 1, Duration::from_secs(5), &SETTINGS).is_err());
        assert_eq!(queue(0, 9_000).admits(Lane::Interactive, 20_000, LONG, &SETTINGS), Ok(()), "its lane is empty");
    }

    #[test]
    fn each_lane_is_bounded_by_its_tokens() {
        let full = queue(0, 9_500).admits(Lane::Bulk, 1_500, LONG, &SETTINGS);
        assert_eq!(full, Err(Duration::from_millis(500)), "a thousand tokens must go first");
    }

    #[test]
    fn as_long_as_the_speed_is_not_known_only_the_bound_holds() {
        let mut queue = queue(9_000, 0);
        queue.worker_rate = 0.0;
        assert_eq!(queue.admits(Lane::Interactive, 1, LONG, &SETTINGS), Ok(()));
        assert!(queue.admits(Lane::Interactive, 2_000, LONG, &SETTINGS).is_err());
    }

    #[test]
    fn one_slow_inference_moves_the_estimate_by_a_tenth() {
        let mut queue = queue(2_000, 0);
        queue.computed(100, Duration::from_secs(1));
        assert_eq!(queue.worker_rate.round(), 910.0);
    }
}
