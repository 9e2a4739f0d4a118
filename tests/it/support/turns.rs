//! What tests of a structured session wait for and answer, whatever agent it is.

use portcullis::wire::v1::agent_event::Kind;
use portcullis::wire::v1::agent_request::Request;
use portcullis::wire::v1::{self, OptionKind, PromptPhase, StopReason, server_message::Body as Say};

use super::client::Heard;
use super::talk::{Watch, is_over, prompt};

/// The next request for leave.
pub async fn asked(watch: &mut Watch) -> v1::PermissionAsked {
    match watch.until(|kind| matches!(kind, Kind::PermissionAsked(_))).await.pop() {
        Some(Kind::PermissionAsked(asked)) => asked,
        other => panic!("{other:?}"),
    }
}

/// The next question.
pub async fn questioned(watch: &mut Watch) -> v1::QuestionAsked {
    match watch.until(|kind| matches!(kind, Kind::QuestionAsked(_))).await.pop() {
        Some(Kind::QuestionAsked(asked)) => asked,
        other => panic!("{other:?}"),
    }
}

/// The option of this kind, as an answer.
pub fn answer(asked: &v1::PermissionAsked, kind: OptionKind) -> Request {
    let option = asked.options.iter().find(|option| option.kind() == kind).unwrap().id.clone();
    let (id, digest) = (asked.id.clone(), asked.digest.clone());
    Request::AnswerPermission(v1::AnswerPermission { id, digest, option, ..Default::default() })
}

/// Answers the next request for leave.
pub async fn decide(watch: &mut Watch, kind: OptionKind) -> v1::PermissionAsked {
    let asked = asked(watch).await;
    let told = watch.ask(answer(&asked, kind)).await;
    assert!(matches!(told, Say::Done(_)), "{told:?}");
    asked
}

/// A whole turn; everything that was seen of it.
pub async fn turn(watch: &mut Watch, id: &str, text: &str) -> Vec<Kind> {
    let taken = watch.ask(prompt(id, text)).await;
    assert!(matches!(taken, Say::Prompt(_)), "{taken:?}");
    watch.until(is_over(id)).await
}

/// Every end of a turn.
pub fn ended(events: &[Kind]) -> Vec<&v1::TurnEnded> {
    events.iter().filter_map(|kind| if let Kind::TurnEnded(ended) = kind { Some(ended) } else { None }).collect()
}

/// How the only turn ended, and what became of its prompt.
pub fn fate(events: &[Kind]) -> (StopReason, PromptPhase) {
    match (&ended(events)[..], events.last()) {
        ([ended], Some(Kind::Prompt(state))) => (ended.stop_reason(), state.phase()),
        _ => panic!("no single turn: {events:?}"),
    }
}

/// What the agent said: whole blocks, or the pieces of one that does not say it whole.
pub fn text(events: &[Kind]) -> String {
    let told = |wanted: bool| -> String {
        let text = |kind: &Kind| match kind {
            Kind::Message(chunk) if chunk.whole == wanted => Some(chunk.text.clone()),
            _ => None,
        };
        events.iter().filter_map(text).collect()
    };
    let whole = told(true);
    if whole.is_empty() { told(false) } else { whole }
}

/// What it thought, likewise.
pub fn thoughts(events: &[Kind]) -> String {
    let thought = |kind: &Kind| if let Kind::Thought(chunk) = kind { Some(chunk.text.clone()) } else { None };
    events.iter().filter_map(thought).collect()
}

/// How many pieces the answer came in.
pub fn pieces(events: &[Kind]) -> usize {
    events.iter().filter(|kind| matches!(kind, Kind::Message(chunk) if !chunk.whole)).count()
}

/// A refusal's code; anything else as it is.
pub fn code(said: Say) -> String {
    match said {
        Say::Error(error) => error.code,
        other => format!("{other:?}"),
    }
}

/// An event that was cut, whole.
pub async fn fetch(watch: &mut Watch, number: u64) -> v1::AgentEvent {
    let mut json = Vec::new();
    let mut said = watch.ask(Request::FetchEvent(number)).await;
    loop {
        // Other events may come between the pieces.
        if let Say::EventPiece(piece) = said {
            assert_eq!(piece.number, number);
            json.extend_from_slice(&piece.data);
            if !piece.more {
                return serde_json::from_slice(&json).unwrap();
            }
        }
        said = match watch.wss.next().await {
            Heard::Said(_, said) => said,
            other => panic!("{other:?}"),
        };
    }
}
