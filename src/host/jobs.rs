//! Questions about the screen that take time: snapshots, history, fitted frames, each in slices of a millisecond; does no I/O.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::outbox::{Answer, Outbox};
use super::settler::{HistoryStart, Settler};
use crate::base::{FRAME_INTERVAL, HISTORY_LINES, Offset, WinSize};
use crate::replay::Ring;
use crate::screen::{FittedView, HistoryJob};
use crate::wire::v1::{SnapshotData, SnapshotKind};

/// Bytes fed to a history job in one slice.
const SLICE: usize = 64 * 1024;
/// Questions that may wait: a hundred viewers that attach at once.
const WAITING: usize = 128;
/// Fitted viewers of one session.
const VIEWERS: usize = 128;
/// A picture shows the screen as it was when the program began the frame that it has open, unless that is so long ago
/// (screen.md, recommended design 13).
const OPEN_FRAME: Duration = Duration::from_millis(150);
/// A flood may overtake a history job so often before it is answered with nothing.
const TRIES: u8 = 3;

/// A question of the gateway.
pub(super) struct Question {
    pub(super) request: u32,
    pub(super) kind: SnapshotKind,
    pub(super) history: u32,
}

/// All that waits.
#[derive(Default)]
pub(super) struct Jobs {
    questions: VecDeque<Question>,
    histories: VecDeque<HistoryRun>,
    fitted: Vec<Fitted>,
    open_frame: Option<OpenFrame>,
    /// The agent has ended and all it said is known: what is drawn now is the last picture.
    over: bool,
}

/// A synchronized frame that the program has begun and not ended.
struct OpenFrame {
    at: Offset,
    until: Instant,
}

struct HistoryRun {
    request: u32,
    lines: u32,
    /// The screen that comes after the lines, if it was asked for.
    screen: Vec<u8>,
    size: WinSize,
    until: Offset,
    tries: u8,
    /// Line feeds promise more lines than redraws leave: then from the oldest checkpoint.
    from_oldest: bool,
    walk: Option<Walk>,
    found: Vec<u8>,
}

struct Walk {
    job: HistoryJob,
    next: Offset,
    resizes: VecDeque<(Offset, WinSize)>,
}

struct Fitted {
    viewer: u32,
    window: WinSize,
    status: String,
    view: FittedView,
    wanted: Option<bool>,
    /// A bell that its terminal has not heard.
    bell: bool,
    /// What the picture shows and grid at the last look; none when the status or window changed since.
    seen: Option<(Offset, WinSize)>,
    earliest: Instant,
}

impl Jobs {
    /// Queues a question; false when too many wait.
    pub(super) fn ask(&mut self, request: u32, kind: SnapshotKind, history: u32) -> bool {
        let room = self.questions.len() + self.histories.len() < WAITING;
        if room {
            self.questions.push_back(Question { request, kind, history: history.min(HISTORY_LINES) });
        }
        room
    }

    /// Sets a viewer's window; false when there are too many viewers.
    pub(super) fn fit(&mut self, viewer: u32, window: WinSize, status: String, now: Instant) -> bool {
        let room = self.fitted.len() < VIEWERS;
        match self.fitted.iter_mut().find(|fitted| fitted.viewer == viewer) {
            Some(fitted) => {
                if fitted.window != window {
                    fitted.view = FittedView::new(window);
                    fitted.window = window;
                    fitted.wanted = fitted.wanted.map(|_| true);
                }
                fitted.status = status;
                fitted.seen = None;
            }
            None if !room => return false,
            None => {
                let view = FittedView::new(window);
                let (wanted, seen, bell) = (None, None, false);
                self.fitted.push(Fitted { viewer, window, status, view, wanted, bell, seen, earliest: now });
            }
        }
        true
    }

    pub(super) fn unfit(&mut self, viewer: u32) {
        self.fitted.retain(|fitted| fitted.viewer != viewer);
    }

    /// The viewer has drawn its last frame.
    pub(super) fn want_frame(&mut self, viewer: u32, full: bool) {
        if let Some(fitted) = self.fitted.iter_mut().find(|fitted| fitted.viewer == viewer) {
            fitted.wanted = Some(full || fitted.wanted == Some(true));
            if full {
                fitted.seen = None;
            }
        }
    }

    /// The bell rang: framed viewers get no bytes that would ring it.
    pub(super) fn ring_bell(&mut self) {
        self.fitted.iter_mut().for_each(|fitted| fitted.bell = true);
    }

    /// The program began a synchronized frame there.
    pub(super) fn frame_began(&mut self, at: Offset, now: Instant) {
        self.open_frame.get_or_insert(OpenFrame { at, until: now + OPEN_FRAME });
    }

    /// The frame is whole.
    pub(super) fn frame_ended(&mut self) {
        self.open_frame = None;
    }

    /// Nothing more will be said.
    pub(super) fn finish(&mut self) {
        self.open_frame = None;
        self.over = true;
    }

    /// Whether a slice would do something now.
    pub(super) fn is_ready(&self, ring: &Ring, settler: &Settler, now: Instant) -> bool {
        !self.histories.is_empty() || self.target(ring, settler, now).is_some_and(|at| self.is_asked(at, settler, now))
    }

    /// When to look again although nothing happened.
    pub(super) fn deadline(&self, ring: &Ring, settler: &Settler, now: Instant) -> Option<Instant> {
        let (grid, target) = (settler.size(), self.target(ring, settler, now));
        let changed = |at| self.fitted.iter().filter(move |fitted| fitted.is_changed(at, grid));
        let frames = target.and_then(|at| changed(at).map(|fitted| fitted.earliest).min());
        let waits = (target.is_none() && !self.questions.is_empty()) || changed(ring.head()).next().is_some();
        let open = self.open_frame.as_ref().map(|open| open.until).filter(|until| waits && *until > now);
        frames.into_iter().chain(open).min()
    }

    /// One slice of work.
    pub(super) fn slice(&mut self, settler: &mut Settler, ring: &Ring, outbox: &mut Outbox, now: Instant) {
        let target = self.target(ring, settler, now).filter(|at| self.is_asked(*at, settler, now));
        if let Some(at) = target {
            if !settler.is_settled_to(at) {
                settler.slice_to(ring, at);
            } else if let Some(question) = self.questions.pop_front() {
                self.answer(&question, settler, ring, outbox);
            } else {
                self.draw(at, settler, outbox, now);
            }
        } else if let Some(run) = self.histories.front_mut()
            && run.walk(settler, ring)
            && let Some(run) = self.histories.pop_front()
        {
            run.finish(outbox);
        }
    }

    /// Nobody is left who asked.
    pub(super) fn clear(&mut self) {
        (self.questions, self.histories, self.fitted) = Default::default();
    }

    /// Up to where pictures show the log now; none while the engine is inside an open frame.
    fn target(&self, ring: &Ring, settler: &Settler, now: Instant) -> Option<Offset> {
        match &self.open_frame {
            Some(open) if open.until > now => (settler.parsed() <= open.at).then_some(open.at),
            _ => Some(ring.head()),
        }
    }

    fn is_asked(&self, at: Offset, settler: &Settler, now: Instant) -> bool {
        !self.questions.is_empty() || self.fitted.iter().any(|fitted| fitted.is_due(at, settler.size(), now))
    }

    fn answer(&mut self, question: &Question, settler: &mut Settler, ring: &Ring, outbox: &mut Outbox) {
        let (size, offset) = (settler.size(), settler.parsed());
        let screen = match question.kind {
            SnapshotKind::Text => settler.screen().text().into_bytes(),
            SnapshotKind::History => Vec::new(),
            SnapshotKind::Repaint => settler.screen().repaint(),
            SnapshotKind::Screen | SnapshotKind::Unspecified => settler.screen().snapshot(),
        };
        let run = HistoryRun {
            request: question.request,
            lines: question.history,
            screen,
            size,
            until: offset,
            tries: TRIES,
            from_oldest: false,
            walk: None,
            found: Vec::new(),
        };
        if question.kind == SnapshotKind::Text || question.history == 0 {
            run.finish(outbox);
        } else if ring.head() > Offset::ZERO {
            self.histories.push_back(run);
        } else {
            run.finish(outbox);
        }
    }

    fn draw(&mut self, at: Offset, settler: &mut Settler, outbox: &mut Outbox, now: Instant) {
        let grid = settler.size();
        let Some(fitted) = self.fitted.iter_mut().find(|fitted| fitted.is_due(at, grid, now)) else { return };
        let full = fitted.wanted == Some(true);
        fitted.seen = Some((at, grid));
        let mut frame = fitted.view.frame(settler.screen(), &fitted.status, full).unwrap_or_default();
        if std::mem::take(&mut fitted.bell) {
            frame.push(0x07);
        }
        if !frame.is_empty() {
            fitted.wanted = None;
            fitted.earliest = now + FRAME_INTERVAL;
            outbox.answer(Answer::Frame { viewer: fitted.viewer, last: self.over }, frame);
        }
    }
}

impl Fitted {
    fn is_changed(&self, at: Offset, grid: WinSize) -> bool {
        self.wanted.is_some() && (self.bell || self.seen != Some((at, grid)))
    }

    fn is_due(&self, at: Offset, grid: WinSize, now: Instant) -> bool {
        self.is_changed(at, grid) && self.earliest <= now
    }
}

impl HistoryRun {
    /// One slice; true when the job is over.
    fn walk(&mut self, settler: &mut Settler, ring: &Ring) -> bool {
        if self.walk.as_ref().is_none_or(|walk| walk.next < ring.tail()) {
            if self.tries == 0 {
                return true;
            }
            self.tries -= 1;
            let enough = if self.from_oldest { u64::MAX } else { self.lines.into() };
            let Some(start) = settler.history_start(ring, enough, self.until) else { return true };
            self.from_oldest |= start.is_oldest;
            self.walk = Some(Walk::new(start, self.lines));
            return false;
        }
        let Some(walk) = &mut self.walk else { return true };
        let resize_at = walk.resizes.front().map_or(self.until, |(at, _)| *at);
        let piece = ring.piece(walk.next, (resize_at.since(walk.next) as usize).min(SLICE));
        walk.job.feed(piece);
        walk.next = walk.next.plus(piece.len() as u64);
        while walk.resizes.front().is_some_and(|(at, _)| *at <= walk.next)
            && let Some((_, size)) = walk.resizes.pop_front()
        {
            walk.job.resize(size);
        }
        if walk.next < self.until {
            return false;
        }
        self.found = self.walk.take().map(|walk| walk.job.finish()).unwrap_or_default();
        let lines = self.found.iter().filter(|byte| **byte == b'\n').count();
        let enough = self.from_oldest || lines >= self.lines as usize;
        self.from_oldest = true;
        enough
    }

    fn finish(self, outbox: &mut Outbox) {
        let mut data = self.found;
        data.extend_from_slice(&self.screen);
        let (cols, rows) = (u32::from(self.size.cols()), u32::from(self.size.rows()));
        let offset = self.until.0;
        let message = SnapshotData { request: self.request, offset, cols, rows, ..SnapshotData::default() };
        outbox.answer(Answer::Snapshot(message), data);
    }
}

impl Walk {
    fn new(start: HistoryStart, lines: u32) -> Self {
        Self { job: HistoryJob::new(&start.checkpoint, lines), next: start.at, resizes: start.resizes }
    }
}
