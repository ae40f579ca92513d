//! The documentation page of all settings, in Markdown.

use std::fmt::Write;

use super::def::Def;
use super::describe::documentation;
use super::{broker, own_group, topic};

/// The whole page: broker settings, then topic settings and group settings.
#[must_use]
pub fn page() -> String {
    let mut out = String::from(
        "# Settings\n\nGenerated from the definitions in `engine/src/config`. Names, types and meanings are Kafka's; \
         defaults too, except where the text says so.\n",
    );
    table(&mut out, "Broker settings", broker::DEFS);
    table(&mut out, "Topic settings", topic::DEFS);
    table(&mut out, "Group settings", own_group::DEFS);
    out
}

fn table(out: &mut String, title: &str, defs: &[Def]) {
    let put = |out: &mut String, line: std::fmt::Arguments<'_>| {
        out.write_fmt(line).expect("a String takes any text");
    };
    put(
        out,
        format_args!(
            "\n## {title}\n\n| name | type | default | range | broker-wide name | meaning |\n|---|---|---|---|---|---|\n"
        ),
    );
    for def in defs {
        let wide: Vec<String> = def.synonyms.iter().map(|s| format!("`{}`", s.name)).collect();
        let default = match def.default {
            None => "none".to_owned(),
            Some("") => "empty".to_owned(),
            Some(value) => format!("`{value}`"),
        };
        put(
            out,
            format_args!(
                "| `{}` | {:?} | {default} | {} | {} | {} |\n",
                def.name,
                def.kind.value_type(),
                def.kind.range(),
                wide.join(", "),
                documentation(def)
            ),
        );
    }
}
