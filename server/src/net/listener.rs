//! Accepting connections, within limits.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use glommio::net::{TcpListener, TcpStream};
use rustc_hash::FxHashMap;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::Net;
use super::conn::Conn;
use super::reader::serve;
use crate::runtime::{Service, begin_work, fair, hint};

/// Connections that the kernel holds for us until we accept them.
const BACKLOG: i32 = 4096;

/// How long accepting rests after an error, as when the process has no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Who may come in: counted over all cores, touched only when a connection begins or ends.
pub struct Admission {
    counts: Mutex<Counts>,
}

struct Counts {
    max: usize,
    per_ip_max: usize,
    total: usize,
    per_ip: FxHashMap<IpAddr, usize>,
}

impl Admission {
    /// At most `max` connections, `per_ip_max` from one address.
    #[must_use]
    pub fn new(max: usize, per_ip_max: usize) -> Admission {
        Admission { counts: Mutex::new(Counts { max, per_ip_max, total: 0, per_ip: FxHashMap::default() }) }
    }

    /// Other limits from now on. Connections above them stay.
    pub fn limit(&self, max: usize, per_ip_max: usize) {
        let mut counts = self.counts.lock().expect("no holder panics");
        (counts.max, counts.per_ip_max) = (max, per_ip_max);
    }

    fn enter(&self, ip: IpAddr) -> bool {
        let mut counts = self.counts.lock().expect("no holder panics");
        let of_ip = counts.per_ip.get(&ip).copied().unwrap_or(0);
        if counts.total >= counts.max || of_ip >= counts.per_ip_max {
            return false;
        }
        counts.per_ip.insert(ip, of_ip + 1);
        counts.total += 1;
        true
    }

    fn leave(&self, ip: IpAddr) {
        let mut counts = self.counts.lock().expect("no holder panics");
        counts.total -= 1;
        if let Some(of_ip) = counts.per_ip.get_mut(&ip) {
            *of_ip -= 1;
            if *of_ip == 0 {
                counts.per_ip.remove(&ip);
            }
        }
    }
}

/// How long a port may stay taken before it counts as another's: the kernel lets go of the sockets of a
/// killed process only once its rings are torn down, some time after its death.
const PORT_PATIENCE: Duration = Duration::from_secs(2);

/// How often a taken port is tried again.
const PORT_RETRY: Duration = Duration::from_millis(20);

/// A bound socket that does not listen yet. One per core and listener.
#[derive(Debug)]
pub struct Door {
    socket: Socket,
}

/// Binds one socket per core to the same address; the kernel spreads connections over them. Port 0
/// picks a free one, the same for all.
///
/// # Errors
/// The address cannot be bound, or somebody else listens there.
pub fn bind(addr: SocketAddr, cores: usize) -> std::io::Result<(SocketAddr, Vec<Door>)> {
    let mut tries = PORT_PATIENCE.as_millis() / PORT_RETRY.as_millis();
    while let Err(e) = probe(addr) {
        if e.kind() != std::io::ErrorKind::AddrInUse || tries == 0 {
            return Err(e);
        }
        tries -= 1;
        std::thread::sleep(PORT_RETRY);
    }
    let mut doors = Vec::with_capacity(cores);
    let mut addr = addr;
    for _ in 0..cores {
        let socket = socket(addr)?;
        socket.set_reuse_port(true)?;
        socket.bind(&SockAddr::from(addr))?;
        addr = socket.local_addr()?.as_socket().expect("an IP socket has an IP address");
        doors.push(Door { socket });
    }
    Ok((addr, doors))
}

/// Whether `addr` is free. Sockets that share a port would share it with another broker too, in silence.
fn probe(addr: SocketAddr) -> std::io::Result<()> {
    let probe = socket(addr)?;
    probe.bind(&SockAddr::from(addr))?;
    if addr.port() != 0 {
        probe.listen(1)?;
    }
    Ok(())
}

fn socket(addr: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

impl Net {
    /// Starts to listen and accepts until the broker drains. `listener` is the index that the
    /// connections carry.
    ///
    /// # Errors
    /// The socket cannot listen.
    pub fn listen<S: Service>(
        self: &Rc<Self>,
        door: Door,
        listener: usize,
        service: S,
    ) -> std::io::Result<glommio::Task<()>> {
        door.socket.listen(BACKLOG)?;
        // SAFETY: the descriptor is a bound, listening socket whose ownership moves here.
        let socket = unsafe { TcpListener::from_raw_fd(door.socket.into_raw_fd()) };
        let net = self.clone();
        Ok(glommio::spawn_local(async move { net.accept_all(&socket, listener, service).await }))
    }

    async fn accept_all<S: Service>(self: &Rc<Self>, socket: &TcpListener, listener: usize, service: S) {
        let reserve = RefCell::new(std::fs::File::open("/dev/null").ok());
        while !self.is_draining() {
            let accepted = socket.accept().await;
            let work = begin_work();
            match accepted {
                Ok(stream) => self.admit(stream, listener, &service),
                Err(e) => {
                    let errno = std::io::Error::from(e).raw_os_error();
                    let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS]
                        .into_iter()
                        .any(|code| errno == Some(code));
                    if exhausted {
                        self.counters.accepts_refused.add(1);
                        hint::out_of_descriptors();
                        // The reserve lets one waiting client be told instead of left hanging.
                        reserve.take();
                        if let Ok(refused) = socket.accept().await {
                            drop(refused);
                        }
                        reserve.replace(std::fs::File::open("/dev/null").ok());
                    }
                    // A client that gave up meanwhile is no reason to rest; anything else may stay.
                    if errno != Some(libc::ECONNABORTED) {
                        glommio::timer::sleep(PAUSE).await;
                    }
                }
            }
            fair(work).await;
        }
    }

    fn admit<S: Service>(self: &Rc<Self>, stream: TcpStream, listener: usize, service: &S) {
        let (Ok(peer), Ok(())) = (stream.peer_addr(), stream.set_nodelay(true)) else { return };
        let fd = stream.as_raw_fd();
        // SAFETY: the descriptor is owned by `stream`, which outlives this borrow.
        let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        let _ = rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC);
        if !self.admission.enter(peer.ip()) {
            self.counters.accepts_refused.add(1);
            return;
        }
        self.counters.accepts.add(1);
        let conn = Conn::new(self, stream, peer, listener);
        conn.key.set(self.conns.borrow_mut().insert(conn.clone()));
        let net = self.clone();
        let service = service.clone();
        glommio::spawn_local(async move {
            serve(conn.clone(), service).await;
            net.conns.borrow_mut().remove(conn.key.get());
            net.admission.leave(conn.peer.ip());
            net.gone.notify();
        })
        .detach();
    }
}
