//! What is left of a plan: how a failure is made small, and told.

use std::collections::BTreeSet;
use std::fmt;

/// Which of a plan's acts happen, and how. Written `calm,3-7,9!`: acts 3 to 7 and 9 on a machine where nothing rare
/// is made usual; act 9 is a crash and the start behind it is not cut short, no partition moves and nothing rots.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Keep {
    /// Their numbers, in order.
    pub acts: Vec<usize>,
    /// Of these, the crashes with a start that nothing disturbs.
    pub plain: BTreeSet<usize>,
    /// The clock runs true, and nothing rare is made usual.
    pub calm: bool,
}

impl Keep {
    /// These acts as they are.
    #[must_use]
    pub fn acts(acts: Vec<usize>) -> Keep {
        Keep { acts, ..Keep::default() }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.calm {
            parts.push("calm".to_owned());
        }
        let mut rest = &self.acts[..];
        while let Some(&first) = rest.first() {
            let follows = |(i, n): &(usize, &usize)| **n == first + i && !self.plain.contains(n);
            let run = rest.iter().enumerate().take_while(follows).count().max(1);
            parts.push(match run {
                1 if self.plain.contains(&first) => format!("{first}!"),
                1 => first.to_string(),
                _ => format!("{first}-{}", first + run - 1),
            });
            rest = &rest[run..];
        }
        f.write_str(&parts.join(","))
    }
}

impl std::str::FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Keep, String> {
        let number = |t: &str| t.trim().parse::<usize>().map_err(|_| format!("`{t}` is no number of an act"));
        let mut keep = Keep::default();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            if part == "calm" {
                keep.calm = true;
            } else if let Some(plain) = part.strip_suffix('!') {
                keep.plain.insert(number(plain)?);
                keep.acts.push(number(plain)?);
            } else if let Some((first, last)) = part.split_once('-') {
                keep.acts.extend(number(first)?..=number(last)?);
            } else {
                keep.acts.push(number(part)?);
            }
        }
        keep.acts.sort_unstable();
        Ok(keep)
    }
}
