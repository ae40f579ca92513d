//! What is printed, and the table that the README shows.

use super::document::{Document, ResultDocument, RowDocument, Side, SlotTime};
use crate::compare::stats::Comparison;

/// Rows as a Markdown table with the command that measures each again.
pub(super) fn markdown(document: &Document) -> String {
    let name = |side: Side| {
        let broker = document.brokers.iter().find(|broker| broker.side == side);
        broker.map_or_else(String::new, |broker| format!("{} {}", broker.title, broker.version))
    };
    // Only where there is something to show in it.
    let unpinned = document.rows.iter().any(|row| !row.unpinned.is_empty());
    let (head, rule) = if unpinned { (" unpinned, one run each |", "---|") } else { ("", "") };
    let mut text = format!(
        "| row | figure | {} | {} | times better (95 %) |{head} goal | `ringlog bench versus …` |\n|---|---|---|---|---|{rule}---|---|\n",
        name(Side::Ours),
        name(Side::Theirs)
    );
    for row in &document.rows {
        let command = row.command.strip_prefix("ringlog bench versus ").unwrap_or(&row.command);
        let verdicts: Vec<&str> = row.goals.iter().map(|goal| goal.verdict.word()).collect();
        let goal = if verdicts.is_empty() { "-".to_string() } else { verdicts.join(", ") };
        if row.results.is_empty() {
            let why = row.not_measured.as_deref().unwrap_or("no slots");
            let none = if unpinned { " - |" } else { "" };
            text.push_str(&format!("| {} | {why} | - | - | - |{none} {goal} | `{command}` |\n", row.title));
        }
        for (index, result) in row.results.iter().enumerate() {
            let seen = &result.times_better;
            let first = index == 0;
            let free = if unpinned { format!(" {} |", both_unpinned(row, result)) } else { String::new() };
            text.push_str(&format!(
                "| {} | {}, {} | {} | {} | {} |{free} {} | {} |\n",
                if first { row.title.as_str() } else { "" },
                result.label,
                result.unit,
                with_mode(number(result.ours), row, Side::Ours, first),
                with_mode(number(result.theirs), row, Side::Theirs, first),
                times(seen, "**"),
                if first { goal.as_str() } else { "" },
                if first { format!("`{command}`") } else { String::new() },
            ));
        }
    }
    text
}

/// Ours and what stands beside it where nothing was pinned.
fn both_unpinned(row: &RowDocument, result: &ResultDocument) -> String {
    let of = |side| number(row.unpinned_value(side, &result.figure).map(|(_, value)| value));
    if row.unpinned.is_empty() {
        return "-".to_string();
    }
    format!("{} and {}", of(Side::Ours), of(Side::Theirs))
}

/// The mode stands beside the figure, once a row: without it a figure says nothing.
fn with_mode(value: String, row: &RowDocument, side: Side, show: bool) -> String {
    let side = if side == Side::Ours { Some(&row.ours) } else { row.theirs.as_ref() };
    match side {
        Some(side) if show => format!("{value} ({})", side.mode),
        _ => value,
    }
}

/// How many times better, and between what; `-` where no pair has both figures.
fn times(seen: &Comparison, mark: &str) -> String {
    if seen.pairs == 0 {
        return "-".to_string();
    }
    let [median, low, high] = [seen.median_ratio, seen.low, seen.high].map(|v| number(Some(v)));
    format!("{mark}{median}{mark} ({low} to {high})")
}

/// Three digits that matter.
fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_string(),
        Some(v) if v.abs() >= 100.0 => crate::report::units::grouped(v.round() as u64),
        Some(v) if v.abs() >= 10.0 => format!("{v:.1}"),
        Some(v) => format!("{v:.2}"),
    }
}

/// One finished row on standard output.
pub(super) fn print(row: &RowDocument) {
    println!("row     {}: {}", row.name, row.title);
    if let Some(reason) = &row.not_measured {
        println!("        not measured: {reason}");
    }
    for result in &row.results {
        let seen = &result.times_better;
        println!(
            "        {:<28} ours {:>10} · beside {:>10} {} · × better: {}, {} pairs",
            result.label,
            number(result.ours),
            number(result.theirs),
            result.unit,
            times(seen, ""),
            seen.pairs
        );
    }
    for goal in &row.goals {
        println!("        goal {}: {} ({})", goal.verdict.word(), goal.text, goal.found);
    }
    if !row.slots.is_empty() {
        println!("        {}", time(row));
    }
}

/// Where a row's time went.
fn time(row: &RowDocument) -> String {
    let mut sum = SlotTime::default();
    row.slots.iter().for_each(|slot| sum.add(&slot.time));
    let shared = row.slots.iter().filter(|slot| !slot.folder.starts_with(&format!("{}/", row.name))).count();
    let shared = if shared == 0 { String::new() } else { format!(", {shared} of them another row's too") };
    format!(
        "time {:.0} s in {} slots{shared}: {:.0} measured, {:.0} warming up, {:.0} settling, {:.0} starting brokers, {:.0} else",
        sum.seconds(),
        row.slots.len(),
        sum.measured_s,
        sum.warm_s,
        sum.settle_s,
        sum.start_s,
        sum.other_s
    )
}

/// What came of the runs without pinning.
pub(super) fn print_unpinned(row: &RowDocument) {
    println!("row     {}: {}, nothing pinned, one run each", row.name, row.title);
    for result in &row.results {
        println!(
            "        {:<28} ours and beside {} {}",
            result.label,
            both_unpinned(row, result),
            result.unit
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rows_time_is_told_by_what_it_went_to() {
        let dir = tempfile::tempdir().expect("a directory");
        let document = crate::versus::sample::write(dir.path(), |_, _| crate::report::sample::run(7));
        let mut row = document.expect("a sample").rows[0].clone();
        row.slots.truncate(2);
        let folder = std::mem::replace(&mut row.slots[0].folder, "another/01-ours".to_string());
        assert!(folder.starts_with(&row.name), "{folder}");
        let said = time(&row);
        assert!(said.contains("in 2 slots, 1 of them another row's too: 60 measured"), "{said}");
    }

    #[test]
    fn numbers_have_three_digits_that_matter() {
        assert_eq!(number(None), "-");
        assert_eq!(number(Some(1_234.4)), "1,234");
        assert_eq!(number(Some(12.34)), "12.3");
        assert_eq!(number(Some(0.987)), "0.99");
    }
}
