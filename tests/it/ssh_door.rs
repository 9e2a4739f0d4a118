//! The ssh door with the stock client: verbs and their statuses, streams, terminals in tmux, the picker, what is refused.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output, Stdio};

use sha2::{Digest, Sha256};

use crate::support::place::{Mode, Place, describe, is_alive};
use crate::support::windows::{Window, Windows};
use crate::support::{HANG, eventually, finished};

/// A command over ssh without a terminal, run to its end.
fn over(place: &Place, options: &[&str], words: &[&str]) -> Output {
    let mut command = place.ssh(options, words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finished(command.spawn().unwrap())
}

/// The same; its output must be good.
fn good(place: &Place, words: &[&str]) -> String {
    let output = over(place, &["-T"], words);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {}", describe(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Status and standard error of a command that must say nothing on standard output.
fn bad(place: &Place, words: &[&str]) -> (Option<i32>, String) {
    let output = over(place, &["-T"], words);
    assert!(output.stdout.is_empty(), "{words:?}: {}", describe(&output));
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn shows(place: &Place, name: &str, wanted: &str) {
    eventually(wanted, || good(place, &["show", name]).contains(wanted).then_some(()));
}

fn piped(place: &Place, words: &[&str]) -> Child {
    let mut command = place.ssh(&["-T"], words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// So many bytes of its output; none if it ends before.
fn first(child: &mut Child, bytes: usize) -> Option<Vec<u8>> {
    let mut stdout = child.stdout.take().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut stream = vec![0; bytes];
        sender.send(stdout.read_exact(&mut stream).is_ok().then_some(stream))
    });
    receiver.recv_timeout(HANG).expect("neither output nor its end")
}

/// How many look at a session.
fn viewers(place: &Place, name: &str) -> u64 {
    let list: serde_json::Value = serde_json::from_str(&good(place, &["ls", "--json"])).unwrap();
    let session = list.as_array().unwrap().iter().find(|session| session["name"] == name).unwrap();
    session["viewers"].as_u64().unwrap()
}

#[test]
fn every_verb_has_its_answer_and_status() {
    let place = Place::served(Mode::Root);
    assert!(good(&place, &["ls"]).starts_with("no sessions"));
    assert_eq!(good(&place, &["new", "shell", "--name", "main"]), "main\n");
    let list: serde_json::Value = serde_json::from_str(&good(&place, &["ls", "--json"])).unwrap();
    assert_eq!(
        (&list[0]["name"], &list[0]["agent"], &list[0]["state"]),
        (&"main".into(), &"shell".into(), &"running".into())
    );
    assert!(good(&place, &["ls"]).lines().any(|line| line.starts_with("main ") && line.contains("running")));

    good(&place, &["send", "main", "'echo sent-$((20+3))'"]);
    shows(&place, "main", "sent-23");
    good(&place, &["send", "main", "--no-enter", "'echo half-$((1+1))'"]);
    // The rest of the same line; after an Enter it would be none.
    good(&place, &["send", "main", "'; echo rest-$((2+2))'"]);
    shows(&place, "main", "half-2\nrest-4");

    good(&place, &["rename", "main", "other"]);
    let (status, told) = bad(&place, &["show", "main"]);
    assert!(status == Some(1) && told.contains("main") && told.lines().count() == 1, "{status:?} {told}");
    let (status, told) = bad(&place, &["new", "shell", "--name", "other"]);
    assert!(status == Some(1) && told.contains("other"), "{status:?} {told}");
    assert!(good(&place, &["restart", "other"]).contains("restarted"));
    eventually("an empty screen after the restart", || {
        (!good(&place, &["show", "other"]).contains("sent-23")).then_some(())
    });
    let (status, told) = bad(&place, &["forget", "other"]);
    assert!(status == Some(1) && told.contains("kill"), "a live session was forgotten: {status:?} {told}");
    assert!(good(&place, &["kill", "other"]).contains("signal HUP"));
    assert!(good(&place, &["ls"]).contains("signal HUP"));
    good(&place, &["forget", "other"]);
    assert!(good(&place, &["ls"]).starts_with("no sessions"));

    assert!(good(&place, &["help"]).contains("attach NAME"));
    assert!(good(&place, &["help", "send"]).starts_with("send NAME"));
}

#[test]
fn what_makes_no_sense_is_told_on_stderr() {
    let place = Place::served(Mode::Root);
    let (status, told) = bad(&place, &[]);
    assert!(status == Some(2) && told.contains("attach NAME"), "no verb, no terminal: {status:?} {told}");
    let (status, told) = bad(&place, &["shell"]);
    assert!(status == Some(2) && told.contains("ssh -t"), "{status:?} {told}");
    assert!(good(&place, &["ls"]).starts_with("no sessions"), "`shell` without a terminal started something");
    for words in [&["ls", "extra"][..], &["attach"], &["attach", "a", "--from", "x"], &["send", "'"], &["new"]] {
        let (status, told) = bad(&place, words);
        assert!(status == Some(2) && told.starts_with("portcullis: "), "{words:?}: {status:?} {told}");
    }
    for words in
        [&["attach", "none"][..], &["nonesuch"], &["kill", "none"], &["new", "shell", "/etc"], &["new", "gone"]]
    {
        let (status, told) = bad(&place, words);
        assert!(status == Some(1) && told.lines().count() == 1, "{words:?}: {status:?} {told}");
    }
}

#[test]
fn a_pipe_gets_every_byte_from_the_live_head_or_from_the_start() {
    let place = Place::served(Mode::Root);
    good(&place, &["new", "shell", "--name", "main"]);
    good(&place, &["send", "main", "'echo early-$((1+1))'"]);
    shows(&place, "main", "early-2");
    let live = piped(&place, &["attach", "main"]);
    let all = piped(&place, &["attach", "main", "--from", "start"]);
    eventually("two viewers", || (viewers(&place, "main") == 2).then_some(()));
    good(&place, &["send", "main", "'echo late-$((1+1)); exit 7'"]);
    let (live, all) = (finished(live), finished(all));
    for output in [&live, &all] {
        assert_eq!(output.status.code(), Some(7), "{}", describe(output));
        assert!(output.stderr.is_empty(), "{}", describe(output));
        assert!(String::from_utf8_lossy(&output.stdout).contains("late-2\r\n"), "{}", describe(output));
    }
    assert!(!String::from_utf8_lossy(&live.stdout).contains("early-2"), "{}", describe(&live));
    assert!(String::from_utf8_lossy(&all.stdout).contains("early-2\r\n"));
    assert!(all.stdout.ends_with(&live.stdout), "the two streams differ in what both saw");
    // Whoever comes after the end gets what is held, and the status.
    let late = over(&place, &["-T"], &["attach", "main", "--from", "start"]);
    assert_eq!((late.status.code(), late.stdout), (Some(7), all.stdout));
}

#[test]
fn what_the_ring_has_lost_is_stated_exactly() {
    let mut place = Place::new(Mode::Root);
    place.environment.push(("PORTCULLIS_SESSIONS__RING_BYTES".into(), "65536".into()));
    place.serve();
    good(&place, &["new", "shell", "--name", "main"]);
    let mut all = piped(&place, &["attach", "main", "--from", "start"]);
    eventually("a viewer", || (viewers(&place, "main") == 1).then_some(()));
    good(&place, &["send", "main", "'seq -w 1 30000; exit 3'"]);
    // One that keeps up has all of it: what all that follows is measured against.
    let mut whole = Vec::new();
    all.stdout.take().unwrap().read_to_end(&mut whole).unwrap();
    let output = finished(all);
    assert_eq!(output.status.code(), Some(3), "{}", describe(&output));
    assert!(String::from_utf8_lossy(&whole).contains("\r\n30000\r\n") && whole.len() > 200_000);

    let held = over(&place, &["-T"], &["attach", "main", "--from", "start"]);
    assert_eq!(held.status.code(), Some(3), "{}", describe(&held));
    let told = String::from_utf8_lossy(&held.stderr).into_owned();
    let lost: usize = told.split(' ').find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{told}"));
    assert!(lost > 0 && told.contains("bytes before offset"), "{told}");
    assert_eq!(lost + held.stdout.len(), whole.len(), "{told}");
    assert!(whole.ends_with(&held.stdout));

    let (status, told) = bad(&place, &["attach", "main", "--from", "0"]);
    assert!(status == Some(74) && told.contains(&format!("{lost} bytes are lost at offset 0")), "{status:?} {told}");
    let (status, told) = bad(&place, &["attach", "main", "--from", "9999999"]);
    assert!(status == Some(74) && told.contains("9999999"), "{status:?} {told}");
    let at = lost + 100;
    let rest = over(&place, &["-T"], &["attach", "main", "--from", &at.to_string()]);
    assert_eq!(rest.status.code(), Some(3), "{}", describe(&rest));
    assert!(rest.stdout == whole[at..] && rest.stderr.is_empty());
}

#[test]
fn from_the_start_of_a_flooding_session_nothing_more_is_lost() {
    let mut place = Place::new(Mode::Root);
    place.environment.push(("PORTCULLIS_SESSIONS__RING_BYTES".into(), "65536".into()));
    place.serve();
    good(&place, &["new", "shell", "--name", "main"]);
    good(&place, &["send", "main", "'stty -echo; clear; exec seq -w 1 999999999'"]);
    shows(&place, "main", "\n000");
    for round in 1..=5 {
        // The ring is full and turns all the time: a sole reader that may drive holds it from its first moment.
        eventually("nobody else", || (viewers(&place, "main") == 0).then_some(()));
        let mut all = piped(&place, &["attach", "main", "--from", "start"]);
        let stream = first(&mut all, 1 << 20);
        all.kill().unwrap();
        let told = String::from_utf8_lossy(&finished(all).stderr).into_owned();
        let stream = stream.unwrap_or_else(|| panic!("round {round}: {told}"));
        assert!(told.contains("bytes before offset") && told.lines().count() == 1, "round {round}: {told}");
        let text = String::from_utf8(stream).unwrap();
        let numbers: Vec<u64> = text.split("\r\n").skip(1).filter_map(|line| line.parse().ok()).collect();
        let whole = numbers.windows(2).take(numbers.len() - 2).all(|pair| pair[1] == pair[0] + 1);
        assert!(numbers.len() > 90_000 && whole, "round {round}: {} numbers", numbers.len());
    }
}

#[test]
fn a_signal_that_ended_the_agent_reaches_the_client() {
    let place = Place::served(Mode::Root);
    good(&place, &["new", "shell", "--name", "main"]);
    let mut attach = place.ssh(&["-T", "-v"], &["attach", "main"]);
    let attach = attach.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("a viewer", || (viewers(&place, "main") == 1).then_some(()));
    good(&place, &["kill", "main"]);
    let output = finished(attach);
    // OpenSSH's client has no status of its own for exit-signal; that it came is in its log.
    assert_eq!(output.status.code(), Some(255), "{}", describe(&output));
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.contains("rtype exit-signal"), "no exit-signal in ssh's log: {log}");
}

#[test]
fn piped_input_arrives_byte_for_byte() {
    let place = Place::served(Mode::Root);
    good(&place, &["new", "shell", "--name", "main"]);
    // All byte values, the keys that leave a session and ssh's escape at the beginning of a line among them.
    let mut bytes: Vec<u8> = (0..200_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    bytes[100_000..100_009].copy_from_slice(b"\x1d\x1d\x1dd\r\n~.\n");
    let line = format!("'stty raw -echo; echo ready-$((1+1)); head -c {} | sha256sum; stty sane; exit'", bytes.len());
    good(&place, &["send", "main", &line]);
    shows(&place, "main", "ready-2");
    let mut attach = piped(&place, &["attach", "main"]);
    let mut input = attach.stdin.take().unwrap();
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || input.write_all(&sent).map(|()| input));
    let output = finished(attach);
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(String::from_utf8_lossy(&output.stdout).contains(&hash), "{}", describe(&output));
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    writer.join().unwrap().unwrap();
}

#[test]
fn nothing_is_forwarded() {
    let place = Place::served(Mode::Root);
    let admin = place.endpoints().admin;
    // The port is there: without ssh it answers.
    let mut direct = std::net::TcpStream::connect(&admin).unwrap();
    direct.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    direct.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");

    let output = over(&place, &["-W", &admin], &[]);
    assert!(!output.status.success() && output.stdout.is_empty(), "{}", describe(&output));

    let socket = place.root.join("forward.sock");
    let forward = format!("{}:{admin}", socket.display());
    let mut command = place.ssh(&["-N", "-L", &forward], &[]);
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let mut through = eventually("ssh's listener", || UnixStream::connect(&socket).ok());
    let _ = through.write_all(b"GET /healthz HTTP/1.0\r\n\r\n");
    let mut answer = Vec::new();
    let _ = through.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    assert!(child.try_wait().unwrap().is_none(), "a refused forwarding ends no connection");
    child.kill().unwrap();
    child.wait().unwrap();

    let remote = ["-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:0:127.0.0.1:1"];
    let output = over(&place, &remote, &["ls"]);
    assert_eq!(output.status.code(), Some(255), "{}", describe(&output));
    let output = over(&place, &remote[2..], &["ls"]);
    assert_eq!(output.status.code(), Some(0), "the verb itself works: {}", describe(&output));
    let output = over(&place, &["-s"], &["sftp"]);
    assert!(output.status.code() == Some(255) && output.stdout.is_empty(), "{}", describe(&output));
}

#[test]
fn two_windows_of_different_sizes_on_one_session() {
    let place = Place::served(Mode::Root);
    good(&place, &["new", "shell", "--name", "main"]);
    let tmux = Windows::new(&place);
    let large = tmux.open("large", (100, 30), &place.ssh(&["-t"], &["attach", "main"]));
    eventually("a viewer", || (viewers(&place, "main") == 1).then_some(()));
    large.line("echo size $(stty size) $((1+1))");
    large.until("size 30 100 2");
    let small = tmux.open("small", (60, 20), &place.ssh(&["-t"], &["attach", "main"]));
    small.until("[main] 100x30");
    assert!(small.last_row().starts_with("[main] 100x30"), "{}", small.screen());
    assert!(small.screen().contains("size 30 100 2"), "{}", small.screen());
    // Its first key may come too soon after the other's last one: a person goes on typing.
    eventually("the small window's size", || {
        small.keys(&["Enter"]);
        large.last_row().starts_with("[main] 60x20").then_some(())
    });
    small.line("echo size $(stty size) $((1+2))");
    small.until("size 20 60 3");
    large.until("size 20 60 3");

    // Leaving gives the size to who remains.
    small.keys(&["C-]", "d"]);
    assert_eq!(small.status(), 0);
    assert!(small.screen().contains("detached from main"), "{}", small.screen());
    eventually("the large window's size", || (!large.screen().contains("[main]")).then_some(()));
    large.line("echo size $(stty size) $((2+2))");
    large.until("size 30 100 4");
    // And its own size follows the window.
    large.resize(90, 25);
    eventually("the session's new size", || {
        let list = good(&place, &["ls", "--json"]);
        list.contains("\"size\":{\"cols\":90,\"rows\":25}").then_some(())
    });
    // Twice is once for the program.
    large.line("echo cat-$((1+1)); cat -v");
    large.until("cat-2");
    large.keys(&["C-]", "C-]"]);
    large.line("end");
    let screen = large.until("^]end\n^]end");
    assert!(!screen.contains("^]^]"), "{screen}");
    large.keys(&["C-]", "d"]);
    assert_eq!(large.status(), 0);
    assert!(good(&place, &["ls"]).contains("running"));
    let (before, after) = large.modes();
    let flags = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(flags(&before), flags(&after));
}

#[test]
fn title_and_bell_reach_windows_of_another_size_and_go_with_the_session() {
    let place = Place::served(Mode::Root);
    good(&place, &["new", "shell", "--name", "main"]);
    let tmux = Windows::new(&place);
    let own = tmux.open("own", (100, 30), &place.ssh(&["-t"], &["attach", "main"]));
    eventually("a viewer", || (viewers(&place, "main") == 1).then_some(()));
    own.line("echo size $(stty size)");
    own.until("size 30 100");
    let framed = [
        tmux.open("ssh", (60, 20), &place.ssh(&["-t"], &["attach", "main"])),
        tmux.open("local", (70, 25), &place.client(&["attach", "main"])),
    ];
    let title = |window: &Window| window.format("#{pane_title}");
    for window in &framed {
        window.until("[main] 100x30");
        assert_eq!(window.format("#{window_bell_flag}"), "0");
    }
    own.line(r"PS1='\e]2;busy $((3 * 4))\a\a$ '");
    for window in &framed {
        eventually("the title", || (title(window) == "busy 12").then_some(()));
        eventually("the bell", || (window.format("#{window_bell_flag}") == "1").then_some(()));
        window.keys(&["C-]", "d"]);
        assert_eq!(window.status(), 0);
        // What tmux calls a window that nobody gave a title.
        assert_eq!(title(window), window.format("#{host}"));
    }
}

#[test]
fn an_agent_by_name_is_started_once_and_found_again() {
    let place = Place::served(Mode::Root);
    let tmux = Windows::new(&place);
    let first = tmux.open("first", (80, 24), &place.ssh(&["-t"], &["shell"]));
    eventually("a session", || good(&place, &["ls"]).contains("running").then_some(()));
    first.line("echo here-$((40+2))");
    first.until("here-42");
    let again = tmux.open("again", (80, 24), &place.ssh(&["-t"], &["shell"]));
    again.until("here-42");
    assert_eq!(good(&place, &["ls"]).lines().count(), 2, "{}", good(&place, &["ls"]));
    again.keys(&["C-]", "d"]);
    assert_eq!(again.status(), 0);
    first.line("exit 5");
    assert_eq!(first.status(), 5);
    assert!(first.screen().contains("exit 5"), "{}", first.screen());
}

#[test]
fn a_broken_line_leaves_the_session_running() {
    let place = Place::served(Mode::Root);
    good(&place, &["new", "shell", "--name", "main"]);
    let tmux = Windows::new(&place);
    let window = tmux.open("main", (80, 24), &place.ssh(&["-t"], &["attach", "main"]));
    eventually("a viewer", || (viewers(&place, "main") == 1).then_some(()));
    window.line("sleep 1000 & echo job $! end");
    let job: u32 = eventually("the job's pid", || {
        window.screen().lines().find_map(|line| line.strip_prefix("job ")?.strip_suffix(" end")?.parse().ok())
    });
    window.keys(&["Enter"]);
    window.text("~.");
    assert_eq!(window.status(), 255);
    eventually("the viewer's end", || (viewers(&place, "main") == 0).then_some(()));
    assert!(good(&place, &["ls"]).contains("running"));
    assert!(is_alive(job), "the session's job was hung up");
    // Killing the client does the same.
    let child = piped(&place, &["attach", "main"]);
    eventually("a viewer", || (viewers(&place, "main") == 1).then_some(()));
    Command::new("kill").args(["-9", &child.id().to_string()]).status().unwrap();
    finished(child);
    eventually("the viewer's end", || (viewers(&place, "main") == 0).then_some(()));
    assert!(good(&place, &["ls"]).contains("running"));
}

#[test]
fn the_picker_is_usable_at_40_columns() {
    let place = Place::served(Mode::Root);
    good(&place, &["new", "shell", "--name", "one"]);
    let tmux = Windows::new(&place);
    let window = tmux.open("main", (40, 12), &place.ssh(&["-t"], &[]));
    let screen = window.until("n new");
    assert!(screen.lines().any(|line| line.starts_with("> 1 one")), "{screen}");
    window.keys(&["n"]);
    let agents = eventually("agents or a directory", || {
        Some(window.screen())
            .filter(|screen| screen.contains("start which agent?") || screen.contains("start shell in"))
    });
    if agents.contains("start which agent?") {
        let chosen = |screen: &str| screen.lines().any(|line| line.starts_with("> ") && line.ends_with(" shell"));
        while !chosen(&window.screen()) {
            let before = window.screen();
            window.keys(&["Down"]);
            eventually("the choice moves", || (window.screen() != before).then_some(()));
        }
        window.keys(&["Enter"]);
    }
    window.until("in which directory?");
    window.keys(&["Enter"]);
    eventually("a second session", || (good(&place, &["ls"]).matches("running").count() == 2).then_some(()));
    eventually("an attached window", || (!window.screen().contains("in which directory?")).then_some(()));
    window.line("echo picked-$((1+1)) $(stty size)");
    window.until("picked-2 12 40");
    // Leaving comes back here, with both to choose from.
    window.keys(&["C-]", "d"]);
    let screen = window.until("lives on");
    assert!(screen.lines().filter(|line| line.contains("running")).count() == 2, "{screen}");
    let old = screen.lines().position(|line| line.contains(" one ")).unwrap();
    let at = screen.lines().position(|line| line.starts_with("> ")).unwrap();
    let key = if old < at { "Up" } else { "Down" };
    if old != at {
        window.keys(&[key]);
    }
    eventually("the choice of `one`", || {
        window.screen().lines().any(|line| line.starts_with("> ") && line.contains(" one ")).then_some(())
    });
    window.keys(&["Enter"]);
    eventually("a viewer of `one`", || (viewers(&place, "one") == 1).then_some(()));
    window.line("exit 4");
    // Its end is told here too.
    window.until("one ended: exit 4");
    window.keys(&["q"]);
    assert_eq!(window.status(), 0);
    assert_eq!(good(&place, &["ls"]).matches("running").count(), 1);
}
