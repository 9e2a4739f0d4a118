//! Agents that print anything at all: no line makes the driver panic, and what it remembers stays small.

use proptest::prelude::*;

use super::golden::{driver, recordings};
use crate::agents::driver::{Driver, Effect};
use crate::agents::limits::{LIST, LOG_LINE, PATH, RAW_KEPT, REQUEST_INPUT, REQUESTS_OPEN};
use crate::agents::recording::request;
use crate::wire::v1::agent_event::Kind;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_survived(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
        let mut driver = driver("prompt");
        driver.start(0);
        for line in lines {
            for effect in driver.line(1, &line) {
                prop_assert!(!matches!(effect, Effect::Write(_)));
            }
        }
        driver.closed(2);
    }

    /// Real lines with one byte changed, in any order.
    #[test]
    fn damaged_lines_are_survived(picks in prop::collection::vec((any::<usize>(), any::<usize>(), any::<u8>()), 1..60)) {
        let lines: Vec<String> = all_lines();
        let mut driver = driver("prompt");
        driver.start(0);
        for (pick, place, byte) in picks {
            let mut line = lines[pick % lines.len()].clone().into_bytes();
            let place = place % line.len();
            line[place] = byte;
            driver.line(1, &line);
            driver.tick(1);
        }
        driver.closed(2);
    }
}

fn all_lines() -> Vec<String> {
    let all = recordings().into_iter().flat_map(|(_, text)| text.lines().map(str::to_owned).collect::<Vec<_>>());
    all.filter(|line| line.starts_with('{')).collect()
}

#[test]
fn a_line_that_is_no_event_is_kept_and_nothing_stops() {
    let mut driver = driver("prompt");
    driver.start(0);
    let effects = driver.line(1, b"Segmentation fault\xff");
    let [Effect::Event(event)] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(serde_json::to_string(event).unwrap().contains("Segmentation fault"));
    assert_eq!(driver.line(1, b"  "), []);
    assert_eq!(driver.line(2, br#"{"type":"rate_limit_event","x":1}"#).len(), 1);
    assert_eq!(driver.overlong(3, b"{", 20_000_000).len(), 2);
    let ready = br#"{"type":"control_response","response":{"subtype":"success","request_id":"portcullis-1"}}"#;
    assert_eq!(driver.line(4, ready).len(), 2);
}

#[test]
fn open_requests_are_bounded_and_the_rest_is_refused() {
    let mut driver = driver("prompt");
    driver.start(0);
    let ask = |id: usize, input: &str| {
        format!(
            r#"{{"type":"control_request","request_id":"r{id}","request":{{"subtype":"can_use_tool","tool_name":"Bash","input":{input}}}}}"#
        )
    };
    for id in 0..REQUESTS_OPEN {
        let effects = driver.line(1, ask(id, "{}").as_bytes());
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Write(_))));
    }
    let refused = |effects: Vec<Effect>| {
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Write(line) if String::from_utf8_lossy(line).contains("deny")))
    };
    assert!(refused(driver.line(1, ask(REQUESTS_OPEN, "{}").as_bytes())));
    assert!(refused(driver.line(1, ask(0, "{}").as_bytes())), "an id that is open already");
    let long = format!(r#"{{"command":"{}"}}"#, "x".repeat(REQUEST_INPUT));
    assert!(refused(super::golden::driver("prompt").line(1, ask(1, &long).as_bytes())));
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    assert!(refused(super::golden::driver("prompt").line(1, ask(1, &deep).as_bytes())), "without a digest no answer");
    let mut many = super::golden::driver("prompt");
    let half = format!(r#"{{"command":"{}"}}"#, "x".repeat(REQUEST_INPUT / 2));
    assert_eq!(
        (0..16).filter(|id| refused(many.line(1, ask(*id, &half).as_bytes()))).count(),
        13,
        "4 MiB in all, shown twice"
    );
    let other = br#"{"type":"control_request","request_id":"h","request":{"subtype":"hook_callback"}}"#;
    assert!(
        driver.line(1, other).iter().any(|effect| matches!(effect, Effect::Write(_))),
        "answered, not left waiting"
    );
}

#[test]
fn a_line_does_not_cost_many_times_its_size() {
    let mut driver = driver("prompt");
    let blocks = r#"{"type":"text","text":"x"},"#.repeat(100_000);
    let line = format!(r#"{{"type":"assistant","message":{{"id":"m","content":[{blocks}{{"type":"text"}}]}}}}"#);
    let effects = driver.line(1, line.as_bytes());
    assert!(effects.len() <= LIST + 2, "{}", effects.len());
    for effect in effects {
        let Effect::Event(event) = effect else { continue };
        assert!(event.raw.len() <= RAW_KEPT);
    }
    let garbage = vec![b'x'; 1 << 20];
    let effects = driver.line(1, &garbage);
    let [Effect::Event(event)] = effects.as_slice() else { panic!() };
    assert!(prost::Message::encoded_len(event) < LOG_LINE + 64);
}

#[test]
fn a_long_answer_arrives_whole() {
    let mut driver = driver("prompt");
    let text = "0123456789abcdef".repeat(1 << 17);
    let line =
        format!(r#"{{"type":"assistant","message":{{"id":"m","content":[{{"type":"text","text":"{text}"}}]}}}}"#);
    let effects = driver.line(1, line.as_bytes());
    let whole = effects.iter().any(|effect| {
        matches!(effect, Effect::Event(event)
        if matches!(&event.kind, Some(crate::wire::v1::agent_event::Kind::Message(said)) if said.text == text))
    });
    assert!(whole);
}

#[test]
fn what_is_repeated_or_shown_of_a_request_is_short() {
    let mut driver = driver("prompt");
    driver.start(0);
    let long = "x".repeat(1 << 20);
    for subtype in ["hook_callback", "can_use_tool"] {
        let line = format!(
            r#"{{"type":"control_request","request_id":"{long}","request":{{"subtype":"{subtype}","tool_name":"Bash"}}}}"#
        );
        let effects = driver.line(1, line.as_bytes());
        let [Effect::Event(event)] = effects.as_slice() else { panic!("{} effects", effects.len()) };
        assert!(prost::Message::encoded_len(event) < LOG_LINE + 64, "kept as a log, answered with nothing");
    }
    let line = format!(r#"{{"type":"control_request","request_id":"a","request":{{"subtype":"{long}"}}}}"#);
    let written = |effects: Vec<Effect>| {
        let lines = effects.into_iter().filter_map(|one| if let Effect::Write(line) = one { Some(line) } else { None });
        lines.map(|line| line.len()).sum::<usize>()
    };
    assert!((1..1024).contains(&written(driver.line(1, line.as_bytes()))));
    let line = format!(
        r#"{{"type":"control_request","request_id":"b","request":{{"subtype":"can_use_tool","tool_name":"Bash","input":{{}},"blocked_path":"/{long}"}}}}"#
    );
    let asked = driver.line(1, line.as_bytes()).into_iter().find_map(|effect| match effect {
        Effect::Event(event) => event.kind.filter(|kind| matches!(kind, Kind::PermissionAsked(_))),
        _ => None,
    });
    let Some(Kind::PermissionAsked(asked)) = asked else { panic!() };
    assert_eq!(asked.paths.iter().map(String::len).collect::<Vec<_>>(), [PATH]);
}

#[test]
fn an_id_that_comes_again_names_another_request() {
    let mut driver = driver("prompt");
    driver.start(0);
    let ask = br#"{"type":"control_request","request_id":"r","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{}}}"#;
    driver.line(1, ask);
    assert_eq!(driver.open.keys().collect::<Vec<_>>(), [&request(1)]);
    driver.line(2, br#"{"type":"control_cancel_request","request_id":"r"}"#);
    assert!(driver.open.is_empty());
    driver.line(3, ask);
    assert_eq!(driver.open.keys().collect::<Vec<_>>(), [&request(2)]);
}
