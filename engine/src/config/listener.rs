//! `listeners` and `advertised.listeners`: `NAME://host:port`, comma-separated.

use core::net::{IpAddr, Ipv6Addr};
use std::fmt;

use super::def::{ConfigError, list_items};

/// More listeners than anyone needs, each a socket per core.
const LISTENERS_MAX: usize = 16;

/// One named address.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Listener {
    /// Its name, upper-case; `PLAINTEXT` unless said otherwise.
    pub name: String,
    /// Host name or address, without brackets.
    pub host: String,
    /// The port; 0 is one that the system picks.
    pub port: u16,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse::<Ipv6Addr>() {
            Ok(_) => write!(f, "{}://[{}]:{}", self.name, self.host, self.port),
            Err(_) => write!(f, "{}://{}:{}", self.name, self.host, self.port),
        }
    }
}

impl Listener {
    /// Whether it stands for every interface, so that nobody can connect to it by this name.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
    }

    fn parse(text: &str) -> Result<Listener, String> {
        let (name, address) = text.split_once("://").unwrap_or(("PLAINTEXT", text));
        let name_ok =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !name_ok {
            return Err(format!("{text:?} has no listener name; write NAME://host:port"));
        }
        let Some((host, port)) = address.rsplit_once(':') else {
            return Err(format!("{text:?} has no port; write NAME://host:port"));
        };
        let port = port.parse().map_err(|_| format!("{port:?} in {text:?} is not a port (0 to 65535)"))?;
        let host = match host.strip_prefix('[').map(|h| h.strip_suffix(']')) {
            Some(Some(inner)) if inner.parse::<Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err(format!("{host:?} in {text:?} is not an IPv6 address")),
            // Kafka's way to say "every interface".
            None if host.is_empty() => "0.0.0.0",
            None if host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) => {
                host
            }
            None => {
                return Err(format!("{host:?} in {text:?} is not a host (IPv6 addresses go in brackets)"));
            }
        };
        Ok(Listener { name: name.to_ascii_uppercase(), host: host.to_owned(), port })
    }
}

fn parse_list(setting: &str, value: &str) -> Result<Vec<Listener>, ConfigError> {
    let refuse = |reason: String| ConfigError::new(setting, value, reason);
    let mut out: Vec<Listener> = Vec::new();
    for item in list_items(value) {
        let listener = Listener::parse(item).map_err(refuse)?;
        if out.iter().any(|l| l.name == listener.name) {
            return Err(refuse(format!("two listeners are named {}", listener.name)));
        }
        out.push(listener);
    }
    if out.is_empty() || out.len() > LISTENERS_MAX {
        return Err(refuse(format!("it must name 1 to {LISTENERS_MAX} listeners")));
    }
    Ok(out)
}

/// The addresses to bind.
pub(super) fn parse_listeners(value: &str) -> Result<Vec<Listener>, ConfigError> {
    let listeners = parse_list("listeners", value)?;
    for (i, a) in listeners.iter().enumerate() {
        if listeners[..i].iter().any(|b| b.port == a.port && b.host == a.host && a.port != 0) {
            return Err(ConfigError::new("listeners", value, format!("port {} is listed twice", a.port)));
        }
    }
    Ok(listeners)
}

/// What clients are told: one for each listener, in the listeners' order.
pub(super) fn parse_advertised(
    value: Option<&str>,
    listeners: &[Listener],
) -> Result<Vec<Listener>, ConfigError> {
    const SETTING: &str = "advertised.listeners";
    let value = value.filter(|v| !v.is_empty());
    let told = value.map_or(Ok(Vec::new()), |v| parse_list(SETTING, v))?;
    let refuse = |reason: String| ConfigError::new(SETTING, value.unwrap_or_default(), reason);
    if let Some(stray) = told.iter().find(|t| listeners.iter().all(|l| l.name != t.name)) {
        return Err(refuse(format!("{} is not among the listeners", stray.name)));
    }
    let mut out = Vec::with_capacity(listeners.len());
    for listener in listeners {
        let advertised = told.iter().find(|t| t.name == listener.name).unwrap_or(listener);
        if advertised.is_wildcard() {
            return Err(refuse(format!(
                "clients cannot connect to {}; set {SETTING}={}://<a host name they know>:{}",
                advertised.host, listener.name, listener.port
            )));
        }
        out.push(advertised.clone());
    }
    Ok(out)
}

/// Checks that every listener's protocol is one that exists.
pub(super) fn check_protocols(listeners: &[Listener], map: &str) -> Result<(), ConfigError> {
    const SETTING: &str = "listener.security.protocol.map";
    let refuse = |reason: String| ConfigError::new(SETTING, map, reason);
    let mut names: Vec<String> = Vec::new();
    for item in list_items(map) {
        match item.split_once(':') {
            Some((name, protocol)) if protocol.trim().eq_ignore_ascii_case("PLAINTEXT") => {
                names.push(name.trim().to_ascii_uppercase());
            }
            Some((_, protocol)) => {
                return Err(refuse(format!("{protocol:?} does not exist yet; only PLAINTEXT does")));
            }
            None => return Err(refuse(format!("{item:?} is not NAME:PROTOCOL"))),
        }
    }
    match listeners.iter().find(|l| !names.contains(&l.name)) {
        None => Ok(()),
        Some(l) => Err(refuse(format!("listener {} has no protocol; add {}:PLAINTEXT", l.name, l.name))),
    }
}
