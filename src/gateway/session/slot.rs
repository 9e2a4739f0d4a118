//! One viewer as a state machine: what it gets next, given the short ring. Pure; knows no host and no client socket.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::{Bytes, BytesMut};
use unicode_width::UnicodeWidthChar;

use super::attachment::ViewerItem;
use super::state::wire_size;
use crate::authn::Role;
use crate::base::{Offset, SHARED_RING, WinSize, WriterId};
use crate::replay::SharedRing;
use crate::wire::v1;

/// Log bytes asked of the host at a time: one link frame, so that live frames of others come between.
pub(super) const READ: u64 = 60 * 1024;
/// Structural items that wait for a viewer; one that lets so many pile up is sent away and may come back.
const QUEUE: usize = 256;

/// What a viewer wants of its session's state.
pub(super) struct View<'a> {
    pub(super) ring: Option<&'a SharedRing>,
    pub(super) known_head: Offset,
}

/// What happens next for a viewer.
pub(super) enum Next {
    Item(ViewerItem),
    /// Ask the host for log bytes from here on, then call `reads`.
    CatchUp(Offset),
    /// Ask the host for a repaint, then call `paints`.
    Repaint(&'static str),
    /// Ask the host for the screen's text at its end, then call `leaves_lines`.
    LastLines(Offset),
    Wait,
}

/// Whether a fitted viewer's way of drawing changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fitting {
    Same,
    Framed(WinSize),
    Raw,
}

/// Who a viewer is and how it looks.
pub(super) struct Looks {
    pub(super) who: String,
    pub(super) door: &'static str,
    pub(super) role: Role,
    pub(super) mode: v1::ViewerMode,
    pub(super) window: Option<WinSize>,
    pub(super) hidden: bool,
    /// May type, and did not ask to look only.
    pub(super) drives: bool,
    pub(super) writer: WriterId,
    pub(super) appearance: v1::Appearance,
}

enum Phase {
    /// The attach is still being answered.
    Opening,
    Painting {
        request: u32,
        collected: BytesMut,
        reason: &'static str,
    },
    Painted(ViewerItem),
    Reading {
        asked: Option<u32>,
        pieces: VecDeque<Bytes>,
    },
    Framed {
        collected: BytesMut,
        /// A whole frame.
        ready: Option<Bytes>,
    },
    /// The agent has ended: what stays with a framed viewer is its screen as text, since a frame would go with the
    /// alternate screen; what others have is moved down to where the end is told.
    LastLines {
        request: u32,
        collected: BytesMut,
        framed: bool,
        /// The log's end.
        end: Offset,
    },
    Over,
}

/// See the module.
pub(super) struct Slot {
    pub(super) looks: Looks,
    phase: Phase,
    cursor: Offset,
    /// Attached with a cursor or exact: gets the log from the host's ring as long as that holds it.
    owed: bool,
    /// A screen viewer whose next byte is gone: the next thing is a repaint.
    outrun: bool,
    /// The last lines are where they shall stay.
    has_lines: bool,
    queue: VecDeque<(Offset, ViewerItem)>,
    waker: Option<Waker>,
}

impl Slot {
    pub(super) fn new(looks: Looks) -> Self {
        Self {
            looks,
            phase: Phase::Opening,
            cursor: Offset::ZERO,
            owed: false,
            outrun: false,
            has_lines: false,
            queue: VecDeque::new(),
            waker: None,
        }
    }

    pub(super) fn who(&self) -> &str {
        &self.looks.who
    }

    pub(super) fn cursor(&self) -> Offset {
        self.cursor
    }

    pub(super) fn is_exact(&self) -> bool {
        self.looks.mode == v1::ViewerMode::Exact
    }

    /// Never gets a repaint in place of what it missed.
    pub(super) fn is_lossless(&self) -> bool {
        self.is_exact() || self.looks.mode == v1::ViewerMode::Events
    }

    pub(super) fn is_framed(&self) -> bool {
        matches!(self.phase, Phase::Framed { .. })
    }

    pub(super) fn wants_live(&self) -> bool {
        !matches!(self.phase, Phase::Framed { .. } | Phase::LastLines { .. } | Phase::Over)
    }

    pub(super) fn described(&self) -> v1::Viewer {
        v1::Viewer {
            who: self.looks.who.clone(),
            door: self.looks.door.to_owned(),
            mode: self.looks.mode.into(),
            size: self.looks.window.map(wire_size),
            hidden: self.looks.hidden,
            role: if self.looks.drives { self.looks.role.as_str().to_owned() } else { Role::View.as_str().to_owned() },
        }
    }

    /// The attach is answered: bytes from here on.
    pub(super) fn open_at(&mut self, cursor: Offset, owed: bool, first: Bytes) {
        self.cursor = cursor;
        self.owed = owed;
        let pieces = if first.is_empty() { VecDeque::new() } else { VecDeque::from([first]) };
        self.phase = Phase::Reading { asked: None, pieces };
    }

    /// The attach is answered: this repaint first.
    pub(super) fn open_painted(&mut self, offset: Offset, size: WinSize, data: Bytes, reason: &'static str) {
        self.cursor = offset;
        self.phase = Phase::Painted(ViewerItem::Snapshot { offset, size, data, reason });
    }

    /// From now on the host renders for this viewer's window.
    pub(super) fn frames(&mut self) {
        self.phase = Phase::Framed { collected: BytesMut::new(), ready: None };
    }

    /// A repaint was asked for under this number.
    pub(super) fn paints(&mut self, request: u32, reason: &'static str) {
        self.outrun = false;
        self.phase = Phase::Painting { request, collected: BytesMut::new(), reason };
    }

    /// The agent has ended at this offset; the screen's text was asked for under this number.
    pub(super) fn leaves_lines(&mut self, request: u32, end: Offset) {
        // A viewer that opens has nothing on its screen yet.
        let framed = matches!(self.phase, Phase::Framed { .. } | Phase::Opening);
        self.phase = Phase::LastLines { request, collected: BytesMut::new(), framed, end };
        self.has_lines = true;
    }

    /// Log bytes were asked for under this number.
    pub(super) fn reads(&mut self, request: u32) {
        if let Phase::Reading { asked, .. } = &mut self.phase {
            *asked = Some(request);
        }
    }

    /// Whether a fitted viewer has to change its way of drawing at this grid. Nobody begins to be framed after the end.
    pub(super) fn fitting(&self, grid: WinSize, over: bool) -> Fitting {
        let (v1::ViewerMode::Fitted, Some(window)) = (self.looks.mode, self.looks.window) else { return Fitting::Same };
        match (&self.phase, window == grid) {
            (Phase::Framed { .. }, true) => Fitting::Raw,
            (Phase::Framed { .. }, false) => Fitting::Framed(window),
            (Phase::Reading { .. } | Phase::Painting { .. } | Phase::Painted(_), false) if !over => {
                Fitting::Framed(window)
            }
            _ => Fitting::Same,
        }
    }

    /// Pieces of an answer to `reads`; false when nobody asked any more.
    pub(super) fn read_answer(
        &mut self,
        request: u32,
        at: Offset,
        data: Bytes,
        more: bool,
        lost: Option<(Offset, Offset)>,
    ) {
        let expected = self.cursor.plus(self.pieces_waiting());
        let Phase::Reading { asked, pieces } = &mut self.phase else { return };
        if *asked != Some(request) {
            return;
        }
        if !more {
            *asked = None;
        }
        if lost.is_some() && !self.owed {
            // A screen viewer that even the host's ring has overtaken wants the screen, not what is left of the log.
            self.outrun = true;
        } else if let Some((from, to)) = lost {
            self.queue.push_front((from, ViewerItem::Lost { from, to }));
        } else if at == expected && !data.is_empty() {
            pieces.push_back(data);
        }
        self.wake();
    }

    /// Pieces of an answer to `paints` or `leaves_lines`.
    pub(super) fn paint_answer(&mut self, asked: u32, offset: Offset, size: WinSize, data: &[u8], more: bool) {
        let (request, collected) = match &mut self.phase {
            Phase::Painting { request, collected, .. } | Phase::LastLines { request, collected, .. } => {
                (*request, collected)
            }
            _ => return,
        };
        if request != asked {
            return;
        }
        collected.extend_from_slice(data);
        if more {
            return;
        }
        let data = std::mem::take(collected).freeze();
        match self.phase {
            Phase::Painting { reason, .. } => self.open_painted(offset, size, data, reason),
            Phase::LastLines { end, framed, .. } => {
                let window = self.looks.window.unwrap_or(size);
                let lines = if framed { last_lines(&data, window) } else { moved_down(&data, window) };
                self.open_painted(end.max(offset), size, lines, "ended");
            }
            _ => {}
        }
        self.wake();
    }

    /// Pieces of a rendered frame.
    pub(super) fn frame_answer(&mut self, data: &[u8], more: bool) {
        let Phase::Framed { collected, ready } = &mut self.phase else { return };
        collected.extend_from_slice(data);
        if !more {
            *ready = Some(std::mem::take(collected).freeze());
            self.wake();
        }
    }

    /// A structural item, due when the viewer has got the log up to `at`.
    pub(super) fn push(&mut self, at: Offset, item: ViewerItem) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        if self.queue.len() >= QUEUE {
            self.detach("too-slow", true);
            return;
        }
        self.queue.push_back((at, item));
        self.wake();
    }

    /// The PTY took this viewer's input up to `offset`. The newest acknowledgement replaces one that still waits.
    pub(super) fn push_acknowledgement(&mut self, at: Offset, offset: u64) {
        if let Some((_, ViewerItem::InputTaken { offset: waiting })) = self.queue.back_mut() {
            *waiting = offset;
        } else {
            self.push(at, ViewerItem::InputTaken { offset });
        }
    }

    /// The attachment is over; what is here is still delivered, then this.
    pub(super) fn detach(&mut self, reason: &'static str, resumable: bool) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        if matches!(self.phase, Phase::Opening) {
            self.cursor = Offset::ZERO;
        }
        self.phase = Phase::Over;
        self.queue.push_back((Offset(u64::MAX), ViewerItem::Detached { reason, resumable, offset: self.cursor }));
        self.wake();
    }

    pub(super) fn register(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(known) if known.will_wake(waker) => {}
            other => *other = Some(waker.clone()),
        }
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The next thing for this viewer.
    pub(super) fn next(&mut self, view: &View<'_>) -> Next {
        match self.queue.front() {
            Some((at, item)) if self.is_due(*at, item) => match self.misses_lines(item) {
                true => return Next::LastLines(*at),
                false => return self.pop(),
            },
            _ => {}
        }
        match &mut self.phase {
            Phase::Opening | Phase::Painting { .. } | Phase::LastLines { .. } => Next::Wait,
            Phase::Painted(item) => {
                let item = item.clone();
                self.phase = Phase::Reading { asked: None, pieces: VecDeque::new() };
                Next::Item(item)
            }
            Phase::Framed { ready, .. } => match ready.take() {
                Some(data) => Next::Item(ViewerItem::Frame { data }),
                None => Next::Wait,
            },
            Phase::Reading { .. } => self.next_bytes(view),
            Phase::Over => match self.bytes_here(view) {
                Some(item) => Next::Item(item),
                None if self.queue.is_empty() => Next::Wait,
                None => self.pop(),
            },
        }
    }

    fn next_bytes(&mut self, view: &View<'_>) -> Next {
        if let Some(item) = self.bytes_here(view) {
            return Next::Item(item);
        }
        let Phase::Reading { asked, .. } = &self.phase else { return Next::Wait };
        // Also at the ring's head: output that came while nobody looked never was in the ring.
        let behind = view.known_head.since(self.cursor);
        if asked.is_some() || behind == 0 {
            Next::Wait
        } else if self.outrun {
            Next::Repaint("lagging")
        } else if self.owed || behind <= SHARED_RING as u64 {
            Next::CatchUp(self.cursor)
        } else {
            Next::Repaint("lagging")
        }
    }

    /// Bytes that are at hand, up to the next structural item's place.
    fn bytes_here(&mut self, view: &View<'_>) -> Option<ViewerItem> {
        let due = self.queue.front().map_or(u64::MAX, |(at, _)| at.since(self.cursor));
        let most = usize::try_from(due).unwrap_or(usize::MAX);
        if most == 0 {
            return None;
        }
        let offset = self.cursor;
        let mut data = None;
        if let Phase::Reading { pieces, .. } = &mut self.phase
            && let Some(mut piece) = pieces.pop_front()
        {
            if piece.len() > most {
                pieces.push_front(piece.split_off(most));
            }
            data = Some(piece);
        }
        let data = data.or_else(|| view.ring.and_then(|ring| ring.read(self.cursor, most)))?;
        self.cursor = self.cursor.plus(data.len() as u64);
        if self.owed && !self.is_lossless() && view.ring.is_some_and(|ring| ring.holds(self.cursor)) {
            // It has caught up; from here on it is a screen viewer like any other.
            self.owed = false;
        }
        Some(ViewerItem::Bytes { offset, data })
    }

    fn is_due(&self, at: Offset, item: &ViewerItem) -> bool {
        match &self.phase {
            Phase::Framed { .. } => true,
            Phase::Opening | Phase::Painting { .. } | Phase::LastLines { .. } | Phase::Painted(_) => {
                at <= self.cursor && !matches!(item, ViewerItem::Ended { .. } | ViewerItem::Lost { .. })
            }
            Phase::Reading { .. } | Phase::Over => at <= self.cursor,
        }
    }

    fn misses_lines(&self, item: &ViewerItem) -> bool {
        let fitted = self.looks.mode == v1::ViewerMode::Fitted && self.looks.window.is_some();
        let reads = matches!(self.phase, Phase::Reading { .. });
        matches!(item, ViewerItem::Ended { .. }) && fitted && reads && !self.has_lines
    }

    fn pop(&mut self) -> Next {
        match self.queue.pop_front() {
            Some((_, item)) => {
                if let ViewerItem::Lost { to, .. } = item {
                    self.cursor = self.cursor.max(to);
                }
                Next::Item(item)
            }
            None => Next::Wait,
        }
    }

    fn pieces_waiting(&self) -> u64 {
        match &self.phase {
            Phase::Reading { pieces, .. } => pieces.iter().map(|piece| piece.len() as u64).sum(),
            _ => 0,
        }
    }
}

/// A screen's text on the terminal's own screen: at its bottom, where what is told of the end follows, below what stood there. Colours go with the frame: the host of any age
/// knows its screen as text.
fn last_lines(text: &[u8], window: WinSize) -> Bytes {
    let mut out = b"\x1b[?2026l\x1b[?1049l\x1b[!p\x1b[r\x1b[?7h\x1b(B\x0f\x1b]8;;\x1b\\\x1b[m\x1b[999;1H".to_vec();
    for line in String::from_utf8_lossy(text).lines() {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(cropped(line, usize::from(window.cols())).as_bytes());
    }
    out.into()
}

/// Blank rows above what the screen shows instead of below it: leaving scrolls, and would take the few lines of an agent
/// that ended at once out of sight.
fn moved_down(text: &[u8], window: WinSize) -> Bytes {
    let blank = usize::from(window.rows()).saturating_sub(String::from_utf8_lossy(text).lines().count());
    if blank == 0 { Bytes::new() } else { format!("\x1b[?6l\x1b[r\x1b[m\x1b[H\x1b[{blank}L").into() }
}

/// As many of its characters as have room in so many columns.
fn cropped(line: &str, columns: usize) -> String {
    let mut left = columns;
    let fits = |c: &char| {
        let room = left.checked_sub(c.width().unwrap_or(0));
        left = room.unwrap_or(left);
        room.is_some()
    };
    line.chars().filter(|c| !c.is_control()).take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed() -> Slot {
        let mut slot = Slot::new(Looks {
            who: "somebody".into(),
            door: "ssh",
            role: Role::Own,
            mode: v1::ViewerMode::Fitted,
            window: Some(WinSize::DEFAULT),
            hidden: false,
            drives: true,
            writer: WriterId::from_bytes([1; 16]),
            appearance: v1::Appearance::default(),
        });
        slot.frames();
        slot
    }

    fn next(slot: &mut Slot) -> Option<ViewerItem> {
        match slot.next(&View { ring: None, known_head: Offset(9) }) {
            Next::Item(item) => Some(item),
            _ => None,
        }
    }

    #[test]
    fn the_end_comes_after_the_last_lines_also_when_a_frame_is_on_its_way() {
        let mut slot = framed();
        slot.frame_answer(b"half a ", true);
        slot.leaves_lines(7, Offset(9));
        let (exit, offset) = (v1::Exit::default(), Offset(9));
        slot.push(offset, ViewerItem::Ended { exit: exit.clone(), offset });
        slot.frame_answer(b"frame", false);
        assert_eq!(next(&mut slot), None);
        slot.paint_answer(6, Offset(9), WinSize::DEFAULT, b"of another question", false);
        slot.paint_answer(7, Offset(8), WinSize::DEFAULT, b"one\n\xe6\xbc", true);
        assert_eq!(next(&mut slot), None);
        slot.paint_answer(7, Offset(8), WinSize::DEFAULT, b"\xa2", false);
        let Some(ViewerItem::Snapshot { data, reason: "ended", .. }) = next(&mut slot) else { panic!("no last lines") };
        assert!(data.ends_with("\r\none\r\n漢".as_bytes()), "{data:?}");
        assert_eq!(next(&mut slot), Some(ViewerItem::Ended { exit, offset }));
        // Nothing turns it back into a frame on the screen that is about to be left.
        assert_eq!(slot.fitting(WinSize::clamped(10, 5), true), Fitting::Same);
        assert_ne!(slot.fitting(WinSize::clamped(10, 5), false), Fitting::Same);
    }

    #[test]
    fn last_lines_are_cut_to_the_window_and_say_nothing_else_to_the_terminal() {
        let text = "abcdef\n漢漢漢\n\n\x1b[31mred".as_bytes();
        let lines = last_lines(text, WinSize::clamped(5, 5));
        assert!(lines.ends_with("H\r\nabcde\r\n漢漢\r\n\r\n[31mr".as_bytes()), "{lines:?}");
    }

    #[test]
    fn a_raw_viewer_s_few_lines_are_moved_down_once_and_only_a_person_s() {
        for (mode, moved) in [(v1::ViewerMode::Fitted, true), (v1::ViewerMode::Raw, false)] {
            let mut slot = framed();
            slot.looks.mode = mode;
            slot.open_at(Offset(9), false, Bytes::new());
            let (exit, offset) = (v1::Exit::default(), Offset(9));
            slot.push(offset, ViewerItem::Ended { exit: exit.clone(), offset });
            if moved {
                let asked = slot.next(&View { ring: None, known_head: Offset(9) });
                assert!(matches!(asked, Next::LastLines(Offset(9))));
                slot.leaves_lines(7, Offset(9));
                slot.paint_answer(7, Offset(9), WinSize::DEFAULT, b"one\n\ntwo", false);
                let Some(ViewerItem::Snapshot { data, .. }) = next(&mut slot) else { panic!("nothing moved") };
                let blank = WinSize::DEFAULT.rows() - 3;
                assert!(data.ends_with(format!("\x1b[H\x1b[{blank}L").as_bytes()), "{data:?}");
            }
            assert_eq!(next(&mut slot), Some(ViewerItem::Ended { exit, offset }), "{mode:?}");
        }
        assert!(moved_down(&b"x\n".repeat(99), WinSize::DEFAULT).is_empty());
    }
}
