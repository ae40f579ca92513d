//! Where to begin.

use std::str::FromStr;

use wire::list_offsets::{EARLIEST, LATEST};

use super::reader::Cursor;
use crate::cli::cluster::{Cluster, Place, TopicInfo};
use crate::cli::moment::{Moment, Stretch};
use crate::load::client::ClientError;
use crate::load::clock::wall_ms;

/// Where to begin, in each partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Begin {
    Start,
    End,
    At(i64),
    /// This many behind the start.
    After(i64),
    /// The last so many.
    Last(i64),
    Time(Moment),
    Ago(Stretch),
}

impl FromStr for Begin {
    type Err = String;

    fn from_str(text: &str) -> Result<Begin, String> {
        let number =
            |digits: &str| digits.parse::<i64>().ok().filter(|n| *n >= 0 && !digits.starts_with('+'));
        let from = match text {
            "start" | "beginning" | "earliest" => Some(Begin::Start),
            "end" | "latest" => Some(Begin::End),
            _ => match text.split_at_checked(1) {
                Some(("-", last)) => number(last).map(Begin::Last),
                Some(("+", after)) => number(after).map(Begin::After),
                Some(("@", time)) => match time.strip_prefix('-') {
                    Some(ago) => ago.parse().ok().map(Begin::Ago),
                    None => time.parse().ok().map(Begin::Time),
                },
                _ => number(text).map(Begin::At),
            },
        };
        from.ok_or_else(|| format!("{text:?} is not start, end, an offset, +N, -N, @TIME or @-DURATION"))
    }
}

/// Where each partition begins: an offset that it does not have becomes the nearest that it has, as said on
/// standard error, so that one partition does not keep the others from being read.
pub(super) fn place(
    cluster: &mut Cluster,
    topic: &TopicInfo,
    partitions: &[i32],
    begin: Begin,
) -> Result<Vec<Cursor>, ClientError> {
    let topics = std::slice::from_ref(topic);
    let places: Vec<Place> = partitions.iter().map(|p| (topic.name.clone(), *p)).collect();
    let starts = cluster.offsets(topics, &places, EARLIEST)?;
    let ends = cluster.offsets(topics, &places, LATEST)?;
    let since = match begin {
        Begin::Time(moment) => Some(moment.0),
        Begin::Ago(Stretch(ago)) => {
            Some(wall_ms().saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)).max(0))
        }
        _ => None,
    };
    let timed = since.map(|ms| cluster.offsets(topics, &places, ms)).transpose()?.unwrap_or_default();
    let mut cursors = Vec::with_capacity(places.len());
    for place in places {
        let (start, end) = (starts.of(&place)?, ends.of(&place)?);
        let wanted = match begin {
            Begin::Start => start,
            Begin::End => end,
            Begin::At(offset) => offset,
            Begin::After(n) => start.saturating_add(n).min(end),
            Begin::Last(n) => end.saturating_sub(n).max(start),
            // Nothing is that late: what comes next.
            Begin::Time(_) | Begin::Ago(_) => {
                Some(timed.of(&place)?).filter(|offset| *offset >= 0).unwrap_or(end)
            }
        };
        let next = wanted.clamp(start, end);
        if next != wanted {
            eprintln!("{}/{} has offsets {start} to {end}: begins at {next}", place.0, place.1);
        }
        cursors.push(Cursor { partition: place.1, next, end, committed: next });
    }
    Ok(cursors)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_beginning_is_read_as_people_write_it() {
        let cases = [
            ("start", Begin::Start),
            ("end", Begin::End),
            ("17", Begin::At(17)),
            ("+2", Begin::After(2)),
            ("-5", Begin::Last(5)),
            ("@1700000000000", Begin::Time(Moment(1_700_000_000_000))),
            ("@1970-01-02", Begin::Time(Moment(86_400_000))),
            ("@-2h", Begin::Ago(Stretch(Duration::from_secs(7_200)))),
        ];
        for (text, from) in cases {
            assert_eq!(text.parse(), Ok(from), "{text}");
        }
        for bad in ["", "middle", "--5", "@", "1.5", "+", "++1", "@-soon"] {
            assert!(bad.parse::<Begin>().is_err(), "{bad}");
        }
    }
}
