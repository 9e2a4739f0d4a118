//! A connection that is cut around a prompt: sent again it is the same prompt, over wss and by the local client.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis::wire::v1::agent_event::Kind;
use portcullis::wire::v1::{self, PromptPhase, client_message::Body as Ask, server_message::Body as Say};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::place::describe;
use crate::support::talk::{Talk, Watch, is_over, prompt, said};
use crate::support::turns::code;
use crate::support::{finished, soon};

/// Counts its prompts in a file, and answers each once somebody made a file `go`.
const COUNTS: &str = r#"echo '{"type":"ready"}'
while read -r line; do
  case $line in
    *'"type":"stop"'*) exit 0;;
    *'"type":"prompt"'*)
      echo prompt >> "$0.d/prompts"
      until [ -e "$0.d/go" ]; do read -rt 0.05 <> <(:); done
      echo "{\"type\":\"complete\",\"text\":\"after $(wc -l < "$0.d/prompts")\"}";;
  esac
done"#;

struct Counted {
    talk: Talk,
}

impl Counted {
    fn start(environment: &[(String, String)]) -> Self {
        let talk = Talk::with_environment(&[("counts", "lines", COUNTS)], environment);
        // It writes there as the account.
        let beside = talk.place.root.join("counts.d");
        std::fs::create_dir(&beside).unwrap();
        std::fs::set_permissions(&beside, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        talk.ssh(&["new", "counts", "--name", "talk"]);
        Self { talk }
    }

    fn beside(&self, what: &str) -> PathBuf {
        self.talk.place.root.join("counts.d").join(what)
    }

    fn prompts(&self) -> usize {
        std::fs::read_to_string(self.beside("prompts")).map_or(0, |text| text.lines().count())
    }

    async fn is_prompted(&self) {
        soon("the agent has the prompt", || (self.prompts() > 0).then_some(())).await;
    }

    fn go(&self) {
        std::fs::write(self.beside("go"), "").unwrap();
    }
}

fn turns(events: &[Kind]) -> usize {
    events.iter().filter(|kind| matches!(kind, Kind::TurnStarted(_))).count()
}

#[tokio::test]
async fn over_wss_a_prompt_sent_again_after_a_cut_is_the_same_one_and_another_text_is_refused() {
    let counted = Counted::start(&[]);
    let mut first = Watch::start(&counted.talk.place, None, false).await;
    let cursor = v1::Cursor { log_id: first.attached.log_id.clone(), offset: first.attached.offset };
    // Its answer is never heard.
    let request = Some(prompt("p1", "count"));
    first.wss.say(77, Ask::Agent(v1::AgentRequest { session: "talk".into(), request })).await;
    counted.is_prompted().await;
    drop(first);

    let mut again = Watch::start(&counted.talk.place, Some(cursor), false).await;
    assert_eq!(again.attached.verdict(), v1::Verdict::Continuous);
    for _ in 0..3 {
        let told = again.ask(prompt("p1", "count")).await;
        assert!(matches!(&told, Say::Prompt(state) if state.phase() == PromptPhase::HandedOver), "{told:?}");
    }
    assert_eq!(code(again.ask(prompt("p1", "count more")).await), "prompt-id-reused");
    counted.go();
    let events = again.until(is_over("p1")).await;
    assert_eq!((turns(&events), said(&events).as_str()), (1, "after 1"), "{events:?}");
    // Over, it is still the same.
    let told = again.ask(prompt("p1", "count")).await;
    assert!(matches!(&told, Say::Prompt(state) if state.phase() == PromptPhase::Finished), "{told:?}");
    assert_eq!(code(again.ask(prompt("p1", "count more")).await), "prompt-id-reused");
    assert_eq!(counted.prompts(), 1);
}

/// Between client and gateway: what a client sends beyond `most` bytes never passes, and its connection is cut there.
struct Cutter {
    address: String,
    listener: TcpListener,
    most: Arc<AtomicU64>,
    cut: watch::Sender<()>,
}

impl Cutter {
    async fn bind(most: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self { address, listener, most: Arc::new(AtomicU64::new(most)), cut: watch::Sender::new(()) }
    }

    fn environment(&self) -> (String, String) {
        ("PORTCULLIS_ORIGINS__OWN".into(), format!("[\"wss://{}\"]", self.address))
    }

    /// Passes connections on; how many were cut at `most`.
    fn run(self, target: String) -> (watch::Sender<()>, Arc<AtomicU64>) {
        let cuts = Arc::new(AtomicU64::new(0));
        let (made, cut) = (Arc::clone(&cuts), self.cut.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = self.listener.accept().await {
                let (target, most, made) = (target.clone(), Arc::clone(&self.most), Arc::clone(&made));
                let mut cut = self.cut.subscribe();
                tokio::spawn(async move {
                    tokio::select! {
                        () = pass(near, target, most, made) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        (cut, cuts)
    }
}

async fn pass(near: TcpStream, target: String, most: Arc<AtomicU64>, made: Arc<AtomicU64>) {
    let far = TcpStream::connect(target).await.unwrap();
    let (mut from_near, mut to_near) = near.into_split();
    let (mut from_far, mut to_far) = far.into_split();
    let up = async {
        let (mut passed, mut buffer) = (0, vec![0; 4096]);
        while let Ok(read @ 1..) = from_near.read(&mut buffer).await {
            passed += read as u64;
            if passed > most.load(Ordering::SeqCst) {
                // The next one passes whole.
                most.store(u64::MAX, Ordering::SeqCst);
                made.fetch_add(1, Ordering::SeqCst);
                return;
            }
            to_far.write_all(&buffer[..read]).await.unwrap();
        }
    };
    tokio::select! {
        () = up => {}
        _ = tokio::io::copy(&mut from_far, &mut to_near) => {}
    }
}

fn local(counted: &Counted, address: &str, text: &str) -> std::process::Child {
    let gateway = format!("wss://{address}");
    let mut client = counted.talk.place.client(&["prompt", "talk", "--gateway", &gateway, text]);
    client.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

async fn ended(child: std::process::Child) -> std::process::Output {
    tokio::task::spawn_blocking(move || finished(child)).await.unwrap()
}

#[tokio::test]
async fn the_local_client_sends_again_a_prompt_that_was_lost_on_its_way() {
    // A login has some 2 KB; of the prompt only a part passes, which is none to the gateway.
    let cutter = Cutter::bind(16 * 1024).await;
    let counted = Counted::start(&[cutter.environment()]);
    let address = cutter.address.clone();
    let (_keep, cuts) = cutter.run(counted.talk.place.endpoints().https);
    counted.go();
    let told = ended(local(&counted, &address, &"x".repeat(60_000))).await;
    assert_eq!(cuts.load(Ordering::SeqCst), 1);
    assert!(told.status.success(), "{}", describe(&told));
    assert_eq!(
        (String::from_utf8_lossy(&told.stdout).trim(), counted.prompts()),
        ("after 1", 1),
        "{}",
        describe(&told)
    );
}

#[tokio::test]
async fn the_local_client_gets_one_answer_to_a_prompt_whose_connection_was_cut_meanwhile() {
    let cutter = Cutter::bind(u64::MAX).await;
    let counted = Counted::start(&[cutter.environment()]);
    let address = cutter.address.clone();
    let (cut, _) = cutter.run(counted.talk.place.endpoints().https);
    let child = local(&counted, &address, "count");
    counted.is_prompted().await;
    let attached = || {
        let audit = counted.talk.place.audit();
        audit.iter().filter(|entry| entry["event"] == "attach" && entry["door"] == "wss").count()
    };
    let before = attached();
    cut.send(()).unwrap();
    soon("it is back", || (attached() > before).then_some(())).await;
    counted.go();
    let told = ended(child).await;
    assert!(told.status.success(), "{}", describe(&told));
    assert_eq!(
        (String::from_utf8_lossy(&told.stdout).trim(), counted.prompts()),
        ("after 1", 1),
        "{}",
        describe(&told)
    );
}

#[tokio::test]
async fn a_prompt_is_not_sent_into_a_session_that_was_restarted_meanwhile() {
    let counted = Counted::start(&[]);
    let address = counted.talk.place.endpoints().https;
    let child = local(&counted, &address, "count");
    counted.is_prompted().await;
    counted.talk.ssh(&["restart", "talk"]);
    let told = ended(child).await;
    assert_eq!(told.status.code(), Some(1), "{}", describe(&told));
    assert!(String::from_utf8_lossy(&told.stderr).contains("nobody knows"), "{}", describe(&told));
    assert_eq!(counted.prompts(), 1);
}
