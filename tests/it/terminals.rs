//! The repaint of a screen, judged by terminals that others wrote: fed the raw bytes of a real agent up to an offset, and in a
//! second instance the repaint at that offset, they must show the same; and the same again after the rest of the bytes.

use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis::base::WinSize;
use portcullis::screen::Screen;
use portcullis::wire::v1::{self, client_message::Body as Ask, server_message::Body as Say};
use serde_json::{Value, json};

use crate::support::agents::{FakeModel, prepare, unique_word};
use crate::support::client::{Heard, Wss};
use crate::support::place::{Mode, Place, cache, run};
use crate::support::tmux::Tmux;
use crate::support::{HANG, eventually};

const AGENTS: [&str; 2] = ["claude", "opencode"];
const SIZES: [(u16, u16); 3] = [(60, 20), (80, 24), (132, 43)];

fn recordings() -> Vec<(PathBuf, WinSize)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/recordings");
    let all = AGENTS.iter().flat_map(|agent| SIZES.map(|(cols, rows)| (agent, cols, rows)));
    all.map(|(agent, cols, rows)| {
        (folder.join(format!("{agent}-{cols}x{rows}.raw")), WinSize::clamped(cols.into(), rows.into()))
    })
    .collect()
}

/// A recording cut at one offset.
struct Cut {
    what: String,
    size: WinSize,
    before: PathBuf,
    after: PathBuf,
    repaint: PathBuf,
}

/// `pieces` cuts of each recording, evenly, each moved back to where no sequence is open, as files below `folder`.
fn cuts(folder: &Path, pieces: usize) -> Vec<Cut> {
    let mut cuts = Vec::new();
    for (file, size) in recordings() {
        let raw = std::fs::read(&file).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        for piece in 1..=pieces {
            let asked = raw.len() * piece / pieces;
            let mut screen = Screen::new(size);
            let mut at = 0;
            loop {
                let settled = screen.settle([&raw[at..asked], &[]], false, 64 << 10);
                at += settled.consumed;
                if settled.done {
                    break;
                }
            }
            let what = format!("{name}-{at}");
            let written = |kind: &str, bytes: &[u8]| {
                let path = folder.join(format!("{what}.{kind}"));
                std::fs::write(&path, bytes).unwrap();
                path
            };
            let (before, after) = (written("before", &raw[..at]), written("after", &raw[at..]));
            let repaint = written("repaint", &screen.snapshot());
            cuts.push(Cut { what, size, before, after, repaint });
        }
    }
    cuts
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("pc-it-{}", unique_word()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

fn compare(judge: &str, what: &str, raw: &str, repainted: &str) -> Option<String> {
    if raw == repainted {
        return None;
    }
    let lines = raw.lines().zip(repainted.lines()).enumerate().filter(|(_, (raw, repainted))| raw != repainted);
    let lines: Vec<_> =
        lines.map(|(at, (raw, repainted))| format!("  {at} raw      {raw}\n  {at} repaint  {repainted}")).collect();
    Some(format!("{judge}, {what}:\n{}", lines.join("\n")))
}

fn feeds(cut: &Cut) -> [(String, [Vec<&Path>; 2]); 2] {
    [
        (format!("{} at the cut", cut.what), [vec![&cut.before], vec![&cut.repaint]]),
        (format!("{} at the end", cut.what), [vec![&cut.before, &cut.after], vec![&cut.repaint, &cut.after]]),
    ]
}

#[test]
fn xterm_cannot_tell_a_repaint_from_the_raw_bytes() {
    let folder = Folder::new();
    let cuts = cuts(&folder.0, 40);
    let mut jobs = Vec::new();
    let mut pairs = Vec::new();
    for cut in &cuts {
        for (what, two) in feeds(cut) {
            pairs.push(what);
            jobs.extend(two.map(|feed| json!({"cols": cut.size.cols(), "rows": cut.size.rows(), "feed": feed})));
        }
    }
    let file = folder.0.join("jobs.json");
    std::fs::write(&file, Value::from(jobs).to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/xterm.mjs");
    let said = run(Command::new("node").arg(script).arg(cache().join("xterm")).arg(&file));
    let shown: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(shown.len(), pairs.len() * 2);
    let differences: Vec<_> = pairs
        .iter()
        .zip(shown.chunks(2))
        .inspect(|(what, two)| {
            assert!(two.iter().all(|one| one["answered"] == ""), "{what}: the terminal answered: {two:?}")
        })
        .filter_map(|(what, two)| compare("xterm", what, &as_lines(&two[0]), &as_lines(&two[1])))
        .collect();
    assert!(differences.is_empty(), "{} of {} differ\n{}", differences.len(), pairs.len(), differences.join("\n"));
}

fn as_lines(shown: &Value) -> String {
    let mut lines = Vec::new();
    for (name, value) in shown.as_object().unwrap() {
        match value.as_array() {
            Some(rows) if name == "rows" => lines.extend(rows.iter().map(Value::to_string)),
            _ => lines.push(format!("{name} {value}")),
        }
    }
    lines.join("\n")
}

#[test]
fn tmux_cannot_tell_a_repaint_from_the_raw_bytes() {
    let folder = Folder::new();
    let mut differences = Vec::new();
    let mut compared = 0;
    let cuts = cuts(&folder.0, 12);
    let hold = || {
        let mut command = Command::new("sleep");
        command.arg("infinity");
        command
    };
    for (cols, rows) in SIZES {
        let tmux = Tmux::start(cols, rows, &hold());
        for cut in cuts.iter().filter(|cut| (cut.size.cols(), cut.size.rows()) == (cols, rows)) {
            for (what, [raw, repainted]) in feeds(cut) {
                compared += 1;
                differences.extend(compare(
                    "tmux",
                    &what,
                    &shown_by_tmux(&tmux, &raw),
                    &shown_by_tmux(&tmux, &repainted),
                ));
            }
        }
    }
    assert!(differences.is_empty(), "{} of {compared} differ\n{}", differences.len(), differences.join("\n"));
}

/// What a pane shows after these bytes and nothing else.
fn shown_by_tmux(tmux: &Tmux, feed: &[&Path]) -> String {
    let end = unique_word();
    let files: Vec<_> = feed.iter().map(|file| file.display().to_string()).collect();
    // The title comes last, so whoever sees it knows that everything before it was taken in.
    tmux.replace(&format!("stty raw -echo; cat {}; printf '\\033]2;{end}\\007'; exec sleep infinity", files.join(" ")));
    eventually("the pane's title", || (tmux.format("#{pane_title}") == end).then_some(()));
    let state = "cursor #{cursor_x},#{cursor_y} shown #{cursor_flag} alternate #{alternate_on} insert #{insert_flag} keypad #{keypad_flag}/#{keypad_cursor_flag} mouse #{mouse_any_flag}#{mouse_button_flag}#{mouse_sgr_flag} origin #{origin_flag} wrap #{wrap_flag} region #{scroll_region_upper}-#{scroll_region_lower}";
    format!("{}\n{}", tmux.format(state), tmux.cells())
}

/// Makes the recordings anew; tests/foreign/record runs it.
#[tokio::test]
#[ignore = "writes tests/foreign/recordings"]
async fn make_recordings() {
    for (file, size) in recordings() {
        let model = FakeModel::start();
        let mut place = Place::new(Mode::Root);
        prepare(&mut place, &model);
        place.serve();
        let agent = file.file_name().unwrap().to_str().unwrap().split('-').next().unwrap().to_owned();
        let recording = record(&place, &model, &agent, size).await;
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, recording).unwrap();
    }
}

struct Recorder {
    wss: Wss,
    screen: Screen,
    bytes: Vec<u8>,
    fed: usize,
    typed: u64,
}

impl Recorder {
    async fn until(&mut self, wanted: &str) {
        let deadline = tokio::time::Instant::now() + HANG;
        while !self.screen.text().contains(wanted) {
            let heard = tokio::time::timeout_at(deadline, self.wss.next()).await;
            match heard.unwrap_or_else(|_| panic!("{wanted:?} never came; the screen:\n{}", self.screen.text())) {
                Heard::Bytes(frame) => {
                    assert_eq!(frame.offset.0, self.bytes.len() as u64);
                    self.bytes.extend_from_slice(&frame.data);
                }
                Heard::Closed(why) => panic!("closed {why:?} before {wanted:?} on\n{}", self.screen.text()),
                _ => continue,
            }
            self.fed += self.screen.feed_all(&self.bytes[self.fed..]);
        }
    }

    async fn types(&mut self, text: &str) {
        self.wss.input(1, self.typed, text.as_bytes()).await;
        self.typed += text.len() as u64;
    }
}

/// A first screen, prompts and answers with some of everything, a question for permission, Claude's after its refusal.
async fn record(place: &Place, model: &FakeModel, agent: &str, size: WinSize) -> Vec<u8> {
    let mut wss = Wss::login(place).await;
    let grid = v1::Size { cols: size.cols().into(), rows: size.rows().into() };
    let new = v1::NewSession { agent: agent.into(), name: "main".into(), size: Some(grid), ..Default::default() };
    let Say::Session(_) = wss.ask(Ask::New(new)).await else { panic!("no session") };
    let attach = v1::Attach {
        session: "main".into(),
        channel: 1,
        mode: v1::ViewerMode::Exact.into(),
        from_start: true,
        ..Default::default()
    };
    let attached = wss.attach(attach).await;
    assert_eq!(attached.offset, 0);
    let mut recorder = Recorder { wss, screen: Screen::new(size), bytes: Vec::new(), fed: 0, typed: 0 };
    recorder.until(if agent == "claude" { "? for shortcuts" } else { "Ask anything" }).await;
    for (prompt, script, shown) in [
        ("first", "say: **bold** and `code` and 宽字符 and é and 👍 Enough-1", "Enough-1"),
        ("second", "big: 3000;; say: Enough-2", "Enough-2"),
        ("third", "think: deep;; run: mkdir Enough-3", "Enough-3"),
    ] {
        model.answers_next(script);
        recorder.types(prompt).await;
        recorder.until(prompt).await;
        recorder.types("\r").await;
        if !script.contains("run:") {
            recorder.until(shown).await;
        }
    }
    // A question for permission.
    recorder.until(if agent == "claude" { "3. No" } else { "Reject" }).await;
    if agent == "claude" {
        recorder.types("\x1b").await;
        recorder.until("nterrupted").await;
        recorder.types("after").await;
        recorder.until("after").await;
    }
    recorder.bytes
}
