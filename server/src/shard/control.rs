//! Changes of the cluster.
//!
//! On core 0, one at a time: decide on the newest image, append the records to the metadata log, and
//! once they are durable tell every core, which hosts what is new to it. Only then is the request
//! answered, so a client that was told that its topic exists can use it on any connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use engine::base::{CoreId, Signal};
use engine::controller::{ProducerIds, allocate_producer_ids};
use engine::metadata::{AppendError, MetadataLog, MetadataRecord};

use super::catalog::Catalog;
use super::core::{Core, Disk};

/// How long a change waits for memory to write with, between two attempts.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(5);

/// Why a change was not made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ControlError {
    /// The metadata log did not take it.
    #[error("the change was not made: {0}")]
    Log(#[from] AppendError),
    /// The broker was started to be read only.
    #[error("the change was not made: this broker runs with server.read_only=true")]
    ReadOnly,
}

/// The metadata log and whose turn it is.
pub struct Control {
    log: RefCell<Option<MetadataLog<Disk>>>,
    free: Signal,
    producer_ids: Cell<(i64, i64)>,
}

impl Control {
    /// Takes over an open log.
    #[must_use]
    pub fn new(log: MetadataLog<Disk>) -> Control {
        Control { log: RefCell::new(Some(log)), free: Signal::new(), producer_ids: Cell::new((0, 0)) }
    }

    async fn take(&self) -> MetadataLog<Disk> {
        loop {
            let wait = self.free.wait();
            if let Some(log) = self.log.borrow_mut().take() {
                return log;
            }
            wait.await;
        }
    }

    fn give(&self, log: MetadataLog<Disk>) {
        self.log.replace(Some(log));
        self.free.notify();
    }
}

impl Core {
    /// Makes a change from any core: `decide` runs on core 0, on the newest image, and gives the
    /// records and what to answer.
    ///
    /// # Errors
    /// The log could not take the records; what `decide` said is void.
    pub async fn change<T, F>(self: &Rc<Self>, decide: F) -> Result<T, ControlError>
    where
        T: Send + 'static,
        F: FnOnce(&Catalog) -> (Vec<MetadataRecord>, T) + Send + 'static,
    {
        self.call(CoreId(0), move |core| async move { core.change_here(decide).await }).await
    }

    async fn change_here<T>(
        self: &Rc<Self>,
        decide: impl FnOnce(&Catalog) -> (Vec<MetadataRecord>, T),
    ) -> Result<T, ControlError> {
        let control = self.control.as_ref().expect("changes are made on core 0");
        let mut log = control.take().await;
        let (records, value) = decide(&self.catalog());
        let appended = if self.node.read_only && !records.is_empty() {
            Err(ControlError::ReadOnly)
        } else if records.is_empty() {
            Ok(None)
        } else {
            append(&mut log, &records).await.map(Some)
        };
        if let Ok(Some(image)) = &appended {
            self.follow(image.clone());
            for other in 1..self.node.cores {
                let image = image.clone();
                self.call(CoreId(other), move |core| async move { core.follow(image) }).await;
            }
        }
        control.give(log);
        appended.map(|_| value)
    }

    /// A producer id that nobody was given.
    ///
    /// # Errors
    /// No further ids could be allocated.
    pub async fn producer_id(self: &Rc<Self>) -> Result<i64, ControlError> {
        self.call(CoreId(0), |core| async move {
            loop {
                let ids = &core.control.as_ref().expect("ids are given on core 0").producer_ids;
                let (next, end) = ids.get();
                if next < end {
                    ids.set((next + 1, end));
                    return Ok(next);
                }
                let node = core.node.id;
                let block = core
                    .change_here(move |catalog| match allocate_producer_ids(catalog.image(), node) {
                        Some((record, ids)) => (vec![record], Some(ids)),
                        None => (Vec::new(), None),
                    })
                    .await?;
                let ProducerIds { first, next } = block.expect("2^63 producer ids are never used up");
                // Another request may have done the same meanwhile: ids between are lost, never reused.
                ids.set((first.0, next.0));
            }
        })
        .await
    }
}

async fn append(
    log: &mut MetadataLog<Disk>,
    records: &[MetadataRecord],
) -> Result<engine::metadata::Image, ControlError> {
    loop {
        match log.append(records).await {
            Err(AppendError::NoRoom) => glommio::timer::sleep(NO_ROOM_PAUSE).await,
            other => return Ok(other?),
        }
    }
}
