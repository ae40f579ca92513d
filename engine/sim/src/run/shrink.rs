//! Leaves out of a failing run what it does not need to fail.

use super::keep::Keep;

/// What is alike of two failures: their words without the numbers.
#[must_use]
pub fn kind(failure: &str) -> String {
    failure.lines().next().unwrap_or_default().chars().filter(|c| !c.is_ascii_digit() && *c != '-').collect()
}

/// Leaves out acts, in ever smaller pieces, and then what is not needed of those that are left, as long as `fails`
/// says that the rest still does.
pub fn shrink(acts: usize, is_crash: impl Fn(usize) -> bool, mut fails: impl FnMut(&Keep) -> bool) -> Keep {
    let mut kept: Vec<usize> = (0..acts).collect();
    // What comes after the failure is not needed: the shortest beginning that fails.
    let (mut fewer, mut enough) = (0, acts);
    while fewer + 1 < enough {
        let middle = usize::midpoint(fewer, enough);
        if fails(&Keep::acts(kept[..middle].to_vec())) { enough = middle } else { fewer = middle }
    }
    kept.truncate(enough);
    let mut piece = kept.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        let before = kept.len();
        while at < kept.len() {
            let without: Vec<usize> =
                kept[..at].iter().chain(kept.iter().skip(at + piece)).copied().collect();
            if fails(&Keep::acts(without.clone())) {
                kept = without;
            } else {
                at += piece;
            }
        }
        piece = if piece == 1 && kept.len() < before { 1 } else { piece / 2 };
    }
    let mut keep = Keep::acts(kept);
    let calm = Keep { calm: true, ..keep.clone() };
    if fails(&calm) {
        keep = calm;
    }
    for act in keep.acts.clone().into_iter().filter(|act| is_crash(*act)) {
        let mut plainer = keep.clone();
        plainer.plain.insert(act);
        if fails(&plainer) {
            keep = plainer;
        }
    }
    keep
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_failure_needs_is_kept() {
        let needs = [3, 17, 40];
        let enough = |keep: &Keep| needs.iter().all(|n| keep.acts.contains(n));
        let kept =
            shrink(100, |act| act != 40, |keep| enough(keep) && !keep.calm && !keep.plain.contains(&17));
        assert_eq!(kept.acts, needs);
        assert_eq!(kept.to_string(), "3!,17,40");
    }

    #[test]
    fn what_is_kept_is_written_and_read_back() {
        let keep = Keep::acts(vec![0, 1, 2, 5, 8, 9]);
        assert_eq!(keep.to_string(), "0-2,5,8-9");
        assert_eq!("0-2,5,8-9".parse(), Ok(keep));
        let keep = Keep { acts: vec![0, 1, 2, 3], plain: [2].into(), calm: true };
        assert_eq!(keep.to_string(), "calm,0-1,2!,3");
        assert_eq!("calm,0-1,2!,3".parse(), Ok(keep));
        assert!("0-x".parse::<Keep>().is_err());
    }

    #[test]
    fn failures_are_alike_whatever_their_numbers() {
        assert_eq!(
            kind("a batch got offset 12, the log ends at 9"),
            kind("a batch got offset 3, the log ends at 70")
        );
        assert_ne!(kind("lost 3"), kind("torn 3"));
    }
}
