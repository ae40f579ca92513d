//! One thread: whatever has arrived becomes one write and one flush. While it flushes, more arrives:
//! the group grows with the load and no timer is needed.

use std::io;
use std::net::TcpStream;

use super::super::aligned::Aligned;
use super::super::network::{End, Wait};
use super::{GROUP_BYTES_MAX, Head, Journal, REPLY_BYTES};

/// Serves one connection until its client has finished.
pub(super) fn serve(stream: TcpStream, wait: Wait, journal: &Journal, record_bytes: usize) -> io::Result<()> {
    let mut end = End::new(stream, wait)?;
    let mut head = Head::new(journal);
    let mut group = Aligned::new(GROUP_BYTES_MAX);
    let replies = vec![1; GROUP_BYTES_MAX / record_bytes * REPLY_BYTES];
    let mut have = 0;
    loop {
        match end.read_some(&mut group[have..])? {
            0 => return Ok(()),
            n => have += n,
        }
        let records = have / record_bytes;
        if records > 0 {
            head.append(&group, records * record_bytes)?;
            end.write_all(&replies[..records * REPLY_BYTES])?;
            group.copy_within(records * record_bytes..have, 0);
            have -= records * record_bytes;
        }
    }
}
