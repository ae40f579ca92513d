//! Two structs of different crates, compared field by field under Kafka's names.
//!
//! Both sides are read from their derived `Debug` text. A wrapper of one value (`Some(3)`,
//! `TopicName("t")`, `NOT_COORDINATOR(16)`) stands for the value.

use std::collections::BTreeMap;

/// A value without its types.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Atom(String),
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Fields(BTreeMap<String, Tree>),
}

/// Fields of versions that are not served: the oracle has them, at their defaults.
const NOT_SERVED: [&str; 7] = [
    "unknown_tagged_fields",
    "enable_2_pc",
    "keep_prepared_txn",
    "ongoing_txn_producer_id",
    "ongoing_txn_producer_epoch",
    "include_fenced_brokers",
    "is_fenced",
];

/// Fields of versions that the oracle does not know, each with where it stands: at their defaults in the
/// versions that it knows.
const BEYOND_THE_ORACLE: [(&str, &str); 4] =
    [("", "cluster_id"), ("", "node_id"), (".results[]", "is_cordoned"), (".results[]", "error_message")];

/// Where the two differ, or nothing.
pub fn difference(ours: &str, theirs: &str) -> Option<String> {
    let (ours, theirs) = (Tree::parse(ours), Tree::parse(theirs));
    ours.differs("", &theirs)
}

impl Tree {
    pub fn parse(text: &str) -> Tree {
        let mut parser = Parser { text, at: 0 };
        let tree = parser.value();
        parser.space();
        assert_eq!(parser.at, text.len(), "text behind the value: {}", &text[parser.at..]);
        tree
    }

    fn byte(&self) -> Option<u8> {
        match self {
            Tree::Atom(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn differs(&self, path: &str, theirs: &Tree) -> Option<String> {
        match (self, theirs) {
            (Tree::Fields(ours), Tree::Fields(theirs)) => {
                let known =
                    |name: &str| theirs.contains_key(name) || BEYOND_THE_ORACLE.contains(&(path, name));
                let missing = ours.keys().find(|name| !known(name));
                if let Some(name) = missing {
                    return Some(format!("{path}.{name} is not a name of Kafka's: {:?}", theirs.keys()));
                }
                theirs.iter().find_map(|(name, value)| match ours.get(name) {
                    Some(ours) => ours.differs(&format!("{path}.{name}"), value),
                    None if NOT_SERVED.contains(&name.as_str()) => None,
                    None => Some(format!("{path}.{name} is missing in ours")),
                })
            }
            (Tree::List(ours), Tree::List(theirs)) if ours.len() == theirs.len() => {
                ours.iter().zip(theirs).find_map(|(a, b)| a.differs(&format!("{path}[]"), b))
            }
            // Bytes, which the two crates print differently.
            (Tree::List(ours), Tree::Bytes(theirs)) => {
                let same = ours.iter().map(Tree::byte).eq(theirs.iter().copied().map(Some));
                (!same).then(|| format!("{path}: {ours:?} != {theirs:?}"))
            }
            (ours, theirs) if ours == theirs => None,
            // A text that the version does not carry: null for us, empty for the oracle. On the wire the
            // two differ, and the bytes are compared as well.
            (Tree::Atom(ours), Tree::Atom(theirs)) if ours == "None" && theirs.is_empty() => None,
            (ours, theirs) => Some(format!("{path}: {ours:?} != {theirs:?}")),
        }
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        while self.rest().starts_with([' ', ',']) {
            self.at += 1;
        }
    }

    fn eat(&mut self, token: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn until(&mut self, end: &str) -> Vec<Tree> {
        let mut items = Vec::new();
        while !self.eat(end) {
            items.push(self.value());
        }
        items
    }

    fn quoted(&mut self) -> String {
        let rest = self.rest();
        let mut escaped = false;
        let end = rest[1..].find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let text = rest[1..end.expect("the quote is closed") + 1].to_string();
        self.at += text.len() + 2;
        text
    }

    fn value(&mut self) -> Tree {
        self.space();
        if self.rest().starts_with('"') {
            return Tree::Atom(self.quoted());
        }
        if self.eat("b\"") {
            self.at -= 1;
            return Tree::Bytes(unescape(&self.quoted()));
        }
        if self.eat("[") {
            return Tree::List(self.until("]"));
        }
        let word_end =
            self.rest().find([',', ' ', ')', ']', '}', '(', '{', ':']).unwrap_or(self.rest().len());
        let word = self.rest()[..word_end].to_string();
        self.at += word_end;
        if self.eat("(") {
            let mut items = self.until(")");
            assert_eq!(items.len(), 1, "{word} wraps one value");
            return items.remove(0);
        }
        if self.eat("{") {
            let mut fields = BTreeMap::new();
            while !self.eat("}") {
                let colon = self.rest().find(':').expect("a field has a name");
                let name = self.rest()[..colon].to_string();
                self.at += colon + 1;
                let value = self.value();
                fields.insert(name, value);
            }
            return Tree::Fields(fields);
        }
        Tree::Atom(word)
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.push(c as u8);
            continue;
        }
        bytes.push(match chars.next().expect("an escape has a letter") {
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            '0' => 0,
            'x' => {
                let digits: String = chars.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).expect("two hexadecimal digits")
            }
            other => other as u8,
        });
    }
    bytes
}
