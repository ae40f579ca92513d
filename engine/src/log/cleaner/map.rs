//! Which offset is the latest of each key: the map that a round of compaction decides by.

use twox_hash::XxHash3_128;

use crate::base::Offset;

/// Bytes of a slot: the key's 128-bit hash and its offset, as in Kafka.
const SLOT_BYTES: usize = 24;

/// A key as the map knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyHash(u128);

/// The hash, and 1 + the offset above the map's base; a slot of zeros is free.
type Slot = [u64; 3];

const _: () = assert!(size_of::<Slot>() == SLOT_BYTES);

/// Keys by their hash, each with the latest offset that was noted. Its memory is fixed when it is made;
/// only pages that are used become resident.
///
/// Two keys with one hash of 128 bits would be taken for one. The hash is seeded, so that nobody can
/// look for two such keys.
#[derive(Clone, Debug)]
pub struct OffsetMap {
    slots: Vec<Slot>,
    used: usize,
    used_max: usize,
    base: Offset,
    next: Offset,
    seed: u64,
}

impl OffsetMap {
    /// A map for offsets in `base..end` of at most `bytes_max` bytes, filled up to `load_ppm` millionths.
    /// It has no more slots than there are offsets to note.
    #[must_use]
    pub fn new(base: Offset, end: Offset, bytes_max: u64, load_ppm: u32, seed: u64) -> OffsetMap {
        let load = u128::from(load_ppm.clamp(1, 1_000_000));
        let wanted = end.0.saturating_sub(base.0).max(1) as u128 * 1_000_000 / load + 1;
        let slots = wanted.min(u128::from((bytes_max / SLOT_BYTES as u64).max(2))) as usize;
        let used_max = ((slots as u128 * load / 1_000_000) as usize).clamp(1, slots - 1);
        OffsetMap { slots: vec![[0; 3]; slots], used: 0, used_max, base, next: base, seed }
    }

    /// Keys in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether no key is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Whether it takes no further key.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.used >= self.used_max
    }

    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.slots.len() * SLOT_BYTES) as u64
    }

    /// The offset after the last one it knows about: what lies there or above is not judged by it.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.next
    }

    /// Everything below `end` was looked at.
    pub fn seen_to(&mut self, end: Offset) {
        self.next = self.next.max(end);
    }

    /// What the map knows `key` by. The lookups of several keys after all of their hashes overlap in the
    /// processor, where each would wait for its slot if it came right after its own hash.
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash(XxHash3_128::oneshot_with_seed(self.seed, key))
    }

    /// Notes that the key stands at `offset`, which rises from call to call and is not below the base.
    /// Must not be called when the map is full.
    ///
    /// # Panics
    /// If the map is full, or the offset lies below its base.
    pub fn put(&mut self, key: KeyHash, offset: Offset) {
        assert!(!self.is_full() && offset >= self.base, "offset {offset} into a map from {}", self.base);
        let index = self.find(key);
        let slot = &mut self.slots[index];
        self.used += usize::from(slot[2] == 0);
        *slot = [key.0 as u64, (key.0 >> 64) as u64, (offset.0 - self.base.0) as u64 + 1];
        self.next = self.next.max(offset.plus(1));
    }

    /// The latest offset of a key; `None` if it was not noted.
    #[must_use]
    pub fn get(&self, key: KeyHash) -> Option<Offset> {
        let above = self.slots[self.find(key)][2].checked_sub(1)?;
        Some(self.base.plus(above as i64))
    }

    /// The slot of a key, or the free one where it belongs. There is always a free one.
    fn find(&self, key: KeyHash) -> usize {
        let (low, high) = (key.0 as u64, (key.0 >> 64) as u64);
        let mut index = ((u128::from(high) * self.slots.len() as u128) >> 64) as usize;
        loop {
            let slot = &self.slots[index];
            if slot[2] == 0 || (slot[0] == low && slot[1] == high) {
                return index;
            }
            index += 1;
            if index == self.slots.len() {
                index = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u32 = 1_000_000;

    fn put(map: &mut OffsetMap, key: &[u8], offset: Offset) {
        map.put(map.hash(key), offset);
    }

    fn get(map: &OffsetMap, key: &[u8]) -> Option<Offset> {
        map.get(map.hash(key))
    }

    #[test]
    fn the_latest_offset_of_a_key_is_told() {
        let mut map = OffsetMap::new(Offset(10), Offset(20), 1 << 20, 900_000, 7);
        assert_eq!((get(&map, b"a"), map.end(), map.is_empty()), (None, Offset(10), true));
        put(&mut map, b"a", Offset(10));
        put(&mut map, b"", Offset(11));
        put(&mut map, b"a", Offset(15));
        assert_eq!(
            (get(&map, b"a"), get(&map, b""), get(&map, b"b")),
            (Some(Offset(15)), Some(Offset(11)), None)
        );
        assert_eq!((map.len(), map.end()), (2, Offset(16)));
        map.seen_to(Offset(20));
        map.seen_to(Offset(12));
        assert_eq!(map.end(), Offset(20));
    }

    #[test]
    fn it_is_full_at_its_load_and_keeps_what_it_has() {
        let mut map = OffsetMap::new(Offset(0), Offset(1 << 40), 100 * SLOT_BYTES as u64, 900_000, 1);
        assert_eq!(map.bytes(), 100 * SLOT_BYTES as u64);
        for i in 0..90_i64 {
            assert!(!map.is_full());
            put(&mut map, &i.to_be_bytes(), Offset(i));
        }
        assert!(map.is_full());
        for i in 0..90_i64 {
            assert_eq!(get(&map, &i.to_be_bytes()), Some(Offset(i)));
        }
        assert_eq!(get(&map, b"other"), None);
    }

    #[test]
    fn it_takes_no_more_memory_than_the_offsets_can_need_and_always_ends_a_search() {
        assert!(OffsetMap::new(Offset(0), Offset(9), 1 << 30, 900_000, 1).bytes() <= 11 * SLOT_BYTES as u64);
        for (end, bytes, load) in [(0, 0, ALL), (1, 0, 1), (5, 48, ALL), (i64::MAX, 24, ALL)] {
            let mut map = OffsetMap::new(Offset(0), Offset(end), bytes, load, 1);
            put(&mut map, b"one", Offset(0));
            assert_eq!(get(&map, b"another"), None);
            assert!(map.bytes() <= 6 * SLOT_BYTES as u64);
        }
    }
}
