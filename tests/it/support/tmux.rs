//! A terminal that somebody else wrote: one tmux server of its own, one pane, no status line.

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
        start.args(["-f", "/dev/null", "new-session", "-d", "-x", &cols.to_string(), "-y", &rows.to_string()]);
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

    /// The same with colours and attributes.
    pub fn cells(&self) -> String {
        run(self.command().args(["capture-pane", "-p", "-e", "-N"]))
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
