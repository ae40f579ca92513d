//! ListPartitionReassignments (46): nothing moves on one node.

use wire::list_partition_reassignments::{Request, Response};

use super::served::{Call, Refused};

pub(super) fn serve(mut call: Call<'_>) -> Result<(), Refused> {
    let _: Request<'_> = call.decode()?;
    call.answer(&Response::default());
    Ok(())
}
