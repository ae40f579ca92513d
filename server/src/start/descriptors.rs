//! How the descriptors that the process may have are shared out.
//!
//! | for | how many |
//! |---|---|
//! | the process: standard streams, the lock, signals, the admin page | [`OF_PROCESS`] |
//! | each core: rings, journal, checkpoint, metadata, listeners and the one in reserve for accepting, and what an operation opens for a moment | [`OF_CORE`] |
//! | segment files | half of what is left and [`FILES_MAX`] at most, the same number for each core |
//! | connections | the rest |
//!
//! So neither can take what the other needs: a flood of connections fails no write, and 10,000 written
//! partitions refuse no client.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::error::StartError;

/// What the process itself has open: 9 when idle, 14 with the admin page.
const OF_PROCESS: u64 = 24;

/// What a core has open beside segments and connections.
const OF_CORE: u64 = 40;

/// Fewer segment files a core cannot work with: its lanes, a checkpoint and a reader hold some at a time.
const FILES_MIN: u64 = 16;

/// Fewer connections are not worth a broker.
const CONNECTIONS_MIN: u64 = 16;

/// More segment files bring little, as those that are in use at a time are few; more connections are what a high
/// limit is raised for. Each file pins about 2 KiB of the kernel's memory.
const FILES_MAX: u64 = 8_192;

/// What is for segment files and for connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Descriptors {
    /// Segment files that each core keeps open at most.
    pub(super) files_per_core: usize,
    /// Connections of all cores together.
    pub(super) connections: usize,
}

impl Descriptors {
    /// Raises the process's own limit as far as it may go, and shares it out.
    ///
    /// # Errors
    /// It is too low to serve with.
    pub(super) fn of_process(cores: usize) -> Result<Descriptors, StartError> {
        let limit = getrlimit(Resource::Nofile);
        if limit.current < limit.maximum || limit.maximum.is_none() {
            // Best effort: what is there counts below.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        }
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Descriptors::share(limit, cores as u64).map_err(|needed| {
            StartError::precondition(format!(
                "this process may have {limit} files open and needs {needed} to serve on {cores} cores: raise the \
                 limit with `ulimit -n 65536` (systemd: LimitNOFILE=65536)"
            ))
        })
    }

    /// Shares out `limit`; the error is the lowest limit that suffices.
    fn share(limit: u64, cores: u64) -> Result<Descriptors, u64> {
        let fixed = OF_PROCESS + OF_CORE * cores;
        let needed = fixed + 2 * CONNECTIONS_MIN.max(FILES_MIN * cores);
        if limit < needed {
            return Err(needed);
        }
        let left = limit - fixed;
        let files_per_core = (left / 2).min(FILES_MAX) / cores;
        let connections = left - files_per_core * cores;
        Ok(Descriptors {
            files_per_core: usize::try_from(files_per_core).unwrap_or(usize::MAX),
            connections: usize::try_from(connections).unwrap_or(usize::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_limit_is_enough_for_files_and_connections() {
        let shared = Descriptors::share(1024, 2).expect("enough");
        assert_eq!(shared, Descriptors { files_per_core: 230, connections: 460 });
        let shared = Descriptors::share(128, 1).expect("enough");
        assert_eq!(shared, Descriptors { files_per_core: 32, connections: 32 });
    }

    #[test]
    fn a_high_limit_is_for_connections() {
        let shared = Descriptors::share(1 << 20, 4).expect("enough");
        assert_eq!(shared.files_per_core * 4, FILES_MAX as usize);
        assert!(shared.connections > 900_000);
        let shared = Descriptors::share(20_000, 2).expect("enough");
        assert!(shared.connections > 10_000, "{shared:?}");
        assert!(Descriptors::share(u64::MAX, 1).is_ok(), "no limit");
    }

    #[test]
    fn the_lowest_limit_that_suffices_is_named() {
        for cores in 1..64 {
            let needed = Descriptors::share(0, cores).expect_err("too low");
            assert_eq!(Descriptors::share(needed - 1, cores), Err(needed));
            let least = Descriptors::share(needed, cores).expect("enough");
            assert!(
                least.files_per_core >= FILES_MIN as usize && least.connections >= CONNECTIONS_MIN as usize
            );
        }
    }
}
