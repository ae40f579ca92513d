//! Bytes from strangers: what a fuzzer runs, and how a valid frame is spoilt.

use super::{Seeded, for_each_message};
use wire::{ApiKey, Message, Reader, RequestHeader, ResponseHeader, Writer};

/// Decodes `bytes` as a request frame and as a response frame of any API and version (the first two
/// bytes choose), walks everything that decodes and encodes it again. Must not panic.
pub fn decode_any(bytes: &[u8]) {
    let mut r = Reader::new(bytes);
    if let Ok(header) = RequestHeader::decode(&mut r)
        && header.is_served()
    {
        body(header.api_key, header.api_version, true, r);
    }
    let [key, version, rest @ ..] = bytes else { return };
    let key = ApiKey::ALL[*key as usize % ApiKey::ALL.len()];
    let versions = key.served().max - key.served().min + 1;
    let version = key.served().min + i16::from(*version) % versions;
    let mut r = Reader::new(rest);
    if ResponseHeader::decode(key, version, &mut r).is_ok() {
        body(key, version, false, r);
    }
}

fn body(key: ApiKey, version: i16, is_request: bool, r: Reader<'_>) {
    macro_rules! walk {
        ($ours:ty, $theirs:ty) => {
            if <$ours as Message>::KEY == key && stringify!($ours).ends_with("Request") == is_request {
                let mut r = r;
                if let Ok(message) = <$ours>::decode(version, &mut r) {
                    message.encode(version, &mut Writer::new());
                }
            }
        };
    }
    for_each_message!(walk);
}

/// Spoils a frame in one to three places: bits, bytes, lengths, counts, cuts and repeats.
pub fn spoil(frame: &mut Vec<u8>, random: &mut Seeded) {
    for _ in 0..=random.below(3) {
        if frame.is_empty() {
            frame.push(random.next() as u8);
        }
        let at = random.below(frame.len());
        match random.below(8) {
            0 => frame[at] ^= 1 << random.below(8),
            1 => frame[at] = random.next() as u8,
            2 => frame.truncate(at),
            3 => overwrite(frame, at, &[0x7f, 0xff, 0xff, 0xff]),
            4 => overwrite(frame, at, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            5 => overwrite(frame, at, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80]),
            6 => {
                let piece = random.bytes(1 + at % 9);
                frame.splice(at..at, piece);
            }
            _ => frame.extend_from_within(at..),
        }
    }
}

fn overwrite(frame: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in frame[at..].iter_mut().zip(bytes) {
        *to = *from;
    }
}
