//! Log lines that a stranger can trigger, each at most once in ten seconds.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::base::Instant;

use super::clock;

const EVERY: Duration = Duration::from_secs(10);

/// Whether ten seconds have passed since the last `true`.
fn may(last: &AtomicU64) -> bool {
    let now = clock::now().mono;
    let before = last.load(Ordering::Relaxed);
    let due = before == 0 || now.since(Instant(before)) >= EVERY;
    due && last.compare_exchange(before, now.0.max(1), Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Somebody sent a frame length that cannot be one: says so if the bytes look like HTTP or TLS.
pub(crate) fn foreign_protocol(first: [u8; 4], peer: SocketAddr) {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let protocol = match &first {
        b"GET " | b"POST" | b"PUT " | b"HEAD" | b"OPTI" | b"DELE" | b"CONN" | b"PATC" | b"PRI " => "HTTP",
        [0x16, 0x03, 0..=4, _] => "TLS",
        _ => return,
    };
    if may(&LAST) {
        tracing::warn!(%peer, protocol, "closed a connection: this port speaks the Kafka protocol in plain text");
    }
}

/// The process has no descriptors left.
pub(crate) fn out_of_descriptors() {
    static LAST: AtomicU64 = AtomicU64::new(0);
    if may(&LAST) {
        tracing::error!("out of file descriptors: refusing connections; raise the limit with `ulimit -n`");
    }
}
/// A request that does not parse.
pub(crate) fn bad_request(peer: SocketAddr, key: i16, version: i16, error: &dyn std::fmt::Display) {
    static LAST: AtomicU64 = AtomicU64::new(0);
    if may(&LAST) {
        tracing::warn!(%peer, key, version, %error, "closed a connection: its request does not parse");
    }
}
