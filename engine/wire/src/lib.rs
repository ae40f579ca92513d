//! The Kafka protocol: bytes to types and back, every count bounded.
