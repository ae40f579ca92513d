//! ConsumerGroupDescribe (69): groups of the new protocol in full (KIP-848).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::rc::Rc;

use engine::base::PartitionKey;
use engine::group::{DescribedConsumer, DescribedConsumerGroup};
use wire::ErrorCode;
use wire::consumer_group_describe::{Assignment, DescribedGroup, Member, Request, Response, TopicPartitions};

use super::consumer_group_heartbeat::by_topic;
use super::group::{self, Seat, Told};
use super::served::{Call, Refused};
use crate::limits::ITEMS_PER_REQUEST_MAX;
use crate::shard::{Catalog, Core, Unready};

/// A member of the classic protocol.
const CLASSIC: i8 = 0;
/// A member of the new protocol.
const CONSUMER: i8 = 1;

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    Refused::above(ITEMS_PER_REQUEST_MAX, request.group_ids.len())?;
    let mut groups = Vec::with_capacity(request.group_ids.len());
    let mut told = Told::default();
    for name in &request.group_ids {
        if !told.is_new(name) {
            continue;
        }
        let refused = |error_code, message| DescribedGroup {
            error_code,
            error_message: message,
            group_id: Cow::Borrowed(*name),
            ..DescribedGroup::default()
        };
        if told.is_full() {
            groups.push(refused(ErrorCode::CoordinatorNotAvailable, None));
            continue;
        }
        groups.push(match describe(call.core, name).await {
            Ok(Some(described)) => {
                told.bytes += described.bytes();
                of(described, &call.core.catalog())
            }
            Ok(None) => {
                let text = format!("Group {name} is not a consumer group.");
                refused(ErrorCode::GroupIdNotFound, Some(Cow::Owned(text)))
            }
            Err(unready) => refused(group::of_unready(unready), None),
        });
    }
    call.answer(&Response { groups, ..Response::default() });
    Ok(())
}

async fn describe(core: &Rc<Core>, name: &str) -> Result<Option<DescribedConsumerGroup>, Unready> {
    let Seat { partition, core: at } = group::seat_of(core, name)?;
    let name = name.to_owned();
    core.call(at, move |core| async move { core.consumer_group_described(partition, &name) }).await
}

fn of(described: DescribedConsumerGroup, catalog: &Catalog) -> DescribedGroup<'static> {
    DescribedGroup {
        members: described.members.into_iter().map(|m| member(m, catalog)).collect(),
        group_id: Cow::Owned(described.group),
        group_state: Cow::Borrowed(described.state),
        group_epoch: described.epoch,
        assignment_epoch: described.target_epoch,
        assignor_name: Cow::Borrowed(described.assignor),
        ..DescribedGroup::default()
    }
}

fn member(m: DescribedConsumer, catalog: &Catalog) -> Member<'static> {
    Member {
        assignment: assignment(&m.assigned, catalog),
        target_assignment: assignment(&m.target, catalog),
        member_id: Cow::Owned(m.id),
        instance_id: m.instance.map(Cow::Owned),
        rack_id: m.rack.map(Cow::Owned),
        member_epoch: m.epoch,
        client_id: Cow::Owned(m.client_id),
        client_host: Cow::Owned(m.client_host),
        subscribed_topic_names: m.names.into_iter().map(Cow::Owned).collect(),
        subscribed_topic_regex: m.regex.map(Cow::Owned),
        member_type: if m.is_classic { CLASSIC } else { CONSUMER },
    }
}

/// Partitions of topics that still exist, with their names.
fn assignment(parts: &BTreeSet<PartitionKey>, catalog: &Catalog) -> Assignment<'static> {
    let topics = by_topic(parts, |topic, partitions| {
        let entry = catalog.topic_by_id(topic)?;
        let topic_name = Cow::Owned(entry.topic.name.clone());
        Some(TopicPartitions { topic_id: topic.0, topic_name, partitions })
    });
    Assignment { topic_partitions: topics.into_iter().flatten().collect() }
}
