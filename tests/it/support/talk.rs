//! One structured session `talk`, and a viewer of its events.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use portcullis::wire::v1::agent_event::Kind;
use portcullis::wire::v1::agent_request::Request;
use portcullis::wire::v1::{self, PromptPhase, client_message::Body as Ask, server_message::Body as Say};
use serde_json::Value;

use super::agents::{FakeModel, prepare};
use super::client::{Heard, Wss};
use super::place::{Mode, Place, cache, describe, run};
use super::{HANG, eventually};

/// A place with the real agents in front of a scripted model, and one structured session `talk`.
pub struct Talk {
    pub place: Place,
    pub model: FakeModel,
}

impl Talk {
    /// The real Claude Code.
    pub fn start() -> Self {
        let model = FakeModel::start();
        let mut place = Place::new(Mode::Root);
        prepare(&mut place, &model);
        place.serve();
        let talk = Self { place, model };
        talk.ssh(&["new", "claude", "--mode", "structured", "--name", "talk"]);
        talk
    }

    /// The real OpenCode (`opencode`) or claude-agent-acp (`adapter`).
    pub fn acp(agent: &str) -> Self {
        let model = FakeModel::start();
        let mut place = Place::new(Mode::Root);
        prepare(&mut place, &model);
        // The account cannot enter the cache; the same files under another name can be.
        let copy = "cp -alT \"$0\" \"$1\" 2>/dev/null || cp -aT \"$0\" \"$1\"";
        run(Command::new("sh").args(["-c", copy]).arg(cache().join("agents/acp")).arg(place.root.join("acp")));
        let program = place.root.join("acp/node_modules/@agentclientprotocol/claude-agent-acp/dist/index.js");
        let claude = place.agents().join("claude");
        place.serve();
        place.configure(&format!(
            "[agents.adapter]\ncommand = [\"/usr/bin/env\", \"node\", \"{}\"]\nmodes = [\"structured\"]\n\
             driver = \"acp\"\nenv = {{ CLAUDE_CODE_EXECUTABLE = \"{}\" }}\nenv_pass = [\"ANTHROPIC_*\", \"CLAUDE_*\"]",
            program.display(),
            claude.display()
        ));
        let talk = Self { place, model };
        talk.ssh(&["new", agent, "--mode", "structured", "--name", "talk"]);
        talk
    }

    /// With programs of the test's own as structured agents: name, what it speaks, shell script.
    pub fn with(scripts: &[(&str, &str, &str)]) -> Self {
        Self::with_environment(scripts, &[])
    }

    /// The same; the gateway has more in its environment.
    pub fn with_environment(scripts: &[(&str, &str, &str)], environment: &[(String, String)]) -> Self {
        let model = FakeModel::start();
        let mut place = Place::new(Mode::Root);
        place.environment.extend_from_slice(environment);
        place.serve();
        let mut more = String::new();
        for (name, driver, script) in scripts {
            let file = place.root.join(name);
            std::fs::write(&file, format!("#!/bin/bash\n{script}\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
            let file = file.display();
            more +=
                &format!("[agents.{name}]\ncommand = [\"{file}\"]\nmodes = [\"structured\"]\ndriver = \"{driver}\"\n");
        }
        place.configure(&more);
        Self { place, model }
    }

    /// Runs a verb over a real ssh; its output.
    pub fn ssh(&self, words: &[&str]) -> String {
        let told = self.place.ssh(&[], words).output().unwrap();
        assert!(told.status.success(), "{words:?}: {}\n{}", describe(&told), self.place.console());
        String::from_utf8(told.stdout).unwrap()
    }

    /// Where the session works.
    pub fn home(&self) -> PathBuf {
        let list: Value = serde_json::from_str(&self.ssh(&["ls", "--json"])).unwrap();
        list[0]["directory"].as_str().unwrap().into()
    }

    /// The requests that wait, once there is one.
    pub fn waiting(&self) -> Value {
        eventually("a request waits", || {
            let list: Value = serde_json::from_str(&self.ssh(&["approvals", "--json"])).unwrap();
            (list.as_array().unwrap().len() == 1).then(|| list[0].clone())
        })
    }
}

/// A viewer of events.
pub struct Watch {
    pub wss: Wss,
    pub attached: v1::Attached,
}

impl Watch {
    /// Attached to `talk`.
    pub async fn start(place: &Place, cursor: Option<v1::Cursor>, from_start: bool) -> Self {
        let mut wss = Wss::login(place).await;
        let mode = v1::ViewerMode::Events.into();
        let attach = v1::Attach { session: "talk".into(), channel: 1, mode, cursor, from_start, ..Default::default() };
        let attached = wss.attach(attach).await;
        Self { wss, attached }
    }

    /// The next event.
    pub async fn next(&mut self) -> (u64, Kind) {
        loop {
            let heard = tokio::time::timeout(HANG, self.wss.next()).await.expect("no event");
            match heard {
                Heard::Said(_, Say::AgentEvent(event)) => return (event.number, event.event.unwrap().kind.unwrap()),
                Heard::Closed(why) => panic!("closed: {why:?}"),
                Heard::Said(_, Say::Detached(why)) => panic!("{why:?}"),
                _ => {}
            }
        }
    }

    /// Everything up to the first event that `is` wants, which comes last.
    pub async fn until(&mut self, is: impl Fn(&Kind) -> bool) -> Vec<Kind> {
        let mut seen = Vec::new();
        loop {
            let (_, kind) = self.next().await;
            let over = is(&kind);
            seen.push(kind);
            if over {
                return seen;
            }
        }
    }

    /// Asks the agent.
    pub async fn ask(&mut self, request: Request) -> Say {
        self.wss.ask(Ask::Agent(v1::AgentRequest { session: "talk".into(), request: Some(request) })).await
    }
}

/// A prompt.
pub fn prompt(id: &str, text: &str) -> Request {
    Request::Prompt(v1::Prompt { id: id.into(), text: text.into() })
}

/// The event that ends a prompt.
pub fn is_over(id: &str) -> impl Fn(&Kind) -> bool {
    move |kind| matches!(kind, Kind::Prompt(state) if state.id == id && state.phase() >= PromptPhase::Finished)
}

/// What the agent said, whole blocks alone.
pub fn said(events: &[Kind]) -> String {
    let text = |kind: &Kind| match kind {
        Kind::Message(chunk) if chunk.whole => Some(chunk.text.clone()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}
