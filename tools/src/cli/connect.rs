//! What every command that talks to a broker shares.

use crate::load::client::{Client, ClientError};

/// Where the brokers are.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Brokers {
    /// Brokers to talk to, comma-separated
    #[arg(
        long,
        short,
        global = true,
        help_heading = "Global",
        value_name = "HOST:PORT",
        visible_alias = "bootstrap-server",
        value_delimiter = ',',
        env = "RINGLOG_BROKERS",
        default_value = "127.0.0.1:9092"
    )]
    pub(super) brokers: Vec<String>,
}

impl Brokers {
    /// Connects to the first that answers.
    pub(super) fn connect(&self) -> Result<Client, ClientError> {
        Client::connect_any(&self.brokers)
    }
}
