//! Stored link frames, orders and answers, and what they mean; does not know which release wrote a line.

use bytes::{BufMut, BytesMut};
use serde_json::{Value, json};

use super::link::{
    Frame, FrameHeader, LinkDecoder, decode_to_gateway, decode_to_host, encode_control_to_gateway,
    encode_control_to_host, encode_event, encode_header, encode_lost,
};
use super::order::{decode_answer, decode_order, encode_answer, encode_order};
use super::v1::{Event, ToGateway, ToHost, answer, event, order, to_gateway, to_host};
use crate::base::Offset;

const LINK: &str = include_str!("golden/link-v1.txt");
const ORDERS: &str = include_str!("golden/orders-v1.txt");

/// The names of a schema's choices, which the compiler keeps complete: the match has no wildcard.
macro_rules! kinds {
    ($check:ident, $body:path, $prefix:literal: $($kind:ident)*) => {
        const $check: &[&str] = {
            use $body as Body;
            const fn _complete(body: &Body) {
                match body {
                    $(Body::$kind(_) => (),)*
                }
            }
            &[$(concat!($prefix, stringify!($kind))),*]
        };
    };
}

kinds!(TO_HOST, to_host::Body, "to-host/":
    Hello Live Read Snapshot Fit NextFrame Input Size Hold Name Writer Forget Appearance Question);
kinds!(TO_GATEWAY, to_gateway::Body, "to-gateway/":
    Hello Data Snapshot Frame Taken Refused Size Writer Ended Status Chosen Answer Agent);
kinds!(EVENT, event::Kind, "event/": Title Bell Clipboard Notification Cut Renamed HostLog Agent);
kinds!(ORDER, order::Body, "order/": Hello Start Stop List Keys Reload Reopen Ready StopAll);
kinds!(ANSWER, answer::Body, "answer/": Hello Accepted Started Refused Stopped Hosts Keys Done Gone);
/// Frames without a message, in the same way.
const PLAIN: &[&str] = {
    const fn _complete(header: FrameHeader) {
        match header {
            FrameHeader::Output | FrameHeader::Lost | FrameHeader::Event | FrameHeader::Control => (),
        }
    }
    &["output", "lost"]
};

/// One line: its kind, the frame in hex, what it says.
struct Stored<'a> {
    kind: &'a str,
    hex: &'a str,
    meaning: Value,
}

fn stored(file: &'static str) -> Vec<Stored<'static>> {
    let lines = file.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut parts = line.splitn(3, ' ');
            let (kind, hex, meaning) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            Stored {
                kind,
                hex,
                meaning: serde_json::from_str(meaning).unwrap_or_else(|error| panic!("{error}: {line}")),
            }
        })
        .collect()
}

/// What stored bytes of this kind say; fields that are not set are left out.
fn meaning(kind: &str, stored: &[u8]) -> Value {
    match kind.split_once('/') {
        Some(("order", _)) => return json!(decode_order(stored).unwrap()),
        Some(("answer", _)) => return json!(decode_answer(stored).unwrap()),
        _ => {}
    }
    let mut decoder = LinkDecoder::default();
    decoder.buffer().put_slice(stored);
    let frame = decoder.next_frame().unwrap().unwrap_or_else(|| panic!("{kind} is skipped or cut short"));
    assert!(decoder.buffer().is_empty(), "more than one frame in {kind}");
    match frame {
        Frame::Output(offset, data) => json!({"offset": offset.0, "data": hex(&data)}),
        Frame::Lost(from, to) => json!({"from": from.0, "to": to.0}),
        Frame::Event(offset, event) => json!({"offset": offset.0, "event": event}),
        Frame::Control(payload) if kind.starts_with("to-host/") => json!(decode_to_host(payload).unwrap()),
        Frame::Control(payload) => json!(decode_to_gateway(payload).unwrap()),
    }
}

/// The bytes that say so, for a line that does not have its hex yet.
fn encoded(kind: &str, meaning: &Value) -> Vec<u8> {
    let mut out = BytesMut::new();
    let whole = meaning.clone();
    let number = |name: &str| Offset(meaning[name].as_u64().unwrap());
    match kind.split_once('/') {
        Some(("order", _)) => return encode_order(&serde_json::from_value(whole).unwrap()).unwrap(),
        Some(("answer", _)) => return encode_answer(&serde_json::from_value(whole).unwrap()).unwrap(),
        Some(("to-host", _)) => {
            encode_control_to_host(&mut out, &serde_json::from_value::<ToHost>(whole).unwrap());
        }
        Some(("to-gateway", _)) => {
            encode_control_to_gateway(&mut out, &serde_json::from_value::<ToGateway>(whole).unwrap());
        }
        Some(("event", _)) => {
            let event: Event = serde_json::from_value(meaning["event"].clone()).unwrap();
            encode_event(&mut out, number("offset"), &event);
        }
        _ if kind == "lost" => encode_lost(&mut out, number("from"), number("to")),
        _ => {
            let data = bytes_of(meaning["data"].as_str().unwrap());
            out.put_slice(&encode_header(FrameHeader::Output, data.len() as u32, number("offset")));
            out.put_slice(&data);
        }
    }
    out.to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "{hex}");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// `SizeIs` as the schema writes it: `size_is`.
fn field(kind: &str) -> String {
    let mut field = String::new();
    for letter in kind.chars() {
        if letter.is_uppercase() && !field.is_empty() {
            field.push('_');
        }
        field.extend(letter.to_lowercase());
    }
    field
}

#[test]
fn what_any_release_has_stored_still_means_the_same() {
    let mut missing = String::new();
    for Stored { kind, hex: stored, meaning: wanted } in [LINK, ORDERS].into_iter().flat_map(stored) {
        if stored == "?" {
            missing += &format!("{kind} {} {wanted}\n", hex(&encoded(kind, &wanted)));
        } else {
            assert_eq!(meaning(kind, &bytes_of(stored)), wanted, "{kind}");
        }
    }
    assert!(missing.is_empty(), "lines to store:\n{missing}");
}

#[test]
fn every_kind_is_stored_as_what_its_name_says() {
    for (file, kinds) in [(LINK, [PLAIN, TO_HOST, TO_GATEWAY, EVENT].concat()), (ORDERS, [ORDER, ANSWER].concat())] {
        let stored = stored(file);
        for kind in kinds {
            assert!(stored.iter().any(|line| line.kind == kind), "nothing stored is {kind}: add a line, its hex ?");
        }
        for line in stored {
            let Some((direction, name)) = line.kind.split_once('/') else { continue };
            let body = if direction == "event" { &line.meaning["event"] } else { &line.meaning };
            assert!(body.get(field(name)).is_some(), "{} is something else: {body}", line.kind);
        }
    }
}
