//! Once warm, a fetch of what is in memory takes nothing of our own from the heap, however many batches
//! it holds, within a session or without. What the runtime takes for its I/O is its own.
//!
//! One test alone in this binary: every allocation of the process counts.

use benches::heap::{Whose, profile};
use benches::{Broker, Client, batch};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const BATCHES: usize = 200;
const ROUNDS_WARM: usize = 100;
const ROUNDS_COUNTED: usize = 25;

/// An answer of one batch, and one of about a hundred.
const ANSWERS: [i32; 2] = [2 * 1024, 120 * 1024];

#[test]
fn a_warm_fetch_of_the_tail_allocates_nothing_of_ours() {
    let broker = Broker::start("0", 1);
    let mut client = broker.client();
    let produce = Client::produce_frame(0, &batch(1, 1024, 1_000));
    let offsets: Vec<i64> = (0..BATCHES).map(|_| client.produce(&produce)).collect();
    let from = offsets[BATCHES / 4];
    let fetches = ANSWERS.map(|bytes_max| Client::fetch_frame(0, from, bytes_max));
    // A session that asks for nothing new gets the same batch each time, as its client does not move on.
    let session = client.open_session((0, from), ANSWERS[0]);
    let rounds = (ROUNDS_WARM + ROUNDS_COUNTED) as i32;
    let epochs: Vec<_> =
        (1..=rounds).map(|e| Client::session_frame((session, e), None, ANSWERS[0])).collect();
    let mut epochs = epochs.iter();
    let mut round = || {
        client.fetch(epochs.next().expect("an epoch for each round"));
        fetches.each_ref().map(|fetch| client.fetch(fetch))
    };
    for _ in 0..ROUNDS_WARM {
        let [one, many] = round();
        assert!(one < 2 * 1024 && many > 100 * 1024, "answers of {one} and {many} bytes");
    }
    let sites = profile(|| {
        (0..ROUNDS_COUNTED).for_each(|_| {
            round();
        });
    });
    assert!(!sites.is_empty(), "the runtime allocates: a profile without it saw nothing");
    let ours: Vec<_> = sites.iter().filter(|((whose, _), _)| *whose == Whose::Ours).collect();
    assert!(ours.is_empty(), "{ROUNDS_COUNTED} rounds allocated here: {ours:#?}");
}
