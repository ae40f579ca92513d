//! Two sets of runs held against each other, so that a statistician would sign it.
//!
//! | file | what |
//! |---|---|
//! | [`stats`] | pairs of figures → median ratio, 95 % interval, finding |
//!
//! Invariants: a run is one sample, never a request (requests of one run are not independent);
//! figures are compared as ratios within a pair; histograms are merged, percentiles never averaged;
//! nothing is dropped without being said; every draw is seeded, so that the same runs give the same words.

pub mod stats;
