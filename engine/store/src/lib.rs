//! Direct I/O on glommio: the hands of the engine.
