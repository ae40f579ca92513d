//! ApiVersions (18): what this broker speaks. Answered at any version, so that a newer client learns
//! what to fall back to.

use wire::ErrorCode;
use wire::api_versions::{Request, Response};

use super::served::{Call, Refused, SERVED};

pub(super) fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    if !call.header.is_served() {
        // The body is not looked at: it is in a version that is unknown here.
        call.answer_at(0, &Response::advertised(ErrorCode::UnsupportedVersion, SERVED));
        return Ok(());
    }
    let version = call.version();
    let request: Request<'_> = call.decode()?;
    let error = if request.is_valid(version) { ErrorCode::None } else { ErrorCode::InvalidRequest };
    call.answer(&Response::advertised(error, SERVED));
    Ok(())
}
