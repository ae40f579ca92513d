use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Every door that takes foreign bytes.
fn exercise(bytes: &[u8]) {
    let walking = Limits { inflate_bytes_max: Some(INFLATE_MAX), ..limits() };
    for limits in [limits(), walking] {
        if let Ok(summary) = validate(bytes, &limits) {
            assert!(summary.count > 0);
        }
    }
    let Some(header) = BatchHeader::peek(bytes) else { return };
    let Ok(payload) = payload(bytes, INFLATE_MAX) else { return };
    assert!(payload.len() <= INFLATE_MAX.max(bytes.len()));
    let mut records = 0usize;
    for record in Records::of(header, &payload) {
        if let Ok(record) = record {
            records += 1;
            assert!(record.headers.count() <= payload.len());
        }
        assert!(records <= payload.len(), "a record takes at least a byte");
    }
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn random_bytes_are_refused_in_peace(bytes in vec(any::<u8>(), 0..300)) {
        exercise(&bytes);
        exercise(&bytes[..bytes.len().min(HEADER_BYTES)]);
        for codec in CODECS {
            if let Ok(out) = inflate(codec, &bytes, 1000) {
                prop_assert!(out.len() <= 1000);
            }
        }
    }

    #[test]
    fn damaged_batches_are_refused_in_peace(
        codec in 0usize..5,
        hits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        sealed in any::<bool>(),
    ) {
        let mut batch = sample(CODECS[codec]);
        for (at, byte) in hits {
            let at = at.index(batch.len());
            batch[at] = byte;
        }
        if sealed {
            batch[16] = 2;
            batch = resealed(batch);
        } else {
            batch.truncate(cut.index(batch.len()) + 1);
        }
        exercise(&batch);
    }
}

#[test]
fn a_bomb_stops_at_the_bound() {
    let zeros = vec![0u8; 64 << 20];
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut bomb = Vec::new();
        compress(codec, &zeros, &mut bomb);
        assert_eq!(inflate(codec, &bomb, 1 << 20), Err(InflateError::TooLarge { max: 1 << 20 }), "{codec:?}");
    }
}

#[test]
fn a_snappy_length_that_no_input_could_reach_is_refused_before_allocating() {
    // Claims 4 GiB − 1, then 64 MiB, in a few bytes.
    for (claim, error) in [
        (&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0][..], InflateError::TooLarge { max: 1 << 30 }),
        (&[0x80, 0x80, 0x80, 0x20, 0, 0][..], InflateError::Damaged),
    ] {
        assert_eq!(inflate(Codec::Snappy, claim, 1 << 30), Err(error));
    }
}
