//! The terminal's view of the floors.

use std::fmt::Write;

use crate::report::data::{FloorGroup, FloorUnit, Floors};
use crate::report::units;

/// One line a floor: its headline, then the latency of single operations in microseconds. A
/// percentile that the samples do not carry is `-`.
#[must_use]
pub fn table(floors: &Floors) -> String {
    let mut out = String::new();
    let wide = floors.rows.iter().map(|row| row.label.chars().count()).max().unwrap_or(0);
    let mut last = None;
    for row in &floors.rows {
        if last != Some(row.group) {
            let _ = write!(out, "{:10}{:wide$}  {:>14}", heading(row.group), "", "");
            for head in ["p50", "p90", "p99", "p99.9", "p99.99", "max"] {
                let _ = write!(out, "{head:>9}");
            }
            out.push_str("   (µs)\n");
            last = Some(row.group);
        }
        let value = match row.unit {
            FloorUnit::MbPerS => units::grouped(row.value.round() as u64),
            FloorUnit::P50Us | FloorUnit::Ratio => units::significant(row.value),
        };
        let _ = write!(out, "{:10}{:wide$}  {value:>9} {:4}", "", row.label, row.unit.word());
        if let Some(latency) = &row.latency_us {
            for value in latency.ladder().into_iter().chain([Some(latency.max)]) {
                let value = value.map_or_else(|| "-".to_string(), units::significant);
                let _ = write!(out, "{value:>9}");
            }
        }
        if let Some(tail) = row.tail_ratio {
            let _ = write!(out, "   p99.99/p50 {}", units::significant(tail));
        }
        out.push('\n');
    }
    out
}

fn heading(group: FloorGroup) -> &'static str {
    match group {
        FloorGroup::Disk => "disk",
        FloorGroup::Network => "network",
        FloorGroup::Processor => "processor",
        FloorGroup::Echo => "echo",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_line_under_its_group() {
        let floors = crate::report::sample::run(1).floors.expect("sample floors");
        let text = table(&floors);
        assert_eq!(text.lines().count(), floors.rows.len() + 4);
        assert!(text.contains("3,410 MB/s") && text.contains("p99.99/p50 4.20"), "{text}");
    }
}
