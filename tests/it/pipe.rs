//! Bare programs as agents: every byte in and out, one writer at a time, whatever happens in between.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use portcullis::wire::pipe_bytes;
use portcullis::wire::v1::agent_event::Kind;
use portcullis::wire::v1::agent_request::Request;
use portcullis::wire::v1::{self, PromptPhase, client_message::Body as Ask, server_message::Body as Say};

use crate::support::client::{Heard, Wss};
use crate::support::local::returns;
use crate::support::place::{Place, describe};
use crate::support::talk::{Talk, Watch, prompt};
use crate::support::{eventually, finished};

/// A client without a terminal: what it writes, and what came out of it.
struct Joined {
    child: Child,
    input: Option<ChildStdin>,
    output: Arc<Mutex<Vec<u8>>>,
    error: Arc<Mutex<Vec<u8>>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Joined {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (output, error) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), Arc::clone(&output)),
            collect(child.stderr.take().unwrap(), Arc::clone(&error)),
        ];
        Self { input: child.stdin.take(), child, output, error, readers }
    }

    fn ssh(place: &Place, words: &[&str]) -> Self {
        Self::start(&mut place.ssh(&["-T"], words))
    }

    fn write(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(bytes).and_then(|()| input.flush()).unwrap();
    }

    /// Writes beside whatever else happens, then ends its input.
    fn write_all(&mut self, bytes: Vec<u8>) -> std::thread::JoinHandle<()> {
        let mut input = self.input.take().unwrap();
        std::thread::spawn(move || input.write_all(&bytes).unwrap())
    }

    fn has(&self, wanted: &[u8]) {
        eventually(&format!("{wanted:?}"), || {
            let output = self.output.lock().unwrap();
            (output.windows(wanted.len()).any(|window| window == wanted)).then_some(())
        });
    }

    fn length(&self) -> usize {
        self.output.lock().unwrap().len()
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.error.lock().unwrap()).into_owned()
    }

    /// Status, output and errors of one that ends by itself.
    fn end(mut self) -> (Option<i32>, Vec<u8>, String) {
        drop(self.input.take());
        let status = finished(self.child).status.code();
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        let output = std::mem::take(&mut *self.output.lock().unwrap());
        let said = String::from_utf8_lossy(&self.error.lock().unwrap()).into_owned();
        (status, output, said)
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn collect(mut from: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            into.lock().unwrap().extend_from_slice(&piece[..read]);
        }
    })
}

/// Random bytes, all values among them.
fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).unwrap();
    assert!((0..=255).all(|value| bytes.contains(&value)));
    bytes
}

/// A place with one session `talk` of a shell script.
fn bare(script: &str) -> Talk {
    let talk = Talk::with(&[("bare", "pipe", script)]);
    talk.ssh(&["new", "bare", "--name", "talk"]);
    talk
}

/// Ends the program's input as soon as its writer lets it go.
fn end_input(talk: &Talk) {
    eventually("the input is free", || {
        talk.place.ssh(&[], &["eof", "talk"]).output().unwrap().status.success().then_some(())
    });
}

fn same(got: &[u8], wanted: &[u8]) {
    let differs = got.iter().zip(wanted).position(|(one, other)| one != other);
    assert_eq!((got.len(), differs), (wanted.len(), None));
}

#[test]
fn five_mebibytes_go_through_a_program_and_come_back_as_they_were() {
    let talk = bare("exec cat");
    let bytes = random(5 * 1024 * 1024);
    let mut joined = Joined::ssh(&talk.place, &["attach", "talk"]);
    let writer = joined.write_all(bytes.clone());
    eventually("all of it", || (joined.length() >= bytes.len()).then_some(()));
    writer.join().unwrap();
    end_input(&talk);
    let (status, output, said) = joined.end();
    same(&output, &bytes);
    assert_eq!((status, said.as_str()), (Some(0), ""));
    let again = Joined::ssh(&talk.place, &["attach", "talk", "--from", "start"]);
    let (status, output, _) = again.end();
    same(&output, &bytes);
    assert_eq!(status, Some(0), "the end is told to whoever comes late");
}

#[test]
fn what_has_no_newline_is_there_at_once_and_error_and_status_are_apart() {
    let talk = bare(
        "printf 'na\\0me? '; read -r name; echo 'not an answer' >&2; printf '\\303'; read -r more; printf '\\244 %s' \"$name\"; exit 7",
    );
    let mut joined = Joined::ssh(&talk.place, &["attach", "talk", "--from", "start"]);
    joined.has(b"na\0me? ");
    joined.write(b"ann\r\n");
    joined.has(b"\xc3");
    let told = talk.place.ssh(&[], &["prompt", "talk", "go on"]).output().unwrap();
    assert!(!told.status.success() && describe(&told).contains("one writer at a time"), "{}", describe(&told));
    joined.write(b"\n");
    let (status, output, said) = joined.end();
    assert_eq!(
        (output.as_slice(), said.as_str(), status),
        (&b"na\0me? \xc3\xa4 ann\r"[..], "not an answer\n", Some(7))
    );
    let events = talk.ssh(&["events", "talk", "--from", "start"]);
    assert!(events.contains(r#""pipe_output":{"text":"na\u0000me? "}"#), "{events}");
    assert!(events.contains(r#""pipe_output":{"data":"ww=="}"#), "{events}");
}

#[tokio::test]
async fn one_writer_at_a_time_and_the_next_is_told_whom_it_waits_for() {
    let talk = bare("exec cat");
    let mut first = Joined::ssh(&talk.place, &["attach", "talk"]);
    first.write(b"first");
    first.has(b"first");
    let mut second = Joined::ssh(&talk.place, &["attach", "talk"]);
    second.write(b"second");
    let (status, output, said) = second.end();
    assert_eq!((status, output.as_slice()), (Some(1), &b""[..]), "{said}");
    let mut watch = Watch::start(&talk.place, None, false).await;
    let who = watch.attached.viewers[0].who.clone();
    assert!(
        said.contains(&format!("{who} writes to session talk")) && said.contains("wait until it detaches"),
        "{said}"
    );
    let Say::Error(refused) = watch.ask(prompt("p1", "between")).await else { panic!("taken") };
    assert!(refused.code == "input-held" && refused.retryable, "{refused:?}");
    let Say::Error(refused) = watch.ask(Request::CloseInput(v1::CloseInput {})).await else { panic!("taken") };
    assert_eq!(refused.code, "input-held");
    watch.wss.input(1, 0, b"x").await;
    let refused = error(&mut watch.wss).await;
    assert_eq!((refused.code.as_str(), refused.channel), ("input-held", 1));
    // It ends its input and goes on printing: whoever comes now may write.
    drop(first.input.take());
    prompted(&talk, "one");
    first.has(b"one\n");
    let mut third = Joined::ssh(&talk.place, &["attach", "talk"]);
    third.write(b"third");
    first.has(b"third");
    let told = talk.place.ssh(&[], &["prompt", "talk", "--no-wait", "between"]).output().unwrap();
    assert!(!told.status.success(), "{}", describe(&told));
    third.kill();
    prompted(&talk, "two");
    first.has(b"thirdtwo\n");
    first.kill();
}

/// A prompt as soon as nobody writes.
fn prompted(talk: &Talk, text: &str) {
    eventually("nobody writes", || {
        let told = talk.place.ssh(&[], &["prompt", "talk", "--no-wait", text]).output().unwrap();
        assert!(told.status.success() || describe(&told).contains("one writer at a time"), "{}", describe(&told));
        told.status.success().then_some(())
    });
}

async fn error(wss: &mut Wss) -> v1::Error {
    loop {
        match wss.next().await {
            Heard::Said(_, Say::Error(error)) => return error,
            Heard::Closed(why) => panic!("{why:?}"),
            _ => {}
        }
    }
}

/// Attached to `talk` as this writer, with all events.
async fn writer(place: &Place, id: u8) -> (Wss, v1::Attached) {
    let mut wss = Wss::login(place).await;
    let mode = v1::ViewerMode::Events.into();
    let writer = vec![id; 16].into();
    let attach =
        v1::Attach { session: "talk".into(), channel: 1, mode, from_start: true, writer, ..Default::default() };
    let attached = wss.attach(attach).await;
    (wss, attached)
}

/// The program's output until it has so many bytes.
async fn output(wss: &mut Wss, length: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < length {
        match wss.next().await {
            Heard::Said(_, Say::AgentEvent(event)) => {
                if let Some(Kind::PipeOutput(output)) = event.event.unwrap().kind {
                    got.extend_from_slice(pipe_bytes(&output));
                }
            }
            Heard::Said(_, Say::Error(error)) => panic!("{error:?}"),
            Heard::Closed(why) => panic!("{why:?}"),
            _ => {}
        }
    }
    got
}

#[tokio::test]
async fn a_writer_that_comes_back_goes_on_and_nothing_of_it_is_doubled() {
    let talk = bare("exec cat");
    let (mut old, attached) = writer(&talk.place, 1).await;
    assert_eq!((attached.input_offset, attached.writer.len()), (0, 16));
    old.input(1, 0, b"\x1b[I\x1b[200~abc").await;
    assert_eq!(output(&mut old, 12).await, b"\x1b[I\x1b[200~abc", "no byte is read as a terminal's");
    let (mut other, _) = writer(&talk.place, 2).await;
    // The old connection is still there, half dead: the same writer comes back beside it.
    let (mut back, attached) = writer(&talk.place, 1).await;
    assert_eq!(attached.input_offset, 12);
    back.input(1, 9, b"abcdef").await;
    assert_eq!(output(&mut back, 15).await, b"\x1b[I\x1b[200~abcdef");
    drop(old);
    eventually("the old one is gone", || {
        let list: serde_json::Value = serde_json::from_str(&talk.ssh(&["ls", "--json"])).unwrap();
        (list[0]["viewers"] == 2).then_some(())
    });
    other.input(1, 0, b"x").await;
    assert_eq!(error(&mut other).await.code, "input-held");
    back.input(1, 20, b"beyond").await;
    let gap = error(&mut back).await;
    assert_eq!((gap.code.as_str(), gap.accepted), ("input-gap", 15));
    // A paste is bytes like any others.
    let paste = v1::Paste { channel: 1, offset: 15, text: b"a\nb".as_slice().into() };
    back.say(0, Ask::Paste(paste)).await;
    assert_eq!(output(&mut back, 3).await, b"a\nb");
    assert!(matches!(back.ask(Ask::ReleaseInput(v1::ReleaseInput { channel: 1 })).await, Say::Done(_)));
    other.input(1, 0, b"now I").await;
    while !output(&mut other, 1).await.ends_with(b"now I") {}
    // Between its own bytes the writer may also prompt, and end the input.
    let ask = |request| Ask::Agent(v1::AgentRequest { session: "talk".into(), request: Some(request) });
    let said = other.ask(ask(prompt("p1", "line"))).await;
    assert!(matches!(said, Say::Prompt(state) if state.phase() == PromptPhase::Finished));
    assert!(matches!(other.ask(ask(Request::CloseInput(v1::CloseInput {}))).await, Say::Done(_)));
    let said = other.ask(ask(prompt("p2", "late"))).await;
    assert!(
        matches!(&said, Say::Error(error) if ["input-closed", "session-ended", "ended"].contains(&error.code.as_str())),
        "{said:?}"
    );
    eventually("cat ends by itself", || talk.ssh(&["ls"]).contains("exit 0").then_some(()));
}

#[test]
fn a_gateway_killed_in_the_middle_costs_no_byte() {
    let talk = bare("exec cat");
    let bytes = random(16 * 1024 * 1024);
    let mut joined = Joined::start(&mut talk.place.client(&["attach", "talk"]));
    let writer = joined.write_all(bytes.clone());
    for part in [1, 2] {
        eventually("some of it", || (joined.length() > part * bytes.len() / 8).then_some(()));
        assert!(!writer.is_finished(), "not in the middle");
        let gateway = talk.place.gateway_pid();
        assert!(Command::new("kill").args(["-9", &gateway.to_string()]).status().unwrap().success());
        eventually("it comes back", || (returns(&joined.said()) == part).then_some(()));
    }
    eventually("all of it", || (joined.length() >= bytes.len()).then_some(()));
    writer.join().unwrap();
    end_input(&talk);
    let (status, output, said) = joined.end();
    same(&output, &bytes);
    assert_eq!((status, returns(&said)), (Some(0), 2), "{said}");
}

#[test]
fn a_program_that_does_not_read_holds_its_writer_back_and_gets_everything_later() {
    let talk = bare("rm -f go; mkfifo go; echo ready >&2; read -r _ < go; rm go; exec sha256sum");
    let bytes = random(6 * 1024 * 1024);
    let mut joined = Joined::ssh(&talk.place, &["attach", "talk", "--from", "start"]);
    let writer = joined.write_all(bytes.clone());
    eventually("the program waits", || joined.said().contains("ready").then_some(()));
    let home = talk.home();
    // Others are served meanwhile, and the writer is not done.
    assert!(talk.ssh(&["ls"]).contains("talk"));
    assert!(!writer.is_finished(), "somebody took 6 MiB that nobody reads");
    std::fs::write(home.join("go"), "\n").unwrap();
    writer.join().unwrap();
    end_input(&talk);
    let (status, output, said) = joined.end();
    let mut sum = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    sum.stdin.take().unwrap().write_all(&bytes).unwrap();
    let wanted = finished(sum).stdout;
    assert_eq!((status, output), (Some(0), wanted), "{said}");
}

#[test]
fn a_program_that_ends_before_its_input_does_ends_its_client_and_nobody_else() {
    // Something else keeps its input open, unread.
    let script = "rm -f end; mkfifo end; head -c 10; read -r _ < end; rm end; exec 3<&0; sleep 1000 <&3 >/dev/null 2>&1 & exit 4";
    let talk = bare(script);
    let control = talk.place.root.join("control").display().to_string();
    let shared = ["-o", "ControlMaster=auto", "-o", &format!("ControlPath={control}"), "-o", "ControlPersist=30"];
    let run = |words: &[&str]| talk.place.ssh(&shared, words);
    assert!(run(&["ls"]).stderr(Stdio::null()).output().unwrap().status.success());
    let mut joined = Joined::start(run(&["attach", "talk"]).arg("--from").arg("start"));
    let mut input = joined.input.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(&random(6 * 1024 * 1024)).is_err());
    eventually("it has read", || (joined.length() == 10).then_some(()));
    let home = talk.home();
    std::fs::write(home.join("end"), "\n").unwrap();
    let (status, output, said) = joined.end();
    assert_eq!((status, output.len()), (Some(4), 10), "{said}");
    assert!(writer.join().unwrap(), "it cannot have taken all of that");
    // The connection that both shared is read on.
    let mut ls = run(&["ls"]);
    let listed = finished(ls.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    assert!(String::from_utf8_lossy(&listed.stdout).contains("exit 4"), "{}", describe(&listed));
    run(&[]).args(["-O", "exit"]).stderr(Stdio::null()).status().unwrap();
}

#[test]
fn a_program_that_says_more_than_is_kept_waits_for_its_one_reader() {
    const MIB: usize = 1024 * 1024;
    // Three times what a session keeps.
    let talk = bare("read -r _; head -c 50331648 /dev/zero | tr '\\0' x; exit 3");
    let mut command = talk.place.ssh(&["-T"], &["attach", "talk"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let host = talk.place.host_pids()[0];
    eventually("the ring is nearly full", || {
        let fed = std::fs::read_to_string(format!("/proc/{host}/io")).unwrap();
        let read: usize = fed.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap();
        (read > 14 * MIB).then_some(())
    });
    let mut output = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    assert_eq!((child.wait().unwrap().code(), output.len()), (Some(3), 48 * MIB));
    assert!(output.iter().all(|byte| *byte == b'x'));
}

#[tokio::test]
async fn only_a_bare_program_takes_bytes_and_its_end_of_input() {
    let talk = Talk::with(&[("robot", "lines", "echo '{\"type\":\"ready\"}'; exec sleep 1000")]);
    talk.ssh(&["new", "robot", "--name", "talk"]);
    let (mut wss, attached) = writer(&talk.place, 1).await;
    assert_eq!(attached.session.unwrap().driver, "lines");
    wss.input(1, 0, b"x").await;
    assert_eq!(error(&mut wss).await.code, "wrong-mode");
    let request = Some(Request::CloseInput(v1::CloseInput {}));
    let said = wss.ask(Ask::Agent(v1::AgentRequest { session: "talk".into(), request })).await;
    assert!(matches!(&said, Say::Error(error) if error.code == "unsupported"), "{said:?}");
    let told = talk.place.ssh(&["-T"], &["attach", "talk"]).stdin(Stdio::null()).output().unwrap();
    assert!(describe(&told).contains("events talk"), "{}", describe(&told));
}
