//! LeaveGroup.

use super::answer::{GroupError, LeaveAnswer};
use super::ask::Leaver;
use super::classic::Group;
use super::coordinator::Desk;

impl Group {
    /// Members leave; each is told whether it was one.
    pub(super) fn leave(&mut self, members: Vec<Leaver>, desk: &mut Desk<'_>) -> Vec<LeaveAnswer> {
        members
            .into_iter()
            .map(|leaver| {
                let result = self.leave_one(&leaver, desk);
                LeaveAnswer { member: leaver.member, instance: leaver.instance, result }
            })
            .collect()
    }

    fn leave_one(&mut self, leaver: &Leaver, desk: &mut Desk<'_>) -> Result<(), GroupError> {
        let id = match &leaver.instance {
            None => leaver.member.clone(),
            Some(instance) => {
                let id = self.statics.get(instance).ok_or(GroupError::UnknownMemberId)?;
                if !leaver.member.is_empty() && leaver.member != *id {
                    return Err(GroupError::FencedInstanceId);
                }
                id.clone()
            }
        };
        if self.pending.remove(&id) {
            self.complete_if_all_joined(desk);
            return Ok(());
        }
        if !self.members.contains_key(&id) {
            return Err(GroupError::UnknownMemberId);
        }
        self.expel(&id, desk);
        Ok(())
    }
}
