//! Headers in front of every body.
//!
//! | request v1: classic versions  | request v2: flexible versions     | response v0 | response v1: flexible |
//! |-------------------------------|-----------------------------------|-------------|-----------------------|
//! | api_key i16                   | api_key i16                       | correlation_id i32 | correlation_id i32 |
//! | api_version i16               | api_version i16                   |             | tagged fields         |
//! | correlation_id i32            | correlation_id i32                |             |                       |
//! | client_id nullable string     | client_id, not compact            |             |                       |
//! |                               | tagged fields                     |             |                       |
//!
//! A response to ApiVersions has header v0 always, so that a client can read it before it knows the versions.

use crate::codec::{DecodeError, Reader, Shape, Writer};
use crate::{ApiKey, Message};

const CLASSIC: Shape = Shape { version: 1, flexible: false };

/// What stands in front of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// The API.
    pub api_key: ApiKey,
    /// Version of the body. Outside the served range only for ApiVersions, see [`RequestHeader::decode`].
    pub api_version: i16,
    /// Chosen by the client, echoed in the response.
    pub correlation_id: i32,
    /// The client's name for itself.
    pub client_id: Option<&'a str>,
}

impl<'a> RequestHeader<'a> {
    /// Reads the header; the reader then stands at the body.
    ///
    /// # Errors
    /// [`DecodeError::ApiKey`] and [`DecodeError::Version`] for what is not served: the connection
    /// is closed. Only ApiVersions is returned at any version: one outside the range is to be answered
    /// with UNSUPPORTED_VERSION in a body of version 0, without looking at the rest of the request.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (key, api_version, correlation_id) = (r.i16()?, r.i16()?, r.i32()?);
        let api_key = ApiKey::from_code(key).ok_or(DecodeError::ApiKey(key))?;
        let client_id = r.string(CLASSIC)?;
        let header = Self { api_key, api_version, correlation_id, client_id };
        match api_key.shape(api_version) {
            Ok(shape) => {
                if shape.flexible {
                    r.tags(|_, _| Ok(false))?;
                }
                Ok(header)
            }
            Err(_) if api_key == ApiKey::ApiVersions => Ok(header),
            Err(unsupported) => Err(unsupported),
        }
    }

    /// Whether the body can be decoded.
    pub fn is_served(&self) -> bool {
        self.api_key.served().contains(self.api_version)
    }

    /// Writes the header.
    ///
    /// # Panics
    /// If this build does not serve the version.
    pub fn encode(&self, w: &mut Writer) {
        let shape = self.api_key.shape(self.api_version).expect("encoding a version that this build serves");
        w.i16(self.api_key.code());
        w.i16(self.api_version);
        w.i32(self.correlation_id);
        w.string(self.client_id, CLASSIC);
        if shape.flexible {
            w.uvarint(0);
        }
    }

    /// Writes a whole frame: size, header and body. The key of the header is that of the body.
    pub fn frame<'b>(&self, body: &impl Message<'b>, w: &mut Writer) {
        let start = w.begin_frame();
        self.encode(w);
        encode_body(self.api_key, self.api_version, body, w);
        w.end_frame(start);
    }
}

/// What stands in front of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHeader {
    /// As in the request.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Reads the header of a response to `key` at `version`.
    pub fn decode(key: ApiKey, version: i16, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let correlation_id = r.i32()?;
        if key.shape(version)?.flexible && key != ApiKey::ApiVersions {
            r.tags(|_, _| Ok(false))?;
        }
        Ok(Self { correlation_id })
    }

    /// Writes the header of a response to `key` at `version`.
    ///
    /// # Panics
    /// If this build does not serve the version.
    pub fn encode(&self, key: ApiKey, version: i16, w: &mut Writer) {
        w.i32(self.correlation_id);
        let shape = key.shape(version).expect("encoding a version that this build serves");
        if shape.flexible && key != ApiKey::ApiVersions {
            w.uvarint(0);
        }
    }

    /// Writes a whole frame: size, header and body.
    pub fn frame<'b, M: Message<'b>>(&self, version: i16, body: &M, w: &mut Writer) {
        let start = w.begin_frame();
        self.encode(M::KEY, version, w);
        body.encode(version, w);
        w.end_frame(start);
    }
}

fn encode_body<'b, M: Message<'b>>(key: ApiKey, version: i16, body: &M, w: &mut Writer) {
    assert_eq!(key, M::KEY, "the header names another API than the body");
    body.encode(version, w);
}
