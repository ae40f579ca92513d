//! Settings of Kafka's clients, as Java properties: which of them are knobs of ours.

use anyhow::{Context, bail};

use super::knobs::Knobs;
use super::quantity::{AcksWord, Bytes, CodecWord, Span};

/// Whose settings they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Both clients'.
    Common,
    /// The producer's.
    Producer,
    /// The consumer's.
    Consumer,
}

/// The settings in a text of properties.
pub(super) fn read(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            return None;
        }
        let (name, value) = line.split_once(['=', ':']).unwrap_or((line, ""));
        Some((name.trim().to_string(), value.trim().to_string()))
    };
    text.lines().filter_map(line).collect()
}

/// Takes a setting over into the knobs; false if no figure depends on it here.
///
/// # Errors
/// It cannot be honoured.
pub(super) fn take(knobs: &mut Knobs, role: Role, name: &str, value: &str) -> anyhow::Result<bool> {
    let wrong = || format!("{name}={value}");
    let number = || value.parse::<u64>().with_context(wrong);
    let word = |e: String| anyhow::anyhow!(e).context(wrong());
    if name.starts_with("sasl.") || name.starts_with("ssl.") {
        bail!("{}: the load generator speaks plain text only", wrong());
    }
    match name {
        "security.protocol" if value != "PLAINTEXT" => {
            bail!("{}: the load generator speaks plain text only", wrong())
        }
        "transactional.id" => bail!("{}: the load generator has no transactions", wrong()),
        _ => {}
    }
    match (role, name) {
        (Role::Producer | Role::Common, "acks") => {
            knobs.acks = Some(value.parse::<AcksWord>().map_err(word)?)
        }
        (Role::Producer | Role::Common, "batch.size") => knobs.batch_size = Some(Bytes(number()?.max(1))),
        (Role::Producer | Role::Common, "linger.ms") => {
            knobs.linger = Some(Span(std::time::Duration::from_millis(number()?)));
        }
        (Role::Producer | Role::Common, "compression.type") => {
            knobs.compression = Some(value.parse::<CodecWord>().map_err(word)?);
        }
        (Role::Producer | Role::Common, "enable.idempotence") => {
            knobs.idempotence = Some(value.parse().with_context(wrong)?);
        }
        (Role::Producer | Role::Common, "max.in.flight.requests.per.connection") => {
            knobs.depth = Some(number()? as usize);
        }
        (Role::Consumer | Role::Common, "fetch.max.bytes" | "max.partition.fetch.bytes") => {
            let least = knobs.fetch_max_bytes.map_or(u64::MAX, |bytes| bytes.0).min(number()?);
            knobs.fetch_max_bytes = Some(Bytes(least));
        }
        _ => return Ok(false),
    }
    Ok(true)
}
