//! A topic in full: partitions, leaders, offsets, and the settings that were made for it.

use serde_json::{Map, json};
use wire::describe_configs::{RESOURCE_TOPIC, SOURCE_TOPIC};
use wire::list_offsets::{EARLIEST, LATEST};

use crate::cli::cluster::{Cluster, Place};
use crate::cli::config::settings::{Resource, settings};
use crate::cli::offsets::Offsets;
use crate::cli::output::{Look, print_json};
use crate::cli::table::table;

/// Prints topics.
pub(super) fn run(cluster: &mut Cluster, names: &[String], look: Look) -> anyhow::Result<()> {
    let topics = cluster.existing(names)?;
    let places: Vec<Place> = topics.iter().flat_map(|t| t.places().collect::<Vec<_>>()).collect();
    let starts = cluster.offsets(&topics, &places, EARLIEST)?;
    let ends = cluster.offsets(&topics, &places, LATEST)?;
    let mut described = Vec::new();
    for topic in &topics {
        let resource = Resource { kind: RESOURCE_TOPIC, name: topic.name.clone() };
        let settings = settings(cluster, &[resource], None, false)?;
        let settings: Vec<_> = settings.into_iter().flat_map(|(_, settings)| settings).collect();
        let offset = |told: &Offsets, partition: i32| told.known(&(topic.name.clone(), partition));
        if look.is_json() {
            let partitions: Vec<_> = topic
                .partitions
                .iter()
                .map(|p| {
                    json!({"partition": p.index, "leader": p.leader, "epoch": p.epoch, "replicas": p.replicas,
                        "isr": p.isr, "start_offset": offset(&starts, p.index), "end_offset": offset(&ends, p.index)})
                })
                .collect();
            let configs: Map<_, _> = settings
                .into_iter()
                .map(|s| (s.name, json!({"value": s.value, "default": s.source != SOURCE_TOPIC})))
                .collect();
            let id = topic.id.to_string();
            described
                .push(json!({"name": topic.name, "id": id, "partitions": partitions, "configs": configs}));
            continue;
        }
        println!("{}  id {}", topic.name, topic.id);
        let list = |nodes: &[i32]| nodes.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        let number = |n: Option<i64>| n.map_or("-".to_owned(), |n| n.to_string());
        let rows: Vec<Vec<String>> = topic
            .partitions
            .iter()
            .map(|p| {
                let mut cells = vec![p.index.to_string(), p.leader.to_string(), p.epoch.to_string()];
                cells.extend([number(offset(&starts, p.index)), number(offset(&ends, p.index))]);
                cells.extend([list(&p.replicas), list(&p.isr)]);
                cells
            })
            .collect();
        print!("{}", table(&["PARTITION", "LEADER", "EPOCH", "START", "END", "REPLICAS", "ISR"], &rows));
        let set: Vec<Vec<String>> = settings
            .into_iter()
            .filter(|s| s.source == SOURCE_TOPIC)
            .map(|s| vec![s.name, s.value.unwrap_or_default()])
            .collect();
        if !set.is_empty() {
            print!("{}", table(&["SETTING", "VALUE"], &set));
        }
    }
    if look.is_json() {
        print_json([("topics", described.into())]);
    }
    Ok(())
}
