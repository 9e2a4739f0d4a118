//! The line terminal as a whole: events and keys in, the terminal's bytes and wishes out.

use super::*;
use crate::wire::v1::agent_event::Kind;
use crate::wire::v1::{
    AgentEvent, AgentSummary, Attached, Closing, Cut, MessageChunk, OptionKind, PermissionAsked, PermissionClosed,
    PermissionOption, Question, QuestionAsked, QuestionOption, StateChanged, Verdict,
};

struct Rig {
    lines: LineTerminal,
    now: Instant,
    number: u64,
    painted: Vec<u8>,
}

impl Rig {
    fn new(may_approve: bool) -> Self {
        let size = WinSize::clamped(80, 24);
        let (name, leave, prompts) = ("talk".into(), "Ctrl-] d".into(), "p".into());
        let setup = Setup { name, size, drives: true, may_approve, leave, prompts };
        Self { lines: LineTerminal::new(setup), now: Instant::now(), number: 0, painted: Vec::new() }
    }

    fn event(&mut self, kind: Kind) {
        let event = AgentEvent { kind: Some(kind), ..AgentEvent::default() };
        self.lines.event(self.number, &event);
        self.number += 1;
    }

    fn types(&mut self, text: &str) -> Vec<Wish> {
        text.bytes().flat_map(|byte| self.lines.typed(&[byte], self.now)).collect()
    }

    fn paints(&mut self) {
        self.painted.extend(self.lines.paint());
        self.lines.painted(self.now);
    }

    /// Until nothing is due.
    fn waits(&mut self) {
        self.paints();
        while let Some(due) = self.lines.due() {
            self.now = due;
            self.lines.tick(due);
            self.paints();
        }
    }

    fn shown(&mut self) -> String {
        self.paints();
        String::from_utf8(std::mem::take(&mut self.painted)).unwrap()
    }
}

fn permission(id: &str) -> Kind {
    let option = |id: &str, kind: OptionKind| PermissionOption { id: id.into(), name: id.into(), kind: kind.into() };
    let options = vec![option("yes", OptionKind::AllowOnce), option("no", OptionKind::RejectOnce)];
    let (id, digest, command) = (id.into(), "d".into(), "touch x".into());
    Kind::PermissionAsked(PermissionAsked { id, digest, command, options, tool: "Bash".into(), ..Default::default() })
}

fn answer(wishes: &[Wish]) -> Option<(String, String)> {
    match wishes {
        [Wish::Ask(Command::AnswerPermission(answer))] => Some((answer.option.clone(), answer.reason.clone())),
        [] => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_answers_only_a_card_that_was_there_to_be_read() {
    let mut rig = Rig::new(true);
    rig.event(permission("r1"));
    assert_eq!(answer(&rig.types("y")), None, "typed as the card came: a text");
    assert_eq!(answer(&rig.types("\x03")), None);
    rig.waits();
    assert_eq!(answer(&rig.lines.typed(b"yes", rig.now)), None, "more than one key at once is a text");
    rig.types("\x03");
    rig.waits();
    assert_eq!(answer(&rig.types("y")), Some(("yes".into(), String::new())));
    assert_eq!(answer(&rig.types("rnot now\r")), Some(("no".into(), "not now".into())));
}

#[test]
fn a_card_is_read_only_from_when_it_was_written() {
    let mut rig = Rig::new(true);
    rig.event(permission("r1"));
    rig.now += GRACE * 2;
    rig.lines.tick(rig.now);
    assert_eq!((rig.lines.due(), answer(&rig.types("y"))), (None, None), "what stands above it may be on its way");
    rig.types("\x03");
    rig.paints();
    assert_eq!(answer(&rig.types("y")), None);
    rig.types("\x03");
    rig.waits();
    assert!(answer(&rig.types("y")).is_some());
}

/// A request of which an event has only the beginning, and its whole.
fn long() -> (AgentEvent, AgentEvent) {
    let Kind::PermissionAsked(mut asked) = permission("r1") else { unreachable!() };
    asked.command = (0..9000).map(|n| format!("step {n}\n")).collect::<String>() + "the last line";
    let whole = AgentEvent { kind: Some(Kind::PermissionAsked(asked.clone())), ..AgentEvent::default() };
    asked.command.truncate(16);
    let cut = Some(Cut { length: 300_000, fetchable: true });
    (AgentEvent { cut, kind: Some(Kind::PermissionAsked(asked)), ..AgentEvent::default() }, whole)
}

#[test]
fn a_cut_request_is_fetched_and_shown_whole_before_a_key_allows_it() {
    let mut rig = Rig::new(true);
    let (cut, whole) = long();
    rig.lines.event(4, &cut);
    assert_eq!((rig.lines.wanted(), rig.lines.wanted()), (Some(4), None));
    rig.waits();
    assert_eq!(answer(&rig.types("y")), None);
    let shown = rig.shown();
    assert!(shown.contains("being fetched") && !shown.contains("step 1"), "{shown}");
    rig.types("\x03");
    rig.lines.fetched(4, Ok(whole));
    assert_eq!(answer(&rig.types("y")), None, "more of it came: it is read anew");
    rig.types("\x03");
    rig.waits();
    let shown = rig.shown();
    assert!(shown.contains("step 8999") && shown.contains("the last line"), "{}", shown.len());
    assert_eq!(answer(&rig.types("y")), Some(("yes".into(), String::new())));
}

#[test]
fn a_request_whose_rest_does_not_come_can_only_be_rejected() {
    let (cut, whole) = long();
    let mut other = whole.clone();
    if let Some(Kind::PermissionAsked(asked)) = &mut other.kind {
        asked.digest = "e".into();
    }
    for came in [Err("gone".to_owned()), Ok(other), Ok(cut.clone())] {
        let mut rig = Rig::new(true);
        rig.lines.event(4, &cut);
        assert_eq!(rig.lines.wanted(), Some(4));
        rig.lines.fetched(4, came);
        rig.waits();
        let shown = rig.shown();
        assert!(shown.contains("step 1") && shown.contains("the rest of it is not shown"), "{shown}");
        assert!(shown.contains("can only be rejected here") && rig.types("y").is_empty());
        assert_eq!(answer(&rig.types("n")), Some(("no".into(), String::new())));
    }
}

#[test]
fn of_what_waits_at_an_attach_the_whole_is_known() {
    let (cut, whole) = long();
    let Some(Kind::PermissionAsked(asked)) = whole.kind else { unreachable!() };
    let mut rig = Rig::new(true);
    let agent = Some(AgentSummary { permissions: vec![asked], ..Default::default() });
    let attached = Attached { verdict: Verdict::Snapshot.into(), offset: 0, head: 1, agent, ..Default::default() };
    rig.lines.attached(&attached);
    rig.lines.event(0, &cut);
    assert_eq!(rig.lines.wanted(), None);
    rig.waits();
    assert!(rig.shown().contains("the last line"));
    assert!(answer(&rig.types("y")).is_some());
}

#[test]
fn a_key_that_may_not_approve_writes_a_text() {
    let mut rig = Rig::new(false);
    rig.event(permission("r1"));
    rig.waits();
    assert_eq!(answer(&rig.types("y")), None);
    assert!(rig.shown().contains("this key may not approve; one that may: approve r1, or deny r1"));
    assert!(matches!(&rig.types("\r")[..], [Wish::Ask(Command::Prompt(prompt))] if prompt.text == "y"));
}

#[test]
fn a_card_that_somebody_else_answers_closes_and_says_who() {
    let mut rig = Rig::new(true);
    rig.event(permission("r1"));
    rig.waits();
    rig.types("rbeca");
    assert!(rig.shown().contains("why not> "));
    let (id, by) = ("r1".into(), "bob".into());
    rig.event(Kind::PermissionClosed(PermissionClosed {
        id,
        by,
        outcome: Closing::Allowed.into(),
        ..Default::default()
    }));
    let shown = rig.shown();
    assert!(shown.contains("(by bob)") && !shown.contains("why not> "), "{shown}");
    assert!(rig.types("\r").is_empty(), "the reason went with its request");
}

#[test]
fn a_question_is_answered_by_number_or_text_but_not_by_what_was_begun_before() {
    let mut rig = Rig::new(true);
    rig.types("half a prompt");
    let options = vec![QuestionOption { label: "red".into(), ..Default::default() }];
    let questions = vec![Question { text: "which?".into(), options, ..Default::default() }];
    rig.event(Kind::QuestionAsked(QuestionAsked { id: "q".into(), questions, ..Default::default() }));
    rig.waits();
    assert!(matches!(&rig.types("\r")[..], [Wish::Ask(Command::Prompt(prompt))] if prompt.text == "half a prompt"));
    rig.waits();
    assert!(rig.shown().contains("answer> "));
    let wishes = rig.types("violet\r");
    let [Wish::Ask(Command::AnswerQuestion(answer))] = &wishes[..] else { panic!("{wishes:?}") };
    assert_eq!(answer.answers[0].text, "violet");
    rig.waits();
    let wishes = rig.types("1");
    let [Wish::Ask(Command::AnswerQuestion(answer))] = &wishes[..] else { panic!("{wishes:?}") };
    assert_eq!(answer.answers[0].labels, ["red"]);
}

#[test]
fn ctrl_c_clears_then_interrupts_then_says_how_to_leave() {
    let mut rig = Rig::new(true);
    rig.event(Kind::State(StateChanged { state: AgentState::Working.into(), ..Default::default() }));
    assert!(rig.types("text\x03").is_empty());
    assert!(matches!(rig.types("\x03")[..], [Wish::Ask(Command::Interrupt(_))]));
    rig.event(Kind::State(StateChanged { state: AgentState::Idle.into(), ..Default::default() }));
    assert!(rig.types("\x03").is_empty());
    assert!(rig.shown().contains("to leave: Ctrl-] d, or Ctrl-D"));
    assert_eq!(rig.types("x\x04"), [], "Ctrl-D behind a text deletes");
    assert_eq!(rig.types("\x03\x04"), [Wish::Leave]);
}

#[test]
fn pasted_line_ends_send_nothing_and_a_refused_prompt_comes_back() {
    let mut rig = Rig::new(true);
    assert!(rig.types("\x1b[200~one\r\ntwo\r\x1b[201~").is_empty());
    let wishes = rig.types("\r");
    let [Wish::Ask(command @ Command::Prompt(prompt))] = &wishes[..] else { panic!("{wishes:?}") };
    assert_eq!(prompt.text, "one\ntwo\n");
    assert!(rig.shown().contains("next: one two"));
    rig.lines.refused(command, "no room");
    let shown = rig.shown();
    assert!(shown.contains("! no room") && !shown.contains("next: ") && shown.contains("> one"), "{shown}");
}

#[test]
fn what_waits_at_an_attach_is_shown_after_history() {
    let mut rig = Rig::new(true);
    let Kind::PermissionAsked(asked) = permission("r1") else { unreachable!() };
    let agent = Some(AgentSummary { permissions: vec![asked], ..Default::default() });
    let attached = Attached { verdict: Verdict::Snapshot.into(), offset: 0, head: 2, agent, ..Default::default() };
    rig.lines.attached(&attached);
    assert!(!rig.shown().contains("asks for leave"));
    let text = |text: &str| Kind::Message(MessageChunk { text: text.into(), whole: true, ..Default::default() });
    rig.event(text("before"));
    rig.event(text("last"));
    let shown = rig.shown();
    let (last, card) = (shown.find("last").unwrap(), shown.find("asks for leave").unwrap());
    assert!(last < card);
    rig.waits();
    assert!(answer(&rig.types("y")).is_some());
}

#[test]
fn a_viewer_has_no_line_and_the_region_never_fills_the_window() {
    for (drives, rows) in [(false, 24), (true, 2), (true, 5)] {
        let mut rig = Rig::new(true);
        rig.lines.setup.drives = drives;
        rig.lines.resize(WinSize::clamped(40, rows), rig.now);
        rig.event(permission("r1"));
        rig.waits();
        let wishes = rig.types(&"word ".repeat(40));
        assert!(wishes.is_empty());
        let shown = rig.shown();
        let region = shown.rsplit("\x1b[J").next().unwrap();
        assert!(drives || !region.contains("\n> "), "{shown:?}");
        let drawn = rig.lines.paint();
        assert!(drawn.is_empty(), "nothing changes, nothing is drawn");
        rig.lines.resize(WinSize::clamped(40, rows), rig.now);
        assert_eq!(rig.shown(), "", "the window may still be pulled");
        rig.waits();
        let again = rig.shown();
        assert!(again.matches("\r\n").count() < rows as usize, "{again:?}");
        assert_eq!(rig.types("\x03"), if drives { vec![] } else { vec![Wish::Leave] });
    }
}

#[test]
fn leaving_takes_the_region_away_and_paste_back() {
    let mut rig = Rig::new(true);
    assert!(rig.shown().starts_with("\x1b[?2004h"));
    rig.event(Kind::Message(MessageChunk { text: "half a sentence".into(), ..Default::default() }));
    rig.shown();
    let left = String::from_utf8(rig.lines.leave()).unwrap();
    assert!(left.contains("half a sentence\r\n") && left.contains("\x1b[?2004l"), "{left:?}");
    assert!(left.find("half").unwrap() < left.rfind("\x1b[J").unwrap());
}
