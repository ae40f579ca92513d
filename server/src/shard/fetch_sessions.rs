//! Fetch sessions: each lives on the core that opened it, whose number its id tells.

use std::rc::Rc;

use engine::base::CoreId;
use engine::fetch::SessionLimits;
use uuid::Uuid;

use super::core::{Core, Node};
use super::post::Mail;
use crate::limits::FETCH_SESSION_BYTES_MAX;

/// Ids are made of this many random bits, and stay below 2^31 with a core's number in them.
const ID_BITS: u32 = 30;

/// One core's share of the slots.
pub(super) fn limits(node: &Node, id: CoreId) -> SessionLimits {
    let (slots, cores) = (node.settings.fetch_session_slots as usize, usize::from(node.cores));
    let slots = slots / cores + usize::from(usize::from(id.0) < slots % cores);
    SessionLimits { slots, bytes_max: FETCH_SESSION_BYTES_MAX }
}

impl Core {
    /// A number that is hard to guess, for a session of this core.
    #[must_use]
    pub fn fresh_session_id(&self) -> i32 {
        let cores = i32::from(self.node.cores);
        let random = (Uuid::new_v4().as_u128() & ((1 << ID_BITS) - 1)) as i32;
        random - random % cores + i32::from(self.id.0)
    }

    /// Closes a session, whichever core has it; soon, if that is another.
    pub fn close_fetch_session(self: &Rc<Self>, id: i32) {
        let Ok(number) = u32::try_from(id) else { return };
        let owner = CoreId((number % u32::from(self.node.cores)) as u16);
        if owner == self.id {
            self.fetch_sessions.borrow_mut().close(id);
        } else {
            self.post.send(owner, Mail::Run(Box::new(move |core| core.close_fetch_session(id))));
        }
    }
}
