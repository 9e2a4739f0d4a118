//! What one channel's client types, on its way to whoever reads it: a viewer's session, the picker, or nobody yet. The
//! library's callback puts it in and never waits. Does not know the channel.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::detach::{DetachKeys, Prefix, Scan};
use super::valve::{Shut, Valve};
use crate::base::{INPUT_QUEUE, WinSize};
use crate::gateway::{Attachment, SessionError, ViewerItem};
use crate::wire::v1::Appearance;

/// Typed ahead while nobody reads yet: as much as a session's queue would take, and as a client may send at once. More
/// ends the channel.
const MOST_AHEAD: usize = INPUT_QUEUE;

/// The same of a program that sends lines: the longest, and what the library reads before it lets anybody else run (its
/// window stays open meanwhile).
const LINES_AHEAD: usize = 4 * 1024 * 1024;

/// Of what was typed ahead, given at once: as much as one packet of the client's.
const MESSAGE: usize = 32 * 1024;

/// Why a viewer leaves by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Left {
    /// The detach keys.
    Keys,
    /// So many bytes were typed and not taken.
    NotTaken { bytes: u64, error: SessionError },
}

/// What a viewer's task hears.
#[derive(Debug)]
pub(super) enum Heard {
    Item(ViewerItem),
    Left(Left),
}

/// The client's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) size: WinSize,
    /// Width and height; 0: not known.
    pub(super) pixels: (u32, u32),
}

impl Window {
    /// All that ssh says of it.
    pub(super) fn appearance(self) -> Appearance {
        let (width, height) = self.pixels;
        Appearance { width, height, ..Appearance::default() }
    }
}

/// What the picker hears.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Typed {
    pub(super) bytes: Vec<u8>,
    pub(super) resized: bool,
}

/// Cheap to clone. The lock is in an Arc because the library's task types and the channel's task reads; a hold moves
/// some bytes or polls a viewer, and never spans an await.
#[derive(Clone)]
pub(super) struct Terminal(Arc<Mutex<Inner>>);

struct Inner {
    window: Option<Window>,
    resized: bool,
    ahead: Vec<u8>,
    most_ahead: usize,
    /// With it, what nobody takes makes the client wait: a program writes, and what reads may not have begun.
    valve: Option<Valve>,
    shut: Option<Shut>,
    /// The client types no more.
    over: bool,
    /// The command is over: what still comes is for nobody, and holds nothing up.
    deaf: bool,
    viewer: Option<Viewer>,
    waker: Option<Waker>,
}

struct Viewer {
    attachment: Attachment,
    /// None without a terminal: what is not typed by a person has no detach keys.
    keys: Option<DetachKeys>,
    drives: bool,
    /// Input offset of the next byte.
    offset: u64,
    scratch: Vec<u8>,
    left: Option<Left>,
}

impl Terminal {
    /// `window`: of the client's terminal, if it has one. Without one the client waits with what is too much until somebody says
    /// how it is read.
    pub(super) fn new(window: Option<Window>, valve: Valve) -> Self {
        let valve = Some(valve).filter(|_| window.is_none());
        let inner = Inner {
            window,
            resized: false,
            ahead: Vec::new(),
            most_ahead: if valve.is_some() { LINES_AHEAD } else { MOST_AHEAD },
            valve,
            shut: None,
            over: false,
            deaf: false,
            viewer: None,
            waker: None,
        };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// The client's window; none without a terminal.
    pub(super) fn window(&self) -> Option<Window> {
        self.lock().window
    }

    /// The client typed.
    ///
    /// # Errors
    /// It typed so much ahead that the channel has to end: the bytes that nobody got.
    pub(super) fn typed(&self, bytes: &[u8]) -> Result<(), usize> {
        let mut inner = self.lock();
        if inner.deaf {
            return Ok(());
        }
        let Inner { viewer, ahead, most_ahead, .. } = &mut *inner;
        let rest = viewer.as_mut().map_or(bytes, |viewer| viewer.typed(bytes));
        let waits = viewer.as_ref().is_none_or(|viewer| viewer.left.is_some());
        if ahead.len() + rest.len() > *most_ahead {
            return Err(ahead.len() + rest.len());
        }
        ahead.extend_from_slice(rest);
        inner.shut_or_open();
        if waits {
            inner.wake();
        }
        Ok(())
    }

    /// The client types no more.
    pub(super) fn end_of_input(&self) {
        let mut inner = self.lock();
        inner.over = true;
        inner.wake();
    }

    /// From now on lines come, from a program.
    pub(super) fn take_lines(&self) {
        self.lock().wait_no_more(LINES_AHEAD);
    }

    /// Nothing reads by the piece here: whoever types more than a viewer takes is told so.
    pub(super) fn take_little(&self) {
        self.lock().wait_no_more(MOST_AHEAD);
    }

    /// The command is over.
    pub(super) fn read_no_more(&self) {
        let mut inner = self.lock();
        inner.deaf = true;
        inner.ahead = Vec::new();
        inner.wait_no_more(MOST_AHEAD);
    }

    /// The first `most` bytes of what came, as it came; none at its end.
    pub(super) fn poll_some(&self, context: &Context<'_>, most: usize) -> Poll<Option<Vec<u8>>> {
        let mut inner = self.lock();
        if inner.ahead.is_empty() {
            if inner.over {
                return Poll::Ready(None);
            }
            inner.register(context);
            return Poll::Pending;
        }
        let most = most.min(inner.ahead.len());
        let rest = inner.ahead.split_off(most);
        let some = std::mem::replace(&mut inner.ahead, rest);
        inner.shut_or_open();
        Poll::Ready(Some(some))
    }

    /// What came, as it came; none at its end.
    pub(super) fn poll_bytes(&self, context: &Context<'_>) -> Poll<Option<Vec<u8>>> {
        let mut inner = self.lock();
        if !inner.ahead.is_empty() {
            return Poll::Ready(Some(std::mem::take(&mut inner.ahead)));
        }
        if inner.over {
            return Poll::Ready(None);
        }
        inner.register(context);
        Poll::Pending
    }

    /// The client's window changed.
    pub(super) fn resize(&self, window: Window) {
        let mut inner = self.lock();
        if inner.window.is_none() {
            return;
        }
        inner.window = Some(window);
        inner.resized = true;
        match &mut inner.viewer {
            Some(viewer) => viewer.resize(window),
            None => inner.wake(),
        }
    }

    /// From now on what is typed goes to this session, first what was typed ahead.
    pub(super) fn begin_viewing(&self, attachment: Attachment, drives: bool, offset: u64, prefix: Option<Prefix>) {
        let keys = prefix.map(DetachKeys::new);
        let mut viewer = Viewer { attachment, keys, drives, offset, scratch: Vec::new(), left: None };
        let mut inner = self.lock();
        if let Some(window) = inner.window {
            // The window may have changed while the attach was on its way.
            if std::mem::take(&mut inner.resized) {
                viewer.resize(window);
            }
        }
        let ahead = std::mem::take(&mut inner.ahead);
        inner.ahead = viewer.typed(&ahead).to_vec();
        inner.viewer = Some(viewer);
    }

    /// From now on what is typed waits again; the session is left.
    pub(super) fn end_viewing(&self) {
        let viewer = self.lock().viewer.take();
        drop(viewer);
    }

    /// The viewer's next item, or that it leaves.
    pub(super) async fn hear(&self) -> Heard {
        std::future::poll_fn(|context| self.poll_hear(context)).await
    }

    /// What was typed while nobody viewed, or that the window changed.
    pub(super) async fn read(&self) -> Typed {
        std::future::poll_fn(|context| {
            let mut inner = self.lock();
            if inner.ahead.is_empty() && !inner.resized {
                inner.register(context);
                return Poll::Pending;
            }
            let resized = std::mem::take(&mut inner.resized);
            Poll::Ready(Typed { bytes: std::mem::take(&mut inner.ahead), resized })
        })
        .await
    }

    /// What was read and is for whoever reads next.
    pub(super) fn give_back(&self, bytes: &[u8]) {
        self.lock().ahead.splice(..0, bytes.iter().copied());
    }

    /// A frame was written: the next may come.
    pub(super) fn frame_drawn(&self) {
        if let Some(viewer) = &mut self.lock().viewer {
            viewer.attachment.frame_drawn();
        }
    }

    /// The input offset up to which this viewer has sent.
    pub(super) fn sent(&self) -> u64 {
        self.lock().viewer.as_ref().map_or(0, |viewer| viewer.offset)
    }

    fn poll_hear(&self, context: &mut Context<'_>) -> Poll<Heard> {
        let mut inner = self.lock();
        let Some(viewer) = &mut inner.viewer else { return Poll::Pending };
        if let Some(left) = viewer.left.clone() {
            return Poll::Ready(Heard::Left(left));
        }
        match viewer.attachment.poll_item(context) {
            Poll::Ready(item) => Poll::Ready(Heard::Item(item)),
            Poll::Pending => {
                inner.register(context);
                Poll::Pending
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wait_no_more(&mut self, most_ahead: usize) {
        self.most_ahead = most_ahead;
        (self.valve, self.shut) = (None, None);
    }

    fn shut_or_open(&mut self) {
        let is_much = self.ahead.len() >= MOST_AHEAD;
        match &self.valve {
            Some(valve) if is_much && self.shut.is_none() => self.shut = Some(valve.shut()),
            _ if !is_much => self.shut = None,
            _ => {}
        }
    }

    fn register(&mut self, context: &Context<'_>) {
        match &mut self.waker {
            Some(waker) if waker.will_wake(context.waker()) => {}
            other => *other = Some(context.waker().clone()),
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Viewer {
    fn resize(&mut self, window: Window) {
        // A session that cannot be told is about to say that it is gone.
        let _ = self.attachment.resize(window.size, false, Some(window.appearance()));
    }

    /// Gives bytes to the session; returns those behind the detach keys, which are not for it.
    fn typed<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        match &mut self.left {
            Some(Left::Keys) => return bytes,
            // What comes while the viewer is being closed is not delivered either, and counts.
            Some(Left::NotTaken { bytes: lost, .. }) => {
                *lost += bytes.len() as u64;
                return &[];
            }
            None => {}
        }
        let Some(keys) = &mut self.keys else {
            self.give(bytes);
            return &[];
        };
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        let scan = keys.push(bytes, &mut out);
        self.give(&out);
        self.scratch = out;
        match scan {
            Scan::Leave { taken } if self.left.is_none() => {
                self.left = Some(Left::Keys);
                bytes.get(taken..).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// Whoever only looks types into nothing.
    fn give(&mut self, bytes: &[u8]) {
        if !self.drives {
            return;
        }
        for message in bytes.chunks(MESSAGE) {
            let counted = self.attachment.grant().count_input(message.len());
            let taken = counted.and_then(|()| self.attachment.input(self.offset, message, false));
            let length = message.len() as u64;
            match (taken, &mut self.left) {
                (_, Some(Left::NotTaken { bytes, .. })) => *bytes += length,
                // The end of the session is on its way to this viewer.
                (Ok(()) | Err(SessionError::Ended { .. } | SessionError::HostGone), _) => self.offset += length,
                (Err(error), _) => self.left = Some(Left::NotTaken { bytes: length, error }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open(valve: &Valve) -> bool {
        valve.poll_open(&Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_program_that_writes_too_much_waits_until_it_is_taken_or_nobody_will_take_it() {
        let valve = Valve::default();
        let terminal = Terminal::new(None, valve.clone());
        let context = Context::from_waker(Waker::noop());
        terminal.typed(&vec![b'a'; MOST_AHEAD - 1]).unwrap();
        assert!(is_open(&valve));
        terminal.typed(b"bc").unwrap();
        assert!(!is_open(&valve), "no more is read of it");
        let taken = terminal.poll_some(&context, 3);
        assert_eq!(taken, Poll::Ready(Some(b"aaa".to_vec())));
        assert!(is_open(&valve));
        terminal.typed(b"defg").unwrap();
        assert!(!is_open(&valve));
        terminal.read_no_more();
        assert!(is_open(&valve), "the command is over: its connection has others");
        (0..3).for_each(|_| terminal.typed(&vec![b'x'; MOST_AHEAD]).unwrap());
        assert!(is_open(&valve) && terminal.lock().ahead.is_empty());

        let terminal = Terminal::new(None, valve.clone());
        terminal.take_little();
        assert_eq!(terminal.typed(&vec![b'a'; MOST_AHEAD + 1]), Err(MOST_AHEAD + 1), "nothing reads by the piece");
        let terminal = Terminal::new(None, valve.clone());
        terminal.typed(&vec![b'a'; MOST_AHEAD]).unwrap();
        drop(terminal);
        assert!(is_open(&valve), "a channel that is gone");
    }
}
