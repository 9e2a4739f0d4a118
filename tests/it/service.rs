//! The two units of deploy/: valid for systemd, made of our own words, and working apart from each other.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::place::{Mode, Place, describe, read_lines, run};
use crate::support::{HANG, eventually};

fn unit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// What a unit runs, without the path of the program.
fn commands(name: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(unit(name)).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("ExecStart").and_then(|line| line.split_once('=')));
    lines.map(|(_, words)| words.split(' ').skip(2).map(str::to_owned).collect()).collect()
}

#[test]
fn systemd_takes_both_units() {
    for name in ["portcullis-spawner.service", "portcullis-gateway.service"] {
        let output = Command::new("systemd-analyze").arg("verify").arg(unit(name)).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{name}: {}", describe(&output));
    }
}

/// One half, ended with the test.
struct Half(Child);

impl Half {
    fn end(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).output();
        let _ = self.0.wait();
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.end();
    }
}

/// The unit's command in this place: the system's paths become its own.
fn half(place: &Place, words: &[String], user: Option<&str>) -> Half {
    let words = words.iter().map(|word| match word.as_str() {
        "/etc/portcullis/portcullis.toml" => place.dir.join("portcullis.toml"),
        "/run/portcullis" => place.dir.join("run"),
        word => word.into(),
    });
    let words: Vec<PathBuf> = words.collect();
    let mut command = match user {
        None => Command::new(&place.program),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", user, "--regid", user, "--clear-groups", "--"]).arg(&place.program);
            command
        }
    };
    command.args(words).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
    if user.is_none() {
        command.arg("--dir").arg(&place.dir);
        command.args(["--https", "127.0.0.1:0", "--ssh", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    }
    let console = std::fs::File::options().append(true).create(true).open(place.root.join("console")).unwrap();
    Half(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(console).spawn().unwrap())
}

/// Both, once the front half has told the back half that it is ready.
fn halves(place: &Place, serve: &[String], gateway: &[String]) -> (Half, Half) {
    let socket = place.dir.join("run/spawner.sock");
    let _ = std::fs::remove_file(&socket);
    let mut back = half(place, serve, None);
    let said = read_lines(back.0.stdout.take().unwrap());
    eventually("the back half's socket", || socket.exists().then_some(()));
    let front = half(place, gateway, Some("portcullis"));
    let line = said.recv_timeout(HANG).unwrap_or_else(|why| format!("{why}"));
    assert!(line.starts_with("serving: "), "{line:?} {}", place.console());
    (back, front)
}

#[test]
fn the_halves_run_apart_and_either_may_be_replaced() {
    let mut place = Place::served(Mode::Root);
    place.stop_serving();
    let [check, serve] = &commands("portcullis-spawner.service")[..] else { panic!("two commands") };
    let [gateway] = &commands("portcullis-gateway.service")[..] else { panic!("one command") };
    assert!(check.contains(&"check".to_owned()));
    assert!(half(&place, check, None).0.wait().unwrap().success(), "{}", place.console());

    let (mut back, mut front) = halves(&place, serve, gateway);
    let ssh = |words: &[&str]| run(&mut place.ssh(&[], words));
    assert_eq!(ssh(&["new", "shell", "--name", "main"]), "main\n");
    // A new front half on the same listeners: whoever connects meanwhile waits.
    front.end();
    let mut front = half(&place, gateway, Some("portcullis"));
    assert!(ssh(&["ls"]).contains("main"));
    // A new back half adopts the sessions.
    back.end();
    front.end();
    let _halves = halves(&place, serve, gateway);
    ssh(&["send", "main", "echo word-$((40+2))"]);
    eventually("the session answers", || ssh(&["show", "main"]).contains("word-42").then_some(()));
    ssh(&["kill", "main"]);
    ssh(&["forget", "main"]);
}
