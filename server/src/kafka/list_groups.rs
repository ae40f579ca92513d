//! ListGroups (16).

use std::borrow::Cow;

use engine::base::CoreId;
use wire::ErrorCode;
use wire::list_groups::{ListedGroup, Request, Response};

use super::served::{Call, Refused};

pub(super) async fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let request: Request<'_> = call.decode()?;
    let mut groups = Vec::new();
    let mut error_code = ErrorCode::None;
    let wanted = |filter: &[&str], word: &str| {
        filter.is_empty() || filter.iter().any(|f| f.eq_ignore_ascii_case(word))
    };
    for core in 0..call.core.node.cores {
        let (list, loading) = call.core.call(CoreId(core), |core| async move { core.group_list() }).await;
        if loading {
            error_code = ErrorCode::CoordinatorLoadInProgress;
        }
        for listed in list {
            if !wanted(&request.states_filter, listed.state)
                || !wanted(&request.types_filter, listed.group_type)
            {
                continue;
            }
            groups.push(ListedGroup {
                group_id: Cow::Owned(listed.group),
                protocol_type: Cow::Owned(listed.protocol_type),
                group_state: Cow::Borrowed(listed.state),
                group_type: Cow::Borrowed(listed.group_type),
            });
        }
    }
    if error_code != ErrorCode::None {
        groups.clear();
    }
    call.answer(&Response { groups, error_code, ..Response::default() });
    Ok(())
}
