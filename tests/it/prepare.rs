//! `portcullis prepare`: the real Claude Code asks nothing afterwards where the operator trusts a root, and everything can be taken back.

use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::agents::{FakeModel, prepare};
use crate::support::place::{ANN, BOB, Mode, Place, describe, ids, run};
use crate::support::tmux::Tmux;
use crate::support::{eventually, finished};

/// Makes a directory below which sessions start a trusted one.
fn trust(place: &Place, directory: &Path) {
    let file = place.dir.join("portcullis.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let root = format!("roots = [{{ path = {:?}, trusted = true }}, ", directory.display().to_string());
    let changed = text.replace("roots = [", &root);
    assert_ne!(changed, text);
    std::fs::write(&file, changed).unwrap();
    run(place.client(&["reload"]).stdin(Stdio::null()));
}

/// A directory that is the account's.
fn directory(place: &Place, name: &str) -> PathBuf {
    let path = place.root.join(name);
    std::fs::create_dir(&path).unwrap();
    run(Command::new("chown").arg(ANN).arg(&path));
    path
}

/// Where the account finds the program of its gateway.
fn installed(place: &Place) -> String {
    // One that is being replaced has no command line any more.
    eventually("a gateway from the installed program", || {
        let line = std::fs::read(format!("/proc/{}/cmdline", place.gateway_pid())).ok()?;
        let program = String::from_utf8_lossy(line.split(|byte| *byte == 0).next()?).into_owned();
        program.ends_with("/bin/portcullis").then_some(program)
    })
}

/// `prepare` as an account, with a settings directory and a state directory of the test's.
struct Account<'a> {
    place: &'a Place,
    program: String,
    name: &'a str,
    settings: PathBuf,
}

impl<'a> Account<'a> {
    fn new(place: &'a Place, name: &'a str) -> Self {
        Self { place, program: installed(place), name, settings: directory(place, &format!("settings-of-{name}")) }
    }

    fn command(&self, words: &[&str]) -> Command {
        let (uid, gid) = ids(self.name);
        let mut command = Command::new(&self.program);
        command.arg("prepare").args(words).env_clear().env("HOME", &self.settings).uid(uid).gid(gid).current_dir("/");
        command.env("CLAUDE_CONFIG_DIR", &self.settings).env("XDG_STATE_HOME", self.settings.join("state"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn runs(&self, words: &[&str]) -> Output {
        finished(self.command(words).spawn().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.settings.join(".claude.json")
    }

    fn refused(&self, words: &[&str], why: &str) {
        let output = self.runs(words);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(78) && told.contains(why), "{words:?}: {}", describe(&output));
    }
}

fn json_of(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[test]
fn claude_code_asks_nothing_in_a_trusted_root_once_the_account_is_prepared() {
    let model = FakeModel::start();
    let mut place = Place::new(Mode::Root);
    prepare(&mut place, &model);
    let file = place.root.join("settings/.claude.json");
    std::fs::write(&file, "{\n  \"numStartups\": 7\n}\n").unwrap();
    place.serve();
    let root = directory(&place, "trusted");
    trust(&place, &root);
    let root = root.display().to_string();

    // Without it: the introduction, which ends where the vendor cannot be reached.
    let cold = Tmux::start(100, 40, &place.ssh(&["-tt"], &["new", "claude", &root, "--name", "cold"]));
    cold.until("Unable to connect");

    let shell = Tmux::start(100, 40, &place.ssh(&["-tt"], &["new", "shell", "--name", "shell"]));
    let program = installed(&place);
    let state = place.root.join("settings/state");
    shell.types(&format!("XDG_STATE_HOME={} {program} prepare claude", state.display()));
    shell.presses("Enter");
    let shown = shell.until("Write this? [y/N]");
    let joined = shown.replace('\n', "");
    for said in
        ["hasCompletedOnboarding = true", "hasTrustDialogAccepted = true", "the operator trusts this root", "…ummy"]
    {
        assert!(joined.contains(said), "{said}: {shown}");
    }
    assert!(json_of(&file).get("hasCompletedOnboarding").is_none(), "nothing is written before");
    shell.types("y");
    shell.presses("Enter");
    shell.until("Written.");
    let written = json_of(&file);
    assert_eq!(written["projects"][&root]["hasTrustDialogAccepted"], true);
    assert_eq!(std::fs::metadata(&file).unwrap().uid(), ids(ANN).0);

    let claude = Tmux::start(100, 40, &place.ssh(&["-tt"], &["new", "claude", &root, "--name", "talk"]));
    claude.until("? for shortcuts");

    // Back, also after the program has rewritten its file.
    shell.types(&format!("clear; XDG_STATE_HOME={} {program} prepare claude --undo --yes", state.display()));
    shell.presses("Enter");
    shell.until("Taken back.");
    let back = json_of(&file);
    assert!(back.get("hasCompletedOnboarding").is_none(), "{back}");
    assert_ne!(back["projects"][&root]["hasTrustDialogAccepted"], true, "{back}");
    assert!(back["numStartups"].as_u64().unwrap() >= 7, "{back}");
    assert!(!state.join("portcullis").exists());
}

#[test]
fn it_shows_asks_keeps_what_is_the_persons_and_takes_back_to_the_byte() {
    let mut place = Place::served(Mode::Root);
    place.configure("[agents.claude]\ncommand = \"/bin/true\"\ndriver = \"claude\"\n[agents.code]\ncommand = \"/bin/true\"\ndriver = \"acp\"");
    let root = directory(&place, "trusted");
    trust(&place, &root);
    let ann = Account::new(&place, ANN);

    // Nobody agreed.
    let output = ann.runs(&["claude"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(1) && said.contains("say --yes"), "{}", describe(&output));
    assert!(!ann.file().exists() && !ann.settings.join("state").exists());

    // A file of a person who keeps it elsewhere, who has been asked about this directory before, and has numbers that JSON readers round.
    let real = ann.settings.join("dotfiles.json");
    let text = format!(
        "{{\n  \"big\": 12345678901234567890123,\n  \"theme\": \"light\",\n  \"projects\": {{\n    {:?}: {{\n      \"hasTrustDialogAccepted\": false,\n      \"x\": [ 1,2 ]\n    }}\n  }}\n}}",
        root.display().to_string()
    );
    std::fs::write(&real, &text).unwrap();
    run(Command::new("chown").arg(ANN).arg(&real));
    run(Command::new("chmod").arg("640").arg(&real));
    symlink(&real, ann.file()).unwrap();
    let output = ann.runs(&["claude", "--yes"]);
    assert!(output.status.success(), "{}", describe(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("now false"), "{}", describe(&output));
    let written = std::fs::read_to_string(&real).unwrap();
    assert_eq!(
        written,
        text.replace("false", "true").replace("\n  }\n}", "\n  },\n  \"hasCompletedOnboarding\": true\n}")
    );
    assert_eq!(std::fs::metadata(&real).unwrap().mode() & 0o777, 0o640);
    assert!(ann.file().is_symlink());
    let again = ann.runs(&["claude", "--yes"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("Nothing is missing"), "{}", describe(&again));
    let undone = ann.runs(&["claude", "--undo", "--yes"]);
    assert!(undone.status.success(), "{}", describe(&undone));
    assert_eq!(std::fs::read_to_string(&real).unwrap(), text);
    let undone = ann.runs(&["claude", "--undo", "--yes"]);
    assert!(String::from_utf8_lossy(&undone.stdout).contains("was not prepared here"), "{}", describe(&undone));

    // A file that was made is removed again.
    std::fs::remove_file(ann.file()).unwrap();
    assert!(ann.runs(&["claude", "-y"]).status.success());
    assert_eq!(std::fs::metadata(ann.file()).unwrap().mode() & 0o777, 0o600);
    assert!(ann.runs(&["claude", "--undo", "-y"]).status.success());
    assert!(!ann.file().exists());

    // What it needs is said of others too.
    let other = ann.runs(&["code"]);
    assert!(String::from_utf8_lossy(&other.stdout).contains("needs nothing in the home"), "{}", describe(&other));
}

#[test]
fn what_cannot_be_prepared_is_refused_with_a_word_for_it() {
    let mut place = Place::served(Mode::Root);
    place.configure("[agents.claude]\ncommand = \"/bin/true\"\ndriver = \"claude\"");
    let ann = Account::new(&place, ANN);
    ann.refused(&["gemini"], "there is no agent gemini");
    ann.refused(&["no name"], "name an agent");
    ann.refused(&["claude", "--dir", "/nowhere"], "no gateway that serves");
    for (wrong, why) in [("{\"a\":", "no JSON object"), ("[]", "no JSON object"), ("{\"projects\":[],\"x\":1}", "")] {
        std::fs::write(ann.file(), wrong).unwrap();
        run(Command::new("chown").arg(ANN).arg(ann.file()));
        if !why.is_empty() {
            ann.refused(&["claude", "--yes"], why);
            assert_eq!(std::fs::read_to_string(ann.file()).unwrap(), wrong);
        }
    }
    // With a trusted root, something else stands where the root belongs.
    trust(&place, &ann.settings);
    ann.refused(&["claude", "--yes"], "projects is no object");
    std::fs::write(ann.file(), b"\xff").unwrap();
    ann.refused(&["claude", "--yes"], "UTF-8");
    std::fs::remove_file(ann.file()).unwrap();
    symlink(ann.settings.join("nowhere"), ann.file()).unwrap();
    ann.refused(&["claude", "--yes"], "is a link to nothing");
    // What cannot be written leaves nothing to take back.
    std::fs::remove_file(ann.file()).unwrap();
    let closed = ann.settings.join("closed");
    std::fs::create_dir(&closed).unwrap();
    let mut command = ann.command(&["claude", "--yes"]);
    let output = finished(command.env("CLAUDE_CONFIG_DIR", &closed).spawn().unwrap());
    assert!(output.status.code() == Some(78), "{}", describe(&output));
    assert!(!ann.settings.join("state/portcullis").exists(), "{}", describe(&output));

    // Each account is told of itself alone, and root is none.
    let bob = Account::new(&place, BOB);
    bob.refused(&["claude"], "no gateway that serves pc-test-bob");
    let told = Path::new(&installed(&place)).ancestors().nth(2).unwrap().join("accounts").join(format!("{ANN}.json"));
    let data = std::fs::metadata(&told).unwrap();
    assert_eq!((data.uid(), data.gid(), data.mode() & 0o777), (0, ids(ANN).1, 0o640));
    let mut reads = Command::new("cat");
    let (uid, gid) = ids(BOB);
    assert!(!reads.arg(&told).uid(uid).gid(gid).output().unwrap().status.success());
    let root = place.command().args(["prepare", "claude"]).output().unwrap();
    assert!(String::from_utf8_lossy(&root.stderr).contains("never run as root"), "{}", describe(&root));
}

#[test]
fn who_runs_a_gateway_alone_prepares_in_the_same_way() {
    let mut place = Place::served(Mode::SingleUser);
    place.configure("[agents.claude]\ncommand = \"/bin/true\"\ndriver = \"claude\"");
    let settings = place.home.join("claude");
    let line = |words: &[&str]| {
        let mut command = place.client(&["prepare", "claude"]);
        command.args(words).env("CLAUDE_CONFIG_DIR", &settings).env("XDG_STATE_HOME", place.home.join("state"));
        run(command.stdin(Stdio::null()))
    };
    std::fs::create_dir(&settings).unwrap();
    run(Command::new("chown").arg(ANN).arg(&settings));
    line(&["--yes"]);
    assert_eq!(json_of(&settings.join(".claude.json")), json!({ "hasCompletedOnboarding": true }));
    line(&["--undo", "--yes"]);
    assert!(!settings.join(".claude.json").exists());
}
