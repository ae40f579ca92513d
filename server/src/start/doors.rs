//! The ports of a broker: every listener on every core.

use std::net::{SocketAddr, ToSocketAddrs};

use engine::config::Listener;

use super::error::StartError;
use crate::config::{Config, Refused};
use crate::net::{Door, bind};
use crate::shard::CoreDirect;

/// What was bound.
pub(super) struct Doors {
    /// The address of each listener; of a core-direct one that of the first core.
    pub(super) bound: Vec<SocketAddr>,
    /// What clients of each listener are told.
    pub(super) advertised: Vec<Listener>,
    /// The listener that shows a node for each core, if there is one.
    pub(super) direct: Option<CoreDirect>,
    /// For each core its doors, in the order of the listeners.
    pub(super) per_core: Vec<Vec<Door>>,
}

/// Binds them. All cores share the port of a listener, and the kernel spreads connections over them; through
/// the core-direct one each core has its own, counted up from the listener's.
pub(super) fn open(config: &Config, cores: u16) -> Result<Doors, StartError> {
    let mut bound: Vec<SocketAddr> = Vec::new();
    let mut direct = None;
    let mut per_core: Vec<Vec<Door>> = (0..cores).map(|_| Vec::new()).collect();
    for (i, listener) in config.broker.listeners.iter().enumerate() {
        let addr = address(listener)?;
        let refused = |e| StartError::port("listeners", addr, &e);
        if listener.name == config.core_direct {
            let mut ports = Vec::new();
            for (core, doors) in (0..cores).zip(&mut per_core) {
                let at = SocketAddr::new(addr.ip(), port_of_core(listener.port, core)?);
                let (at, door) = bind(at, 1).map_err(|e| StartError::port("net.core_direct", at, &e))?;
                doors.extend(door);
                ports.push(at);
            }
            bound.push(ports[0]);
            direct = Some((i, ports));
        } else {
            let (at, doors) = bind(addr, usize::from(cores)).map_err(refused)?;
            bound.push(at);
            per_core.iter_mut().zip(doors).for_each(|(core, door)| core.push(door));
        }
    }
    let ports: Vec<u16> = bound.iter().map(SocketAddr::port).collect();
    let advertised = config.broker.advertise(&ports);
    let direct = match direct {
        Some((listener, ports)) => {
            let told = config.broker.advertised[listener].port;
            let port = |(core, at): (u16, &SocketAddr)| match told {
                0 => Ok(at.port()),
                first => port_of_core(first, core),
            };
            let ports = (0..).zip(&ports).map(port).collect::<Result<_, _>>()?;
            Some(CoreDirect { listener, ports })
        }
        None if config.core_direct.is_empty() => None,
        None => {
            let reason = format!("net.core_direct: no listener is named {}", config.core_direct);
            return Err(Refused(reason).into());
        }
    };
    Ok(Doors { bound, advertised, direct, per_core })
}

/// The port of a core, counted from the first one's; 0 stays 0, one that the system picks.
fn port_of_core(first: u16, core: u16) -> Result<u16, StartError> {
    match first {
        0 => Ok(0),
        _ => first.checked_add(core).ok_or_else(|| {
            Refused(format!("net.core_direct: core {core} has no port, as they are counted from {first}"))
                .into()
        }),
    }
}

fn address(listener: &Listener) -> Result<SocketAddr, StartError> {
    let addr = (listener.host.as_str(), listener.port).to_socket_addrs().ok().and_then(|mut a| a.next());
    addr.ok_or_else(|| {
        StartError::precondition(format!(
            "listeners: the host {:?} has no address; check its spelling",
            listener.host
        ))
    })
}
