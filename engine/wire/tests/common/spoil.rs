//! How valid bytes are spoilt: edits that a fuzzer's input chooses. The fuzz targets of `sim` use it too.

#![allow(unreachable_pub, reason = "two test binaries hold this file")]

use bolero::TypeGenerator;

/// Lengths, counts and varints that lie: 2³¹ − 1, −1, a compact count of 2³² − 1, a varint without end,
/// 2⁶⁴ − 1.
const LIES: [&[u8]; 5] = [
    &[0x7f, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
    &[0xff; 8],
];

/// Where headers lie: half of all edits fall there.
const HEADER_BYTES: usize = 96;

/// One change. Positions wrap around the length; odd ones around [`HEADER_BYTES`].
#[derive(Clone, Debug, TypeGenerator)]
pub enum Edit {
    Flip { at: u32, bit: u8 },
    Set { at: u32, byte: u8 },
    Lie { at: u32, which: u8 },
    Cut { at: u32 },
    Insert { at: u32, bytes: [u8; 5] },
    Repeat { from: u32 },
}

/// Longest that repeating makes bytes.
const REPEATED_MAX: usize = 64 * 1024;

impl Edit {
    /// Makes the change.
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        if len == 0 {
            return;
        }
        let place = |at: u32| {
            let within = if at % 2 == 1 { len.min(HEADER_BYTES) } else { len };
            (at / 2) as usize % within
        };
        match *self {
            Edit::Flip { at, bit } => bytes[place(at)] ^= 1 << (bit % 8),
            Edit::Set { at, byte } => bytes[place(at)] = byte,
            Edit::Lie { at, which } => {
                let lie = LIES[usize::from(which) % LIES.len()];
                for (to, from) in bytes[place(at)..].iter_mut().zip(lie) {
                    *to = *from;
                }
            }
            Edit::Cut { at } => bytes.truncate(place(at)),
            Edit::Insert { at, bytes: piece } => {
                let at = place(at);
                bytes.splice(at..at, piece);
            }
            Edit::Repeat { from } if len < REPEATED_MAX => bytes.extend_from_within(place(from)..),
            Edit::Repeat { .. } => {}
        }
    }
}

/// At most four changes: more of them only make a sound header rarer.
#[derive(Clone, Debug, TypeGenerator)]
pub struct Edits([Option<Edit>; 4]);

impl Edits {
    /// Makes the changes, in order.
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        self.0.iter().flatten().for_each(|edit| edit.apply(bytes));
    }
}
