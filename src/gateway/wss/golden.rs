//! Replays the examples of docs/protocol.md.

use crate::wire::{decode_client, decode_server, encode_client, encode_server};

fn examples() -> Vec<&'static str> {
    let document = include_str!("../../../docs/protocol.md");
    document.split("```json\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

#[test]
fn every_example_is_a_message_and_means_all_that_it_says() {
    let examples = examples();
    assert!(examples.len() > 12, "{}", examples.len());
    for example in examples {
        // What a message does not know is ignored when it is read, so it would be missing when it is written again.
        let from_client = decode_client(example).unwrap();
        let again = match from_client.body {
            Some(_) => encode_client(&from_client).unwrap(),
            None => {
                let from_gateway = decode_server(example).unwrap();
                assert!(from_gateway.body.is_some(), "neither side knows {example}");
                encode_server(&from_gateway).unwrap()
            }
        };
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&again), value(example));
    }
}
