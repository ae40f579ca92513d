//! `ringlog serve`: the broker.

use std::path::PathBuf;

use clap::Args;
use server::config::{Config, Sources};

/// `ringlog serve`
#[derive(Args, Clone, Debug)]
#[command(after_help = "Precedence: flags, then RINGLOG_* variables, then --set, then the file. \
                        RINGLOG_KAFKA__NUM_PARTITIONS is num.partitions. SIGTERM drains and ends with 0.")]
pub struct ServeArgs {
    /// Where the data lives; stands for log.dirs
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one; stands for listeners
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// CPUs to run on, one executor each: all, or a list such as 0,2-3
    #[arg(long, value_name = "LIST")]
    cores: Option<String>,
    /// Settings (TOML): sections of our own, and Kafka's names under [kafka]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A setting under Kafka's name or ours, such as num.partitions=4; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
}

impl ServeArgs {
    /// Where settings come from.
    fn sources(&self, env: Vec<(String, String)>) -> Sources {
        let data = self.data.as_ref().map(|dir| dir.to_string_lossy().into_owned());
        let given = [("log.dirs", &data), ("listeners", &self.listen), ("server.cores", &self.cores)];
        let flags = given.into_iter().filter_map(|(name, value)| Some((name.to_string(), value.clone()?)));
        Sources { file: self.config.clone(), set: self.set.clone(), env, flags: flags.collect() }
    }
}

/// Runs a broker until it is told to stop.
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    // A name or value that is not text is none of our settings.
    let env = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let config = Config::load(&args.sources(env.collect())).map_err(server::StartError::from)?;
    Ok(server::run(config)?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ServeArgs,
    }

    #[test]
    fn flags_stand_for_settings_and_win() {
        let line =
            "serve --data /d --listen 127.0.0.1:0 --cores 0 --set num.partitions=4 --set log.dirs=/other";
        let args = Line::parse_from(line.split(' ')).args;
        let config = Config::load(&args.sources(Vec::new())).expect("sound settings");
        assert_eq!(config.broker.data_dir, "/d");
        assert_eq!(config.broker.listeners[0].port, 0);
        assert_eq!(config.cpus, [0]);
    }
}
