//! Several buffers written one behind the other, all in flight together, without a list of futures; and a turn for others.

use futures_util::future::{OptionFuture, join, join4};

use crate::io::{Disk, DiskFault, DiskResult};

/// Writes in flight at once.
const AT_ONCE: usize = 8;

/// Writes chunks from `at` on. Gives the position behind them.
///
/// # Errors
/// One of those that were in flight together: one without an answer if there is any, for that write is under way
/// still, else the first. What comes behind them was not begun.
pub(super) async fn write_chunks<D: Disk>(
    disk: &D,
    file: &D::File,
    at: u64,
    chunks: &[D::Chunk],
) -> DiskResult<u64> {
    let mut position = at;
    if let [chunk] = chunks {
        disk.write(file, position, chunk.clone()).await?;
        return Ok(position + chunk.len() as u64);
    }
    for some in chunks.chunks(AT_ONCE) {
        let mut next = some.iter();
        let mut write = || {
            OptionFuture::from(next.next().map(|chunk| {
                let at = position;
                position += chunk.len() as u64;
                disk.write(file, at, chunk.clone())
            }))
        };
        let low = join4(write(), write(), write(), write());
        let high = join4(write(), write(), write(), write());
        let ((a, b, c, d), (e, f, g, h)) = join(low, high).await;
        let mut failed = None;
        for error in [a, b, c, d, e, f, g, h].into_iter().flatten().filter_map(Result::err) {
            if failed.is_none() || error.fault == DiskFault::Timeout {
                failed = Some(error);
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(position)
}

/// Lets the executor run something else once.
pub(super) async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
