//! How fast the background scrub may go, and where it stands.
//!
//! The place is kept in `cores/<core>/scrub`, replaced atomically, so that a pass goes on after a
//! restart. It is text; what cannot be read begins a new pass, which costs time and loses nothing.
//!
//! ```text
//! version: 0
//! pass: 4                                     passes begun, this one included
//! began: 1763870400000                        wall clock, ms
//! ended: 0                                    wall clock of the last whole pass, ms; 0 none
//! checked: 734003200                          bytes of this pass so far
//! damaged: 1                                  ranges that it found
//! at: 5f0c…-…/0 1048576 367001600 1100234     topic/partition, segment, position, offset due there; or `end`
//! ```

use std::fmt::Write as _;

use crate::base::{Instant, Offset, PartitionKey, TopicId, WallMs};

/// A file with more bytes is not ours.
pub const SCRUB_FILE_BYTES_MAX: usize = 4096;

/// Where the next look begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScrubPlace {
    /// The partition, or the next one there is behind it.
    pub key: PartitionKey,
    /// The segment's base offset, or the next one there is.
    pub segment: Offset,
    /// In bytes from the segment's start; 0 unless the segment is the very one named.
    pub position: u64,
    /// The offset due there.
    pub next: Offset,
}

impl ScrubPlace {
    /// Before everything of a partition.
    #[must_use]
    pub fn start_of(key: PartitionKey) -> ScrubPlace {
        ScrubPlace { key, segment: Offset::ZERO, position: 0, next: Offset::ZERO }
    }
}

/// One core's scrub.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Scrub {
    /// Passes begun.
    pub pass: u64,
    /// When this one began.
    pub began: WallMs,
    /// When the last whole one ended; 0 if none did.
    pub ended: WallMs,
    /// Bytes of this pass that were checked.
    pub checked: u64,
    /// Damaged ranges that it found.
    pub damaged: u64,
    /// Where it goes on; `None` between passes.
    pub at: Option<ScrubPlace>,
}

impl Scrub {
    /// Whether the next pass is due: passes begin at least `interval_ms` apart. A clock that went back
    /// holds none up.
    #[must_use]
    pub fn is_due(&self, now: WallMs, interval_ms: u64) -> bool {
        let since = now.0.saturating_sub(self.began.0);
        self.at.is_none() && (self.pass == 0 || since < 0 || since.unsigned_abs() >= interval_ms)
    }

    /// Begins a pass before everything.
    pub fn begin(&mut self, now: WallMs) {
        let first = PartitionKey { topic: TopicId::ZERO, index: i32::MIN };
        *self = Scrub {
            pass: self.pass + 1,
            began: now,
            ended: self.ended,
            checked: 0,
            damaged: 0,
            at: Some(ScrubPlace::start_of(first)),
        };
    }

    /// The file's contents.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!(
            "version: 0\npass: {}\nbegan: {}\nended: {}\nchecked: {}\ndamaged: {}\nat: ",
            self.pass, self.began.0, self.ended.0, self.checked, self.damaged
        );
        // Writing into a String cannot fail.
        let _ = match self.at {
            Some(at) => writeln!(text, "{} {} {} {}", at.key, at.segment, at.position, at.next),
            None => writeln!(text, "end"),
        };
        text
    }

    /// Reads what [`Scrub::encode`] wrote; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Scrub> {
        let mut lines = std::str::from_utf8(bytes).ok()?.lines();
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(": ");
        if field("version")? != "0" {
            return None;
        }
        Some(Scrub {
            pass: field("pass")?.parse().ok()?,
            began: WallMs(field("began")?.parse().ok()?),
            ended: WallMs(field("ended")?.parse().ok()?),
            checked: field("checked")?.parse().ok()?,
            damaged: field("damaged")?.parse().ok()?,
            at: match field("at")? {
                "end" => None,
                at => Some(place(at)?),
            },
        })
    }
}

fn place(text: &str) -> Option<ScrubPlace> {
    let mut words = text.split(' ');
    let (topic, index) = words.next()?.rsplit_once('/')?;
    let key = PartitionKey { topic: TopicId(uuid::Uuid::try_parse(topic).ok()?), index: index.parse().ok()? };
    let (segment, position) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let next = words.next()?.parse().ok()?;
    (segment >= 0 && next >= segment).then_some(ScrubPlace {
        key,
        segment: Offset(segment),
        position,
        next: Offset(next),
    })
}

/// Bytes a second, with at most a second's worth at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    last: Instant,
    /// Bytes that may be read now; negative after a look that was larger than that.
    left: i64,
}

impl Pace {
    /// Whether a look may begin now at `rate` bytes a second.
    pub fn may_go(&mut self, now: Instant, rate: u64) -> bool {
        let rate = i64::try_from(rate).unwrap_or(i64::MAX);
        let passed = i64::try_from(now.since(self.last).as_millis()).unwrap_or(i64::MAX);
        if passed > 0 {
            self.last = now;
            let earned = (i128::from(rate) * i128::from(passed) / 1000).min(i128::from(rate)) as i64;
            self.left = self.left.saturating_add(earned).min(rate);
        }
        self.left > 0
    }

    /// A look read `bytes`.
    pub fn spend(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_file_holds_the_place_and_nothing_else_is_believed() {
        let key = PartitionKey { topic: TopicId(uuid::Uuid::from_u128(9)), index: 3 };
        let at = ScrubPlace { key, segment: Offset(40), position: 8192, next: Offset(77) };
        let mut scrub =
            Scrub { pass: 4, began: WallMs(5), ended: WallMs(4), checked: 6, damaged: 1, at: Some(at) };
        for _ in 0..2 {
            assert_eq!(Scrub::decode(scrub.encode().as_bytes()), Some(scrub));
            scrub.at = None;
        }
        let text = Scrub { at: Some(at), ..scrub }.encode();
        for lie in [text.replace("77", "7"), text.replace("version: 0", "version: 1"), text.replace(' ', "")]
        {
            assert_eq!(Scrub::decode(lie.as_bytes()), None, "{lie}");
        }
        for cut in 0..text.len() - 2 {
            assert_ne!(
                Scrub::decode(&text.as_bytes()[..cut]),
                Some(Scrub { at: Some(at), ..scrub }),
                "{cut}"
            );
        }
    }

    #[test]
    fn passes_begin_an_interval_apart_and_never_overlap() {
        let mut scrub = Scrub::default();
        assert!(scrub.is_due(WallMs(0), 1000), "the first is due at once");
        scrub.begin(WallMs(500));
        assert!(!scrub.is_due(WallMs(9_000), 1000), "one is under way");
        scrub.at = None;
        assert!(!scrub.is_due(WallMs(1_499), 1000));
        assert!(scrub.is_due(WallMs(1_500), 1000));
        assert!(scrub.is_due(WallMs(100), 1000), "the clock went back");
    }

    #[test]
    fn the_pace_is_kept_over_time_and_bursts_are_a_second_at_most() {
        let mut pace = Pace::default();
        let (mut now, mut read) = (Instant(0), 0_u64);
        for _ in 0..200 {
            now = now.after(Duration::from_millis(50));
            while pace.may_go(now, 1_000_000) {
                pace.spend(120_000);
                read += 120_000;
            }
        }
        assert!((9_800_000..10_200_000).contains(&read), "{read} bytes in 10 s");
        now = now.after(Duration::from_secs(3600));
        let mut burst = 0;
        while pace.may_go(now, 1_000_000) {
            pace.spend(120_000);
            burst += 120_000;
        }
        assert!(burst <= 1_200_000, "{burst}");
    }
}
