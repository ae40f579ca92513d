//! `ringlog`: the broker, its load generator and its tools in one binary.

fn main() {}
