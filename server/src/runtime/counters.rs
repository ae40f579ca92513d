//! What one core counts. Plain cells: only the core that owns them writes or reads; a snapshot goes
//! to whoever asks.

use std::cell::Cell;

/// Why a connection ended. Each is a counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The client closed it.
    Client,
    /// The socket failed.
    Socket,
    /// No traffic for `connections.max.idle.ms`.
    Idle,
    /// A frame did not arrive whole in time.
    SlowFrame,
    /// The client does not take its replies.
    SlowReader,
    /// A frame length below zero or above its limit, or bytes of another protocol.
    BadFrame,
    /// A request that does not parse.
    BadRequest,
    /// An API key or version that is not served.
    Unsupported,
    /// A Produce with acks=0 failed: closing is the only signal.
    SilentError,
    /// The core's journal failed, so what was appended cannot be acknowledged.
    Offline,
    /// The broker stops.
    Stopping,
}

impl Reason {
    /// How many there are.
    pub const COUNT: usize = 11;

    /// Names for metrics, in the order of the variants.
    pub const NAMES: [&'static str; Reason::COUNT] = [
        "client",
        "socket",
        "idle",
        "slow_frame",
        "slow_reader",
        "bad_frame",
        "bad_request",
        "unsupported",
        "silent_error",
        "offline",
        "stopping",
    ];
}

/// A number that only goes up.
#[derive(Default, Debug)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.set(self.0.get().wrapping_add(n));
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

macro_rules! counters {
    ($($name:ident: $doc:literal,)*) => {
        /// One core's counters since its start.
        #[derive(Default, Debug)]
        pub struct Counters {
            $(#[doc = $doc] pub $name: Counter,)*
            /// Connections closed, by [`Reason`].
            pub closed: [Counter; Reason::COUNT],
        }

        impl Counters {
            /// Name, meaning and value of each, without the closed connections.
            pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), $doc, self.$name.get()),)*].into_iter()
            }
        }
    };
}

counters! {
    accepts: "Connections accepted.",
    accepts_refused: "Connections refused by a limit.",
    requests: "Requests received whole.",
    bytes_in: "Bytes received from clients.",
    bytes_out: "Bytes sent to clients.",
    frames_bad: "Frames with an impossible or forbidden length.",
    requests_bad: "Requests that did not parse, or of a key or version that is not served.",
    sends_blocked: "Times a client's socket took no more.",
    receive_waits: "Times a receive waited for memory.",
    produce_requests: "Produce requests.",
    produce_batches: "Batches appended.",
    produce_bytes: "Bytes of batches appended.",
    produce_errors: "Partitions of a Produce answered with an error.",
    produce_waits: "Times an append waited for room in the journal.",
    fetch_requests: "Fetch requests.",
    fetch_bytes: "Bytes of batches sent to fetches.",
    fetch_parked: "Fetches that waited for more data.",
    fetch_lease_waits: "Fetches that waited because other replies held the memory for reads.",
    mails_sent: "Batches of mail sent to other cores.",
    loans: "Answers lent to another core.",
}
