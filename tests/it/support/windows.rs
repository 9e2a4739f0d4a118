//! Windows as people have them: tmux on a server of the test's own, with programs in windows of any size.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use super::eventually;
use super::place::{Place, run};

/// A tmux server; ends with its windows.
pub struct Windows {
    root: PathBuf,
}

/// A window and what ran in it.
pub struct Window<'a> {
    tmux: &'a Windows,
    name: &'static str,
}

impl Windows {
    pub fn new(place: &Place) -> Self {
        let config = "set -g status off\nset -s escape-time 0\nset -g default-terminal tmux-256color\n";
        std::fs::write(place.root.join("tmux.conf"), config).unwrap();
        Self { root: place.root.clone() }
    }

    /// Runs a command in a new window. After its end the window shows `[status N]` and then only what is typed.
    pub fn open(&self, name: &'static str, (cols, rows): (u16, u16), command: &Command) -> Window<'_> {
        let root = self.root.display();
        let script = format!(
            "trap : INT; stty -a >{root}/{name}.before; {}; echo \"[status $?]\"; stty -a >{root}/{name}.after; exec cat",
            shell_line(command)
        );
        let (cols, rows) = (cols.to_string(), rows.to_string());
        let mut tmux = self.tmux();
        run(tmux.args(["new-session", "-d", "-s", name, "-x", &cols, "-y", &rows, "--", "sh", "-c", &script]));
        Window { tmux: self, name }
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-S").arg(self.root.join("tmux.sock")).arg("-f").arg(self.root.join("tmux.conf"));
        command.env_remove("TMUX").env("LANG", "C.UTF-8");
        command
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let names = self.tmux().args(["list-sessions", "-F", "#{session_name}"]).output();
            for name in String::from_utf8_lossy(&names.map(|output| output.stdout).unwrap_or_default()).lines() {
                let shown = self.tmux().args(["capture-pane", "-p", "-t", name]).output();
                let shown = shown.map(|output| output.stdout).unwrap_or_default();
                eprintln!("window {name}:\n{}", String::from_utf8_lossy(&shown).trim_end());
            }
        }
        let _ = self.tmux().arg("kill-server").output();
    }
}

impl Window<'_> {
    /// What a person would see.
    pub fn screen(&self) -> String {
        run(self.tmux.tmux().args(["capture-pane", "-p", "-t", self.name]))
    }

    /// Waits until it shows a text.
    pub fn until(&self, wanted: &str) -> String {
        eventually(&format!("{wanted:?} in window {}", self.name), || {
            Some(self.screen()).filter(|screen| screen.contains(wanted))
        })
    }

    /// A format of tmux.
    pub fn format(&self, format: &str) -> String {
        run(self.tmux.tmux().args(["display-message", "-p", "-t", self.name, format])).trim_end().to_owned()
    }

    /// The last row.
    pub fn last_row(&self) -> String {
        self.screen().lines().last().unwrap_or_default().trim_end().to_owned()
    }

    /// Types characters as they are.
    pub fn text(&self, text: &str) {
        run(self.tmux.tmux().args(["send-keys", "-t", self.name, "-l", "--", text]));
    }

    /// Presses keys by tmux's names.
    pub fn keys(&self, keys: &[&str]) {
        run(self.tmux.tmux().args(["send-keys", "-t", self.name]).args(keys));
    }

    /// A line, then Enter.
    pub fn line(&self, text: &str) {
        self.text(text);
        self.keys(&["Enter"]);
    }

    /// Another size.
    pub fn resize(&self, cols: u16, rows: u16) {
        let (cols, rows) = (cols.to_string(), rows.to_string());
        run(self.tmux.tmux().args(["resize-window", "-t", self.name, "-x", &cols, "-y", &rows]));
    }

    /// Closes the terminal.
    pub fn close(&self) {
        run(self.tmux.tmux().args(["kill-session", "-t", self.name]));
    }

    /// Waits for the command's end; its status as the shell has it.
    pub fn status(&self) -> i32 {
        let screen = self.until("[status ");
        let (_, after) = screen.rsplit_once("[status ").unwrap();
        after.split(']').next().unwrap().parse().unwrap()
    }

    /// `stty -a` before and after the command.
    pub fn modes(&self) -> (String, String) {
        let read = |when: &str| std::fs::read_to_string(self.tmux.root.join(format!("{}.{when}", self.name))).ok();
        let after = eventually("the terminal's modes after", || read("after").filter(|text| text.contains("extproc")));
        (read("before").unwrap(), after)
    }
}

/// As a shell takes it: only the command's own environment, and the window's TERM.
fn shell_line(command: &Command) -> String {
    let quoted = |word: &OsStr| shlex::try_quote(word.to_str().unwrap()).unwrap().into_owned();
    let mut words = vec!["env -i TERM=\"$TERM\" LANG=C.UTF-8 PATH=/usr/bin:/bin".to_owned()];
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!("{}={}", name.to_str().unwrap(), quoted(value)));
        }
    }
    words.push(quoted(command.get_program()));
    words.extend(command.get_args().map(quoted));
    words.join(" ")
}
