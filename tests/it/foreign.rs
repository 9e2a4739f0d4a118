//! A client written from docs/protocol.md alone and the stock ssh on one session; what ran in it tells what arrived.

use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::{Value, json};

use crate::support::place::{ANN, Mode, Place, cache, children, ids, run};
use crate::support::tmux::Tmux;
use crate::support::{eventually, place};

/// tests/foreign/client.py, driven line by line.
struct Foreign {
    child: Child,
    notes: Lines<BufReader<ChildStderr>>,
}

impl Foreign {
    fn start(place: &Place, session: &str) -> Self {
        let at = place.endpoints();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/client.py");
        let mut command = Command::new(cache().join("venv/bin/python"));
        command.arg(script).args([
            "--url",
            &format!("wss://{}", at.https),
            "--key",
            &at.client_key,
            "--user",
            &at.account,
        ]);
        command.arg("--cafile").arg(place.dir.join("tls.crt")).args(["--session", session, "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let notes = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut this = Self { child, notes };
        assert_eq!(this.note()["ready"]["account"], ANN);
        this
    }

    fn note(&mut self) -> Value {
        let line = self.notes.next().expect("the foreign client ended").unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| {
            let rest: Vec<_> = self.notes.by_ref().map_while(Result::ok).collect();
            panic!("{line}\n{}", rest.join("\n"))
        })
    }

    /// One command, done; what it said besides.
    fn does(&mut self, words: &[&str]) -> Vec<Value> {
        let mut stdin = self.child.stdin.as_ref().unwrap();
        stdin.write_all(format!("{}\n", words.join("\n")).as_bytes()).unwrap();
        let mut said = Vec::new();
        loop {
            let note = self.note();
            if note["ok"] == words[0] {
                return said;
            }
            said.push(note);
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The file that the program in the session writes.
struct Oracle(PathBuf);

impl Oracle {
    fn entries(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn read(&self) -> String {
        let pieces = self.entries();
        let hex: String = pieces.iter().filter_map(|entry| entry["read"].as_str()).collect();
        let digits: Vec<_> = hex.bytes().map(|digit| char::from(digit).to_digit(16).unwrap() as u8).collect();
        digits.chunks(2).map(|pair| char::from(pair[0] << 4 | pair[1])).collect()
    }

    fn last_size(&self) -> Value {
        self.entries()
            .iter()
            .rev()
            .find(|entry| !entry["size"].is_null())
            .map_or(Value::Null, |entry| entry["size"].clone())
    }

    fn until_read(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        eventually(what, || Some(self.read()).filter(|text| wanted(text)))
    }
}

/// A session in which the witness runs, and the ssh client that started it.
fn witnessed(place: &Place) -> (Tmux, Oracle) {
    let folder = place.root.join("witness");
    std::fs::create_dir(&folder).unwrap();
    run(Command::new("chown").arg(ANN).arg(&folder));
    let script = folder.join("witness.py");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/witness.py"), &script).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let ssh = Tmux::start(100, 30, &place.ssh(&["-tt"], &["new", "shell", "--name", "main"]));
    ssh.until("$");
    let oracle = Oracle(folder.join("saw"));
    ssh.types(&format!("exec python3 {} {}\r", script.display(), oracle.0.display()));
    ssh.until("witness-ready");
    (ssh, oracle)
}

#[test]
fn both_clients_type_into_one_terminal_and_the_one_who_types_has_its_size() {
    let place = Place::served(Mode::Root);
    let (ssh, oracle) = witnessed(&place);
    let first = oracle.entries().remove(0);
    assert_eq!((&first["uid"], &first["size"]), (&json!(ids(ANN).0), &json!([100, 30])));
    let pid = first["pid"].as_u64().unwrap() as u32;
    assert!(children(place.host_pids()[0]).contains(&pid), "the witness is the session's own program");
    let tty = std::fs::read_link(format!("/proc/{pid}/fd/0")).unwrap();
    assert_eq!(first["tty"], tty.display().to_string());

    let mut foreign = Foreign::start(&place, "main");
    let attached = foreign.does(&["attach", "60x20"]).remove(0);
    assert_eq!(attached["attached"]["size"], json!({"cols": 100, "rows": 30}), "looking alone takes no size");
    ssh.types("from ssh;");
    oracle.until_read("what ssh typed", |text| text == "from ssh;");
    foreign.does(&["send", "from wss;!"]);
    foreign.does(&["until", "read-19"]);
    ssh.until("read-19");
    assert_eq!(oracle.read(), "from ssh;from wss;!");

    // Whoever types takes the size, though not right after somebody else typed: so until it is so.
    let mut typed = oracle.read();
    eventually("the foreign client's size", || {
        foreign.does(&["send", "w"]);
        typed.push('w');
        (oracle.last_size() == json!([60, 20])).then_some(())
    });
    foreign.does(&["resize", "70x22"]);
    eventually("the owner's new size", || (oracle.last_size() == json!([70, 22])).then_some(()));
    // The window of somebody else's terminal is that person's affair.
    ssh.resize(90, 28);
    eventually("ssh's size", || {
        ssh.types("s");
        typed.push('s');
        (oracle.last_size() == json!([90, 28])).then_some(())
    });
    let arrived = oracle.until_read("all of it", |text| text.len() >= typed.len());
    assert_eq!(arrived, typed);
}

#[test]
fn what_two_type_at_once_arrives_whole_and_each_in_order() {
    let place = Place::served(Mode::Root);
    let (ssh, oracle) = witnessed(&place);
    let mut foreign = Foreign::start(&place, "main");
    foreign.does(&["attach", "raw"]);
    let records = |start: char, end: char| -> Vec<String> { (0..400).map(|n| format!("{start}{n:04}{end}")).collect() };
    let (by_wss, by_ssh) = (records('(', ')').join(""), records('<', '>').join(""));
    std::thread::scope(|both| {
        both.spawn(|| records('<', '>').chunks(20).for_each(|some| ssh.types(&some.join(""))));
        records('(', ')').iter().for_each(|one| drop(foreign.does(&["send", one])));
    });
    let arrived = oracle.until_read("everything", |text| text.len() >= by_ssh.len() + by_wss.len());
    // A message of wss is written whole; ssh may cut between any two bytes.
    let (mut wss, mut rest, mut inside) = (String::new(), String::new(), false);
    for letter in arrived.chars() {
        inside |= letter == '(';
        if inside {
            wss.push(letter)
        } else {
            rest.push(letter)
        }
        inside &= letter != ')';
    }
    assert_eq!(wss, by_wss);
    assert_eq!(rest, by_ssh);
    foreign.does(&["send", "\\x04"]);
    let ended = foreign.does(&["ended"]).remove(0);
    assert_eq!(ended, json!({"status": {"code": 3}}));
    // Its status is the agent's, as other tests of the ssh door hold; tmux sometimes never reaps it.
    eventually("ssh's end", || (ssh.format("#{pane_dead}") == "1").then_some(()));
    assert!(place::processes().iter().all(|pid| !place::arguments(*pid).contains(&oracle.0.display().to_string())));
}
