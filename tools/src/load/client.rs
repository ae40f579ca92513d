//! Blocking calls, one at a time: what happens before and after a load, and what the `topic`,
//! `produce` and `consume` commands are made of.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use wire::{
    ApiKey, DecodeError, ErrorCode, Message, Reader, RequestHeader, ResponseHeader, Writer, api_versions,
};

use super::socket::CONNECT_TIMEOUT;

/// The name under which brokers see us.
pub const CLIENT_ID: &str = "ringlog";

/// How long one call may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest response of a call; a fetch asks for far less.
const RESPONSE_BYTES_MAX: usize = 128 << 20;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where to.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The connection ended, or nothing came within [`CALL_TIMEOUT`].
    #[error("{address} did not answer {api:?}: {source}")]
    Io {
        /// Who.
        address: String,
        /// What was asked.
        api: ApiKey,
        /// Why not.
        source: io::Error,
    },
    /// The answer is not what the protocol says.
    #[error("{address} answered {api:?} with bytes that cannot be read: {source}")]
    Decode {
        /// Who.
        address: String,
        /// What was asked.
        api: ApiKey,
        /// What is wrong.
        source: DecodeError,
    },
    /// Both sides speak the API, but no common version of it.
    #[error("{address} speaks no version of {api:?} that this build speaks")]
    NoCommonVersion {
        /// Who.
        address: String,
        /// The API.
        api: ApiKey,
    },
    /// The broker said no.
    #[error("{what}: {}{}", code.name(), detail.as_deref().map(|d| format!(" ({d})")).unwrap_or_default())]
    Refused {
        /// What was asked, in words.
        what: String,
        /// Its error code.
        code: ErrorCode,
        /// Its text.
        detail: Option<String>,
    },
}

impl ClientError {
    /// Whether there was no broker to talk to, rather than one that said no.
    #[must_use]
    pub fn is_connection(&self) -> bool {
        matches!(self, ClientError::Connect { .. } | ClientError::Io { .. })
    }
}

/// The versions that a broker and this build both speak.
#[derive(Clone, Debug, Default)]
pub struct Versions(HashMap<ApiKey, i16>);

impl Versions {
    /// The highest common version of `api`.
    #[must_use]
    pub fn of(&self, api: ApiKey) -> Option<i16> {
        self.0.get(&api).copied()
    }
}

/// A blocking connection to one broker.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    address: String,
    versions: Versions,
    correlation_id: i32,
    out: Writer,
    inbox: Vec<u8>,
}

/// The first address of `host:port`.
pub fn resolve(address: &str) -> Result<SocketAddr, ClientError> {
    let fail = |source| ClientError::Connect { address: address.to_string(), source };
    let mut found = address.to_socket_addrs().map_err(fail)?;
    found.next().ok_or_else(|| fail(io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
}

impl Client {
    /// Connects and asks what the broker speaks.
    pub fn connect(address: &str) -> Result<Client, ClientError> {
        let fail = |source| ClientError::Connect { address: address.to_string(), source };
        let stream = TcpStream::connect_timeout(&resolve(address)?, CONNECT_TIMEOUT).map_err(fail)?;
        stream.set_nodelay(true).map_err(fail)?;
        stream.set_read_timeout(Some(CALL_TIMEOUT)).map_err(fail)?;
        stream.set_write_timeout(Some(CALL_TIMEOUT)).map_err(fail)?;
        let mut client = Client {
            stream,
            address: address.to_string(),
            versions: Versions::default(),
            correlation_id: 0,
            out: Writer::new(),
            inbox: Vec::new(),
        };
        client.learn_versions()?;
        Ok(client)
    }

    /// Connects to the first of `addresses` that answers.
    pub fn connect_any(addresses: &[String]) -> Result<Client, ClientError> {
        let mut last = None;
        for address in addresses {
            match Client::connect(address) {
                Ok(client) => return Ok(client),
                Err(e) => last = Some(e),
            }
        }
        Err(last.unwrap_or_else(|| ClientError::Connect {
            address: "no address".to_string(),
            source: io::Error::new(
                io::ErrorKind::InvalidInput,
                "no broker was named; use --brokers HOST:PORT",
            ),
        }))
    }

    /// What both sides speak.
    #[must_use]
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// The address that it is connected to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    fn learn_versions(&mut self) -> Result<(), ClientError> {
        let request = api_versions::Request {
            client_software_name: CLIENT_ID,
            client_software_version: env!("CARGO_PKG_VERSION"),
            ..api_versions::Request::default()
        };
        let mut version = 3;
        loop {
            let answer: api_versions::Response<'_> = match self.call_at(version, &request) {
                // A broker that knows less answers in version 0, which a reader of version 3 cannot read.
                Err(ClientError::Decode { .. }) if version > 0 => {
                    version = 0;
                    continue;
                }
                answer => answer?,
            };
            if answer.error_code == ErrorCode::UnsupportedVersion && version > 0 {
                version = 0;
                continue;
            }
            let common = ApiKey::ALL.iter().filter_map(|key| Some((*key, answer.highest_common(*key)?)));
            let versions = Versions(common.collect());
            self.versions = versions;
            return Ok(());
        }
    }

    /// Sends a request in the highest common version and waits for its answer, a view on this
    /// client's buffer.
    pub fn call<'s, 'q, Q: Message<'q>, A: Message<'s>>(&'s mut self, request: &Q) -> Result<A, ClientError> {
        let no_common = || ClientError::NoCommonVersion { address: self.address.clone(), api: Q::KEY };
        let version = self.versions.of(Q::KEY).ok_or_else(no_common)?;
        self.call_at(version, request)
    }

    /// As [`Client::call`], in a version not above `newest`: a later one wants what the caller does not
    /// have, such as topic ids.
    pub fn call_up_to<'s, 'q, Q: Message<'q>, A: Message<'s>>(
        &'s mut self,
        newest: i16,
        request: &Q,
    ) -> Result<A, ClientError> {
        let no_common = || ClientError::NoCommonVersion { address: self.address.clone(), api: Q::KEY };
        let version = self.versions.of(Q::KEY).ok_or_else(no_common)?;
        self.call_at(version.min(newest), request)
    }

    /// How long the next calls may take; [`CALL_TIMEOUT`] until this is said.
    pub fn set_patience(&mut self, patience: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(patience))
    }

    fn call_at<'s, 'q, Q: Message<'q>, A: Message<'s>>(
        &'s mut self,
        version: i16,
        request: &Q,
    ) -> Result<A, ClientError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let header = RequestHeader {
            api_key: Q::KEY,
            api_version: version,
            correlation_id: self.correlation_id,
            client_id: Some(CLIENT_ID),
        };
        self.out.clear();
        header.frame(request, &mut self.out);
        assert!(self.out.splices().is_empty(), "a blocking call carries its records in its own bytes");
        let exchanged = self.exchange();
        exchanged.map_err(|source| ClientError::Io { address: self.address.clone(), api: Q::KEY, source })?;
        let fail = |source| ClientError::Decode { address: self.address.clone(), api: Q::KEY, source };
        let mut reader = Reader::new(&self.inbox);
        ResponseHeader::decode(Q::KEY, version, &mut reader).map_err(fail)?;
        A::decode(version, &mut reader).map_err(fail)
    }

    fn exchange(&mut self) -> io::Result<()> {
        self.stream.write_all(self.out.head())?;
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let size = i32::from_be_bytes(size);
        let size = usize::try_from(size).ok().filter(|n| (4..=RESPONSE_BYTES_MAX).contains(n));
        let size =
            size.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a frame of an impossible size"))?;
        self.inbox.resize(size, 0);
        self.stream.read_exact(&mut self.inbox)?;
        let answered = i32::from_be_bytes([self.inbox[0], self.inbox[1], self.inbox[2], self.inbox[3]]);
        if answered != self.correlation_id {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer to another request"));
        }
        Ok(())
    }

    /// Sends an already built request and waits for nothing: a produce with acks=0.
    pub fn tell<'q, Q: Message<'q>>(&mut self, request: &Q) -> Result<(), ClientError> {
        let no_common = || ClientError::NoCommonVersion { address: self.address.clone(), api: Q::KEY };
        let version = self.versions.of(Q::KEY).ok_or_else(no_common)?;
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let header = RequestHeader {
            api_key: Q::KEY,
            api_version: version,
            correlation_id: self.correlation_id,
            client_id: Some(CLIENT_ID),
        };
        self.out.clear();
        header.frame(request, &mut self.out);
        let sent = self.stream.write_all(self.out.head());
        sent.map_err(|source| ClientError::Io { address: self.address.clone(), api: Q::KEY, source })
    }
}
