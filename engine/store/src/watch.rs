//! One watch over all operations of an executor: it finds those that do not end.
//!
//! A timer for each operation cost three trips to the heap and an entry in the runtime's tree, for
//! something that happens to a broken disk only. Here each operation takes a place in a list, and
//! once in [`SCAN`] one task looks through what is under way: tens of places, as a rule.
//!
//! | an operation's limit of | is found exceeded after |
//! |---|---|
//! | n scans (rounded up) | n to n + 1 scans of this executor |
//!
//! Time is counted in scans: an executor that stood still itself, with the whole machine perhaps,
//! blames no disk for it.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use glommio::timer::Timer;

/// How often the watch looks.
pub(crate) const SCAN: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Place {
    /// Scans with a higher number find it late.
    last_scan: u64,
    /// Who waits; `None` while the place is free, or before it was first polled.
    waker: Option<Waker>,
}

thread_local! {
    static SCANS: Cell<u64> = const { Cell::new(0) };
    static PLACES: RefCell<Vec<Place>> = const { RefCell::new(Vec::new()) };
    static FREE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// The value of `work` unless it takes longer than `limit`; then `work` is dropped. Only where
/// [`with_watch`] runs does that ever happen.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let watched = Watched::begin(limit);
    std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => watched.poll_late(cx).map(|()| None),
    })
    .await
}

/// An operation under way.
struct Watched {
    place: usize,
}

impl Watched {
    fn begin(limit: Duration) -> Watched {
        let scans = limit.as_nanos().div_ceil(SCAN.as_nanos());
        let last_scan = SCANS.get().saturating_add(u64::try_from(scans).unwrap_or(u64::MAX));
        let place = Place { last_scan, waker: None };
        PLACES.with_borrow_mut(|places| {
            let free = FREE.with_borrow_mut(Vec::pop);
            let index = free.unwrap_or(places.len());
            match places.get_mut(index) {
                Some(empty) => *empty = place,
                None => places.push(place),
            }
            Watched { place: index }
        })
    }

    fn poll_late(&self, cx: &Context<'_>) -> Poll<()> {
        PLACES.with_borrow_mut(|places| {
            let place = &mut places[self.place];
            if SCANS.get() > place.last_scan {
                return Poll::Ready(());
            }
            match &mut place.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // At the end of the thread the lists may be gone before the last operation.
        let waker = PLACES.try_with(|places| places.borrow_mut()[self.place].waker.take());
        let _ = FREE.try_with(|free| free.borrow_mut().push(self.place));
        drop(waker);
    }
}

/// Wakes whoever waits for an operation that is late.
fn scan() {
    let scans = SCANS.get() + 1;
    SCANS.set(scans);
    let late = |place: &mut Place| if scans > place.last_scan { place.waker.take() } else { None };
    // Wakers may run foreign code: they are called without the borrow.
    let wakers: Vec<Waker> = PLACES.with_borrow_mut(|places| places.iter_mut().filter_map(late).collect());
    wakers.into_iter().for_each(Waker::wake);
}

/// Runs `main` with the watch on this executor, and without it at the end.
pub(crate) async fn with_watch<T>(main: impl Future<Output = T>) -> T {
    let watch = glommio::spawn_local(async {
        loop {
            Timer::new(SCAN).await;
            scan();
        }
    });
    let value = main.await;
    watch.cancel().await;
    value
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn an_operation_is_late_after_its_scans_and_not_before() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut hung = pin!(within(SCAN * 3 / 2, pending::<()>()));
        assert!(hung.as_mut().poll(&mut cx).is_pending());
        for _ in 0..2 {
            scan();
            assert!(hung.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        scan();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(hung.as_mut().poll(&mut cx), Poll::Ready(None));
    }

    #[test]
    fn a_place_is_used_again_and_starts_its_time_anew() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut done = Box::pin(within(SCAN, ready(7)));
        scan();
        assert_eq!(done.as_mut().poll(&mut cx), Poll::Ready(Some(7)));
        drop(done);
        let mut next = Box::pin(within(SCAN, pending::<()>()));
        assert!(next.as_mut().poll(&mut cx).is_pending());
        scan();
        assert!(next.as_mut().poll(&mut cx).is_pending());
        assert_eq!(PLACES.with_borrow(Vec::len), 1);
        scan();
        assert_eq!(next.as_mut().poll(&mut cx), Poll::Ready(None));
    }
}
