//! A terminal that somebody else wrote: one tmux server of its own, one pane, no status line.

use std::collections::BTreeMap;
use std::process::Command;

use super::place::run;
use super::{agents::unique_word, eventually};

/// Ended with what runs in it when dropped.
pub struct Tmux {
    name: String,
}

impl Tmux {
    /// A pane of exactly this size in which `words` run.
    pub fn start(cols: u16, rows: u16, words: &Command) -> Self {
        let this = Self { name: format!("pc-it-{}", unique_word()) };
        let line: Vec<_> = std::iter::once(words.get_program())
            .chain(words.get_args())
            .map(|word| quoted(&word.to_string_lossy()))
            .collect();
        let mut start = this.command();
        // More rows than a test lets scroll away.
        start.args(["-f", "/dev/null", "start-server", ";", "set", "-g", "history-limit", "200000", ";"]);
        start.args(["new-session", "-d", "-x", &cols.to_string(), "-y", &rows.to_string()]);
        // What ran stays to be read when it ends.
        start.arg(format!("exec {}", line.join(" "))).args([";", "set", "status", "off"]);
        start.args([
            ";",
            "set",
            "-g",
            "remain-on-exit",
            "on",
            ";",
            "resize-window",
            "-x",
            &cols.to_string(),
            "-y",
            &rows.to_string(),
        ]);
        run(start.env_remove("SSH_AUTH_SOCK").env_remove("TMUX").env("LANG", "C.UTF-8").env("TERM", "xterm-256color"));
        this
    }

    /// Keys of a keyboard.
    pub fn types(&self, text: &str) {
        // A semicolon at the end would end the command instead.
        let text = match text.strip_suffix(';') {
            Some(rest) => format!("{rest}\\;"),
            None => text.to_owned(),
        };
        run(self.command().args(["send-keys", "-l", "--", &text]));
    }

    /// One named key.
    pub fn presses(&self, key: &str) {
        run(self.command().args(["send-keys", key]));
    }

    /// The person pulls the window.
    pub fn resize(&self, cols: u16, rows: u16) {
        run(self.command().args(["resize-window", "-x", &cols.to_string(), "-y", &rows.to_string()]));
    }

    /// What stands on the screen.
    pub fn text(&self) -> String {
        run(self.command().args(["capture-pane", "-p"]))
    }

    /// The same with all that has scrolled away and is still kept.
    pub fn history(&self) -> String {
        run(self.command().args(["capture-pane", "-p", "-S", "-"]))
    }

    /// What stands on the screen with colours and attributes, one line for each row. Plain blanks at the end of a row are
    /// left out: whether they were printed or are what an erased row has, nobody can see.
    pub fn cells(&self) -> String {
        rows(&run(self.command().args(["capture-pane", "-p", "-e", "-N"])))
    }

    /// A format of tmux.
    pub fn format(&self, format: &str) -> String {
        run(self.command().args(["display-message", "-p", format])).trim_end_matches('\n').to_owned()
    }

    /// Waits until a text stands on the screen; the screen.
    pub fn until(&self, wanted: &str) -> String {
        let last = std::cell::RefCell::new(String::new());
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(wanted, || {
                let text = self.text();
                let found = text.contains(wanted);
                last.replace(text);
                found.then_some(())
            });
        }));
        let last = last.into_inner();
        assert!(found.is_ok(), "{wanted:?} never came; the screen:\n{last}");
        last
    }

    /// Another program in a blank pane of the same size.
    pub fn replace(&self, shell: &str) {
        run(self.command().args(["respawn-pane", "-k", shell]));
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.name]);
        command
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.command().arg("kill-server").output();
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// What `capture-pane -e` wrote, with the whole pen before each run instead of its changes.
fn rows(captured: &str) -> String {
    let mut pen = BTreeMap::new();
    let mut rows = Vec::new();
    for line in captured.lines() {
        let mut runs: Vec<(String, String)> = Vec::new();
        let mut pieces = line.split("\x1b[");
        let first = pieces.next().map(|text| ("", text));
        let changes = pieces.map(|piece| piece.split_once('m').unwrap_or_else(|| panic!("{piece:?} in {line:?}")));
        for (at, (change, text)) in first.into_iter().chain(changes).enumerate() {
            if at > 0 {
                apply(&mut pen, change);
            }
            let now = pen.values().cloned().collect::<Vec<_>>().join(" ");
            match runs.last_mut() {
                Some((same, so_far)) if *same == now => so_far.push_str(text),
                _ if text.is_empty() => {}
                _ => runs.push((now, text.to_owned())),
            }
        }
        // Background, underline, inverse, strike and overline are seen on a blank too.
        let is_plain = |pen: &str| {
            pen.split(' ').all(|one| one.is_empty() || ["fg", "1", "2", "3"].iter().any(|start| one.starts_with(start)))
        };
        while let Some((_, text)) = runs.last_mut().filter(|(pen, _)| is_plain(pen)) {
            text.truncate(text.trim_end_matches(' ').len());
            if !text.is_empty() {
                break;
            }
            runs.pop();
        }
        rows.push(format!("{runs:?}"));
    }
    rows.join("\n")
}

/// Parameters of one SGR. tmux takes attributes back only by a reset.
fn apply(pen: &mut BTreeMap<String, String>, change: &str) {
    let mut parameters = change.split(';');
    while let Some(parameter) = parameters.next() {
        let number = parameter.parse().unwrap_or(u16::MAX);
        let color = |pen: &mut BTreeMap<String, String>, layer: &str, value: String| {
            pen.insert(layer.into(), format!("{layer}={value}"));
        };
        match number {
            0 => pen.clear(),
            38 | 48 | 58 => {
                let layer = match number {
                    38 => "fg",
                    48 => "bg",
                    _ => "line",
                };
                let kind = parameters.next().unwrap_or_default();
                let count = if kind == "2" { 3 } else { 1 };
                let value: Vec<_> = parameters.by_ref().take(count).collect();
                color(pen, layer, format!("{kind}:{}", value.join(",")));
            }
            39 => drop(pen.remove("fg")),
            49 => drop(pen.remove("bg")),
            30..=37 | 90..=97 => color(pen, "fg", parameter.into()),
            40..=47 | 100..=107 => color(pen, "bg", parameter.into()),
            _ => drop(pen.insert(parameter.into(), parameter.into())),
        }
    }
}
