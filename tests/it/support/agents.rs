//! The real agents, and the scripted model that answers them.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::place::{ANN, Place, cache, run};

/// A scripted model on a port of its own; ended when dropped.
pub struct FakeModel {
    child: Child,
    /// Its base URL.
    pub url: String,
}

impl FakeModel {
    /// Started and listening.
    pub fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agents/fake-model.mjs");
        let mut child = Command::new("node").arg(script).args(["--port", "0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        Self { child, url: format!("http://127.0.0.1:{}", ready["listening"]) }
    }

    /// What the next request is answered with, whatever the prompt says.
    pub fn answers_next(&self, script: &str) {
        self.http("POST /__next", script);
    }

    /// What it was asked so far, without what an agent asks beside the conversation.
    pub fn requests(&self) -> Vec<Value> {
        let answer = self.http("GET /__log", "");
        let records = answer.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        records.filter(|record| record["ev"] == "request" && record["house"] == false).collect()
    }

    /// Which model each of them named.
    pub fn models_asked(&self) -> Vec<String> {
        self.requests().iter().map(|record| record["model"].as_str().unwrap().to_owned()).collect()
    }

    fn http(&self, what: &str, body: &str) -> String {
        let address = self.url.trim_start_matches("http://");
        let mut tcp = std::net::TcpStream::connect(address).unwrap();
        let length = body.len();
        let head = format!("{what} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}");
        tcp.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{answer}");
        answer
    }
}

impl Drop for FakeModel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts the agents where this place's quickstart looks, and what they need to start straight into a conversation with
/// `model` into its environment. Each place has a configuration of its own; the account's home is only worked in.
pub fn prepare(place: &mut Place, model: &FakeModel) {
    std::fs::create_dir(place.agents()).unwrap();
    for name in ["claude", "opencode"] {
        let installed = cache().join("agents/bin").join(name);
        let program =
            std::fs::canonicalize(&installed).unwrap_or_else(|e| panic!("{}: {e}: run tests/run", installed.display()));
        let here = place.agents().join(name);
        // The account cannot enter the cache, which may lie in a closed home.
        if std::fs::hard_link(&program, &here).is_err() {
            std::fs::copy(&program, &here).unwrap();
        }
    }
    let settings = place.root.join("settings");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agents/install.sh");
    run(Command::new(script)
        .args(["--no-install", "--owner", ANN, "--url", &model.url, "--dir"])
        .arg(cache().join("agents"))
        .arg("--home")
        .arg(&settings)
        .args(["--workdir", &home_of(ANN)]));
    let environment = std::fs::read_to_string(settings.join("agents.env")).unwrap();
    let pairs = environment.lines().filter_map(|line| line.split_once('='));
    let passed =
        pairs.filter(|(name, _)| ["ANTHROPIC_", "CLAUDE_", "OPENCODE_"].iter().any(|start| name.starts_with(start)));
    place.environment.extend(passed.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // What fails for good does so within seconds, not minutes.
    place.environment.push(("CLAUDE_CODE_MAX_RETRIES".into(), "2".into()));
    place.environment.push(("CLAUDE_CONFIG_DIR".into(), settings.display().to_string()));
    let configuration = std::fs::read_to_string(settings.join(".config/opencode/opencode.json")).unwrap();
    let configuration =
        configuration.replace("{env:FAKE_MODEL_URL}", &model.url).replace("{env:FAKE_MODEL_KEY}", "dummy");
    // One more, to change to.
    let configuration = configuration.replacen(
        "\"models\": {",
        "\"models\": { \"fake-2\": { \"name\": \"Fake 2\", \"tool_call\": true, \"limit\": { \"context\": 200000, \"output\": 8192 } },",
        1,
    );
    place.environment.push(("OPENCODE_CONFIG_CONTENT".into(), configuration.replace('\n', " ")));
}

/// Letters that no other run has.
pub fn unique_word() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(b'A' + digit)).collect()
}

fn home_of(account: &str) -> String {
    let text = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = text.lines().find(|line| line.split(':').next() == Some(account)).unwrap();
    line.split(':').nth(5).unwrap().to_owned()
}
