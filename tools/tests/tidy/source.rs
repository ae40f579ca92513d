//! Reading Rust source as far as the rules need it: code without comments, strings and test
//! modules, and the names that stand after a path's first segment.

use std::path::{Path, PathBuf};

/// One file of the repository.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Path from the repository's root, with forward slashes.
    pub(crate) path: String,
    /// The bytes as written.
    pub(crate) text: String,
    /// `text` of a Rust file with comments, literals and `#[cfg(test)]` modules blanked; lines stay where they are.
    pub(crate) code: String,
}

impl Source {
    /// A file as the rules see it.
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let code = if path.ends_with(".rs") { without_test_modules(&blank(text)) } else { String::new() };
        Source { path: path.to_owned(), text: text.to_owned(), code }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether this file is compiled for tests alone.
    pub(crate) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.split('/').any(|part| part == "tests")
    }

    /// The top-level module of `crate_src` this file belongs to: `engine/src/log/index.rs` is of `log`, `lib.rs` of none.
    pub(crate) fn module_in(&self, crate_src: &str) -> Option<&str> {
        let rest = self.path.strip_prefix(crate_src)?.strip_prefix('/')?;
        let first = rest.split('/').next()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (!matches!(name, "lib" | "main" | "tests")).then_some(name)
    }

    /// Numbers (from 1) of the lines of `code` that contain `needle` as a whole word.
    pub(crate) fn lines_with(&self, needle: &str) -> Vec<usize> {
        word_positions(&self.code, needle).map(|at| line_of(&self.code, at)).collect()
    }

    /// Every (line, name) that stands directly below `root` in a path: `root::name` and `root::{a, b::c}`.
    pub(crate) fn names_below(&self, root: &str) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for at in word_positions(&self.code, root) {
            let after = &self.code[at + root.len()..];
            let Some(tail) = after.trim_start().strip_prefix("::") else { continue };
            let line = line_of(&self.code, at);
            let tail = tail.trim_start();
            if let Some(group) = tail.strip_prefix('{') {
                found.extend(heads_of_group(group).into_iter().map(|name| (line, name)));
            } else {
                found.push((line, identifier(tail)));
            }
        }
        found.retain(|(_, name)| !name.is_empty());
        found
    }

    /// As [`Source::names_below`] for the crate's root, however it is written: `crate::x`, or enough `super::`.
    pub(crate) fn names_in_crate(&self, crate_src: &str) -> Vec<(usize, String)> {
        let mut names = self.names_below("crate");
        let Some(rest) = self.path.strip_prefix(crate_src) else { return names };
        let folders = rest.trim_start_matches('/').matches('/').count();
        let depth = if rest.ends_with("/mod.rs") { folders } else { folders + 1 };
        let climb = vec!["super"; depth].join("::");
        for (line, name) in self.names_below(&climb) {
            if name != "super" {
                names.push((line, name));
            }
        }
        names
    }
}

/// All files of the repository below `root` that the rules look at, in path order.
pub(crate) fn read_all(root: &Path) -> Vec<Source> {
    const SKIP: &[&str] = &["target", ".git", "node_modules", "__pycache__"];
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(root)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the repository is readable") {
            let path = entry.expect("a folder entry is readable").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let inside =
                path.strip_prefix(root).expect("walked from the root").to_string_lossy().into_owned();
            if SKIP.contains(&name.as_str()) || inside == "perf/data" || inside == "perf/runs" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                files.push(Source::new(&inside, &text));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn word_positions<'a>(code: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    let open = needle.as_bytes().first().copied().is_some_and(is_word);
    let close = needle.as_bytes().last().copied().is_some_and(is_word);
    code.match_indices(needle).map(|(at, _)| at).filter(move |&at| {
        let end = at + needle.len();
        let before_ok = !open || at == 0 || !is_word(bytes[at - 1]);
        let after_ok = !close || end == bytes.len() || !is_word(bytes[end]);
        // `super` as the tail of a longer climb is another path.
        let longer = needle.starts_with("super") && code[..at].ends_with("super::");
        before_ok && after_ok && !longer
    })
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first name of each element of a use group whose `{` has been read.
fn heads_of_group(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 0usize;
    let mut start = 0usize;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' | ',' if depth == 0 => {
                heads.push(identifier(group[start..at].trim()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    heads
}

/// `text` with comments and the insides of literals turned into spaces.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut wipe = |from: usize, to: usize| {
        for byte in &mut out[from..to] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    };
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text.as_bytes()[at..];
        let end = if rest.starts_with(b"//") {
            rest.iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n)
        } else if rest.starts_with(b"/*") {
            block_comment_end(bytes, at)
        } else if let Some(end) = raw_string_end(text, at) {
            end
        } else if rest[0] == b'"' {
            quoted_end(bytes, at, b'"')
        } else if rest[0] == b'\'' && is_char_literal(rest) {
            quoted_end(bytes, at, b'\'')
        } else {
            at += 1;
            continue;
        };
        wipe(at, end);
        at = end;
    }
    String::from_utf8(out).expect("whole literals were blanked, so what is left is UTF-8")
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0usize;
    let mut at = start;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

fn raw_string_end(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    if at > 0 && is_word(bytes[at - 1]) && bytes[at - 1] != b'b' {
        return None;
    }
    let body = text.as_bytes()[at..].strip_prefix(b"r")?;
    let hashes = body.iter().take_while(|b| **b == b'#').count();
    if body.get(hashes) != Some(&b'"') {
        return None;
    }
    let open = at + 1 + hashes + 1;
    let close = format!("\"{}", "#".repeat(hashes));
    let len = bytes[open..].windows(close.len()).position(|w| w == close.as_bytes());
    Some(len.map_or(bytes.len(), |n| open + n + close.len()))
}

fn quoted_end(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Tells `'x'` and `'\n'` from the lifetime `'x`.
fn is_char_literal(rest: &[u8]) -> bool {
    if rest.get(1) == Some(&b'\\') {
        return true;
    }
    // One character of up to four bytes, then the closing quote.
    (2..=5).any(|n| rest.get(n) == Some(&b'\'') && rest[1..n].iter().skip(1).all(|b| b & 0xC0 == 0x80))
}

/// Blanks `#[cfg(test)] mod name { … }` in code that has no comments and literals any more.
fn without_test_modules(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    for (at, _) in code.match_indices("#[cfg(test)]") {
        let after = code[at..].find(']').map_or(code.len(), |n| at + n + 1);
        let head = code[after..].trim_start();
        if !(head.starts_with("mod ") || head.starts_with("pub mod ") || head.starts_with("pub(crate) mod "))
        {
            continue;
        }
        let Some(open) = code[after..].find(['{', ';']).map(|n| after + n) else { continue };
        if code.as_bytes()[open] == b';' {
            continue;
        }
        let mut depth = 0usize;
        for (n, byte) in code.as_bytes()[open..].iter().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                out[at..=open + n].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
                break;
            }
        }
    }
    String::from_utf8(out).expect("whole characters were blanked")
}
