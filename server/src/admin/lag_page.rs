//! Group lag as Prometheus text.

use std::fmt::Write;
use std::sync::Arc;

use super::page::family;
use crate::limits::{GROUP_SERIES_BYTES_MAX, GROUP_SERIES_MAX};
use crate::shard::{CommitLag, GroupLag};

/// The families of group lag, at `now_ms` since the epoch.
pub(super) fn render(out: &mut String, cores: &[Arc<GroupLag>], now_ms: i64) {
    let all = cores.iter().map(|lag| lag.commits.len()).sum::<usize>();
    let mut commits: Vec<&CommitLag> = cores.iter().flat_map(|lag| &lag.commits).collect();
    // In one order on every page, so that a limit shows the same ones.
    commits.sort_unstable_by_key(|c| (&c.group, &c.topic, c.partition));
    // Each core kept to the limits; so must all of them together.
    let mut bytes = 0;
    let fits = |c: &&CommitLag| {
        bytes += c.group.len() + c.topic.len();
        bytes <= GROUP_SERIES_BYTES_MAX
    };
    commits = commits.into_iter().take(GROUP_SERIES_MAX).take_while(fits).collect();
    let left_out = cores.iter().map(|lag| lag.left_out).sum::<u64>() + (all - commits.len()) as u64;
    let labels: Vec<String> = commits.iter().map(|c| labels(c)).collect();
    family(out, "group_committed_offset", "gauge", "Offset of the next record that the group reads.");
    for (commit, labels) in commits.iter().zip(&labels) {
        let _ = writeln!(out, "ringlog_group_committed_offset{{{labels}}} {}", commit.committed);
    }
    family(out, "group_lag", "gauge", "Records that the group has not committed yet.");
    for (commit, labels) in commits.iter().zip(&labels) {
        if let Some(lag) = commit.lag {
            let _ = writeln!(out, "ringlog_group_lag{{{labels}}} {lag}");
        }
    }
    let doc =
        "Age of the batch that holds the first of them, 0 where there is none, absent where it is not known.";
    family(out, "group_lag_seconds", "gauge", doc);
    for (commit, labels) in commits.iter().zip(&labels) {
        if let Some(seconds) = seconds(commit, now_ms) {
            let _ = writeln!(out, "ringlog_group_lag_seconds{{{labels}}} {seconds}");
        }
    }
    family(out, "group_series_left_out", "gauge", "Committed offsets above the page's limit, not shown.");
    let _ = writeln!(out, "ringlog_group_series_left_out{{}} {left_out}");
}

fn seconds(commit: &CommitLag, now_ms: i64) -> Option<f64> {
    match (commit.lag?, commit.since) {
        (0, _) => Some(0.0),
        (_, since) => Some(now_ms.saturating_sub(since?).max(0) as f64 / 1000.0),
    }
}

/// Groups are named by their users: quotes, backslashes and line ends are escaped.
fn labels(commit: &CommitLag) -> String {
    let escape = |name: &str| name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let (group, topic) = (escape(&commit.group), escape(&commit.topic));
    format!("group=\"{group}\",topic=\"{topic}\",partition=\"{}\"", commit.partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(group: &str, lag: Option<i64>, since: Option<i64>) -> CommitLag {
        CommitLag { group: group.to_owned(), topic: "t".to_owned(), partition: 0, committed: 7, lag, since }
    }

    fn page(commits: Vec<CommitLag>, left_out: u64) -> String {
        let mut out = String::new();
        render(&mut out, &[Arc::new(GroupLag { commits, left_out })], 10_000);
        out
    }

    #[test]
    fn lag_has_seconds_where_they_are_known() {
        let page = page(
            vec![
                commit("caught-up", Some(0), None),
                commit("behind", Some(3), Some(8_500)),
                commit("unknown", Some(3), None),
                commit("gone", None, None),
            ],
            2,
        );
        let has = |line: &str| assert!(page.contains(&format!("{line}\n")), "{line} is not in {page}");
        has("ringlog_group_committed_offset{group=\"gone\",topic=\"t\",partition=\"0\"} 7");
        has("ringlog_group_lag{group=\"behind\",topic=\"t\",partition=\"0\"} 3");
        has("ringlog_group_lag_seconds{group=\"behind\",topic=\"t\",partition=\"0\"} 1.5");
        has("ringlog_group_lag_seconds{group=\"caught-up\",topic=\"t\",partition=\"0\"} 0");
        has("ringlog_group_series_left_out{} 2");
        assert!(
            !page.contains("lag_seconds{group=\"unknown\"") && !page.contains("lag{group=\"gone\""),
            "{page}"
        );
    }

    #[test]
    fn a_group_with_quotes_and_line_ends_stays_on_its_line() {
        let page = page(vec![commit("a\"b\\c\nd", Some(1), None)], 0);
        assert!(page.contains("group=\"a\\\"b\\\\c\\nd\""), "{page}");
    }

    #[test]
    fn commits_above_the_limit_are_counted() {
        let page = page(vec![commit("g", Some(1), None); GROUP_SERIES_MAX + 3], 4);
        assert_eq!(page.matches("ringlog_group_lag{").count(), GROUP_SERIES_MAX);
        assert!(page.contains("ringlog_group_series_left_out{} 7\n"));
    }
}
