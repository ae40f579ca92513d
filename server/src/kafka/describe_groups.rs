//! DescribeGroups (15).

use std::borrow::Cow;
use std::rc::Rc;

use engine::group::Described;
use wire::ErrorCode;
use wire::describe_groups::{DescribedGroup, DescribedMember, Request, Response};

use super::group::{self, Seat, Told};
use super::served::{Call, Refused};
use crate::limits::ITEMS_PER_REQUEST_MAX;
use crate::shard::{Core, Unready};

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let version = call.version();
    let request: Request<'_> = call.decode()?;
    Refused::above(ITEMS_PER_REQUEST_MAX, request.groups.len())?;
    let mut groups = Vec::with_capacity(request.groups.len());
    let mut told = Told::default();
    for name in &request.groups {
        if !told.is_new(name) {
            continue;
        }
        let refused = |error_code| DescribedGroup {
            error_code,
            group_id: Cow::Borrowed(*name),
            ..DescribedGroup::default()
        };
        if told.is_full() {
            groups.push(refused(ErrorCode::CoordinatorNotAvailable));
            continue;
        }
        groups.push(match describe(call.core, name).await {
            Ok(Some(described)) => {
                told.bytes += described.bytes();
                of(described)
            }
            Ok(None) => missing(name, version),
            Err(unready) => refused(group::of_unready(unready)),
        });
    }
    call.answer(&Response { groups, ..Response::default() });
    Ok(())
}

async fn describe(core: &Rc<Core>, name: &str) -> Result<Option<Described>, Unready> {
    let Seat { partition, core: at } = group::seat_of(core, name)?;
    let name = name.to_owned();
    core.call(at, move |core| async move { core.group_described(partition, &name) }).await
}

/// A group that does not exist is dead; from version 6 on it is an error too (KIP-1043).
fn missing(name: &str, version: i16) -> DescribedGroup<'_> {
    let missing = version >= 6;
    DescribedGroup {
        error_code: if missing { ErrorCode::GroupIdNotFound } else { ErrorCode::None },
        error_message: missing.then(|| Cow::Owned(format!("Group {name} not found."))),
        group_id: Cow::Borrowed(name),
        group_state: Cow::Borrowed("Dead"),
        ..DescribedGroup::default()
    }
}

fn of(described: Described) -> DescribedGroup<'static> {
    let members = described.members.into_iter().map(|m| DescribedMember {
        member_id: Cow::Owned(m.id),
        group_instance_id: m.instance.map(Cow::Owned),
        client_id: Cow::Owned(m.client_id),
        client_host: Cow::Owned(m.client_host),
        member_metadata: Cow::Owned(m.metadata.to_vec()),
        member_assignment: Cow::Owned(m.assignment.to_vec()),
    });
    DescribedGroup {
        members: members.collect(),
        group_id: Cow::Owned(described.group),
        group_state: Cow::Borrowed(described.state.name()),
        protocol_type: Cow::Owned(described.protocol_type),
        protocol_data: Cow::Owned(described.protocol),
        ..DescribedGroup::default()
    }
}
