//! `ringlog bench`: a load on a broker, its data checked, its figures written down.
