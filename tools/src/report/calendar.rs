//! Dates from milliseconds since the epoch, in UTC, without a time zone database.

/// Year, month (1 to 12), day (1 to 31), hour, minute, second.
fn fields(unix_ms: u64) -> (u64, u64, u64, u64, u64, u64) {
    let seconds = unix_ms / 1000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01 in eras of 400 years (Howard Hinnant's civil calendar).
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day, of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

/// As read: `22 November 2026, 07:12:30 UTC`.
pub fn utc(unix_ms: u64) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let (year, month, day, hour, minute, second) = fields(unix_ms);
    let month = MONTHS[(month - 1) as usize];
    format!("{day} {month} {year}, {hour:02}:{minute:02}:{second:02} UTC")
}

/// Names a run: `20261122-071230-7f3c`, from its start and the machine's hardware id.
pub fn run_id(unix_ms: u64, hardware_id: &str) -> String {
    let (year, month, day, hour, minute, second) = fields(unix_ms);
    let machine: String = hardware_id.chars().take(4).collect();
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}-{machine}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_cross_leap_days_and_centuries() {
        assert_eq!(utc(0), "1 January 1970, 00:00:00 UTC");
        assert_eq!(utc(951_782_400_000), "29 February 2000, 00:00:00 UTC");
        assert_eq!(utc(1_709_251_199_999), "29 February 2024, 23:59:59 UTC");
        assert_eq!(utc(1_795_331_550_000), "22 November 2026, 07:12:30 UTC");
        assert_eq!(run_id(1_795_331_550_000, "7f3c0a1b"), "20261122-071230-7f3c");
        assert_eq!(utc(4_107_542_400_000), "1 March 2100, 00:00:00 UTC");
    }
}
