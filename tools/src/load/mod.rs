//! The load generator: a Kafka client on one thread, which knows nothing of our broker.
