//! A disk that tears, loses and fails from one seed, and the worlds run over it.
