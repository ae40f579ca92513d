//! The nesting that Produce and Fetch responses share: counted topics of counted partitions.

use crate::codec::{Shape, Writer};

/// Writes counts and the tags that close a topic, and insists that what was announced is written.
#[derive(Debug)]
pub(super) struct Topics {
    shape: Shape,
    topics_left: usize,
    partitions_left: usize,
}

impl Topics {
    pub(super) fn begin(topics: usize, shape: Shape, w: &mut Writer) -> Self {
        w.count(Some(topics), shape);
        Self { shape, topics_left: topics, partitions_left: 0 }
    }

    /// Starts a topic, whose key was written before, with its number of partitions.
    pub(super) fn topic(&mut self, partitions: usize, w: &mut Writer) {
        assert_eq!(self.partitions_left, 0, "partitions of the topic before are missing");
        assert!(self.topics_left > 0, "more topics than announced");
        self.topics_left -= 1;
        self.partitions_left = partitions;
        w.count(Some(partitions), self.shape);
        self.close_if_done(w);
    }

    /// Counts a partition that was just written.
    pub(super) fn partition(&mut self, w: &mut Writer) {
        assert!(self.partitions_left > 0, "more partitions than announced");
        self.partitions_left -= 1;
        self.close_if_done(w);
    }

    pub(super) fn end(&self) {
        assert_eq!((self.topics_left, self.partitions_left), (0, 0), "topics or partitions are missing");
    }

    fn close_if_done(&self, w: &mut Writer) {
        if self.partitions_left == 0 && self.shape.flexible {
            w.uvarint(0);
        }
    }
}
