//! How much time of a core does a group of 100 members over 1,000 partitions take to rebalance when one
//! more joins: until everybody has its new part, in the classic protocol and in the new one? Requests,
//! decisions and records; no network, no disk, and the client's part (the classic assignment) is given.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use engine::base::{CoreId, Instant, LeaderEpoch, NodeId, Now, PartitionKey, TopicId, WallMs};
use engine::config::GroupSettings;
use engine::group::{
    Answer, Ask, ConsumerHeartbeatAsk, Coordinator, Effect, JoinAnswer, JoinAsk, MemberRef, Protocol,
    SyncAsk, Token,
};
use engine::metadata::{Image, MetadataRecord, PartitionState, Position};
use uuid::Uuid;

const MEMBERS: usize = 100;
const PARTITIONS: i32 = 1000;
const NOW: Now = Now { mono: Instant(1_000_000_000), wall: WallMs(1_700_000_000_000) };

/// A coordinator whose disk is at once.
struct World {
    coordinator: Coordinator,
    answers: Vec<(Token, Answer)>,
    records: usize,
}

impl World {
    fn new() -> World {
        let mut coordinator = Coordinator::new(GroupSettings::default());
        coordinator.loaded(NOW);
        coordinator.follow(image());
        World { coordinator, answers: Vec::new(), records: 0 }
    }

    fn ask(&mut self, token: u64, ask: Ask) {
        let mut effects = Vec::new();
        self.coordinator.ask(NOW, Token(token), ask, &mut effects);
        while !effects.is_empty() {
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Answer(token, answer) => self.answers.push((token, answer)),
                    Effect::Append(id, records) => {
                        self.records += black_box(records).len();
                        self.coordinator.appended(NOW, id, Ok(()), &mut effects);
                    }
                }
            }
        }
    }
}

fn image() -> Image {
    let mut image = Image::default();
    let id = TopicId(Uuid::from_u128(7));
    image.apply(&MetadataRecord::TopicCreated { id, name: "orders".to_owned() }).expect("new");
    for index in 0..PARTITIONS {
        let state = PartitionState {
            replicas: vec![NodeId(1)],
            isr: vec![NodeId(1)],
            leader: Some(NodeId(1)),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: 0,
            core: CoreId(0),
        };
        let key = PartitionKey { topic: id, index };
        image.apply(&MetadataRecord::PartitionCreated { key, state }).expect("new");
    }
    image.advance(Position { index: 1, term: 1 });
    image
}

struct Member {
    epoch: i32,
    owned: BTreeSet<PartitionKey>,
}

/// A heartbeat of a member of the new protocol; whether it was told anything new.
fn beat(world: &mut World, place: usize, member: &mut Member) -> bool {
    let joins = member.epoch == 0;
    world.ask(
        place as u64,
        Ask::ConsumerHeartbeat(ConsumerHeartbeatAsk {
            group: "shop".to_owned(),
            member: format!("member-{place}"),
            epoch: member.epoch,
            rebalance: joins.then_some(Duration::from_secs(60)),
            names: joins.then(|| ["orders".to_owned()].into()),
            owned: Some(member.owned.clone()),
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            ..ConsumerHeartbeatAsk::default()
        }),
    );
    let Some((_, Answer::ConsumerHeartbeat(Ok(told)))) = world.answers.pop() else {
        panic!("a heartbeat is answered")
    };
    let moved = told.epoch != member.epoch || told.assignment.is_some();
    member.epoch = told.epoch;
    member.owned = told.assignment.unwrap_or_else(|| std::mem::take(&mut member.owned));
    moved
}

fn settle(world: &mut World, members: &mut [Member]) {
    let mut moved = true;
    while moved {
        moved = false;
        for (place, member) in members.iter_mut().enumerate() {
            moved |= beat(world, place, member);
        }
    }
}

fn new_group() -> (World, Vec<Member>) {
    let mut world = World::new();
    let mut members: Vec<Member> =
        (0..MEMBERS).map(|_| Member { epoch: 0, owned: BTreeSet::new() }).collect();
    settle(&mut world, &mut members);
    members.push(Member { epoch: 0, owned: BTreeSet::new() });
    (world, members)
}

fn classic_join(world: &mut World, place: usize, member: &str) {
    world.ask(
        place as u64,
        Ask::Join(JoinAsk {
            who: MemberRef {
                group: "shop".to_owned(),
                generation: -1,
                member: member.to_owned(),
                instance: None,
            },
            fresh_id: place.to_string(),
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session: Duration::from_secs(45),
            rebalance: Duration::from_secs(60),
            protocol_type: "consumer".to_owned(),
            protocols: vec![Protocol { name: "range".to_owned(), metadata: Bytes::from_static(&[0; 64]) }],
            known_id_required: false,
            may_skip_assignment: false,
        }),
    );
}

/// Everybody who joined syncs; the leader brings a part of 40 bytes for each.
fn classic_sync(world: &mut World) -> Vec<JoinAnswer> {
    let joined: Vec<(Token, JoinAnswer)> = std::mem::take(&mut world.answers)
        .into_iter()
        .map(|(token, answer)| match answer {
            Answer::Join(Ok(joined)) => (token, joined),
            other => panic!("a join is answered with {other:?}"),
        })
        .collect();
    for (Token(token), member) in &joined {
        let part = |m: &engine::group::JoinedMember| (m.id.clone(), Bytes::from_static(&[0; 60]));
        world.ask(
            *token,
            Ask::Sync(SyncAsk {
                who: MemberRef {
                    group: "shop".to_owned(),
                    generation: member.generation,
                    member: member.member.clone(),
                    instance: None,
                },
                protocol_type: None,
                protocol: None,
                assignments: member.members.iter().map(part).collect(),
            }),
        );
    }
    assert_eq!(std::mem::take(&mut world.answers).len(), joined.len(), "everybody has its part");
    joined.into_iter().map(|(_, member)| member).collect()
}

/// A stable classic group, and the ids of its members.
fn classic_group() -> (World, Vec<String>) {
    let mut world = World::new();
    (0..MEMBERS).for_each(|place| classic_join(&mut world, place, ""));
    // The first join of an empty group waits for more.
    for second in 1..10 {
        let now = Now { mono: Instant(NOW.mono.0 + second * 1_000_000_000), ..NOW };
        let mut effects = Vec::new();
        world.coordinator.tick(now, &mut effects);
        for effect in effects {
            let Effect::Answer(token, answer) = effect else { continue };
            world.answers.push((token, answer));
        }
    }
    let members = classic_sync(&mut world).into_iter().map(|joined| joined.member).collect();
    (world, members)
}

fn rebalance(c: &mut Criterion) {
    let mut group = c.benchmark_group("group_rebalance");
    group.sample_size(20);
    group.bench_function("classic", |b| {
        b.iter_batched(
            classic_group,
            |(mut world, members)| {
                classic_join(&mut world, MEMBERS, "");
                for (place, member) in members.iter().enumerate() {
                    classic_join(&mut world, place, member);
                }
                assert_eq!(classic_sync(&mut world).len(), MEMBERS + 1);
                world
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("consumer", |b| {
        b.iter_batched(
            new_group,
            |(mut world, mut members)| {
                settle(&mut world, &mut members);
                (world, members)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, rebalance);
criterion_main!(benches);
