//! The local client on a terminal and without one: raw mode, coming back, statuses, whom it trusts and with which keys.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::support::place::{ANN, Endpoints, Mode, Place, describe, run};
use crate::support::windows::{Window, Windows};
use crate::support::{eventually, finished};

fn ended(command: &mut Command) -> Output {
    finished(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `ls` of a person who is told nothing but the address: no directory, an own state directory.
fn stranger(place: &Place, gateway: &str, state: &Path) -> Command {
    let mut command = place.command();
    command.args(["ls", "--gateway", gateway, "--user", ANN]).env("XDG_STATE_HOME", state);
    command
}

fn wss(at: &Endpoints) -> String {
    format!("wss://{}", at.https)
}

#[test]
fn the_terminal_is_as_it_was_on_every_way_out() {
    let place = Place::served(Mode::Root);
    let tmux = Windows::new(&place);
    let attach = |name| tmux.open(name, (80, 24), &place.client(&["attach", "main"]));
    let flags = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    place.verb(&["new", "shell", "--name", "main"]);

    let left = attach("left");
    left.until("$");
    left.line("echo term $TERM size $(stty size) $((1+1))");
    left.until("term xterm-256color size 24 80 2");
    // A key that a cooked terminal would take for itself.
    left.line("trap 'echo caught-$((2+2))' INT; echo set-$((2+1))");
    left.until("set-3");
    left.keys(&["C-c"]);
    left.until("caught-4");
    left.keys(&["C-]", "d"]);
    assert_eq!(left.status(), 0);
    assert!(left.screen().contains("left session main; it goes on"), "{}", left.screen());

    let killed = attach("killed");
    killed.until("caught-4");
    let client = eventually("the client's process", || {
        let found = Command::new("pgrep").args(["-nf", &format!("{} attach main", place.program.display())]).output();
        text(&found.unwrap().stdout).trim().parse::<u32>().ok()
    });
    run(Command::new("kill").args(["-TERM", &client.to_string()]));
    assert_eq!(killed.status(), 128 + 15);

    let over = attach("over");
    over.until("caught-4");
    over.line("exit 9");
    assert_eq!(over.status(), 9);
    assert!(over.screen().contains("has ended with status 9"), "{}", over.screen());

    for window in [&left, &killed, &over] {
        let (before, after) = window.modes();
        assert_eq!(flags(&before), flags(&after));
        assert!(before.contains(" echo ") && before.contains("icanon"), "{before}");
        // What is typed now is an ordinary line on an ordinary screen.
        window.line("typed");
        window.until("typed\ntyped");
    }
}

/// What a person reads once the client is gone: the shell's screen, not the other one.
fn left_with(window: &Window<'_>) -> String {
    window.until("[status ");
    assert_eq!(window.format("#{alternate_on}"), "0");
    window.screen()
}

#[test]
fn whoever_looks_through_a_window_of_another_size_is_left_with_the_last_lines() {
    let place = Place::served(Mode::Root);
    let tmux = Windows::new(&place);
    let ssh = |options: &[&str], name| place.ssh(options, &["attach", name]);
    let owner = tmux.open("owner", (80, 24), &place.ssh(&["-tt"], &["new", "shell", "--name", "main"]));
    owner.until("$");
    // Wider and higher, narrower and lower; a person with role own takes the size by typing only.
    let framed = [
        tmux.open("wide", (100, 30), &ssh(&["-tt"], "main")),
        tmux.open("narrow", (40, 10), &ssh(&["-tt"], "main")),
        tmux.open("local", (60, 20), &place.client(&["attach", "main"])),
    ];
    for window in &framed {
        window.until("[main] 80x24");
    }
    // Wide enough for one window to crop; the last word is the shell's.
    owner.line("exec sh -c 'seq 99; echo begin-$((1+1)) $(seq -s. 24)-cropped; exit 7'");
    for window in framed.iter().chain([&owner]) {
        let screen = left_with(window);
        assert!(screen.contains("\nbegin-2 1.2.3."), "{screen}");
        assert!(screen.contains("ended: exit 7]") || screen.contains("has ended with status 7]"), "{screen}");
        assert_eq!(window.status(), 7, "{screen}");
    }
    assert!(framed[0].screen().contains("-cropped\n") && !framed[1].screen().contains("cropped"));

    // The same for whoever comes when all is over, of every size.
    for (name, size) in [("late-wide", (100, 30)), ("late-narrow", (40, 10)), ("late-same", (80, 24))] {
        let window = tmux.open(name, size, &ssh(&["-tt"], "main"));
        let screen = left_with(&window);
        assert!(screen.contains("\nbegin-2 1.2.3.") && screen.contains("[main ended: exit 7]"), "{name}:\n{screen}");
        assert_eq!(window.status(), 7);
    }
    // An agent that says one thing and ends at once: that stands right above its status, in a window of any size.
    let owner = tmux.open("short", (80, 24), &place.ssh(&["-tt"], &["new", "shell", "--name", "short"]));
    owner.until("$");
    let live = tmux.open("short-live", (50, 12), &ssh(&["-tt"], "short"));
    live.until("[short] 80x24");
    owner.line("exec sh -c 'clear; echo only-$((1+1)); exit 5'");
    owner.until("[short ended");
    let late = tmux.open("short-late", (80, 24), &ssh(&["-tt"], "short"));
    let late_wide = tmux.open("short-late-wide", (90, 30), &ssh(&["-tt"], "short"));
    for window in [&owner, &live, &late, &late_wide] {
        let screen = left_with(window);
        assert!(screen.contains("\nonly-2\n[short ended: exit 5]\n"), "{screen}");
    }
    let local = tmux.open("late-local", (60, 20), &place.client(&["attach", "main"]));
    let screen = left_with(&local);
    assert!(screen.contains("\nbegin-2 1.2.3.") && screen.contains("has ended with status 7]"), "{screen}");
}

#[test]
fn a_killed_gateway_costs_neither_screen_nor_typing() {
    let place = Place::served(Mode::Root);
    place.verb(&["new", "shell", "--name", "main"]);
    let tmux = Windows::new(&place);
    let window = tmux.open("main", (80, 24), &place.client(&["attach", "main"]));
    window.until("$");
    for round in 1..=3 {
        window.line(&format!("echo before-{round}-$((1+1))"));
        window.until(&format!("before-{round}-2"));
        let gateway = place.gateway_pid();
        run(Command::new("kill").args(["-9", &gateway.to_string()]));
        // Typed into nothing, and kept.
        window.line(&format!("echo after-{round}-$((1+1))"));
        let screen = window.until(&format!("after-{round}-2"));
        for shown in [format!("\nbefore-{round}-2"), format!("\nafter-{round}-2")] {
            assert_eq!(screen.matches(&shown).count(), 1, "{screen}");
        }
        assert_ne!(place.gateway_pid(), gateway);
    }
    window.keys(&["C-]", "d"]);
    assert_eq!(window.status(), 0);
    // The session read each line once.
    let shown = place.verb(&["show", "main"]);
    assert_eq!(shown.matches("$ echo ").count(), 6, "{shown}");
}

#[test]
fn a_program_that_asks_is_told_the_colours_of_the_caller_s_own_terminal() {
    let place = Place::served(Mode::Root);
    place.verb(&["new", "shell", "--name", "main"]);
    let tmux = Windows::new(&place);
    let mut config = std::fs::File::options().append(true).open(place.root.join("tmux.conf")).unwrap();
    config.write_all(b"set -g window-style bg=#fdf6e3\n").unwrap();
    let window = tmux.open("light", (80, 24), &place.client(&["attach", "main"]));
    window.until("$");
    window.line(
        r"ask() { stty -echo; printf '\e]11;?\a\e[?996n'; read -rsd n -t 9 told; printf '%q=\n' $told; stty echo; }",
    );
    // The answer of the caller's terminal is on its way at first.
    eventually("the colour", || {
        window.line("clear; ask");
        let told = window.until("=\n");
        told.contains(r"rgb:fdfd/f6f6/e3e3\a\E[?997;2").then_some(())
    });
}

#[test]
fn statuses_without_a_terminal() {
    let place = Place::served(Mode::Root);
    place.verb(&["new", "shell", "--name", "main"]);
    for (words, status, wanted) in [
        (&["attach", "none"][..], 1, "none"),
        (&["show", "none"], 1, "none"),
        (&["attach"], 2, "attach NAME"),
        (&["show", "a", "b"], 2, "show NAME"),
        (&["dance"], 1, "dance"),
        (&["attach", "main", "--from", "99999999"], 74, "beyond"),
    ] {
        let output = ended(&mut place.client(words));
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{words:?}: {}", describe(&output));
        assert!(output.stdout.is_empty() && told.contains(wanted), "{words:?}: {}", describe(&output));
    }
    let mut attach = place.client(&["attach", "main", "--from", "start"]);
    let attach = attach.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("a viewer", || place.verb(&["ls", "--json"]).contains("\"viewers\":1").then_some(()));
    place.verb(&["send", "main", "echo once-$((1+1)); kill -KILL $$"]);
    let output = finished(attach);
    assert_eq!(output.status.code(), Some(128 + 9), "{}", describe(&output));
    assert_eq!(text(&output.stdout).matches("once-2\r\n").count(), 1, "{}", describe(&output));
    let nowhere = ended(&mut stranger(&place, "wss://127.0.0.1:1", &place.root.join("state")));
    assert!(
        nowhere.status.code() == Some(1) && text(&nowhere.stderr).contains("127.0.0.1:1"),
        "{}",
        describe(&nowhere)
    );
}

#[test]
fn an_identity_is_kept_at_the_first_meeting_and_a_changed_one_refused() {
    let (place, other) = (Place::served(Mode::Root), Place::served(Mode::Root));
    let (here, there) = (place.endpoints(), other.endpoints());
    let state = place.root.join("state");
    let known = state.join("portcullis/known_gateways");
    let first = ended(&mut stranger(&place, &wss(&here), &state));
    assert!(first.status.success() && text(&first.stderr).contains("is new"), "{}", describe(&first));
    assert!(text(&first.stderr).contains(&here.identity), "{}", describe(&first));
    assert_eq!(std::fs::read_to_string(&known).unwrap(), format!("{} {}\n", wss(&here), here.identity));
    let again = ended(&mut stranger(&place, &wss(&here), &state));
    assert!(again.status.success() && again.stderr.is_empty(), "{}", describe(&again));

    // The other installation where the first was known.
    std::fs::write(&known, format!("{} {}\n", wss(&there), here.identity)).unwrap();
    let logins = |place: &Place| place.audit().len();
    let before = logins(&other);
    let changed = ended(&mut stranger(&other, &wss(&there), &state));
    let told = text(&changed.stderr);
    assert!(changed.status.code() == Some(1) && changed.stdout.is_empty(), "{}", describe(&changed));
    for said in [&here.identity, &there.identity, &known.display().to_string()] {
        assert!(told.contains(said.as_str()), "{said}: {told}");
    }
    let entries = other.audit();
    assert!(
        entries[before..].iter().all(|entry| !entry.to_string().contains("\"ssh-")),
        "a key was offered: {entries:?}"
    );
    assert!(!entries[before..].iter().any(|entry| entry["event"] == "login"), "{entries:?}");
    assert_eq!(std::fs::read_to_string(&known).unwrap(), format!("{} {}\n", wss(&there), here.identity));
    // The cure that it names.
    std::fs::write(&known, "").unwrap();
    let cured = ended(&mut stranger(&other, &wss(&there), &state));
    assert!(cured.status.success(), "{}", describe(&cured));

    // By an endpoints file it is known from the beginning.
    let copy = place.root.join("copy");
    std::fs::create_dir(&copy).unwrap();
    let said = std::fs::read_to_string(place.dir.join("endpoints.json")).unwrap();
    std::fs::write(copy.join("endpoints.json"), said.replace(&here.https, &there.https)).unwrap();
    std::fs::copy(place.dir.join("tls.crt"), copy.join("tls.crt")).unwrap();
    let output = ended(place.command().args(["ls", "--dir"]).arg(&copy));
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{}", describe(&output));
    assert!(text(&output.stderr).contains("somebody may be in between"), "{}", describe(&output));
    std::fs::write(copy.join("endpoints.json"), said).unwrap();
    let output = ended(place.command().args(["ls", "--dir"]).arg(&copy));
    assert!(output.status.success(), "{}", describe(&output));
}

/// An ssh-agent of the test's own.
struct SshAgent(Child);

impl Drop for SshAgent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_key_in_an_agent_is_enough() {
    let place = Place::served(Mode::Root);
    let at = place.endpoints();
    let (socket, home, state) = (place.root.join("agent.sock"), place.root.join("empty"), place.root.join("state"));
    std::fs::create_dir(&home).unwrap();
    let agent = Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    let _agent = SshAgent(agent);
    let add = |key: &Path| {
        eventually("a key in the agent", || {
            let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket).output().unwrap();
            added.status.success().then_some(())
        });
    };
    let ls = || {
        let mut command = stranger(&place, &wss(&at), &state);
        command.env("HOME", &home).env("SSH_AUTH_SOCK", &socket);
        command
    };
    let bare = ended(ls().env_remove("SSH_AUTH_SOCK"));
    assert!(bare.status.code() == Some(1) && text(&bare.stderr).contains("no key"), "{}", describe(&bare));
    // The first one is not listed; the second is tried after it.
    let unknown = place.root.join("unknown");
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&unknown));
    add(&unknown);
    let output = ended(&mut ls());
    assert!(output.status.code() == Some(1) && text(&output.stderr).contains("login refused"), "{}", describe(&output));
    add(Path::new(&at.client_key));
    let output = ended(&mut ls());
    assert!(output.status.success(), "{}", describe(&output));
    // Named by its public half alone.
    let public = home.join("key.pub");
    std::fs::copy(format!("{}.pub", at.client_key), &public).unwrap();
    let output = ended(ls().arg("--key").arg(home.join("key")));
    assert!(output.status.success(), "{}", describe(&output));
}

#[test]
fn refused_logins_have_one_answer_and_their_true_reasons_are_written_down() {
    let place = Place::served(Mode::Root);
    let at = place.endpoints();
    let state = place.root.join("state");
    let unknown = place.root.join("unknown");
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&unknown));
    let ls = |user: &str, key: &Path| {
        let mut command = place.command();
        command.args(["ls", "--gateway", &wss(&at), "--user", user, "--key"]).arg(key).env("XDG_STATE_HOME", &state);
        ended(&mut command)
    };
    let good = Path::new(&at.client_key);
    assert!(ls(ANN, good).status.success());
    let refused = [ls(ANN, &unknown), ls("nobody-here", good), ls("nobody-here", &unknown)];
    for output in &refused {
        assert_eq!(output.status.code(), Some(1), "{}", describe(output));
        assert_eq!(text(&output.stderr), text(&refused[0].stderr));
        assert!(output.stdout.is_empty(), "{}", describe(output));
        assert_eq!(text(&output.stderr).matches("login refused").count(), 1, "{}", describe(output));
    }
    let reasons: Vec<String> =
        place.audit().iter().filter_map(|entry| Some(entry["reason"].as_str()?.to_owned())).collect();
    assert_eq!(reasons.iter().collect::<std::collections::BTreeSet<_>>().len(), 2, "{:?}", place.audit());
    // The person at the server learns whose key it was.
    let fingerprint = run(Command::new("ssh-keygen").arg("-lf").arg(&unknown));
    let fingerprint = fingerprint.split(' ').nth(1).unwrap();
    eventually("a line on the console", || place.console().contains(fingerprint).then_some(()));
}

#[test]
fn help_shows_every_verb_and_a_key_that_others_can_read_is_not_used() {
    let place = Place::served(Mode::Root);
    let help = |words: &[&str]| ended(place.command().args(words));
    let all = help(&["help"]);
    assert!(all.status.success(), "{}", describe(&all));
    for word in ["quickstart", "new AGENT", "attach NAME", "send NAME", "forget NAME"] {
        assert!(text(&all.stdout).contains(word), "{word}: {}", text(&all.stdout));
    }
    assert_eq!(text(&help(&["--help"]).stdout), text(&all.stdout));
    let send = help(&["help", "send"]);
    assert!(text(&send.stdout).contains("--no-enter") && send.status.success(), "{}", describe(&send));
    assert_eq!(text(&help(&["send", "--help"]).stdout), text(&send.stdout));
    assert_eq!(help(&["help", "dance"]).status.code(), Some(2));

    let open = place.root.join("open");
    std::fs::copy(place.endpoints().client_key, &open).unwrap();
    for (mode, good) in [("0600", true), ("0640", false), ("0604", false)] {
        run(Command::new("chmod").arg(mode).arg(&open));
        let output = ended(&mut place.client(&["ls", "--key", open.to_str().unwrap()]));
        assert_eq!(output.status.success(), good, "{mode}: {}", describe(&output));
        assert!(good || text(&output.stderr).contains(&format!("{mode} lets others")), "{}", describe(&output));
    }
}
