//! Claude Code in its terminal: a refused login is known at every door, and a restart goes on with its conversation.

use serde_json::Value;

use crate::support::agents::{FakeModel, prepare, unique_word};
use crate::support::eventually;
use crate::support::place::{Mode, Place, describe};
use crate::support::tmux::Tmux;

#[test]
fn a_refused_login_is_shown_until_a_turn_works_again() {
    let model = FakeModel::start();
    let mut place = Place::new(Mode::Root);
    prepare(&mut place, &model);
    // Usually it tries ten times, for three minutes, before it says so.
    place.environment.push(("CLAUDE_CODE_MAX_RETRIES".into(), "0".into()));
    place.serve();
    let claude = Tmux::start(100, 40, &place.ssh(&["-tt"], &["new", "claude", "--name", "talk"]));
    claude.until("? for shortcuts");
    let is = |wanted: &str| {
        eventually(&format!("the state is {wanted}"), || {
            let told = place.ssh(&[], &["ls", "--json"]).output().unwrap();
            let sessions: Value =
                serde_json::from_slice(&told.stdout).unwrap_or_else(|_| panic!("{}", describe(&told)));
            (sessions[0]["agent_state"] == wanted).then_some(())
        })
    };
    let asks = |prompt: &str| {
        claude.types(prompt);
        claude.until(prompt);
        claude.presses("Enter");
    };
    asks("fail: 401");
    claude.until("Please run /login");
    is("needs-login");
    let listed = place.ssh(&[], &["ls"]).output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("needs-login"), "{}", describe(&listed));
    asks("say: it works again");
    claude.until("● it works again");
    is("idle");
}

#[test]
fn a_restart_goes_on_with_the_conversation_of_the_terminal() {
    let model = FakeModel::start();
    let mut place = Place::new(Mode::Root);
    prepare(&mut place, &model);
    place.serve();
    let claude = Tmux::start(100, 40, &place.ssh(&["-tt"], &["new", "claude", "--name", "talk"]));
    claude.until("? for shortcuts");
    assert_eq!(place.verb(&["restart", "talk"]), "talk: restarted, new\n", "nothing was said yet");
    let claude = Tmux::start(100, 40, &place.ssh(&["-tt"], &["attach", "talk"]));
    claude.until("? for shortcuts");
    let word = unique_word();
    claude.types(&format!("say: {word}"));
    claude.until(&word);
    claude.presses("Enter");
    claude.until(&format!("● {word}"));
    eventually("the turn is over", || place.verb(&["ls"]).contains("idle").then_some(()));
    drop(claude);
    assert_eq!(place.verb(&["restart", "talk"]), "talk: restarted with its history\n");
    let claude = Tmux::start(100, 40, &place.ssh(&["-tt"], &["attach", "talk"]));
    claude.until("? for shortcuts");
    assert!(claude.text().contains(&format!("● {word}")), "{}", claude.text());
}
