//! What a group is made to be if its records contradict each other: a disk or another broker may have
//! lost some of them, and no record may keep a broker from starting.

use rustc_hash::FxHashSet;

use super::state::{ConsumerGroup, Holding, Phase, bytes_of_matched, bytes_of_member, bytes_of_parts};
use crate::base::PartitionKey;

/// Epochs above this are damage: no group makes one change a second for that many years.
const EPOCH_MAX: i32 = i32::MAX / 2;

impl ConsumerGroup {
    /// Makes what was replayed consistent, if it is not. Says whether it had to.
    ///
    /// Who has what another has too, or has it in an epoch that never was, has nothing any more: its next
    /// call is fenced, so that it gives everything up and joins anew. All are assigned anew.
    pub(crate) fn mend(&mut self) -> bool {
        let epochs = (self.epoch, self.target_epoch);
        self.target_epoch = self.target_epoch.clamp(0, EPOCH_MAX);
        self.epoch = self.epoch.clamp(self.target_epoch, EPOCH_MAX);
        let mut mended = epochs != (self.epoch, self.target_epoch);

        let mut taken = FxHashSet::default();
        let all = self.targets.len();
        self.targets.retain(|id, parts| self.members.contains_key(id) && takes(&mut taken, parts.iter()));
        mended |= self.targets.len() != all;

        let mut taken = FxHashSet::default();
        let all = self.holdings.len();
        let is_sound = |h: &Holding| {
            h.epoch <= self.target_epoch && (h.phase == Phase::Revoking || h.revoking.is_empty())
        };
        self.holdings
            .retain(|id, h| self.members.contains_key(id) && is_sound(h) && takes(&mut taken, h.held()));
        mended |= self.holdings.len() != all;
        if !mended {
            return false;
        }

        self.held = taken.into_iter().map(|key| (key, 1)).collect();
        let members = self.members.values().map(bytes_of_member).sum::<usize>();
        let targets = self.targets.values().map(|parts| bytes_of_parts(parts.len())).sum::<usize>();
        let holdings = self.holdings.values().map(|h| bytes_of_parts(h.held().count())).sum::<usize>();
        let regexes = self.regexes.iter().map(|(r, matched)| bytes_of_matched(r, matched)).sum::<usize>();
        self.bytes = members + targets + holdings + regexes;
        if !self.members.is_empty() {
            self.epoch = self.epoch.max(self.target_epoch + 1);
        }
        true
    }
}

/// Takes all of these if none is taken yet. Says whether it did.
fn takes<'k>(
    taken: &mut FxHashSet<PartitionKey>,
    keys: impl Iterator<Item = &'k PartitionKey> + Clone,
) -> bool {
    let mut own = FxHashSet::default();
    if keys.clone().any(|key| taken.contains(key) || !own.insert(*key)) {
        return false;
    }
    taken.extend(keys);
    true
}
