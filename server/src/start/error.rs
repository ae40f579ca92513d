//! Why a broker does not start.

use std::net::SocketAddr;

use store::data_dir::DataDirError;

use crate::config::Refused;

/// Why a broker does not start (or did not stop cleanly): one sentence, with the fix where there is one.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is unknown or cannot be.
    #[error(transparent)]
    Config(#[from] Refused),
    /// Something that must hold does not.
    #[error("{0}")]
    Precondition(String),
    /// Something failed on the way.
    #[error("{0}")]
    Failed(String),
}

impl StartError {
    /// What the process exits with: 2 for settings, 3 for preconditions, else 1.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            StartError::Config(_) => 2,
            StartError::Precondition(_) => 3,
            StartError::Failed(_) => 1,
        }
    }

    pub(super) fn precondition(message: impl Into<String>) -> StartError {
        StartError::Precondition(message.into())
    }

    pub(super) fn failed(message: impl Into<String>) -> StartError {
        StartError::Failed(message.into())
    }

    /// A core ended without a word.
    pub(super) fn silent() -> StartError {
        StartError::failed("a core ended before it served")
    }

    pub(super) fn port(setting: &str, addr: SocketAddr, error: &std::io::Error) -> StartError {
        StartError::precondition(match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!(
                    "{setting}: {addr} is in use by another process: stop that one, or choose another port"
                )
            }
            std::io::ErrorKind::PermissionDenied => {
                format!("{setting}: no permission to listen on {addr}: choose a port from 1024 up")
            }
            _ => format!("{setting}: cannot listen on {addr}: {error}"),
        })
    }
}

impl From<store::runtime::StartError> for StartError {
    fn from(error: store::runtime::StartError) -> StartError {
        StartError::Precondition(error.to_string())
    }
}

impl From<DataDirError> for StartError {
    fn from(error: DataDirError) -> StartError {
        StartError::Precondition(error.to_string())
    }
}
