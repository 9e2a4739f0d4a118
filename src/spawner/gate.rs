//! Which order is permitted when: one table. Knows no order's content.

use crate::wire::v1::order::Body;

/// When an order may come on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// As the first, and never again.
    First,
    /// Once, after the first.
    Once,
    /// Any number of times after the first.
    Later,
}

/// An order outside the table ends its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum GateError {
    /// Before hello.
    #[error("order {0} before hello")]
    Early(&'static str),
    /// A second time.
    #[error("order {0} a second time")]
    Again(&'static str),
    /// No order of this version.
    #[error("an order that this version does not know")]
    Unknown,
}

/// What one connection has been permitted so far.
#[derive(Debug, Default)]
pub(super) struct Gate {
    greeted: bool,
    ready: bool,
}

impl Gate {
    /// Where an earlier one stopped.
    pub(super) fn resume(greeted: bool, ready: bool) -> Self {
        Self { greeted, ready }
    }

    /// Lets an order pass, or says why its connection must end.
    pub(super) fn admit(&mut self, body: Option<&Body>) -> Result<(), GateError> {
        let (name, when) = rule(body.ok_or(GateError::Unknown)?);
        match when {
            When::First if self.greeted => Err(GateError::Again(name)),
            When::First => {
                self.greeted = true;
                Ok(())
            }
            _ if !self.greeted => Err(GateError::Early(name)),
            When::Once if self.ready => Err(GateError::Again(name)),
            When::Once => {
                self.ready = true;
                Ok(())
            }
            When::Later => Ok(()),
        }
    }

    /// Whether the peer has reported ready.
    pub(super) fn ready(&self) -> bool {
        self.ready
    }

    /// Whether the peer has said hello: only then it is spoken to unasked.
    pub(super) fn greeted(&self) -> bool {
        self.greeted
    }
}

/// The table of permitted orders.
fn rule(body: &Body) -> (&'static str, When) {
    match body {
        Body::Hello(_) => ("hello", When::First),
        Body::Ready(_) => ("ready", When::Once),
        Body::Start(_) => ("start", When::Later),
        Body::Stop(_) => ("stop", When::Later),
        Body::StopAll(_) => ("stop_all", When::Later),
        Body::List(_) => ("list", When::Later),
        Body::Keys(_) => ("keys", When::Later),
        Body::Reload(_) => ("reload", When::Later),
        Body::Reopen(_) => ("reopen", When::Later),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::{ListHosts, OrderHello, ReportReady, Start};

    #[test]
    fn nothing_comes_before_hello_and_nothing_single_comes_twice() {
        let hello = Body::Hello(OrderHello { version: 1 });
        let ready = Body::Ready(ReportReady {});
        let list = Body::List(ListHosts {});
        let mut gate = Gate::default();
        assert_eq!(gate.admit(Some(&list)), Err(GateError::Early("list")));
        assert_eq!(gate.admit(Some(&Body::Start(Start::default()))), Err(GateError::Early("start")));
        assert!(!gate.greeted());
        gate.admit(Some(&hello)).unwrap();
        assert_eq!(gate.admit(Some(&hello)), Err(GateError::Again("hello")));
        gate.admit(Some(&list)).unwrap();
        gate.admit(Some(&list)).unwrap();
        gate.admit(Some(&ready)).unwrap();
        assert_eq!(gate.admit(Some(&ready)), Err(GateError::Again("ready")));
        assert_eq!(gate.admit(None), Err(GateError::Unknown));
    }
}
