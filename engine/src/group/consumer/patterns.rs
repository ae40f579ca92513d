//! Which topics patterns match: compiled once, looked for a bounded part at a time, and kept up to date
//! by the names that come and go.

use std::collections::{BTreeMap, BTreeSet};

use regex::bytes::{Regex, RegexBuilder};

use crate::group::GroupError;
use crate::group::answer::Refusal;
use crate::group::settings::{
    PATTERNS_BYTES_MAX, REGEX_CHANGED_WORK_MAX, REGEX_COMPILED_BYTES_MAX, REGEX_MATCHED_BYTES_MAX,
    REGEX_PATTERN_BYTES_MAX, REGEX_SIMPLE_BYTES, REGEX_WORK_MAX,
};
use crate::metadata::Image;

/// What a compiled pattern takes for each byte that its automaton may have, with the tables for searching.
const BYTES_PER_COMPILED: usize = 4;

/// The patterns that the groups of a coordinator have, or had lately.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    /// The topics that all of them were held against, as far as they have got.
    image: Image,
    known: BTreeMap<String, Pattern>,
    /// Bytes of all of them.
    bytes: usize,
    /// Counts the times that one was asked for.
    uses: u64,
}

#[derive(Debug)]
struct Pattern {
    compiled: Compiled,
    topics: BTreeSet<String>,
    /// Bytes of their names.
    names_bytes: usize,
    progress: Progress,
    /// When it was last asked for.
    used: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Progress {
    /// It was held against the names up to this one.
    At(String),
    /// It was held against all of them.
    Done,
    /// It matches more than may be kept.
    TooMany,
}

#[derive(Clone, Debug)]
struct Compiled {
    regex: Regex,
    /// What its automaton takes at most.
    size: usize,
}

/// What is known of a pattern's topics.
#[derive(Debug)]
pub(crate) enum Looked<'a> {
    /// These.
    Found(&'a BTreeSet<String>),
    /// Not yet: it is still looked for them.
    NotYet,
    /// More than a group may have.
    TooMany,
}

impl Patterns {
    /// Brings all patterns up to an image, and sees that these are among them: those that are too large or
    /// do not parse are left out.
    pub(crate) fn look_for<'p>(&mut self, image: &Image, patterns: impl Iterator<Item = &'p String>) {
        self.follow(image);
        let mut work = REGEX_WORK_MAX;
        for pattern in patterns {
            self.uses += 1;
            if let Some(known) = self.known.get_mut(pattern) {
                known.used = self.uses;
                continue;
            }
            let Ok(compiled) = compile(pattern) else { continue };
            self.insert(pattern, compiled, &mut work);
        }
        self.evict();
    }

    /// Whether a pattern was compiled.
    pub(crate) fn has(&self, pattern: &str) -> bool {
        self.known.contains_key(pattern)
    }

    /// What is known of a pattern's topics.
    pub(crate) fn topics(&self, pattern: &str) -> Looked<'_> {
        match self.known.get(pattern).map(|p| (&p.progress, &p.topics)) {
            Some((Progress::Done, topics)) => Looked::Found(topics),
            Some((Progress::At(_), _)) | None => Looked::NotYet,
            Some((Progress::TooMany, _)) => Looked::TooMany,
        }
    }

    /// Looks for more topics where not all were looked at yet.
    pub(crate) fn go_on(&mut self) {
        let mut work = REGEX_WORK_MAX;
        for pattern in self.known.values_mut() {
            let before = pattern.names_bytes;
            pattern.go_on(&self.image, &mut work);
            self.bytes = self.bytes + pattern.names_bytes - before;
            if work == 0 {
                return;
            }
        }
    }

    fn insert(&mut self, name: &str, compiled: Compiled, work: &mut usize) {
        let mut pattern = Pattern {
            compiled,
            topics: BTreeSet::new(),
            names_bytes: 0,
            progress: Progress::At(String::new()),
            used: self.uses,
        };
        pattern.go_on(&self.image, work);
        self.bytes += pattern.bytes();
        self.known.insert(name.to_owned(), pattern);
    }

    fn evict(&mut self) {
        while self.bytes > PATTERNS_BYTES_MAX && self.known.len() > 1 {
            let oldest = self.known.iter().min_by_key(|(_, p)| p.used).map(|(name, _)| name.clone());
            let Some(gone) = oldest.and_then(|name| self.known.remove(&name)) else { return };
            self.bytes -= gone.bytes();
        }
    }

    /// The names that came or went since are held against each pattern; if they are many, each pattern
    /// begins anew.
    fn follow(&mut self, image: &Image) {
        if self.image.position() == image.position() {
            return;
        }
        let before = std::mem::replace(&mut self.image, image.clone());
        if self.known.is_empty() {
            return;
        }
        let changed = changed(&before, image);
        let names_bytes: usize = changed.iter().map(|(name, _)| name.len()).sum();
        let automata: usize = self.known.values().map(|p| p.compiled.size >> 10).sum();
        let is_much = names_bytes.saturating_mul(automata) > REGEX_CHANGED_WORK_MAX;
        for pattern in self.known.values_mut() {
            let bytes = pattern.names_bytes;
            if is_much || (pattern.progress == Progress::TooMany && !changed.is_empty()) {
                pattern.begin();
            } else {
                changed.iter().for_each(|(name, exists)| pattern.change(name, *exists));
            }
            self.bytes = self.bytes + pattern.names_bytes - bytes;
        }
    }
}

impl Pattern {
    fn bytes(&self) -> usize {
        self.compiled.size * BYTES_PER_COMPILED + self.names_bytes
    }

    fn begin(&mut self) {
        self.topics.clear();
        self.names_bytes = 0;
        self.progress = Progress::At(String::new());
    }

    /// A topic came or went.
    fn change(&mut self, name: &str, exists: bool) {
        match &self.progress {
            // It is looked at in its turn.
            Progress::At(last) if name > last.as_str() => {}
            _ if !exists => self.take_out(name),
            Progress::At(_) | Progress::Done => self.look_at(name),
            Progress::TooMany => {}
        }
    }

    fn take_out(&mut self, name: &str) {
        if self.topics.remove(name) {
            self.names_bytes -= bytes_of_name(name);
        }
    }

    fn look_at(&mut self, name: &str) {
        if self.compiled.regex.is_match(name.as_bytes()) && self.topics.insert(name.to_owned()) {
            self.names_bytes += bytes_of_name(name);
        }
        if self.names_bytes > REGEX_MATCHED_BYTES_MAX {
            self.begin();
            self.progress = Progress::TooMany;
        }
    }

    /// Goes through the names behind the last one, as far as there is work left to spend.
    fn go_on(&mut self, image: &Image, work: &mut usize) {
        let Progress::At(last) = &self.progress else { return };
        let last = last.clone();
        for topic in image.topics_after(&last) {
            if *work == 0 {
                return;
            }
            *work = work.saturating_sub(topic.name.len() * (self.compiled.size >> 10));
            self.look_at(&topic.name);
            if self.progress == Progress::TooMany {
                return;
            }
            self.progress = Progress::At(topic.name.clone());
        }
        self.progress = Progress::Done;
    }
}

/// Bytes of a name in a set of them.
pub(super) fn bytes_of_name(name: &str) -> usize {
    size_of::<String>() + name.len()
}

/// Names that are not in both images, and whether they are in the second one.
fn changed(before: &Image, after: &Image) -> Vec<(String, bool)> {
    let mut list = Vec::new();
    let (mut old, mut new) = (before.topics().peekable(), after.topics().peekable());
    loop {
        match (old.peek(), new.peek()) {
            (Some(a), Some(b)) if std::sync::Arc::ptr_eq(a, b) || a.name == b.name => {
                old.next();
                new.next();
            }
            (Some(a), b) if b.is_none_or(|b| a.name < b.name) => {
                list.push((a.name.clone(), false));
                old.next();
            }
            (_, Some(b)) => {
                list.push((b.name.clone(), true));
                new.next();
            }
            (_, None) => return list,
        }
    }
}

/// Whether a pattern may be had: it parses and is not too large.
pub(crate) fn check(pattern: &str) -> Result<(), Refusal> {
    compile(pattern).map(drop)
}

/// Compiles a pattern; it has to match whole names, in time linear in their length. Names of topics are
/// ASCII, so `\w` and its like are too, as in Kafka: their automata are small then.
fn compile(pattern: &str) -> Result<Compiled, Refusal> {
    let refuse = |reason: &str| {
        let start: String = pattern.chars().take(64).collect();
        let text = format!("SubscribedTopicRegex `{start}` is not a valid regular expression: {reason}.");
        Refusal::new(GroupError::InvalidRegularExpression, text)
    };
    if pattern.len() > REGEX_PATTERN_BYTES_MAX {
        return Err(refuse("it is too long"));
    }
    let build = |pattern: &str, is_unicode: bool, size: usize| {
        let mut builder = RegexBuilder::new(pattern);
        builder.unicode(is_unicode).size_limit(size).dfa_size_limit(2 * size).build()
    };
    let whole = format!(r"\A(?:{pattern})\z");
    let mut refused = "it does not parse";
    for is_unicode in [false, true] {
        for size in [REGEX_SIMPLE_BYTES, REGEX_COMPILED_BYTES_MAX] {
            // By itself first: `a)|(b` must not become one only because it is wrapped.
            match build(pattern, is_unicode, size).and_then(|_| build(&whole, is_unicode, size)) {
                Ok(regex) => return Ok(Compiled { regex, size }),
                Err(regex::Error::CompiledTooBig(_)) => refused = "it is too large",
                // Text beyond ASCII, which names no topic, needs the other kind.
                Err(_) => break,
            }
        }
        if refused == "it is too large" {
            break;
        }
    }
    Err(refuse(refused))
}
