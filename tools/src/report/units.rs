//! Numbers as people read them: three significant digits and a unit that fits.

/// Three significant digits, without an exponent: `0.412`, `4.12`, `41.2`, `412`, `4123`.
pub fn significant(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 99.95 || magnitude == 0.0 {
        format!("{value:.0}")
    } else if magnitude >= 9.995 {
        format!("{value:.1}")
    } else if magnitude >= 0.9995 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

/// [`significant`] without trailing zeros, for axes: `0`, `12.5`, `20`.
pub fn significant_trimmed(value: f64) -> String {
    let text = significant(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// A latency in nanoseconds: `412 ns`, `41.2 µs`, `4.12 ms`, `1.20 s`.
pub fn latency(ns: u64) -> String {
    let ns = ns as f64;
    let (scaled, unit) = if ns < 999.5 {
        (ns, "ns")
    } else if ns < 999.5e3 {
        (ns / 1e3, "µs")
    } else if ns < 999.5e6 {
        (ns / 1e6, "ms")
    } else {
        (ns / 1e9, "s")
    };
    format!("{} {unit}", significant(scaled))
}

/// Nanoseconds as milliseconds without a unit, for tables whose head names it.
pub fn milliseconds(ns: u64) -> String {
    let ms = ns as f64 / 1e6;
    if ms >= 99.95 { format!("{ms:.0}") } else { significant(ms) }
}

/// A count or rate with a decimal prefix: `412`, `20.0k`, `1.20M`.
pub fn count(value: f64) -> String {
    if value >= 999.5e6 {
        format!("{}G", significant(value / 1e9))
    } else if value >= 999.5e3 {
        format!("{}M", significant(value / 1e6))
    } else if value >= 999.5 {
        format!("{}k", significant(value / 1e3))
    } else {
        significant(value)
    }
}

/// A whole number in groups of three: `600,000`.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes with a binary prefix: `512 B`, `16.0 KiB`, `23.5 GiB`.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if value < 1024 {
        return format!("{value} B");
    }
    let mut scaled = value as f64 / 1024.0;
    let mut unit = 0;
    while scaled >= 1023.5 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{} {}", significant_trimmed(scaled), UNITS[unit])
}

/// A share of one as a percentage: `0.0 %`.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A ratio as a change: `+8.1 %`, `−2.0 %`; beyond half and twice as a factor: `×3.12`, `×0.32`.
pub fn change(ratio: f64) -> String {
    if !(0.5..=2.0).contains(&ratio) {
        return format!("×{}", significant(ratio));
    }
    let percent = (ratio - 1.0) * 100.0;
    if percent.abs() < 0.05 {
        "±0.0 %".to_string()
    } else {
        format!("{}{:.1} %", if percent < 0.0 { '−' } else { '+' }, percent.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_follow_the_value() {
        assert_eq!(latency(0), "0 ns");
        assert_eq!(latency(999), "999 ns");
        assert_eq!(latency(1_000), "1.00 µs");
        assert_eq!(latency(412_300), "412 µs");
        assert_eq!(latency(999_700), "1.00 ms");
        assert_eq!(latency(1_204_000_000), "1.20 s");
        assert_eq!(milliseconds(412_300), "0.412");
        assert_eq!(milliseconds(250_000_000), "250");
        assert_eq!(count(20_000.0), "20.0k");
        assert_eq!(count(999_600.0), "1.00M");
        assert_eq!(grouped(600_000), "600,000");
        assert_eq!(grouped(12), "12");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(16 << 10), "16 KiB");
        assert_eq!(bytes(25_276_502_016), "23.5 GiB");
        assert_eq!(percent(0.0123), "1.2 %");
        let changes = [1.081, 0.98, 1.0001, 3.12, 0.32, 2.0].map(change);
        assert_eq!(changes, ["+8.1 %", "−2.0 %", "±0.0 %", "×3.12", "×0.320", "+100.0 %"]);
    }
}
