//! Admission: who may connect, log in, start sessions, type, and how much at once. Does not know what a door does.

use std::collections::HashMap;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::admission::{Prefix, Table, Ticket};
use super::rates::{Frequency, Limiter, TooOften};
use super::shortage::Shortage;
use crate::base::{INPUT_MESSAGE, KeyId};

/// What admission allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// New connections of each source.
    pub(crate) connections: Frequency,
    /// Login attempts of each source.
    pub(crate) logins: Frequency,
    /// Connections not logged in, in all.
    pub(crate) unauthenticated: usize,
    /// Of them, of each source.
    pub(crate) unauthenticated_per_source: usize,
    /// Live connections of each key.
    pub(crate) connections_per_key: u32,
    /// Session starts of each key.
    pub(crate) session_starts: Frequency,
    /// Messages of each key.
    pub(crate) messages: Frequency,
    /// Input bytes of each key, a second.
    pub(crate) input_bytes: NonZeroU32,
    /// Accept to logged in; [`LOGIN_DEADLINE`](crate::base::LOGIN_DEADLINE) but in tests.
    pub(crate) deadline: Duration,
    /// Bytes before login; [`INBOUND_BEFORE_LOGIN`](crate::base::INBOUND_BEFORE_LOGIN).
    pub(crate) inbound: usize,
}

/// Not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Connections of this source come too often.
    #[error("new connections of this source: {0}")]
    Connections(TooOften),
}

/// Too many live connections of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this key has {0} live connections, which is the limit; close one")]
pub(crate) struct TooMany(pub(crate) u32);

/// What has happened so far, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Not logged in now.
    pub(crate) held: usize,
    /// Refused by rate.
    pub(crate) refused: u64,
    /// Lost their place to somebody newer.
    pub(crate) evicted: u64,
    /// Not logged in by the deadline.
    pub(crate) expired: u64,
    /// Logged in.
    pub(crate) logged_in: u64,
}

/// One for all doors; cheap to clone.
#[derive(Clone)]
pub(crate) struct Admission(Arc<Shared>);

struct Shared {
    limits: Limits,
    // Accepts, logins and ends of all connections change it; a hold walks at most as many sources as there are places.
    table: Mutex<Table<Arc<Pending>>>,
    // A login or its end changes one number.
    live: Mutex<HashMap<KeyId, u32>>,
    shortage: Mutex<Shortage>,
    connections: Limiter<Prefix>,
    logins: Limiter<Prefix>,
    session_starts: Limiter<KeyId>,
    messages: Limiter<KeyId>,
    input: Limiter<KeyId>,
    told: Limiter<(Prefix, &'static str)>,
    refused: AtomicU64,
    evicted: AtomicU64,
    expired: AtomicU64,
    logged_in: AtomicU64,
}

/// A connection that is not logged in, as those see it who may end it.
#[derive(Debug)]
pub(super) struct Pending {
    socket: Arc<TcpStream>,
    lifted: Arc<AtomicBool>,
}

impl Pending {
    /// Ends the connection by its socket, whoever reads it: no task has to notice anything. False once logged in.
    pub(super) fn end(&self) -> bool {
        let pending = !self.lifted.load(Ordering::Acquire);
        if pending {
            // ENOTCONN: the peer was faster.
            let _ = self.socket.shutdown(Shutdown::Both);
        }
        pending
    }
}

impl Admission {
    /// For all doors together.
    pub(crate) fn new(limits: Limits) -> Self {
        let second = Duration::from_secs(1);
        // One message must fit, however slow the rate.
        let burst = limits.input_bytes.max(NonZeroU32::new(INPUT_MESSAGE as u32).unwrap_or(NonZeroU32::MIN));
        let refill = second.mul_f64(f64::from(burst.get()) / f64::from(limits.input_bytes.get()));
        Self(Arc::new(Shared {
            limits,
            table: Mutex::new(Table::new(limits.unauthenticated, limits.unauthenticated_per_source)),
            live: Mutex::default(),
            shortage: Mutex::default(),
            connections: Limiter::new(limits.connections),
            logins: Limiter::new(limits.logins),
            session_starts: Limiter::new(limits.session_starts),
            messages: Limiter::new(limits.messages),
            input: Limiter::new(Frequency { count: burst, period: refill }),
            told: Limiter::new(Frequency { count: NonZeroU32::MIN, period: second }),
            refused: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            logged_in: AtomicU64::new(0),
        }))
    }

    /// A connection that was accepted at `now`. It has a place until it is logged in or gone, or until somebody newer
    /// needs the place more.
    pub(crate) fn enter(&self, peer: SocketAddr, socket: &Arc<TcpStream>, now: Instant) -> Result<Permit, Refused> {
        let source = Prefix::of(peer.ip());
        if let Err(too_often) = self.0.connections.check(&source) {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Refused::Connections(too_often));
        }
        let lifted = Arc::new(AtomicBool::new(false));
        let pending = Arc::new(Pending { socket: Arc::clone(socket), lifted: Arc::clone(&lifted) });
        let (ticket, evicted) = self.table().enter(source, Arc::clone(&pending));
        self.end_evicted(evicted);
        let deadline = now + self.0.limits.deadline;
        Ok(Permit { admission: self.clone(), source, ticket, lifted, pending, deadline })
    }

    /// A hold counts or compares times. Descriptors are the process's: what one door lacks, all lack.
    pub(super) fn shortage(&self) -> MutexGuard<'_, Shortage> {
        self.0.shortage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees one descriptor when the process has none left.
    pub(super) fn shed(&self) {
        let evicted = self.table().evict();
        self.end_evicted(evicted);
    }

    /// Counts a login attempt of a source; asked before a signature is verified.
    pub(crate) fn login(&self, peer: IpAddr) -> Result<(), TooOften> {
        self.0.logins.check(&Prefix::of(peer))
    }

    /// Counts a session start of a key.
    pub(crate) fn session_start(&self, key: &KeyId) -> Result<(), TooOften> {
        self.0.session_starts.check(key)
    }

    /// Counts a message of a key.
    pub(crate) fn message(&self, key: &KeyId) -> Result<(), TooOften> {
        self.0.messages.check(key)
    }

    /// Counts input bytes of a key.
    pub(crate) fn input(&self, key: &KeyId, bytes: usize) -> Result<(), TooOften> {
        let many = NonZeroU32::new(u32::try_from(bytes).unwrap_or(u32::MAX));
        many.map_or(Ok(()), |many| self.0.input.check_many(key, many))
    }

    /// Counts a live connection of a key for as long as the answer lives.
    pub(crate) fn connection_of(&self, key: &KeyId) -> Result<LiveConnection, TooMany> {
        let most = self.0.limits.connections_per_key;
        let mut live = self.live();
        let count = live.entry(key.clone()).or_default();
        if *count >= most {
            return Err(TooMany(most));
        }
        *count += 1;
        Ok(LiveConnection { admission: self.clone(), key: key.clone() })
    }

    /// Whether a refusal by rate is worth an entry in the log: one of each source, kind and second. More would let whoever
    /// is refused fill the disk.
    pub(crate) fn is_news(&self, peer: IpAddr, kind: &'static str) -> bool {
        self.0.told.check(&(Prefix::of(peer), kind)).is_ok()
    }

    /// What has happened so far.
    pub(crate) fn counts(&self) -> Counts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            held: self.table().held(),
            refused: count(&self.0.refused),
            evicted: count(&self.0.evicted),
            expired: count(&self.0.expired),
            logged_in: count(&self.0.logged_in),
        }
    }

    /// The bytes that a connection may send before login.
    pub(super) fn inbound(&self) -> usize {
        self.0.limits.inbound
    }

    pub(super) fn count_expired(&self) {
        self.0.expired.fetch_add(1, Ordering::Relaxed);
    }

    fn end_evicted(&self, evicted: Option<Arc<Pending>>) {
        if evicted.is_some_and(|pending| pending.end()) {
            self.0.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table<Arc<Pending>>> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> MutexGuard<'_, HashMap<KeyId, u32>> {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those not logged in. Dropping it gives the place back and lifts deadline and byte budget: the
/// connection is logged in, or about to close.
pub(crate) struct Permit {
    admission: Admission,
    source: Prefix,
    ticket: Ticket,
    lifted: Arc<AtomicBool>,
    pending: Arc<Pending>,
    deadline: Instant,
}

impl Permit {
    /// The connection is logged in.
    pub(crate) fn logged_in(self) {
        self.admission.0.logged_in.fetch_add(1, Ordering::Relaxed);
    }

    /// When the connection ends unless it is logged in.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What ends it.
    pub(super) fn pending(&self) -> Arc<Pending> {
        Arc::clone(&self.pending)
    }

    /// What lifts the byte budget.
    pub(super) fn lifted(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.lifted)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.lifted.store(true, Ordering::Release);
        self.admission.table().leave(self.source, self.ticket);
    }
}

/// One live connection of a key.
pub(crate) struct LiveConnection {
    admission: Admission,
    key: KeyId,
}

impl Drop for LiveConnection {
    fn drop(&mut self) {
        let mut live = self.admission.live();
        if let Some(count) = live.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                live.remove(&self.key);
            }
        }
    }
}
