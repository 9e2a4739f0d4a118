//! An editor: the foreign ACP client in front of one command, spoken to in lines of JSON.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use serde_json::{Value, json};

use super::HANG;
use super::agents::{FakeModel, prepare};
use super::place::{Mode, Place, cache, read_lines};

/// A place with the real agents in front of a scripted model.
pub fn served() -> (Place, FakeModel) {
    let model = FakeModel::start();
    let mut place = Place::new(Mode::Root);
    prepare(&mut place, &model);
    place.serve();
    (place, model)
}

/// The foreign client in front of one command.
pub struct Editor {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Editor {
    pub fn start(agent: &Command) -> Self {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/acp.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(agent.get_program()).args(agent.get_args());
        command.env("SDK", cache().join("acp-client/node_modules/@agentclientprotocol/sdk"));
        for (name, value) in agent.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, lines) = (child.stdin.take().unwrap(), read_lines(child.stdout.take().unwrap()));
        let mut editor = Self { child, input, lines };
        let answer = editor.call(json!({"do": "initialize"}));
        assert_eq!(answer["agentCapabilities"]["loadSession"], true, "{answer}");
        editor
    }

    pub fn ssh(place: &Place, words: &[&str]) -> Self {
        Self::start(&place.ssh(&["-T"], words))
    }

    pub fn tell(&mut self, act: Value) {
        writeln!(self.input, "{act}").unwrap();
    }

    pub fn hear(&mut self) -> Value {
        let line = self.lines.recv_timeout(HANG).expect("the editor hears nothing");
        serde_json::from_str(&line).unwrap()
    }

    /// Everything up to the first thing that `is` wants, which comes last.
    pub fn until(&mut self, is: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut heard = Vec::new();
        let deadline = Instant::now() + HANG;
        loop {
            let one = self.hear();
            assert!(Instant::now() < deadline && one["heard"] != "exit", "{one} after {heard:#?}");
            let found = is(&one);
            heard.push(one);
            if found {
                return heard;
            }
        }
    }

    /// A request and its good answer.
    pub fn call(&mut self, act: Value) -> Value {
        let of = act["do"].clone();
        self.tell(act);
        let last = self.until(|one| one["of"] == of).pop().unwrap();
        assert_eq!(last["heard"], "result", "{last}");
        last["result"].clone()
    }

    /// A new session; its id.
    pub fn begin(&mut self, cwd: &str) -> (String, Value) {
        let new = self.call(json!({"do": "new", "cwd": cwd}));
        (new["sessionId"].as_str().unwrap().to_owned(), new)
    }

    /// A whole turn; what was heard of it.
    pub fn turn(&mut self, session: &str, text: &str) -> Vec<Value> {
        self.tell(json!({"do": "prompt", "session": session, "text": text}));
        self.until(|one| one["of"] == "prompt")
    }

    /// The request for leave, once it comes.
    pub fn asked(&mut self) -> Value {
        self.until(|one| one["heard"] == "asked").pop().unwrap()
    }

    /// Takes the option of this kind.
    pub fn choose(&mut self, asked: &Value, kind: &str) {
        let options = asked["request"]["options"].as_array().unwrap();
        let option = options.iter().find(|option| option["kind"] == kind).unwrap_or_else(|| panic!("{asked}"));
        let outcome = json!({"outcome": "selected", "optionId": option["optionId"]});
        self.tell(json!({"do": "answer", "number": asked["number"], "outcome": outcome}));
    }

    /// Its end.
    pub fn until_exit(&mut self) -> Value {
        loop {
            let one = self.hear();
            if one["heard"] == "exit" {
                return one;
            }
        }
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn said(heard: &[Value]) -> String {
    let text = |one: &Value| {
        let update = &one["update"];
        (update["sessionUpdate"] == "agent_message_chunk")
            .then(|| update["content"]["text"].as_str().unwrap().to_owned())
    };
    heard.iter().filter_map(text).collect()
}

pub fn chunks(heard: &[Value]) -> usize {
    heard.iter().filter(|one| one["update"]["sessionUpdate"] == "agent_message_chunk").count()
}

pub fn stop_reason(heard: &[Value]) -> &str {
    heard.last().unwrap()["result"]["stopReason"].as_str().unwrap_or_else(|| panic!("{heard:#?}"))
}
