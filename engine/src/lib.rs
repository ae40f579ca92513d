//! The storage engine and the broker's mind.
//!
//! Everything here decides; nothing here touches a clock, a file, a socket, a thread or a random
//! source. Time and input are given. The wish to do I/O is spoken through [`io::Disk`], which
//! `store` carries out on a real disk and `sim` on one that tears, loses and fails from a seed.

pub mod base;
pub mod broker;
pub mod config;
pub mod controller;
pub mod fetch;
pub mod group;
pub mod io;
pub mod journal;
pub mod log;
pub mod metadata;
pub mod record;
