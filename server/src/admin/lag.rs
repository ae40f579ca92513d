//! How far groups are behind, on demand: a page asks, each core answers when it next comes by the board.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::shard::GroupLag;

/// How long a page waits for the cores; those that are late are shown as they were before.
const PATIENCE: Duration = Duration::from_secs(1);

/// The question, and the newest answer of each core.
#[derive(Debug)]
pub(super) struct LagDesk {
    /// Number of the newest question.
    asked: AtomicU64,
    answers: Mutex<Vec<(u64, Arc<GroupLag>)>>,
    answered: Condvar,
}

impl LagDesk {
    /// A desk for that many cores.
    pub(super) fn new(cores: usize) -> LagDesk {
        let answers = Mutex::new(vec![(0, Arc::default()); cores]);
        LagDesk { asked: AtomicU64::new(0), answers, answered: Condvar::new() }
    }

    /// The question that `core` has not answered yet, if there is one. Waits for nobody.
    pub(super) fn open(&self, core: usize) -> Option<u64> {
        let asked = self.asked.load(Ordering::Acquire);
        let answers = self.answers.try_lock().ok()?;
        (answers[core].0 < asked).then_some(asked)
    }

    /// A core's answer. The lock is only ever held to move an answer in or to count references.
    pub(super) fn answer(&self, core: usize, question: u64, lag: GroupLag) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers[core] = (question, Arc::new(lag));
        self.answered.notify_all();
    }

    /// Asks every core, and waits for the answers.
    pub(super) fn ask(&self) -> Vec<Arc<GroupLag>> {
        let question = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let deadline = Instant::now() + PATIENCE;
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        while answers.iter().any(|(answered, _)| *answered < question) {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            let woken = self.answered.wait_timeout(answers, left);
            answers = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        answers.iter().map(|(_, lag)| lag.clone()).collect()
    }
}
