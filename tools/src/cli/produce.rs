//! `ringlog produce`: standard input, line by line, into a topic.

use std::collections::HashMap;
use std::io::BufRead;

use clap::Args;
use engine::record::BatchBuilder;
use wire::{List, Records, produce};

use super::connect::Brokers;
use super::exit::Usage;
use crate::bench::quantity::{AcksWord, CodecWord};
use crate::load::client::{Client, ClientError};
use crate::load::clock::wall_ms;
use crate::load::plan::Acks;
use crate::load::setup::{ask_for_topic, await_topic};

/// A batch is sent when this much is in it, or at the end of the input.
const BATCH_BYTES: usize = 512 << 10;

/// … or when it has this many records.
const BATCH_RECORDS: i32 = 10_000;

/// `ringlog produce`
#[derive(Args, Clone, Debug)]
pub struct ProduceArgs {
    #[command(flatten)]
    brokers: Brokers,
    /// The topic
    #[arg(long, short)]
    topic: String,
    /// The partition; without it, the key chooses, or batches take turns
    #[arg(long, short)]
    partition: Option<i32>,
    /// What separates key and value in a line; without it, lines are values
    #[arg(long, short = 'k', value_name = "DELIMITER")]
    key_delimiter: Option<String>,
    /// A header of every record; may be repeated
    #[arg(long, short = 'H', value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// What to wait for: all, 1 or 0
    #[arg(long, default_value = "all", value_name = "all|1|0")]
    acks: AcksWord,
    /// How batches are compressed: none, gzip, snappy, lz4 or zstd
    #[arg(long, short = 'z', default_value = "none", value_name = "CODEC")]
    compression: CodecWord,
    /// An empty value is null (a tombstone)
    #[arg(long, short = 'Z')]
    null: bool,
    /// Send each line at once, as it comes
    #[arg(long)]
    unbuffered: bool,
    /// Say where each batch went
    #[arg(long, short)]
    verbose: bool,
}

struct Producer<'a> {
    args: &'a ProduceArgs,
    clients: HashMap<i32, Client>,
    nodes: HashMap<i32, String>,
    leaders: Vec<i32>,
    topic_id: uuid::Uuid,
    headers: Vec<(String, String)>,
    open: HashMap<i32, (BatchBuilder, usize)>,
    turn: usize,
    sent: u64,
}

/// Runs the command; returns how many records were sent.
pub fn run(args: &ProduceArgs) -> anyhow::Result<u64> {
    let mut client = args.brokers.connect()?;
    ask_for_topic(&mut client, &args.topic)?;
    let view = await_topic(&mut client, &args.topic, None)?;
    let split = |h: &String| h.split_once('=').map(|(k, v)| (k.to_string(), v.to_string()));
    let headers: Option<Vec<_>> = args.header.iter().map(split).collect();
    let headers = headers.ok_or_else(|| Usage::new("--header takes NAME=VALUE"))?;
    if let Some(partition) = args.partition
        && usize::try_from(partition).map_or(true, |p| p >= view.leaders.len())
    {
        return Err(Usage::no_partition(&args.topic, view.leaders.len(), partition).into());
    }
    let mut producer = Producer {
        args,
        clients: HashMap::new(),
        nodes: view.nodes,
        leaders: view.leaders,
        topic_id: view.id,
        headers,
        open: HashMap::new(),
        turn: 0,
        sent: 0,
    };
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        producer.push(&line)?;
    }
    producer.flush_all()?;
    Ok(producer.sent)
}

impl Producer<'_> {
    fn push(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let delimiter = self.args.key_delimiter.as_deref().filter(|d| !d.is_empty()).map(str::as_bytes);
        let found = delimiter.and_then(|d| Some((line.windows(d.len()).position(|w| w == d)?, d.len())));
        let (key, value) = match found {
            Some((at, length)) => (Some(&line[..at]), &line[at + length..]),
            None => (None, line),
        };
        let value = if value.is_empty() && self.args.null { None } else { Some(value) };
        let partition = self.choose(key);
        let headers: Vec<(&[u8], Option<&[u8]>)> =
            self.headers.iter().map(|(key, value)| (key.as_bytes(), Some(value.as_bytes()))).collect();
        let codec = self.args.compression.0;
        let (builder, bytes) = self.open.entry(partition).or_insert_with(|| (BatchBuilder::new(codec), 0));
        builder.push(wall_ms(), key, value, &headers);
        *bytes += line.len() + 32;
        if *bytes >= BATCH_BYTES || builder.count() >= BATCH_RECORDS || self.args.unbuffered {
            self.flush(partition)?;
            self.turn += 1;
        }
        Ok(())
    }

    /// The named partition; else by key as Kafka's default partitioner does; else whose turn it is.
    fn choose(&self, key: Option<&[u8]>) -> i32 {
        let partitions = self.leaders.len();
        match (self.args.partition, key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => ((murmur2(key) & 0x7FFF_FFFF) as usize % partitions) as i32,
            (None, None) => (self.turn % partitions) as i32,
        }
    }

    fn flush_all(&mut self) -> anyhow::Result<()> {
        let mut partitions: Vec<i32> = self.open.keys().copied().collect();
        partitions.sort_unstable();
        partitions.into_iter().try_for_each(|partition| self.flush(partition))
    }

    fn flush(&mut self, partition: i32) -> anyhow::Result<()> {
        let Some((mut builder, _)) = self.open.remove(&partition) else { return Ok(()) };
        let count = builder.count();
        let batch = builder.finish();
        let data = [produce::PartitionData { index: partition, records: Records::copied(&batch) }];
        let topics = [produce::TopicData {
            name: &self.args.topic,
            topic_id: self.topic_id,
            partition_data: List::of(&data),
        }];
        let request = produce::Request {
            acks: self.args.acks.0.code(),
            timeout_ms: 30_000,
            topic_data: List::of(&topics),
            ..produce::Request::default()
        };
        let leader = self.leaders[partition as usize];
        let client = leader_client(&mut self.clients, &self.nodes, leader)?;
        self.sent += count as u64;
        if self.args.acks.0 == Acks::None {
            return Ok(client.tell(&request)?);
        }
        let answer: produce::Response<'_> = client.call(&request)?;
        let result = answer.responses.iter().next().and_then(|t| t.partition_responses.iter().next());
        let result = result.ok_or_else(|| anyhow::anyhow!("the broker answered without a partition"))?;
        if result.error_code.is_err() {
            let what = format!("produce to {}/{partition}", self.args.topic);
            let detail = result.error_message.map(std::borrow::Cow::into_owned);
            return Err(ClientError::Refused { what, code: result.error_code, detail }.into());
        }
        if self.args.verbose {
            eprintln!("{count} records to {}/{partition} at offset {}", self.args.topic, result.base_offset);
        }
        Ok(())
    }
}

/// The connection to a leader, opened when it is first needed.
pub(super) fn leader_client<'a>(
    clients: &'a mut HashMap<i32, Client>,
    nodes: &HashMap<i32, String>,
    leader: i32,
) -> anyhow::Result<&'a mut Client> {
    match clients.entry(leader) {
        std::collections::hash_map::Entry::Occupied(open) => Ok(open.into_mut()),
        std::collections::hash_map::Entry::Vacant(free) => {
            let address =
                nodes.get(&leader).ok_or_else(|| anyhow::anyhow!("leader {leader} has no address"))?;
            Ok(free.insert(Client::connect(address)?))
        }
    }
}

/// Kafka's hash of a key (murmur2 with its seed), so that keys go where other clients put them.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mut h = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        h = h.wrapping_mul(M) ^ k;
    }
    for (i, byte) in rest.iter().enumerate().rev() {
        h ^= u32::from(*byte) << (8 * i);
    }
    if !rest.is_empty() {
        h = h.wrapping_mul(M);
    }
    h = (h ^ (h >> 13)).wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::murmur2;

    /// The values of Kafka's own test (`UtilsTest.testMurmur2`).
    #[test]
    fn keys_hash_as_kafkas_do() {
        let cases: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }
}
