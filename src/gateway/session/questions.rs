//! How many questions a host is asked at a time; the rest wait here. Does not know what is asked, nor by whom.

use std::collections::VecDeque;

use crate::wire::v1::to_host::Body;

/// What link v1 allows; a host that is asked more closes the link.
const READS: usize = 4;
/// Far below what a host takes (128): drawing is done one after the other anyway.
const SNAPSHOTS: usize = 16;

/// Questions under way and waiting. Each waiting one belongs to a viewer or a request, so their number is bounded by those.
#[derive(Debug, Default)]
pub(super) struct Questions {
    reads: Lane<READS>,
    snapshots: Lane<SNAPSHOTS>,
}

impl Questions {
    /// The message to send now; none when it has to wait.
    pub(super) fn ask(&mut self, body: Body) -> Option<Body> {
        match body {
            Body::Read(_) => self.reads.ask(body),
            Body::Snapshot(_) => self.snapshots.ask(body),
            other => Some(other),
        }
    }

    /// A read was answered to its end; the one to send next.
    pub(super) fn read_answered(&mut self) -> Option<Body> {
        self.reads.answered()
    }

    /// A snapshot was answered to its end; the one to send next.
    pub(super) fn snapshot_answered(&mut self) -> Option<Body> {
        self.snapshots.answered()
    }
}

#[derive(Debug, Default)]
struct Lane<const MOST: usize> {
    under_way: usize,
    waiting: VecDeque<Body>,
}

impl<const MOST: usize> Lane<MOST> {
    fn ask(&mut self, body: Body) -> Option<Body> {
        if self.under_way < MOST {
            self.under_way += 1;
            Some(body)
        } else {
            self.waiting.push_back(body);
            None
        }
    }

    fn answered(&mut self) -> Option<Body> {
        let next = self.waiting.pop_front();
        if next.is_none() {
            self.under_way = self.under_way.saturating_sub(1);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::{Hold, Read};

    fn read(request: u32) -> Body {
        Body::Read(Read { request, from: 0, to: 1 })
    }

    #[test]
    fn a_fifth_read_waits_for_an_answer_and_nothing_else_does() {
        let mut questions = Questions::default();
        assert!((1..=4).all(|request| questions.ask(read(request)).is_some()));
        assert_eq!(questions.ask(read(5)), None);
        assert_eq!(questions.ask(read(6)), None);
        assert!(questions.ask(Body::Hold(Hold::default())).is_some());
        assert_eq!(questions.read_answered(), Some(read(5)));
        assert_eq!(questions.read_answered(), Some(read(6)));
        assert_eq!(questions.read_answered(), None);
        assert!(questions.ask(read(7)).is_some());
        assert_eq!(questions.ask(read(8)), None);
    }
}
