//! What groups committed, and what was promised about it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::topic::Finding;

/// A group and one of the partitions that it reads.
pub(super) type Place = (usize, usize);

/// What groups committed, in the order in which they asked. Each value is told from every other; the end of
/// what was committed is a value too, a negative one.
pub(super) struct Commits {
    values: BTreeMap<Place, Committed>,
    next: i64,
    /// When each was asked for, wall clock, ms.
    times: BTreeMap<i64, i64>,
    /// How long they are kept, ms.
    retention_ms: i64,
    /// The latest time that the machine may ever have believed, ms.
    time_max: i64,
    /// Those that were found to have ended because nobody used them.
    pub(super) expired: u64,
    pub(super) acknowledged: u64,
    /// Of these, ends.
    pub(super) ended: u64,
}

#[derive(Default)]
struct Committed {
    /// Asked for and not known to be gone.
    asked: Vec<i64>,
    /// The first so many of them were acknowledged, or overtaken by one that was.
    promised: usize,
    /// How many of them wait for an answer.
    waiting: usize,
    /// One was answered with an error in this life: what it asked for may come yet.
    unsure: bool,
}

impl Commits {
    /// Nothing is committed yet; what will be is kept for so long.
    pub(super) fn new(retention: Duration) -> Commits {
        Commits {
            values: BTreeMap::new(),
            next: 0,
            times: BTreeMap::new(),
            retention_ms: i64::try_from(retention.as_millis()).unwrap_or(i64::MAX),
            time_max: i64::MIN,
            expired: 0,
            acknowledged: 0,
            ended: 0,
        }
    }

    /// The latest time that the machine may believe.
    pub(super) fn told_time(&mut self, latest: i64) {
        self.time_max = self.time_max.max(latest);
    }

    /// Somebody commits at that time: this.
    pub(super) fn ask(&mut self, place: Place, time: i64) -> i64 {
        self.next += 1;
        self.times.insert(self.next, time);
        let committed = self.values.entry(place).or_default();
        committed.asked.push(self.next);
        committed.waiting += 1;
        self.next
    }

    /// Somebody ends what was committed. `None` while a commit is under way, or may be: it may come behind the end.
    pub(super) fn ask_end(&mut self, place: Place) -> Option<i64> {
        let committed = self.values.entry(place).or_default();
        (committed.waiting == 0 && !committed.unsure).then(|| {
            self.next += 1;
            committed.asked.push(-self.next);
            committed.waiting += 1;
            -self.next
        })
    }

    /// It was refused, or may have been.
    pub(super) fn refused(&mut self, place: Place) {
        let committed = self.values.entry(place).or_default();
        committed.waiting -= 1;
        committed.unsure = true;
    }

    pub(super) fn acknowledge(&mut self, place: Place, value: i64) {
        self.acknowledged += 1;
        self.ended += u64::from(value < 0);
        let committed = self.values.entry(place).or_default();
        committed.waiting -= 1;
        if let Some(index) = committed.asked.iter().position(|v| *v == value) {
            committed.promised = committed.promised.max(index + 1);
        }
    }

    /// The machine stopped: nobody is answered any more.
    pub(super) fn stopped(&mut self) {
        self.values.values_mut().for_each(|committed| (committed.waiting, committed.unsure) = (0, false));
    }

    /// Of which groups and partitions something was committed.
    pub(super) fn places(&self) -> Vec<Place> {
        self.values.keys().copied().collect()
    }

    /// Nothing is committed any more: if what was promised last is as old as it is kept, it has ended for that.
    fn end_old(&mut self, place: Place) {
        let committed = self.values.entry(place).or_default();
        let Some(last) = committed.promised.checked_sub(1) else { return };
        let is_old = |value: &i64| {
            let time = self.times.get(value);
            time.is_some_and(|time| self.time_max.saturating_sub(*time) >= self.retention_ms)
        };
        // A later one may have been kept, and have ended too.
        let Some(at) = committed.asked[last..].iter().rposition(is_old) else { return };
        if committed.asked[last..].iter().any(|value| *value < 0) {
            return;
        }
        self.next += 1;
        self.expired += 1;
        committed.asked.insert(last + at + 1, -self.next);
    }

    /// What a coordinator says is committed. It may not be older than what was promised; after a restart
    /// it is also all that there is.
    pub(super) fn see(&mut self, place: Place, value: Option<i64>, restarted: bool) -> Finding {
        if value.is_none() {
            self.end_old(place);
        }
        let committed = self.values.entry(place).or_default();
        let told = |is: &dyn Fn(i64) -> bool, from: usize| {
            committed.asked[from..].iter().position(|asked| is(*asked)).map(|i| from + i + 1)
        };
        let index = match value {
            Some(value) => told(&|asked| asked == value, 0),
            None if committed.promised == 0 => Some(0),
            // As good as any end that is not older than what was promised.
            None => told(&|asked| asked < 0, committed.promised - 1),
        };
        let (group, topic) = place;
        let last = committed.promised.checked_sub(1).map(|last| committed.asked[last]);
        let Some(index) = index else {
            return Err(format!(
                "group {group}, topic {topic}: {value:?} is committed, {last:?} was promised"
            ));
        };
        if index < committed.promised {
            return Err(format!(
                "group {group}, topic {topic}: {value:?} is committed, {last:?} was promised"
            ));
        }
        committed.promised = index;
        if restarted {
            committed.asked.truncate(index);
        }
        Ok(())
    }
}
