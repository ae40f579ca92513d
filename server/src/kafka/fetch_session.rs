//! How a fetch stands to its session (KIP-227): none, opened by it, or gone on with.
//!
//! A session lives on the core that opened it. A client that comes back through another core is told
//! FETCH_SESSION_ID_NOT_FOUND, as after an eviction, and opens another.

use std::rc::Rc;

use engine::base::{Instant, TopicId};
use engine::fetch::{Outcome, SessionError, TopicRef};
use wire::fetch::Request;

use super::fetch_plan::{self, Want, asked_of};
use crate::shard::Core;

/// The epoch of a request that opens a session.
const OPENS: i32 = 0;

/// The epoch of a request that wants none.
const SESSIONLESS: i32 = -1;

/// The first version that names topics by id.
pub(super) const VERSION_WITH_IDS: i16 = 13;

/// How a request stands to its session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Footing {
    /// It stands alone.
    Alone,
    /// Its answer opens a session, if there is room.
    Opens,
    /// It changes what an open session asks for.
    GoesOn {
        /// The session.
        id: i32,
        /// The epoch of this request.
        epoch: i32,
    },
}

/// Finds out how a request stands, closes the session that it ends, and lists what it wants.
pub(super) fn begin(
    core: &Rc<Core>,
    now: Instant,
    version: i16,
    request: &Request<'_>,
    wants: &mut Vec<Want>,
) -> Result<Footing, SessionError> {
    let (id, epoch) = (request.session_id, request.session_epoch);
    let catalog = core.catalog();
    if epoch == OPENS || epoch == SESSIONLESS {
        if id != 0 {
            core.close_fetch_session(id);
        }
        fetch_plan::resolve(core, &catalog, version, request, wants);
        return Ok(if epoch == OPENS { Footing::Opens } else { Footing::Alone });
    }
    let by_id = version >= VERSION_WITH_IDS;
    let asked = request.topics.into_iter().flat_map(|topic| {
        let name = topic_ref(by_id, topic.topic, topic.topic_id);
        topic.partitions.into_iter().map(move |p| (name, asked_of(&p)))
    });
    let forgotten = request.forgotten_topics_data.into_iter().flat_map(|topic| {
        let name = topic_ref(by_id, topic.topic, topic.topic_id);
        topic.partitions.into_iter().map(move |p| (name, p))
    });
    let mut sessions = core.fetch_sessions.borrow_mut();
    match sessions.go_on(now, (id, epoch), by_id, asked, forgotten)? {
        Some(session) => {
            fetch_plan::resolve_session(core, &catalog, session, wants);
            Ok(Footing::GoesOn { id, epoch })
        }
        None => {
            wants.clear();
            Ok(Footing::Alone)
        }
    }
}

/// Opens a session for a request whose wants are about to be told; its id, 0 if there is no room.
pub(super) fn open(core: &Core, now: Instant, version: i16, request: &Request<'_>, wants: &[Want]) -> i32 {
    let by_id = version >= VERSION_WITH_IDS;
    let asked = request.topics.into_iter().flat_map(|topic| {
        let name = topic_ref(by_id, topic.topic, topic.topic_id);
        topic.partitions.into_iter().map(move |p| (name, asked_of(&p)))
    });
    let partitions = asked.zip(wants).map(|((topic, asked), want)| (topic, asked, outcome(want)));
    core.fetch_sessions.borrow_mut().open(now, by_id, partitions, || core.fresh_session_id())
}

/// Marks the wants that a session's answer names.
pub(super) fn tell(core: &Core, id: i32, epoch: i32, wants: &mut [Want]) -> Result<(), SessionError> {
    let mut sessions = core.fetch_sessions.borrow_mut();
    let session = sessions.answering(id, epoch)?;
    for want in wants {
        want.told = session.tell(want.slot, &outcome(want));
    }
    session.answered();
    Ok(())
}

fn topic_ref(by_id: bool, name: &str, id: uuid::Uuid) -> TopicRef<'_> {
    if by_id { TopicRef::Id(TopicId(id)) } else { TopicRef::Name(name) }
}

fn outcome(want: &Want) -> Outcome {
    match want.bounds.filter(|_| want.error.is_none()) {
        None => Outcome { high_watermark: -1, log_start: -1, bytes: 0, special: true },
        Some(bounds) => Outcome {
            high_watermark: bounds.high_watermark.0,
            log_start: bounds.log_start.0,
            bytes: want.bytes,
            special: want.diverging.is_some(),
        },
    }
}
