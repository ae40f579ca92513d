//! Values out of reports, pairs out of values, verdicts out of pairs.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::{GoalDocument, GoalVerdict, ResultDocument, Side, SlotDocument};
use super::lab::{Figure, Goal, Lab};
use crate::compare::stats::{self, Better};

/// The value of a figure in a report; `None` where the report has none.
pub(super) fn value(figure: &Figure, report: &Value) -> Option<f64> {
    let above = find(report, &figure.path)?;
    let below = match &figure.over {
        None => 1.0,
        Some(path) => find(report, path).filter(|below| *below != 0.0)?,
    };
    Some(above / below * figure.scale)
}

/// A number by its path: keys with dots between them; `list[key=text,key=text]` is the first element in which each `key`
/// is, or contains, its `text`.
fn find(report: &Value, path: &str) -> Option<f64> {
    let mut at = report;
    let mut rest = path;
    while !rest.is_empty() {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (key, tail) = rest.split_at(end);
        if !key.is_empty() {
            at = at.get(key)?;
        }
        rest = match tail.strip_prefix('[') {
            Some(condition) => {
                let (condition, tail) = condition.split_once(']')?;
                at = at.as_array()?.iter().find(|element| condition.split(',').all(|c| holds(element, c)))?;
                tail
            }
            None => tail,
        };
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    at.as_f64()
}

fn holds(element: &Value, condition: &str) -> bool {
    let Some((key, wanted)) = condition.split_once('=') else { return false };
    match element.get(key) {
        Some(Value::String(text)) => text == wanted,
        Some(Value::Bool(flag)) => wanted == flag.to_string(),
        Some(Value::Array(all)) => all.iter().any(|one| one == wanted),
        _ => false,
    }
}

/// The row's figures of one report.
pub(super) fn values(lab: &Lab, figures: &[String], report: &Value) -> BTreeMap<String, Option<f64>> {
    let of = |name: &String| Some((name.clone(), value(lab.figure.get(name)?, report)));
    figures.iter().filter_map(of).collect()
}

/// Each figure over all pairs.
pub(super) fn results(lab: &Lab, figures: &[String], slots: &[SlotDocument]) -> Vec<ResultDocument> {
    let one = |name: &String| {
        let figure = lab.figure.get(name)?;
        let of = |slot: &SlotDocument| slot.values.get(name).copied().flatten();
        let side = |side| {
            let values = slots.iter().filter(|slot| slot.side == side).filter_map(of);
            median(values.collect())
        };
        let pairs: Vec<(f64, f64)> = pairs(slots)
            .map(|(ours, theirs)| {
                let (ours, theirs) = (of(ours).unwrap_or(f64::NAN), of(theirs).unwrap_or(f64::NAN));
                if figure.better == Better::Higher { (theirs, ours) } else { (ours, theirs) }
            })
            .collect();
        Some(ResultDocument {
            figure: name.clone(),
            label: figure.label.clone(),
            unit: figure.unit.clone(),
            better: figure.better,
            ours: side(Side::Ours),
            theirs: side(Side::Theirs),
            times_better: stats::pairs(&pairs),
        })
    };
    figures.iter().filter_map(one).collect()
}

/// Slots that belong together, ours first.
fn pairs(slots: &[SlotDocument]) -> impl Iterator<Item = (&SlotDocument, &SlotDocument)> {
    slots.iter().filter(|slot| slot.side == Side::Ours).filter_map(|ours| {
        let theirs = slots.iter().find(|slot| slot.side == Side::Theirs && slot.pair == ours.pair)?;
        Some((ours, theirs))
    })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some((low + high) / 2.0)
}

/// Whether a goal was reached. `not_measured` says why there are no slots.
pub(super) fn judge(
    goal: &Goal,
    results: &[ResultDocument],
    slots: usize,
    not_measured: Option<&str>,
) -> GoalDocument {
    let say = |verdict, found: String| GoalDocument {
        text: goal.text.clone(),
        figure: goal.figure.clone(),
        verdict,
        found,
    };
    if let Some(reason) = not_measured {
        return say(GoalVerdict::NotMeasured, reason.to_string());
    }
    let Some(result) = results.iter().find(|result| result.figure == goal.figure) else {
        return say(GoalVerdict::NotMeasured, format!("the row does not take the figure {}", goal.figure));
    };
    let (mut found, mut holds, mut known) = (Vec::new(), true, slots >= 2 * stats::PAIRS_MIN);
    if let Some(asked) = goal.better_by {
        let seen = &result.times_better;
        let (ratio, low, high) = (seen.median_ratio, seen.low, seen.high);
        found.push(format!("{ratio:.3} × ({low:.3} to {high:.3}) of {asked} × asked"));
        holds &= ratio >= asked;
        known &= seen.is_enough();
    }
    let bounds = [
        (goal.ours_at_least, result.ours, "ours", true),
        (goal.ours_at_most, result.ours, "ours", false),
        (goal.theirs_at_least, result.theirs, "beside it", true),
    ];
    for (asked, seen, whose, at_least) in bounds {
        let Some(asked) = asked else { continue };
        let word = if at_least { "at least" } else { "at most" };
        match seen {
            None => known = false,
            Some(seen) => {
                found.push(format!("{whose} {seen:.3} of {word} {asked} {} asked", result.unit));
                holds &= if at_least { seen >= asked } else { seen <= asked };
            }
        }
    }
    match (known, holds) {
        (false, _) => {
            found.push("too few pairs, or a figure is missing".to_string());
            say(GoalVerdict::NotMeasured, found.join("; "))
        }
        (true, true) => say(GoalVerdict::Reached, found.join("; ")),
        (true, false) => say(GoalVerdict::Missed, found.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn slot(pair: u32, side: Side, value: f64) -> SlotDocument {
        SlotDocument {
            pair,
            side,
            folder: String::new(),
            tries: 1,
            verdict: "valid".to_string(),
            notes: Vec::new(),
            warm_up: None,
            quiet: None,
            time: Default::default(),
            bytes_max: 0,
            values: BTreeMap::from([("p99".to_string(), Some(value))]),
        }
    }

    fn lab() -> Lab {
        let text = "[rule]\nwindow = '5s'\ntolerance = 0.05\nwarm-max = '1s'\nquiet-max = '1s'\ndirty-max = '1MiB'\n\
                    slot-bytes = '1GiB'\ngoals-against = 'x'\n[figure.p99]\nlabel = 'p99'\nunit = 'us'\nbetter = 'lower'\npath = 'p'\n\
                    [[row]]\nname = 'r'\ntitle = 'R'\nworkload = 'w'\ntheirs = 'flushed'\nfigures = ['p99']\n";
        toml::from_str(text).expect("a lab")
    }

    fn goal(text: &str) -> Goal {
        toml::from_str(&format!("text = ''\nfigure = 'p99'\n{text}")).expect("a goal")
    }

    #[test]
    fn figures_are_found_by_path_and_divided() {
        let report = json!({
            "broker": {"cpu_seconds": 3.0}, "throughput": {"bytes": 2e9, "none": null},
            "shares": [{"figure": "a", "share": 0.5}, {"figure": "b", "rows": ["x", "y"], "binding": true, "share": 0.75}],
        });
        assert_eq!(find(&report, "broker.cpu_seconds"), Some(3.0));
        assert_eq!(find(&report, "shares[figure=b].share"), Some(0.75));
        assert_eq!(find(&report, "shares[rows=y].share"), Some(0.75));
        assert_eq!(find(&report, "shares[figure=b,binding=true].share"), Some(0.75));
        assert_eq!(find(&report, "shares[figure=a,binding=true].share"), None);
        for missing in
            ["throughput.none", "throughput.nothing", "shares[figure=c].share", "shares[", "broker"]
        {
            assert_eq!(find(&report, missing), None, "{missing}");
        }
        let mut figure = lab().figure["p99"].clone();
        (figure.path, figure.over) = ("broker.cpu_seconds".into(), Some("throughput.bytes".into()));
        figure.scale = 1e9;
        assert_eq!(value(&figure, &report), Some(1.5), "seconds per 10^9 bytes");
    }

    #[test]
    fn pairs_are_compared_and_the_goal_is_judged_by_the_median_of_ratios() {
        let slots: Vec<SlotDocument> = (1..=5)
            .flat_map(|pair| {
                let drift = f64::from(pair);
                [slot(pair, Side::Ours, 10.0 * drift), slot(pair, Side::Theirs, 40.0 * drift)]
            })
            .collect();
        let results = results(&lab(), &["p99".to_string()], &slots);
        assert_eq!((results[0].ours, results[0].theirs), (Some(30.0), Some(120.0)));
        assert!((results[0].times_better.median_ratio - 4.0).abs() < 1e-9, "{results:?}");
        let verdict = |text: &str| judge(&goal(text), &results, slots.len(), None).verdict;
        assert_eq!(verdict("better-by = 3.9"), GoalVerdict::Reached);
        assert_eq!(verdict("better-by = 4.1"), GoalVerdict::Missed);
        assert_eq!(verdict("better-by = 3.9\nours-at-most = 29"), GoalVerdict::Missed);
        assert_eq!(verdict("ours-at-least = 30\ntheirs-at-least = 120"), GoalVerdict::Reached);
        assert_eq!(judge(&goal("better-by = 1"), &results, 8, None).verdict, GoalVerdict::NotMeasured);
        let absent = judge(&goal("better-by = 1"), &results, 10, Some("no such mode"));
        assert_eq!((absent.verdict, absent.found.as_str()), (GoalVerdict::NotMeasured, "no such mode"));
    }

    #[test]
    fn a_slot_without_the_figure_is_no_pair() {
        let mut slots = vec![slot(1, Side::Ours, 1.0), slot(1, Side::Theirs, 2.0), slot(2, Side::Ours, 1.0)];
        slots.push(SlotDocument {
            values: BTreeMap::from([("p99".to_string(), None)]),
            ..slot(2, Side::Theirs, 0.0)
        });
        let results = results(&lab(), &["p99".to_string()], &slots);
        assert_eq!((results[0].times_better.pairs, results[0].times_better.left_out), (1, 1));
        assert_eq!(results[0].theirs, Some(2.0));
    }
}
