//! What is damaged and how far the scrub has come, as JSON: one object a line.

use engine::broker::DamagedPart;
use serde_json::{Value, json};

use super::board::CoreReport;
use crate::shard::Core;

/// What is damaged on a core.
pub(super) fn lines(core: &Core) -> String {
    let catalog = core.catalog();
    let line = |part: DamagedPart| {
        let (key, fields) = match part {
            DamagedPart::Range(key, range) => (
                key,
                json!({
                    "cause": range.cause.name(),
                    "firstOffset": range.first.0,
                    "nextReadable": range.end.0,
                    "segment": range.segment.0,
                    "position": range.position,
                    "bytes": range.end_position - range.position,
                    "foundMs": range.found_at.0,
                }),
            ),
            DamagedPart::Journal(key, from) => (key, json!({ "cause": "journal", "firstOffset": from.0 })),
        };
        let topic = catalog.topic_by_id(key.topic).map(|entry| entry.topic.name.clone());
        let mut object = json!({ "kind": "damage", "topic": topic, "topicId": key.topic.to_string(), "partition": key.index });
        if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
            object.extend(fields);
        }
        object.to_string() + "\n"
    };
    core.shard.damages().into_iter().map(line).collect()
}

/// How far each core's scrub has come.
pub(super) fn scrub_lines(cores: &[CoreReport]) -> String {
    let line = |(core, report): (usize, &CoreReport)| {
        let scrub = report.scrub;
        let object = json!({
            "kind": "scrub",
            "core": core,
            "pass": scrub.pass,
            "underWay": scrub.under_way,
            "checkedBytes": scrub.checked,
            "totalBytes": scrub.total,
            "damaged": scrub.damaged,
            "beganMs": scrub.began.0,
            "endedMs": scrub.ended.0,
        });
        object.to_string() + "\n"
    };
    cores.iter().enumerate().map(line).collect()
}
