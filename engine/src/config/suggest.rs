//! "Did you mean …?"

/// Names are short; a longer one is not a misspelling of ours.
const NAME_BYTES_MAX: usize = 100;

/// The name nearest to `wrong`, if it is near enough to be meant.
pub(super) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if wrong.len() > NAME_BYTES_MAX {
        return None;
    }
    let folded = wrong.to_ascii_lowercase().replace('_', ".");
    let near_enough = folded.len().max(3) / 3;
    names
        .map(|name| (distance(folded.as_bytes(), name.as_bytes()), name))
        .min_by_key(|(d, _)| *d)
        .filter(|(d, _)| *d <= near_enough)
        .map(|(_, name)| name)
}

/// Levenshtein's distance in bytes.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
