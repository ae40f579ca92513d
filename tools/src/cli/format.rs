//! How `consume` prints a record: by a format with verbs, or as a JSON object.

use std::io::{self, Write};
use std::str::FromStr;

use engine::record::Record;
use serde_json::{Map, Value, json};

/// A record and where it stands.
pub(super) struct Envelope<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) record: &'a Record<'a>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(String),
    Topic,
    Partition,
    Offset,
    Time,
    Key,
    KeyBytes,
    Value,
    ValueBytes,
    Headers,
}

/// A parsed format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Format(Vec<Part>);

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        let (mut parts, mut plain) = (Vec::new(), String::new());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let part = match (c, if matches!(c, '%' | '\\') { chars.next() } else { None }) {
                ('\\', Some('n')) => Err('\n'),
                ('\\', Some('t')) => Err('\t'),
                ('\\', Some('r')) => Err('\r'),
                ('\\', Some('0')) => Err('\0'),
                ('\\', Some('\\')) => Err('\\'),
                ('%', Some('%')) => Err('%'),
                ('%', Some('t')) => Ok(Part::Topic),
                ('%', Some('p')) => Ok(Part::Partition),
                ('%', Some('o')) => Ok(Part::Offset),
                ('%', Some('T')) => Ok(Part::Time),
                ('%', Some('k')) => Ok(Part::Key),
                ('%', Some('K')) => Ok(Part::KeyBytes),
                ('%', Some('v' | 's')) => Ok(Part::Value),
                ('%', Some('V' | 'S')) => Ok(Part::ValueBytes),
                ('%', Some('h')) => Ok(Part::Headers),
                ('%' | '\\', Some(verb)) => return Err(format!("{c}{verb} is no verb; see --help")),
                ('%' | '\\', None) => return Err(format!("a lone {c} at the end; write {c}{c}")),
                _ => Err(c),
            };
            match part {
                Err(c) => plain.push(c),
                Ok(part) => {
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(part);
                }
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Format(parts))
    }
}

impl Format {
    pub(super) fn write(&self, envelope: &Envelope<'_>, out: &mut impl Write) -> io::Result<()> {
        let record = envelope.record;
        // As kcat: the size of a null is -1.
        let size = |bytes: Option<&[u8]>| bytes.map_or(-1, |b| b.len() as i64);
        for part in &self.0 {
            match part {
                Part::Text(text) => out.write_all(text.as_bytes())?,
                Part::Topic => out.write_all(envelope.topic.as_bytes())?,
                Part::Partition => write!(out, "{}", envelope.partition)?,
                Part::Offset => write!(out, "{}", record.offset)?,
                Part::Time => write!(out, "{}", record.timestamp)?,
                Part::Key => out.write_all(record.key.unwrap_or_default())?,
                Part::KeyBytes => write!(out, "{}", size(record.key))?,
                Part::Value => out.write_all(record.value.unwrap_or_default())?,
                Part::ValueBytes => write!(out, "{}", size(record.value))?,
                Part::Headers => {
                    for (i, header) in record.headers.enumerate() {
                        out.write_all(if i > 0 { b"," } else { b"" })?;
                        out.write_all(header.key)?;
                        out.write_all(b"=")?;
                        out.write_all(header.value.unwrap_or(b"NULL"))?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Envelope<'_> {
    /// One line. Bytes that are not UTF-8 are shown with replacement characters.
    pub(super) fn json(&self, out: &mut impl Write) -> io::Result<()> {
        let text = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned());
        let mut object = Map::new();
        object.insert("topic".to_string(), self.topic.into());
        object.insert("partition".to_string(), self.partition.into());
        object.insert("offset".to_string(), self.record.offset.0.into());
        object.insert("timestamp".to_string(), self.record.timestamp.into());
        object.insert("key".to_string(), text(self.record.key).into());
        object.insert("value".to_string(), text(self.record.value).into());
        let header =
            |h: engine::record::Header<'_>| json!({"key": text(Some(h.key)), "value": text(h.value)});
        let headers: Vec<Value> = self.record.headers.map(header).collect();
        object.insert("headers".to_string(), headers.into());
        serde_json::to_writer(&mut *out, &object)?;
        out.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use engine::record::{BatchBuilder, BatchHeader, Codec, Records, payload};

    use super::*;

    /// Prints one record with a format, or as JSON.
    fn printed(format: Option<&str>) -> String {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(1_700, Some(b"k"), Some(b"value"), &[(b"h", Some(b"1")), (b"n", None)]);
        let batch = builder.finish();
        let records = payload(&batch, 1_000).expect("plain");
        let record = Records::of(BatchHeader::peek(&batch).expect("a header"), &records).next();
        let record = record.expect("one").expect("sound");
        let envelope = Envelope { topic: "orders", partition: 3, record: &record };
        let mut out = Vec::new();
        match format {
            Some(format) => format.parse::<Format>().expect("a format").write(&envelope, &mut out),
            None => envelope.json(&mut out),
        }
        .expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn verbs_become_what_they_stand_for() {
        assert_eq!(
            printed(Some("%t/%p@%o %T %k=%v (%K,%V) %h%%\\n")),
            "orders/3@0 1700 k=value (1,5) h=1,n=NULL%\n"
        );
    }

    #[test]
    fn an_envelope_is_one_line_of_json() {
        let line = printed(None);
        let value: Value = serde_json::from_str(&line).expect("json");
        assert_eq!(
            (line.matches('\n').count(), &value["value"], &value["headers"][1]["value"]),
            (1, &json!("value"), &Value::Null)
        );
    }

    #[test]
    fn an_unknown_verb_is_refused() {
        assert!("%q".parse::<Format>().is_err() && "%".parse::<Format>().is_err());
    }
}
