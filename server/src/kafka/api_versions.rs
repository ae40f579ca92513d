//! ApiVersions (18): what this broker speaks. Answered at any version, so that a newer client learns
//! what to fall back to.

use wire::ErrorCode;
use wire::api_versions::{ANY_NODE, Request, Response};

use super::served::{Call, Refused, SERVED};

pub(super) fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    if !call.header.is_served() {
        // The body is not looked at: it is in a version that is unknown here.
        call.answer_at(0, &Response::advertised(ErrorCode::UnsupportedVersion, SERVED));
        return Ok(());
    }
    let version = call.version();
    let request: Request<'_> = call.decode()?;
    let refused = if request.is_valid(version) {
        misdirected(&call, &request)
    } else {
        Some(ErrorCode::InvalidRequest)
    };
    // As Kafka does: who is refused is told no keys.
    let keys = if refused.is_some() { &[] } else { SERVED };
    call.answer(&Response::advertised(refused.unwrap_or_default(), keys));
    Ok(())
}

/// What a client is told that believes to speak to another broker (KIP-1242): an address may have been given
/// to another one since. It names a cluster and a broker of it, or neither.
fn misdirected(call: &Call<'_>, request: &Request<'_>) -> Option<ErrorCode> {
    let node = &call.core.node;
    match (request.cluster_id, request.node_id) {
        (None, ANY_NODE) => None,
        (None, _) | (Some(_), ANY_NODE) => Some(ErrorCode::InvalidRequest),
        (Some(cluster), id) if cluster == node.cluster_name() && node.is_named_by(id) => None,
        (Some(_), _) => Some(ErrorCode::RebootstrapRequired),
    }
}
