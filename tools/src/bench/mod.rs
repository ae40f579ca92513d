//! `ringlog bench`: a load on a broker, its data checked, its figures written down.

pub mod child;
pub mod disk;
pub mod quantity;
