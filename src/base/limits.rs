//! Numbers that more than one room must agree on; each with its reason.

use std::time::Duration;

/// Accept to logged in, absolute: what OpenSSH's LoginGraceTime is at 10 (security.md 0.3).
pub const LOGIN_DEADLINE: Duration = Duration::from_secs(10);
/// What a stranger may send before login; a login is under 4 KiB, an RSA-16384 key with its signature under 16.
pub const INBOUND_BEFORE_LOGIN: usize = 64 * 1024;
/// One message after login: room for a pasted file, far below what a phone sends by mistake.
pub const INBOUND_AFTER_LOGIN: usize = 1024 * 1024;
/// One link frame's payload: an input message of 64 KiB and the fields that name its writer and place.
pub const LINK_FRAME: usize = 64 * 1024 + 256;
/// One order or answer datagram; SEQPACKET needs the receiver to know a most.
pub const ORDER_DATAGRAM: usize = 64 * 1024;
/// One input message (a paste is one message).
pub const INPUT_MESSAGE: usize = 64 * 1024;
/// Input queued for one session's PTY.
pub const INPUT_QUEUE: usize = 256 * 1024;
/// Writers whose last offset a host remembers.
pub const WRITERS: usize = 256;
/// The gateway's shared ring for one session.
pub const SHARED_RING: usize = 1024 * 1024;
/// A host's ring unless configured.
pub const HOST_RING: usize = 4 * 1024 * 1024;
/// A host's ring of a structured session.
pub const EVENT_RING: u64 = 16 * 1024 * 1024;
/// Most history lines that one request gets.
pub const HISTORY_LINES: u32 = 10_000;
/// Longest time that a viewer may hold a ring or keep anybody waiting.
pub const HOLD: Duration = Duration::from_secs(30);
/// Server heartbeat on both doors; NAT tables and proxies cut at 60 s (peers.md 21).
pub const KEEPALIVE: Duration = Duration::from_secs(25);
/// A viewer silent for so long is gone.
pub const SILENT: Duration = Duration::from_secs(60);
/// A key file's most bytes.
pub const KEY_FILE: usize = 1024 * 1024;
/// Fitted frames a second, at most.
pub const FRAME_INTERVAL: Duration = Duration::from_millis(50);
/// Another driver's input keeps the size for so long.
pub const SIZE_HYSTERESIS: Duration = Duration::from_millis(500);
