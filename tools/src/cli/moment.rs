//! Moments and stretches of time as people and Kafka's tools write them.

use std::str::FromStr;
use std::time::Duration;

use crate::bench::quantity::Span;

/// A moment in ms since the epoch: `1700000000000`, `2026-11-22T07:12:30`, `2026-11-22`, with `.123`,
/// `Z` or `+01:00` behind; UTC unless it says otherwise, as in Kafka's tools.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Moment(pub(super) i64);

/// A stretch of time: `90s`, `2h`, or ISO 8601 as Kafka's tools want it, `PT1H30M`, `P7D`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stretch(pub(super) Duration);

const DAY_MS: i64 = 86_400_000;

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Moment, String> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Moment).map_err(|_| format!("{text} is too late"));
        }
        date_time(text).map(Moment).ok_or_else(|| {
            format!("{text:?} is no time: write 2026-11-22T07:12:30, with Z or +01:00 behind, or ms since the epoch")
        })
    }
}

fn date_time(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, ""));
    let mut parts = date.splitn(3, '-');
    let (year, month, day) =
        (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !(1..=lengths[(month - 1) as usize]).contains(&day) {
        return None;
    }
    let before: i64 = lengths[..(month - 1) as usize].iter().sum();
    let (past, leaps) = (year - 1, |y: i64| y / 4 - y / 100 + y / 400);
    let days = (year - 1970) * 365 + leaps(past) - leaps(1969) + before + day - 1;
    let (clock, zone_ms) = zone(time)?;
    Some(days * DAY_MS + time_of_day(clock)? - zone_ms)
}

/// What is before the zone, and the zone in ms east of UTC.
fn zone(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let Some(at) = time.find(['+', '-']) else { return Some((time, 0)) };
    let (clock, zone) = time.split_at(at);
    let digits: String = zone[1..].chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = match digits.len() {
        2 => (number(&digits, 2)?, 0),
        4 => (number(digits.get(..2)?, 2)?, number(digits.get(2..)?, 2)?),
        _ => return None,
    };
    let east = (hours * 60 + minutes) * 60_000;
    (hours <= 18 && minutes < 60).then_some((clock, if zone.starts_with('-') { -east } else { east }))
}

fn time_of_day(clock: &str) -> Option<i64> {
    if clock.is_empty() {
        return Some(0);
    }
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.splitn(3, ':');
    let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let second = parts.next().map_or(Some(0), |s| number(s, 2))?;
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ms: i64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    (hour < 24 && minute < 60 && second < 60).then_some(((hour * 60 + minute) * 60 + second) * 1000 + ms)
}

fn number(digits: &str, length: usize) -> Option<i64> {
    let is_one = digits.len() == length && digits.bytes().all(|b| b.is_ascii_digit());
    if is_one { digits.parse().ok() } else { None }
}

impl FromStr for Stretch {
    type Err = String;

    fn from_str(text: &str) -> Result<Stretch, String> {
        let Some(iso) = text.strip_prefix(['P', 'p']) else {
            return text.parse::<Span>().map(|span| Stretch(span.0)).map_err(|e| e.to_string());
        };
        let upper = iso.to_ascii_uppercase();
        iso_seconds(&upper)
            .and_then(|s| Duration::try_from_secs_f64(s).ok())
            .map(Stretch)
            .ok_or_else(|| format!("{text:?} is no stretch of time: write 90s, 2h, PT1H30M or P7D"))
    }
}

fn iso_seconds(text: &str) -> Option<f64> {
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let sum = |text: &str, units: &[(char, f64)]| -> Option<f64> {
        let (mut total, mut rest) = (0.0, text);
        while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic()) {
            let (_, seconds) = units.iter().find(|(unit, _)| rest[at..].starts_with(*unit))?;
            let count: f64 = rest[..at].parse().ok()?;
            total += count * seconds;
            rest = &rest[at + 1..];
        }
        rest.is_empty().then_some(total)
    };
    let days = sum(date, &[('W', 604_800.0), ('D', 86_400.0)])?;
    let clock = sum(time, &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)])?;
    let total = days + clock;
    (total.is_finite() && total >= 0.0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let cases = [
            ("0", 0),
            ("1795331550123", 1_795_331_550_123),
            ("2026-11-22T07:12:30", 1_795_331_550_000),
            ("2026-11-22T07:12:30.1", 1_795_331_550_100),
            ("2026-11-22T08:12:30.123+0100", 1_795_331_550_123),
            ("2026-11-22 05:12:30-02:00", 1_795_331_550_000),
            ("2026-11-22T07:12Z", 1_795_331_520_000),
            ("2024-02-29", 1_709_164_800_000),
            ("2100-03-01", 4_107_542_400_000),
        ];
        for (text, ms) in cases {
            assert_eq!(text.parse(), Ok(Moment(ms)), "{text}");
        }
        for bad in
            ["", "yesterday", "2026-13-01", "2025-02-29", "2026-11-22T24:00:00", "2026-11-22T07:12:30+99:00"]
        {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
    }

    #[test]
    fn stretches_are_read_as_people_and_as_kafka_write_them() {
        let cases = [
            ("90s", 90),
            ("2h", 7_200),
            ("PT1H30M", 5_400),
            ("P7D", 604_800),
            ("P1DT2S", 86_402),
            ("pt5m", 300),
        ];
        for (text, seconds) in cases {
            assert_eq!(text.parse(), Ok(Stretch(Duration::from_secs(seconds))), "{text}");
        }
        for bad in ["", "P", "PT", "P1Y", "PT-5M", "1 fortnight"] {
            assert!(bad.parse::<Stretch>().is_err(), "{bad}");
        }
    }
}
