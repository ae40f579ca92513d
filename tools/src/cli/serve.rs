//! `ringlog serve`: the broker.

use std::path::PathBuf;

use clap::Args;
use rustix::process::{Signal, getpid, kill_process};
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
    /// Stop when standard input ends: for programs that start a broker and may not outlive it
    #[arg(long)]
    stop_at_eof: bool,
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
    if args.stop_at_eof {
        std::thread::Builder::new().name("stdin".to_string()).spawn(stop_at_eof)?;
    }
    Ok(server::run(config)?)
}

/// Waits for the end of standard input, then asks this process to stop as a signal would.
fn stop_at_eof() {
    // An input that cannot be read has ended too.
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    let _ = kill_process(getpid(), Signal::TERM);
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
