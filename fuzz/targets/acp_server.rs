//! Any bytes as an editor's lines: each answer is one line of JSON, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::agents::acp_server::{Act, Done, Effect, Opened, Server, Trouble};
use portcullis::wire::v1::PromptState;
use portcullis::wire::v1::agent_command::Command;

const SESSION: &str = "00112233445566778899aabbccddeeff";

fuzz_target!(|bytes: &[u8]| {
    let mut server = Server::new("tag".to_owned(), "fuzz");
    // As they come: in pieces.
    for piece in bytes.chunks(97) {
        let mut left = server.read(piece);
        while let Some(effect) = left.pop() {
            match effect {
                Effect::Say(line) => {
                    assert_eq!(line.iter().position(|byte| *byte == b'\n'), line.len().checked_sub(1));
                    is_json(&line);
                }
                Effect::Act { number, act } => left.extend(server.done(number, outcome(number, act))),
            }
        }
    }
});

fn outcome(number: u64, act: Act) -> Result<Done, Trouble> {
    match act {
        // Every seventh does not work.
        _ if number % 7 == 6 => Err(Trouble { code: "denied".into(), message: "no".into(), retryable: false }),
        Act::Begin { directory } => {
            let opened = Opened { session: SESSION.into(), name: "n".into(), directory, ..Opened::default() };
            Ok(Done::Opened(Box::new(opened)))
        }
        Act::Load { session } => Ok(Done::Opened(Box::new(Opened { session, ..Opened::default() }))),
        Act::Command { command: Command::Prompt(prompt), .. } => {
            Ok(Done::Prompt(PromptState { id: prompt.id, ..PromptState::default() }))
        }
        Act::Command { .. } => Ok(Done::Told),
    }
}

fn is_json(line: &[u8]) {
    if let Err(error) = serde_json::from_slice::<serde_json::Value>(line) {
        panic!("{error}: {}", String::from_utf8_lossy(line));
    }
}
