//! OffsetFetch (9): what groups have committed. One group up to version 7, a list from version 8.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use engine::base::TopicId;
use engine::controller::TOPIC_NAME_BYTES_MAX;
use engine::group::Fetched;
use uuid::Uuid;
use wire::ErrorCode;
use wire::offset_fetch::{
    Group, GroupPartitionOffset, GroupResult, GroupTopicOffsets, PartitionOffset, Request, Response,
    TopicOffsets,
};

use super::group::{self, Seat, Told};
use super::served::{Call, Refused};
use crate::limits::ITEMS_PER_REQUEST_MAX;

/// A topic asked for, under its name; the id of one that does not exist has no name.
struct Asked {
    name: Option<String>,
    id: Uuid,
    partitions: Vec<i32>,
}

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let version = call.version();
    let request: Request<'_> = call.decode()?;
    if version >= 8 {
        Refused::above(ITEMS_PER_REQUEST_MAX, request.groups.len())?;
        let asked = request.groups.iter().flat_map(|g| g.topics.iter().flatten());
        Refused::above(ITEMS_PER_REQUEST_MAX, asked.map(|t| t.partition_indexes.len()).sum())?;
        let mut groups = Vec::with_capacity(request.groups.len());
        let mut told = Told::default();
        for group in &request.groups {
            if !told.is_new(group.group_id) {
                continue;
            }
            if told.is_full() {
                let group_id = Cow::Borrowed(group.group_id);
                let error_code = ErrorCode::CoordinatorNotAvailable;
                groups.push(GroupResult { group_id, error_code, ..GroupResult::default() });
                continue;
            }
            let result = of_group(&call, group, version).await?;
            told.bytes += bytes_of(&result);
            groups.push(result);
        }
        call.answer(&Response { groups, ..Response::default() });
        return Ok(());
    }
    let asked = request.topics.as_ref().map(|topics| {
        let asked = |t: &wire::offset_fetch::Topic<'_>| Asked {
            name: Some(t.name.to_owned()),
            id: Uuid::nil(),
            partitions: t.partition_indexes.clone(),
        };
        topics.iter().map(asked).collect()
    });
    let (topics, code) = offsets(&call, request.group_id, (None, -1), asked).await?;
    // Version 1 has no error of its own: each partition carries it.
    let partition_code = if version < 2 { code } else { ErrorCode::None };
    let topics = topics.into_iter().map(|(asked, fetched)| TopicOffsets {
        name: Cow::Owned(asked.name.unwrap_or_default()),
        partitions: fetched
            .into_iter()
            .map(|f| {
                let (committed_offset, committed_leader_epoch, metadata) = fields(&f);
                PartitionOffset {
                    partition_index: f.partition,
                    committed_offset,
                    committed_leader_epoch,
                    metadata: Some(metadata),
                    error_code: partition_code,
                }
            })
            .collect(),
    });
    let topics = topics.collect();
    call.answer(&Response { topics, error_code: code, ..Response::default() });
    Ok(())
}

fn bytes_of(result: &GroupResult<'_>) -> usize {
    let partition = |p: &GroupPartitionOffset<'_>| {
        size_of::<GroupPartitionOffset<'_>>() + p.metadata.as_ref().map_or(0, |text| text.len())
    };
    let topic = |t: &GroupTopicOffsets<'_>| {
        size_of::<GroupTopicOffsets<'_>>() + t.name.len() + t.partitions.iter().map(partition).sum::<usize>()
    };
    result.group_id.len() + result.topics.iter().map(topic).sum::<usize>()
}

async fn of_group(call: &Call<'_>, group: &Group<'_>, version: i16) -> Result<GroupResult<'static>, Refused> {
    let catalog = call.core.catalog();
    let asked = group.topics.as_ref().map(|topics| {
        let asked = |t: &wire::offset_fetch::GroupTopic<'_>| Asked {
            name: match version {
                10.. => catalog.topic_by_id(TopicId(t.topic_id)).map(|e| e.topic.name.clone()),
                _ => Some(t.name.to_owned()),
            },
            id: t.topic_id,
            partitions: t.partition_indexes.clone(),
        };
        topics.iter().map(asked).collect()
    });
    let (topics, error_code) =
        offsets(call, group.group_id, (group.member_id, group.member_epoch), asked).await?;
    let topics = topics.into_iter().filter_map(|(asked, fetched)| {
        let known = asked.name.is_some();
        // A topic that was found by its name is told by its id, if it still has one.
        let id = match (&asked.name, version) {
            (Some(name), 10..) if asked.id.is_nil() => catalog.topic(name)?.topic.id.0,
            _ => asked.id,
        };
        let partitions = fetched.into_iter().map(|f| {
            let (committed_offset, committed_leader_epoch, metadata) = fields(&f);
            GroupPartitionOffset {
                partition_index: f.partition,
                committed_offset,
                committed_leader_epoch,
                metadata: Some(metadata),
                error_code: if known { ErrorCode::None } else { ErrorCode::UnknownTopicId },
            }
        });
        Some(GroupTopicOffsets {
            partitions: partitions.collect(),
            name: Cow::Owned(asked.name.unwrap_or_default()),
            topic_id: id,
        })
    });
    Ok(GroupResult { group_id: Cow::Owned(group.group_id.to_owned()), topics: topics.collect(), error_code })
}

/// Each partition where it was asked for first: what it holds is not told again and again.
fn each_once(mut asked: Vec<Asked>) -> Vec<Asked> {
    let mut topics: BTreeMap<(Option<String>, Uuid), BTreeSet<i32>> = BTreeMap::new();
    for topic in &mut asked {
        let seen = topics.entry((topic.name.clone(), topic.id)).or_default();
        topic.partitions.retain(|&partition| seen.insert(partition));
    }
    asked
}

/// The offsets of a group, topic by topic: of those asked for, or of all.
async fn offsets(
    call: &Call<'_>,
    group: &str,
    member: (Option<&str>, i32),
    asked: Option<Vec<Asked>>,
) -> Result<(Vec<(Asked, Vec<Fetched>)>, ErrorCode), Refused> {
    let items = asked.iter().flatten().map(|a| a.partitions.len()).sum();
    Refused::above(ITEMS_PER_REQUEST_MAX, items)?;
    let asked = asked.map(each_once);
    let keys: Option<Vec<(String, i32)>> = asked.as_ref().map(|list| {
        let keys = list.iter().flat_map(|a| {
            let name = a.name.clone().filter(|n| n.len() <= TOPIC_NAME_BYTES_MAX).unwrap_or_default();
            a.partitions.iter().map(move |&p| (name.clone(), p))
        });
        keys.collect()
    });
    let fetched = match group::seat_of(call.core, group) {
        Err(unready) => Err(unready),
        Ok(Seat { partition, core: at }) => {
            let group = group.to_owned();
            let (member, epoch) = (member.0.map(str::to_owned), member.1);
            let look = move |core: std::rc::Rc<crate::shard::Core>| async move {
                core.group_offsets(partition, &group, (member.as_deref(), epoch), keys.as_deref())
            };
            call.core.call(at, look).await
        }
    };
    let (fetched, code) = match fetched {
        Ok(Ok(fetched)) => (fetched, ErrorCode::None),
        Ok(Err(refused)) => (Vec::new(), group::of_group(refused)),
        Err(unready) => (Vec::new(), group::of_unready(unready)),
    };
    let mut fetched = fetched.into_iter().peekable();
    let mut topics = Vec::new();
    match asked {
        Some(list) => {
            for asked in list {
                let none = |partition| Fetched { topic: String::new(), partition, committed: None };
                let partitions =
                    asked.partitions.iter().map(|&p| fetched.next().unwrap_or_else(|| none(p))).collect();
                topics.push((asked, partitions));
            }
        }
        None => {
            while let Some(first) = fetched.next() {
                let name = first.topic.clone();
                let mut partitions = vec![first];
                while let Some(more) = fetched.next_if(|f| f.topic == name) {
                    partitions.push(more);
                }
                topics
                    .push((Asked { name: Some(name), id: Uuid::nil(), partitions: Vec::new() }, partitions));
            }
        }
    }
    Ok((topics, code))
}

/// Offset, leader epoch and text; -1 and nothing where none was committed.
fn fields(fetched: &Fetched) -> (i64, i32, Cow<'static, str>) {
    match &fetched.committed {
        Some(c) => (c.offset, c.leader_epoch, Cow::Owned(c.metadata.clone())),
        None => (-1, -1, Cow::Borrowed("")),
    }
}
