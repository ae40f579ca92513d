//! What is shown, for people or as JSON: one definition of each line serves both.

use std::io::{self, BufWriter, Write};

use serde_json::{Map, Value};

/// A sink of lines.
pub(super) struct Lines<W: Write> {
    to: BufWriter<W>,
    json: bool,
}

impl<W: Write> Lines<W> {
    /// Lines for people, `name: value name: value …`, or one JSON object each.
    pub(super) fn new(to: W, json: bool) -> Lines<W> {
        Lines { to: BufWriter::new(to), json }
    }

    /// Writes one line. `kind` says in JSON what it is about; people see `lead` before the fields.
    ///
    /// # Errors
    /// The sink's.
    pub(super) fn line(&mut self, kind: &str, lead: &str, fields: &[(&str, Value)]) -> io::Result<()> {
        if self.json {
            let mut object = Map::new();
            object.insert("kind".to_owned(), kind.into());
            object.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            serde_json::to_writer(&mut self.to, &object)?;
        } else {
            write!(self.to, "{lead}")?;
            for (i, (name, value)) in fields.iter().enumerate() {
                let gap = if i == 0 && lead.is_empty() { "" } else { " " };
                match value {
                    Value::String(text) => write!(self.to, "{gap}{name}: {text}")?,
                    value => write!(self.to, "{gap}{name}: {value}")?,
                }
            }
        }
        writeln!(self.to)
    }

    /// Writes a line that says that something is damaged.
    ///
    /// # Errors
    /// The sink's.
    pub(super) fn damage(&mut self, file: &str, position: Option<u64>, what: &str) -> io::Result<()> {
        let mut fields = vec![("file", Value::from(file))];
        fields.extend(position.map(|p| ("position", Value::from(p))));
        fields.push(("what", what.into()));
        self.line("damage", "DAMAGE", &fields)
    }

    /// Flushes what was buffered.
    ///
    /// # Errors
    /// The sink's.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Bytes as text where they are, else as hexadecimal digits.
pub(super) fn text_or_hex(bytes: Option<&[u8]>) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.into(),
        _ => bytes.iter().map(|b| format!("{b:02x}")).collect::<String>().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: bool) -> String {
        let mut bytes = Vec::new();
        let mut out = Lines::new(&mut bytes, json);
        out.line("entry", "", &[("offset", 5.into()), ("key", "a b".into())]).expect("memory");
        out.damage("x.log", Some(7), "bad").expect("memory");
        out.finish().expect("memory");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn people_and_machines_read_the_same_facts() {
        assert_eq!(shown(false), "offset: 5 key: a b\nDAMAGE file: x.log position: 7 what: bad\n");
        let first: Value = serde_json::from_str(shown(true).lines().next().expect("a line")).expect("JSON");
        assert_eq!(first, serde_json::json!({"kind": "entry", "offset": 5, "key": "a b"}));
    }

    #[test]
    fn bytes_that_are_no_text_are_digits() {
        assert_eq!(text_or_hex(None), Value::Null);
        assert_eq!(text_or_hex(Some(b"caf\xC3\xA9")), Value::from("café"));
        assert_eq!(text_or_hex(Some(b"\x00\xFF")), Value::from("00ff"));
    }
}
