//! What framed viewers and questions see of a screen that changes, with time as a number.

use super::*;
use crate::base::FRAME_INTERVAL;
use crate::wire::v1::FrameData;

/// The longest that a framed viewer waits for what the program said last.
const LAST_FRAME: Duration = Duration::from_millis(150);

/// A viewer whose terminal is an engine of its own.
struct Watcher {
    rig: Rig,
    terminal: crate::screen::Screen,
    heard: Vec<u8>,
}

impl Watcher {
    fn new() -> Self {
        let mut rig = Rig::linked(HOST_RING);
        rig.say(to_host::Body::Fit(Fit { viewer: 4, cols: 20, rows: 5, status: "st".into() }));
        rig.say(to_host::Body::NextFrame(NextFrame { viewer: 4, full: true }));
        Self { rig, terminal: crate::screen::Screen::new(WinSize::clamped(20, 5)), heard: Vec::new() }
    }

    /// Draws what comes and asks for more, until nothing comes before `time` is over.
    fn watch(&mut self, time: Duration) {
        let end = self.rig.now.at + time;
        loop {
            self.rig.work();
            for frame in self.rig.controls().into_iter().filter_map(frame) {
                self.terminal.feed_all(&frame.data);
                self.heard.extend_from_slice(&frame.data);
                self.rig.say(to_host::Body::NextFrame(NextFrame { viewer: 4, full: false }));
            }
            match self.rig.core.deadline(self.rig.now).filter(|at| *at <= end) {
                Some(at) => self.rig.pass(at - self.rig.now.at),
                None => break,
            }
        }
        self.rig.pass(end - self.rig.now.at);
    }

    fn first_row(&self) -> String {
        self.terminal.text().lines().next().unwrap_or_default().to_owned()
    }

    fn bells(&self) -> usize {
        self.heard.iter().filter(|byte| **byte == 0x07).count()
    }
}

fn frame(body: Body) -> Option<FrameData> {
    match body {
        Body::Frame(frame) => Some(frame),
        _ => None,
    }
}

fn text(rig: &mut Rig, request: u32) {
    rig.say(to_host::Body::Snapshot(TakeSnapshot { request, kind: SnapshotKind::Text.into(), history: 0 }));
    rig.work();
}

fn texts(rig: &mut Rig) -> Vec<String> {
    let snapshots = rig.controls().into_iter().filter_map(|body| match body {
        Body::Snapshot(snapshot) => Some(String::from_utf8_lossy(&snapshot.data).into_owned()),
        _ => None,
    });
    snapshots.collect()
}

#[test]
fn a_picture_shows_the_last_whole_frame_and_an_open_one_only_when_it_stays_open() {
    let mut rig = Rig::linked(HOST_RING);
    rig.print(b"\x1b[?2026hwhole\x1b[?2026l\x1b[?2026h\x1b[2Khalf");
    text(&mut rig, 1);
    assert_eq!(texts(&mut rig), ["whole"]);
    rig.pass(LAST_FRAME);
    text(&mut rig, 2);
    assert_eq!(texts(&mut rig), ["     half"], "so long nobody waits");
    // The engine is inside the frame now: what is asked waits for its end, or for as long as before.
    rig.print(b"\x1b[?2026l\x1b[?2026h\r\x1b[Kother");
    rig.say(to_host::Body::Size(SetSize { cols: 40, rows: 10, owner: String::new() }));
    text(&mut rig, 3);
    assert_eq!(texts(&mut rig), [""; 0]);
    let again = rig.core.deadline(rig.now).unwrap();
    assert!(again > rig.now.at && again <= rig.now.at + LAST_FRAME);
    rig.print(b" end\x1b[?2026l");
    rig.work();
    assert_eq!(texts(&mut rig), ["other end"]);
}

#[test]
fn the_end_of_a_burst_reaches_a_framed_viewer_within_150_ms() {
    let mut watcher = Watcher::new();
    for record in 0..500 {
        watcher.rig.print(format!("\x1b[?2026h\x1b[H\x1b[2Krecord {record}").as_bytes());
        watcher.watch(Duration::from_millis(1));
        // The next frame begins with the byte after: nobody ever finds the screen between two.
        watcher.rig.print(format!(" ok\x1b[?2026l\x1b[?2026h\x1b[H\x1b[2Ktorn {record}\x1b[?2026l").as_bytes());
        watcher.rig.print(format!("\x1b[?2026h\x1b[H\x1b[2Krecord {record} ok\x1b[?2026l").as_bytes());
        assert!(!watcher.first_row().starts_with("torn"), "half a frame was shown");
    }
    watcher.watch(LAST_FRAME);
    assert_eq!(watcher.first_row(), "record 499 ok");
    // The same when the burst ends inside a frame that nobody closes.
    watcher.rig.print(b"\x1b[?2026h\x1b[H\x1b[2Kleft open");
    watcher.watch(FRAME_INTERVAL);
    assert_eq!(watcher.first_row(), "record 499 ok");
    watcher.watch(LAST_FRAME - FRAME_INTERVAL);
    assert_eq!(watcher.first_row(), "left open");
}

#[test]
fn titles_and_bells_reach_a_framed_viewer_and_notifications_do_not() {
    let mut watcher = Watcher::new();
    watcher.rig.print(b"\x1b]2;first\x07text");
    watcher.watch(LAST_FRAME);
    assert_eq!((watcher.terminal.state().title.as_str(), watcher.bells()), ("first", 0));
    watcher.rig.print(b"\x07\x07");
    watcher.watch(LAST_FRAME);
    assert_eq!(watcher.bells(), 1, "bells between two frames are one");
    watcher.rig.print(b"\x1b]9;look\x07\x1b]0;se\xc2\x9bcond\x1b\\");
    watcher.watch(LAST_FRAME);
    assert_eq!((watcher.terminal.state().title.as_str(), watcher.bells()), ("second", 1));
    watcher.heard.clear();
    watcher.rig.print(b"more");
    watcher.watch(LAST_FRAME);
    let heard = watcher.heard.escape_ascii().to_string();
    assert!(heard.contains("more") && !heard.contains("second") && !heard.contains("x07"), "{heard}");
}

#[test]
fn the_last_picture_is_marked_as_such() {
    let mut rig = Rig::linked(HOST_RING);
    rig.say(to_host::Body::Fit(Fit { viewer: 4, cols: 20, rows: 5, status: "st".into() }));
    rig.say(to_host::Body::NextFrame(NextFrame { viewer: 4, full: true }));
    rig.print(b"before");
    rig.work();
    rig.print(b" and after");
    rig.apply(Event::Exited(Exit::default()));
    rig.apply(Event::OutputClosed);
    rig.say(to_host::Body::NextFrame(NextFrame { viewer: 4, full: true }));
    rig.pass(FRAME_INTERVAL);
    rig.work();
    let frames: Vec<_> = rig.controls().into_iter().filter_map(frame).collect();
    assert_eq!(frames.iter().map(|frame| frame.last).collect::<Vec<_>>(), [false, true]);
    assert!(frames.iter().all(|frame| !frame.more));
}

#[test]
fn fitted_frames_come_when_drawn_and_changed_and_not_too_often() {
    let mut rig = Rig::linked(HOST_RING);
    rig.say(to_host::Body::Fit(Fit { viewer: 4, cols: 20, rows: 5, status: "st".into() }));
    rig.print(b"one");
    let next = || to_host::Body::NextFrame(NextFrame { viewer: 4, full: false });
    let frames = |rig: &mut Rig| {
        rig.work();
        rig.controls().into_iter().filter(|body| matches!(body, Body::Frame(_))).count()
    };
    assert_eq!(frames(&mut rig), 0, "not asked for");
    rig.say(next());
    assert_eq!(frames(&mut rig), 1);
    rig.say(next());
    assert_eq!(frames(&mut rig), 0, "unchanged");
    assert_eq!(rig.core.jobs.deadline(&rig.core.ring, &rig.core.settler, rig.now.at), None, "and no timer runs for it");
    rig.print(b"two");
    assert_eq!(frames(&mut rig), 0, "too early");
    rig.pass(crate::base::FRAME_INTERVAL);
    assert_eq!(frames(&mut rig), 1);
    rig.pass(Duration::from_secs(1));
    rig.print(b"three");
    assert_eq!(frames(&mut rig), 0, "the last one is not drawn yet");
}
