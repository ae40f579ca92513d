//! Which core owns which partition: stable once chosen, spread by number.

use crate::base::CoreId;
use crate::metadata::Image;

/// Partitions of each core.
pub(super) struct Placement {
    counts: Vec<usize>,
}

impl Placement {
    /// What the cores own now. Partitions of cores that no longer exist count nowhere.
    pub(super) fn of(image: &Image, cores: u16) -> Placement {
        assert!(cores > 0, "a broker without cores");
        let mut counts = vec![0; cores.into()];
        for partition in image.topics().flat_map(|t| &t.partitions) {
            if let Some(count) = counts.get_mut(usize::from(partition.core.0)) {
                *count += 1;
            }
        }
        Placement { counts }
    }

    /// Gives the core with the fewest partitions one more.
    pub(super) fn place(&mut self) -> CoreId {
        let core = (0..self.counts.len()).min_by_key(|&c| self.counts[c]).expect("at least one core");
        self.counts[core] += 1;
        CoreId(core as u16)
    }

    /// Takes one from a core.
    pub(super) fn take(&mut self, core: CoreId) {
        self.counts[usize::from(core.0)] -= 1;
    }

    /// Partitions of a core.
    pub(super) fn count(&self, core: CoreId) -> usize {
        self.counts[usize::from(core.0)]
    }

    /// Partitions of all cores.
    pub(super) fn total(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Whether a core has nothing while another has several: cores were added.
    pub(super) fn is_lopsided(&self) -> bool {
        self.counts.contains(&0) && self.counts.iter().any(|&n| n > 1)
    }
}
