//! Holds a connection's reading back while what came is not taken: the library takes whatever comes, and opens a channel's
//! window again by itself. Does not know channels, nor why.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Of one connection. The lock is in an Arc because channels' tasks open what the connection's task waits for; a hold changes a
/// number.
#[derive(Debug, Clone, Default)]
pub(super) struct Valve(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    shut: usize,
    waker: Option<Waker>,
}

/// The connection is not read as long as this lives.
#[derive(Debug)]
pub(super) struct Shut(Valve);

impl Valve {
    /// Shuts it until what is returned is dropped; several may.
    pub(super) fn shut(&self) -> Shut {
        self.lock().shut += 1;
        Shut(self.clone())
    }

    /// Ready while nobody holds it shut.
    pub(super) fn poll_open(&self, context: &Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.shut == 0 {
            return Poll::Ready(());
        }
        // One task reads a connection.
        inner.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shut {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.shut = inner.shut.saturating_sub(1);
        let waker = if inner.shut == 0 { inner.waker.take() } else { None };
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
