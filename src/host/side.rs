//! What the event loop needs of a session, whatever lies between host and agent; waits for nothing itself.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use super::core::{Event, Now};
use crate::sys::poll::{Interest, Ready};

/// Descriptors towards the agent: a PTY, or three pipes.
pub(super) const DESCRIPTORS: usize = 3;

/// What the loop itself has to do, at once and in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// End the link for this reason.
    CloseLink(String),
    /// End the host.
    Leave,
    /// Say this to a hook's connection.
    ToHook(u64, Vec<u8>),
}

/// A session with its descriptors towards the agent. The loop moves the link and hears of everything else.
pub(super) trait Side {
    /// What each descriptor is waited for now.
    fn interests(&mut self, now: Now) -> [Interest; DESCRIPTORS];
    /// In the order of the interests; one that is closed is none.
    fn descriptors(&self) -> [Option<BorrowedFd<'_>>; DESCRIPTORS];
    /// When to look although nothing happens, after an error that would come again at once.
    fn pause(&mut self, now: Now) -> Option<Instant>;
    /// Reads what is ready; true when the link has something new, and then [`Side::after_read`] follows. `link` cuts a pause short.
    fn read(&mut self, ready: &[Ready; DESCRIPTORS], link: Option<BorrowedFd<'_>>, now: Now) -> bool;
    /// What follows from the last read, once the link has it.
    fn after_read(&mut self, now: Now) -> Vec<Wish>;
    /// Writes what waits for the agent.
    fn write(&mut self, ready: &[Ready; DESCRIPTORS], now: Now);
    /// Takes in what happened.
    fn apply(&mut self, event: Event, now: Now) -> Vec<Wish>;

    /// What to write to the link; [`Side::link_took`] must follow.
    fn link_output(&mut self, now: Now) -> Option<[IoSlice<'_>; 3]>;
    /// The link took so many bytes of what was offered last.
    fn link_took(&mut self, length: usize);
    /// Whether messages are taken from the link.
    fn wants_messages(&self) -> bool;
    /// Why the link is of no use any more, if so: to be asked after each turn.
    fn link_fault(&self) -> Option<&'static str>;
    /// Whether [`Side::work`] would do something now.
    fn is_busy(&self, now: Now) -> bool;
    /// One slice of background work, about a millisecond at most.
    fn work(&mut self, now: Now);
    /// When an [`Event::Tick`] is due.
    fn timer(&self) -> Option<Instant>;
    /// When to come back although nothing happens: a timer, background work, input or an acknowledgement that waits.
    fn deadline(&self, now: Now) -> Option<Instant>;
}
