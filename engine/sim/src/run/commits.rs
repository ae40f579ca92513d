//! What groups committed, and what was promised about it.

use std::collections::BTreeMap;

use super::topic::Finding;

/// A group and one of the partitions that it reads.
pub(super) type Place = (usize, usize);

/// What groups committed, in the order in which they asked. Each value is told from every other; the end of
/// what was committed is a value too, a negative one.
#[derive(Default)]
pub(super) struct Commits {
    values: BTreeMap<Place, Committed>,
    next: i64,
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
}

impl Commits {
    /// Somebody commits: this.
    pub(super) fn ask(&mut self, place: Place) -> i64 {
        self.next += 1;
        let committed = self.values.entry(place).or_default();
        committed.asked.push(self.next);
        committed.waiting += 1;
        self.next
    }

    /// Somebody ends what was committed. `None` while a commit is under way: it may come behind the end.
    pub(super) fn ask_end(&mut self, place: Place) -> Option<i64> {
        let committed = self.values.entry(place).or_default();
        (committed.waiting == 0).then(|| {
            self.next += 1;
            committed.asked.push(-self.next);
            committed.waiting += 1;
            -self.next
        })
    }

    /// It was refused, or may have been.
    pub(super) fn refused(&mut self, place: Place) {
        self.values.entry(place).or_default().waiting -= 1;
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
        self.values.values_mut().for_each(|committed| committed.waiting = 0);
    }

    /// Of which groups and partitions something was committed.
    pub(super) fn places(&self) -> Vec<Place> {
        self.values.keys().copied().collect()
    }

    /// What a coordinator says is committed. It may not be older than what was promised; after a restart
    /// it is also all that there is.
    pub(super) fn see(&mut self, place: Place, value: Option<i64>, restarted: bool) -> Finding {
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
