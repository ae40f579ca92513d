//! Messages that lie in internal topics, in Kafka's own formats, so that tools which read those
//! topics work. Each is a version number (i16) and the fields of that version.

pub mod consumer_group;
pub mod consumer_protocol;
pub mod group;
