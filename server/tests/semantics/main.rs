//! What clients of Kafka rely on without asking: the items of `engine/docs/semantics.md` that no other
//! file tests, through the wire.

#[path = "../harness/mod.rs"]
mod harness;

mod fetching;
mod groups;
mod hostile_groups;
mod member;
mod naming;
