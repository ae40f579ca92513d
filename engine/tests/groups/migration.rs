//! Groups that change between the classic and the new protocol while members are in them.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use engine::base::PartitionKey;
use engine::config::{GroupSettings, Migration};
use engine::group::{Answer, Ask, GroupError, JoinAnswer, JoinAsk, Protocol, SyncAsk};
use wire::stored::consumer_protocol::{assignment, assignment_bytes};

use crate::crew::*;
use crate::world::*;

fn world() -> World {
    world_with(true, true)
}

fn world_with(upgrade: bool, downgrade: bool) -> World {
    let mut settings = settings();
    settings.consumer.migration = Migration { upgrade, downgrade };
    let mut world = World::new(settings);
    world.topics(&[("orders", 4)]);
    world
}

/// A cooperative consumer's subscription to `orders`.
fn subscription(owned: &[i32], generation: i32) -> Bytes {
    let mut bytes = vec![0, 2, 0, 0, 0, 1, 0, 6];
    bytes.extend_from_slice(b"orders");
    bytes.extend_from_slice(&[0xff; 4]);
    bytes.extend_from_slice(&1i32.to_be_bytes());
    bytes.extend_from_slice(&[0, 6]);
    bytes.extend_from_slice(b"orders");
    bytes.extend_from_slice(&(owned.len() as i32).to_be_bytes());
    owned.iter().for_each(|p| bytes.extend_from_slice(&p.to_be_bytes()));
    bytes.extend_from_slice(&generation.to_be_bytes());
    Bytes::from(bytes)
}

/// Makes a request wrong.
type Spoil = fn(&mut JoinAsk);

/// A member of the classic protocol as its client sees it.
struct Old {
    joined: JoinAnswer,
    owned: Vec<i32>,
}

fn join_as(member: &str, metadata: Bytes, fresh: u64) -> JoinAsk {
    let mut ask = join(member, None, "", fresh);
    ask.protocols = vec![Protocol { name: "cooperative-sticky".to_owned(), metadata }];
    ask
}

fn join_old(world: &mut World, fresh: u64) -> u64 {
    world.ask(Ask::Join(join_as("", subscription(&[], -1), fresh)))
}

/// A stable classic group of one that reads everything.
fn classic(world: &mut World) -> Old {
    let id = join_old(world, 1);
    let joined = world.joined(id);
    let everything = assignment_bytes(2, &[("orders", vec![0, 1, 2, 3])]);
    let assignments = vec![(joined.member.clone(), Bytes::from(everything))];
    let id =
        world.ask(Ask::Sync(SyncAsk { who: who(&joined), protocol_type: None, protocol: None, assignments }));
    world.synced(id);
    Old { joined, owned: vec![0, 1, 2, 3] }
}

impl Old {
    /// It joins again and asks what it has, as often as it has to give something up.
    fn rejoin(&mut self, world: &mut World) {
        for _ in 0..4 {
            let metadata = subscription(&self.owned, self.joined.generation);
            let id = world.ask(Ask::Join(join_as(&self.joined.member, metadata, 9)));
            self.joined = world.joined(id);
            let id = world.ask(Ask::Sync(SyncAsk {
                who: who(&self.joined),
                protocol_type: None,
                protocol: None,
                assignments: Vec::new(),
            }));
            let synced = world.synced(id);
            let told: Vec<i32> = assignment(&synced.assignment)
                .expect("an assignment")
                .into_iter()
                .flat_map(|(_, partitions)| partitions)
                .collect();
            let gives_up = self.owned.iter().any(|p| !told.contains(p));
            self.owned = told;
            if !gives_up {
                return;
            }
        }
        panic!("it gives up and gives up");
    }

    fn parts(&self) -> BTreeSet<PartitionKey> {
        keys("orders", self.owned.iter().copied())
    }
}

/// A group with one member of each protocol, both with their part.
fn mixed(world: &mut World) -> (Old, Mate) {
    let mut old = classic(world);
    let mut new = Mate::new("new", &["orders"]);
    world.beat(&mut new);
    assert_eq!(world.group_type(), Some("consumer"));
    assert_eq!(world.heartbeat(&old.joined), Err(GroupError::RebalanceInProgress));
    old.rejoin(world);
    world.beat(&mut new);
    assert_eq!((old.owned.len(), new.owned.len()), (2, 2));
    assert!(old.parts().is_disjoint(&new.owned));
    assert_eq!(world.heartbeat(&old.joined), Ok(()));
    (old, new)
}

#[test]
fn a_classic_group_is_upgraded_when_the_first_new_member_joins() {
    let mut world = world();
    let old = classic(&mut world);
    let id = world.commit(who(&old.joined), 7);
    world.committed(id).expect("a member commits");
    let mut new = Mate::new("new", &["orders"]);
    world.beat(&mut new);
    assert!(new.owned.is_empty(), "the other still has everything");
    assert_eq!((world.group_type(), world.offset()), (Some("consumer"), Some(7)));
    let id = world.commit(who(&old.joined), 8);
    assert_eq!(world.committed(id), Ok(()), "its generation still counts");
}

#[test]
fn members_of_both_protocols_share_a_group() {
    mixed(&mut world());
}

#[test]
fn a_mixed_group_is_the_same_after_a_restart() {
    let mut world = world();
    let (mut old, mut new) = mixed(&mut world);
    let mut world = world.restart(settings());
    world.topics(&[("orders", 4)]);
    assert_eq!(world.heartbeat(&old.joined), Ok(()));
    let before = (old.parts(), new.owned.clone());
    old.rejoin(&mut world);
    world.beat(&mut new);
    assert_eq!((old.parts(), new.owned), before);
}

#[test]
fn a_group_is_classic_again_when_the_last_new_member_leaves() {
    let mut world = world();
    let (old, new) = mixed(&mut world);
    world.beat_as(new.goes(-1)).expect("it leaves");
    assert_eq!(world.group_type(), Some("classic"));
    assert_eq!(world.heartbeat(&old.joined), Err(GroupError::IllegalGeneration));
    let id = world.ask(Ask::Join(join_as(&old.joined.member, subscription(&[], -1), 9)));
    let joined = world.joined(id);
    assert_eq!(joined.leader, joined.member, "it assigns by itself again");
    let world = world.restart(settings());
    assert_eq!(world.group_type(), Some("classic"));
}

#[test]
fn a_group_is_classic_again_when_the_last_new_member_dies() {
    let mut world = world();
    let (mut old, _) = mixed(&mut world);
    for _ in 0..12 {
        world.pass(SESSION / 2);
        let _ = world.heartbeat(&old.joined);
    }
    assert_eq!(world.group_type(), Some("classic"));
    old.joined.generation = -1;
}

#[test]
fn an_upgrade_that_is_not_allowed_is_refused() {
    let mut world = world_with(false, true);
    let old = classic(&mut world);
    let ask = Mate::new("new", &["orders"]).asks();
    assert_eq!(world.beat_as(ask), Err(GroupError::GroupIdNotFound));
    assert_eq!(world.heartbeat(&old.joined), Ok(()));
}

#[test]
fn a_downgrade_that_is_not_allowed_does_not_happen() {
    let mut world = world_with(true, false);
    let (mut old, new) = mixed(&mut world);
    world.beat_as(new.goes(-1)).expect("it leaves");
    assert_eq!(world.group_type(), Some("consumer"));
    old.rejoin(&mut world);
    assert_eq!(old.owned.len(), 4);
}

#[test]
fn a_group_whose_subscriptions_cannot_be_read_is_not_upgraded() {
    let mut world = world();
    let joined = world.stable();
    let ask = Mate::new("new", &["orders"]).asks();
    assert_eq!(world.beat_as(ask), Err(GroupError::GroupIdNotFound));
    assert_eq!(world.heartbeat(&joined), Ok(()));
}

#[test]
fn a_group_is_not_upgraded_while_its_assignment_is_made_durable() {
    let mut world = world();
    let id = join_old(&mut world, 1);
    let joined = world.joined(id);
    world.hold();
    let sync = world.sync(&joined, &[]);
    let ask = Mate::new("new", &["orders"]).asks();
    assert_eq!(world.beat_as(ask), Err(GroupError::CoordinatorNotAvailable));
    world.let_go(Ok(()));
    world.synced(sync);
}

#[test]
fn who_waits_to_join_when_the_group_is_upgraded_comes_again() {
    let mut world =
        World::new(GroupSettings { initial_rebalance_delay: Duration::from_secs(3), ..settings() });
    world.topics(&[("orders", 4)]);
    let waiting = join_old(&mut world, 1);
    world.beat(&mut Mate::new("new", &["orders"]));
    let (error, member) = world.join_error(waiting);
    assert_eq!(error, GroupError::RebalanceInProgress);
    let id = world.ask(Ask::Join(join_as(&member, subscription(&[], -1), 2)));
    assert_eq!(world.joined(id).leader, "", "the coordinator assigns");
}

#[test]
fn an_upgrade_that_could_not_be_made_durable_leaves_the_classic_group_as_it_was() {
    let mut world = world();
    let old = classic(&mut world);
    world.hold();
    let id = world.send(Mate::new("new", &["orders"]).asks());
    world.pass(Duration::from_secs(1));
    world.let_go(Err(GroupError::UnknownServerError));
    assert_eq!(world.told(id), Err(GroupError::UnknownServerError));
    assert_eq!(world.heartbeat(&old.joined), Ok(()));
    world.pass(SESSION + Duration::from_secs(1));
    assert_eq!(world.group_state(), Some("Empty"), "its sessions still end");
}

#[test]
fn a_classic_member_of_a_mixed_group_that_does_not_join_again_is_out() {
    let mut world = world();
    let (old, mut new) = mixed(&mut world);
    let mut third = Mate::new("third", &["orders"]);
    world.beat(&mut third);
    for _ in 0..14 {
        world.pass(REBALANCE / 12);
        let _ = world.heartbeat(&old.joined);
        world.beat(&mut new);
        world.beat(&mut third);
    }
    assert_eq!(world.heartbeat(&old.joined), Err(GroupError::UnknownMemberId));
    assert_eq!((new.owned.len(), third.owned.len()), (2, 2));
}

#[test]
fn a_classic_member_of_a_mixed_group_is_held_to_its_generation() {
    let mut world = world();
    let (old, new) = mixed(&mut world);
    let wrong = JoinAnswer { generation: 99, ..old.joined.clone() };
    assert_eq!(world.heartbeat(&wrong), Err(GroupError::IllegalGeneration));
    let id = world.commit(who(&wrong), 1);
    assert_eq!(world.committed(id), Err(GroupError::IllegalGeneration));
    let other = JoinAnswer { member: new.ask.member.clone(), generation: new.epoch, ..old.joined };
    assert_eq!(world.heartbeat(&other), Err(GroupError::UnknownMemberId), "it speaks the new protocol");
}

#[test]
fn a_classic_member_leaves_a_mixed_group() {
    let mut world = world();
    let (old, mut new) = mixed(&mut world);
    world.ask(leave(&old.joined));
    world.beat(&mut new);
    assert_eq!(new.owned.len(), 4);
    assert_eq!(world.group_type(), Some("consumer"));
}

#[test]
fn an_assignment_that_gives_a_partition_to_two_is_not_believed_twice() {
    let mut world =
        World::new(GroupSettings { initial_rebalance_delay: Duration::from_secs(3), ..settings() });
    world.topics(&[("orders", 4)]);
    let ids = [join_old(&mut world, 1), join_old(&mut world, 2)];
    world.pass(Duration::from_secs(7));
    let joined: Vec<JoinAnswer> = ids.iter().map(|id| world.joined(*id)).collect();
    let lie = Bytes::from(assignment_bytes(2, &[("orders", vec![0, 1, 2, 3, 99]), ("nowhere", vec![0])]));
    for member in &joined {
        let assignments = joined.iter().map(|j| (j.member.clone(), lie.clone())).collect();
        world.ask(Ask::Sync(SyncAsk { who: who(member), protocol_type: None, protocol: None, assignments }));
    }
    world.beat(&mut Mate::new("new", &["orders"]));
    let group = world.coordinator.describe_consumer(GROUP).expect("upgraded");
    assert_eq!(group.members.iter().map(|m| m.assigned.len()).sum::<usize>(), 4);
}

#[test]
fn a_classic_member_that_joins_a_group_of_the_new_protocol_is_held_to_the_same_bounds() {
    let mut world = world();
    mixed(&mut world);
    let spoil: [(Spoil, GroupError); 4] = [
        (|ask| ask.session = Duration::from_millis(1), GroupError::InvalidSessionTimeout),
        (|ask| ask.session = Duration::from_secs(1_000_000), GroupError::InvalidSessionTimeout),
        (|ask| ask.who.instance = Some("x".repeat(32_767)), GroupError::InvalidRequest),
        (|ask| ask.who.member = "x".repeat(32_767), GroupError::InvalidRequest),
    ];
    for (spoil, error) in spoil {
        let mut ask = join_as("", subscription(&[], -1), 7);
        spoil(&mut ask);
        let id = world.ask(Ask::Join(ask));
        assert_eq!(world.join_error(id).0, error);
    }
}

#[test]
fn a_heartbeat_that_is_refused_leaves_a_classic_group_as_it_was() {
    let mut world = world();
    let old = classic(&mut world);
    let written = world.log.len();
    let spoil: [fn(&mut engine::group::ConsumerHeartbeatAsk); 5] = [
        |ask| ask.member = String::new(),
        |ask| ask.rebalance = None,
        |ask| ask.owned = None,
        |ask| ask.assignor = Some("sticky".to_owned()),
        |ask| ask.regex = Some("(".to_owned()),
    ];
    for spoil in spoil {
        let mut ask = Mate::new("new", &["orders"]).asks();
        spoil(&mut ask);
        assert!(world.beat_as(ask).is_err());
        assert_eq!((world.group_type(), world.log.len()), (Some("classic"), written));
        assert_eq!(world.heartbeat(&old.joined), Ok(()));
    }
}

#[test]
fn a_group_whose_assignor_says_something_of_its_own_is_not_upgraded() {
    let mut world = world();
    let id = join_old(&mut world, 1);
    let joined = world.joined(id);
    let mut part = assignment_bytes(2, &[("orders", vec![0])]);
    let length = part.len() - 4;
    part.truncate(length);
    part.extend_from_slice(&[0, 0, 0, 1, 9]);
    let assignments = vec![(joined.member.clone(), Bytes::from(part))];
    let id =
        world.ask(Ask::Sync(SyncAsk { who: who(&joined), protocol_type: None, protocol: None, assignments }));
    world.synced(id);
    let id = world.send(Mate::new("new", &["orders"]).asks());
    let Answer::ConsumerHeartbeat(Err(refusal)) = world.answer(id) else { panic!("it is refused") };
    assert_eq!(refusal.error, GroupError::GroupIdNotFound);
    assert_eq!(
        refusal.text,
        "Cannot upgrade classic group shop to consumer group because an unsupported custom assignor is in use. \
         Please refer to the documentation or switch to a default assignor before re-attempting the upgrade."
    );
    assert_eq!(world.heartbeat(&joined), Ok(()));
}
