//! The second half of the page: settings with their origins, broker, machine, how to repeat the run
//! and how each number came about.

use std::fmt::Write;

use super::html::{escaped, figure};
use crate::report::data::{MachineFingerprint, Origin, Setting};
use crate::report::json::Document;
use crate::report::quantile::SAMPLES_BEYOND_MIN;
use crate::report::units;

/// Rows of settings on the page; `report.json` has them all.
const SETTINGS_SHOWN_MAX: usize = 300;
/// Characters of a name or value on the page.
const VALUE_SHOWN_MAX: usize = 200;
/// Characters of the command on the page.
const COMMAND_SHOWN_MAX: usize = 4_000;

/// Every setting in effect, those that somebody set in bold.
pub(super) fn settings(document: &Document) -> String {
    if document.settings.is_empty() {
        return String::new();
    }
    let shown = &document.settings[..document.settings.len().min(SETTINGS_SHOWN_MAX)];
    let (left, right) = shown.split_at(shown.len().div_ceil(2));
    let more = if shown.len() < document.settings.len() {
        " Not all fit here; report.json has the rest."
    } else {
        ""
    };
    format!(
        "<section>\n<h2>Settings</h2>\n<p class=\"lead\">What was in effect and where it came from; bold is what \
         somebody chose.{more}</p>\n<div class=\"two\">{}{}</div>\n</section>\n",
        setting_table(left),
        setting_table(right)
    )
}

fn setting_table(settings: &[Setting]) -> String {
    if settings.is_empty() {
        return String::new();
    }
    let mut out = "<div class=\"card\"><table>\n<thead><tr><th>setting</th><th>value</th><th>origin</th></tr></thead>\n<tbody>\n"
        .to_string();
    for setting in settings {
        let class =
            if matches!(setting.origin, Origin::Default | Origin::Derived) { "" } else { " class=\"set\"" };
        let _ = writeln!(
            out,
            "<tr{class}><td><code>{}</code></td><td>{}</td><td><span class=\"chip\">{}</span></td></tr>",
            escaped(&shortened(&setting.name, VALUE_SHOWN_MAX)),
            escaped(&shortened(&setting.value, VALUE_SHOWN_MAX)),
            setting.origin.word()
        );
    }
    out.push_str("</tbody>\n</table></div>");
    out
}

/// At most this many characters, with an ellipsis for what was cut.
pub(super) fn shortened(value: &str, characters_max: usize) -> String {
    let mut characters = value.chars();
    let mut out: String = characters.by_ref().take(characters_max).collect();
    if characters.next().is_some() {
        out.push('…');
    }
    out
}

/// Broker and machine, side by side.
pub(super) fn machine(document: &Document) -> String {
    format!(
        "<section>\n<h2>Broker and machine</h2>\n<p class=\"lead\">Two runs may be compared when their hardware id \
         is equal.</p>\n<div class=\"two\">{}{}</div>\n</section>\n",
        fact_table(&broker_facts(document)),
        fact_table(&machine_facts(&document.machine))
    )
}

/// A name and its value as HTML.
type Fact = (&'static str, String);

/// The machine alone, where there is more than one broker.
pub(super) fn machine_table(machine: &MachineFingerprint) -> String {
    format!("<section>\n<h2>Machine</h2>\n{}\n</section>\n", fact_table(&machine_facts(machine)))
}

fn broker_facts(document: &Document) -> Vec<Fact> {
    let broker = &document.broker;
    let mut facts = vec![
        ("Broker", escaped(&broker.name)),
        ("Address", format!("<code>{}</code>", escaped(&broker.address))),
        ("Durability", escaped(&document.durability.label)),
        ("Buffers", broker.buffers.word().to_string()),
    ];
    if let Some(pid) = broker.pid {
        facts.push(("Process", pid.to_string()));
    }
    if !broker.cores.is_empty() {
        let cores: Vec<String> = broker.cores.iter().map(u32::to_string).collect();
        facts.push(("Cores", cores.join(", ")));
    }
    if let Some(ready) = broker.ready_ms {
        facts.push((
            "Ready after",
            format!("{} ms", figure("broker.ready_ms", ready, &units::significant(ready))),
        ));
    }
    if let Some(cpu) = broker.cpu_seconds {
        facts
            .push(("CPU time", format!("{} s", figure("broker.cpu_seconds", cpu, &units::significant(cpu)))));
        let gigabytes = document.throughput.bytes as f64 / 1e9;
        if gigabytes > 0.0 {
            facts.push(("CPU per GB in", format!("{} s", units::significant(cpu / gigabytes))));
        }
    }
    if let Some(rss) = broker.rss_bytes_max {
        facts.push(("Resident memory, max", figure("broker.rss_bytes_max", rss, &units::bytes(rss))));
    }
    if let Some(pool) = broker.pool_bytes {
        facts.push(("Buffer pool", figure("broker.pool_bytes", pool, &units::bytes(pool))));
    }
    facts
}

fn machine_facts(machine: &MachineFingerprint) -> Vec<Fact> {
    let memlock = machine.memlock_bytes.map_or_else(|| "unlimited".to_string(), units::bytes);
    let block = if machine.logical_block_bytes > 0 {
        format!("{} B logical blocks", machine.logical_block_bytes)
    } else {
        String::new()
    };
    let device =
        [machine.device.as_str(), &machine.device_model, &machine.scheduler, &machine.write_cache, &block];
    let device: Vec<&str> = device.into_iter().filter(|part| !part.is_empty()).collect();
    let plain: [(&'static str, String); 10] = [
        ("Hardware id", machine.hardware_id.clone()),
        ("Processor", machine.cpu_model.clone()),
        ("Cores", machine.cores.to_string()),
        ("Memory", units::bytes(machine.memory_bytes)),
        ("Kernel", machine.kernel.clone()),
        ("System", machine.os.clone()),
        (
            "File system",
            format!("{} at {} ({})", machine.filesystem, machine.mount_point, machine.mount_options),
        ),
        ("Device", device.join(" · ")),
        ("Clock", machine.clocksource.clone()),
        ("Governor", machine.governor.clone()),
    ];
    let mut facts: Vec<Fact> = plain
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name, escaped(&shortened(&value, VALUE_SHOWN_MAX))))
        .collect();
    facts.push(("Memlock limit", memlock));
    facts
}

fn fact_table(facts: &[Fact]) -> String {
    let rows: String =
        facts.iter().map(|(name, value)| format!("<tr><td>{name}</td><td>{value}</td></tr>\n")).collect();
    format!("<div class=\"card\"><table class=\"facts\">\n{rows}</table></div>")
}

/// The exact command and the raw files.
pub(super) fn reproduce(document: &Document) -> String {
    format!(
        "<section>\n<h2>Run it again</h2>\n<p class=\"lead\">Seed {} fixes arrivals, sizes and payloads. Beside this page: \
         <code>report.json</code> (every figure), <code>latency.hlog</code> (every interval's histograms) and \
         <code>*.hgrm</code> (percentile text).</p>\n<pre>{}</pre>\n</section>\n",
        document.load.seed,
        command(&document.command_line)
    )
}

/// A command that breaks between its words only: a hyphen is part of a flag.
pub(super) fn command(line: &str) -> String {
    let words: Vec<String> = shortened(line, COMMAND_SHOWN_MAX)
        .split(' ')
        .map(|word| format!("<span class=\"arg\">{}</span>", escaped(word)))
        .collect();
    words.join(" ")
}

/// How each number was computed.
pub(super) fn method(document: &Document) -> String {
    let beyond = SAMPLES_BEYOND_MIN;
    let entries = [
        ("Response time", "From the moment the plan says a record should leave to its acknowledgement. A generator or broker that falls behind makes it grow, so a stall counts for everyone who would have been waiting.".to_string()),
        ("Service time", "From the moment the request really left to its acknowledgement: the time the broker itself took. The distance between the two curves is queueing.".to_string()),
        ("End to end", "From the planned send to the consumer that holds the record, on one machine's monotonic clock.".to_string()),
        ("Percentiles", format!("Read from one histogram per question (nanoseconds, three significant digits) into which every sample went. Histograms are merged, percentiles never averaged. A percentile with fewer than {beyond} samples beyond it is not printed.")),
        ("Throughput", "Bytes of keys and values over wall clock of the measured window, warm-up left out. MB is 10⁶ bytes, MiB is 2²⁰.".to_string()),
        ("Durability", durability_words(document)),
        ("Data check", "Each record carries its producer, sequence and checksum. Whatever was acknowledged must be read once, in order, unchanged, warm-up included.".to_string()),
        ("Validity", "A run counts only when sends left on time, the planned rate was reached and no request failed. Otherwise it says INVALID and the exit code is 6.".to_string()),
    ];
    explained("How each number was computed", &entries)
}

/// A section of terms and what they mean.
pub(super) fn explained(title: &str, entries: &[(&str, String)]) -> String {
    let entries: String = entries
        .iter()
        .map(|(name, words)| format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", escaped(words)))
        .collect();
    format!("<section>\n<h2>{title}</h2>\n<dl class=\"how\">\n{entries}</dl>\n</section>\n")
}

fn durability_words(document: &Document) -> String {
    use crate::report::data::DurabilityMode;
    let meaning = match document.durability.mode {
        DurabilityMode::Flushed { .. } => {
            "an acknowledged record had been written and flushed to the device before its acknowledgement left."
        }
        DurabilityMode::Relaxed { .. } => {
            "a record was acknowledged once written; flushes followed later. It survives a killed broker, not a power cut."
        }
        DurabilityMode::Unknown { .. } => {
            "the broker is not ours; what its acknowledgement rests on was not seen."
        }
    };
    format!("{}: {meaning}", document.durability.label)
}

/// Names the run and the writer.
pub(super) fn footer(document: &Document) -> String {
    format!(
        "<footer>Run {} · ringlog {} · schema {}</footer>\n",
        escaped(&document.run_id),
        escaped(&document.tool_version),
        document.schema_version
    )
}
