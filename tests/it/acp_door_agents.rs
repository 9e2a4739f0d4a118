//! What an agent asks of an editor at the ssh door: plans, questions and tools of Claude Code and of OpenCode, through the
//! protocol's own client.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::agents::unique_word;
use crate::support::editor::{Editor, chunks, said, served, stop_reason};
use crate::support::place::{Place, describe};

fn home(new: &Value) -> PathBuf {
    PathBuf::from(new["_meta"]["portcullis"]["directory"].as_str().unwrap())
}

fn restart(place: &Place, session: &str) {
    let told = place.ssh(&[], &["restart", session]).output().unwrap();
    assert!(told.status.success(), "{}", describe(&told));
}

#[test]
fn an_editor_approves_a_plan_and_the_mode_is_left() {
    let (place, model) = served();
    let mut editor = Editor::ssh(&place, &["acp", "claude"]);
    let (session, _) = editor.begin("");
    editor.call(json!({"do": "mode", "session": session, "mode": "plan"}));
    for (kind, left) in [("reject_once", None), ("allow_once", Some("default"))] {
        model.answers_next("tool: ExitPlanMode {\"plan\":\"1. look 2. leap\"}");
        editor.tell(json!({"do": "prompt", "session": session, "text": "plan it"}));
        let asked = editor.asked();
        assert!(asked["request"]["toolCall"]["rawInput"]["plan"].as_str().unwrap().contains("2. leap"), "{asked}");
        editor.choose(&asked, kind);
        let heard = editor.until(|one| one["of"] == "prompt");
        assert_eq!(stop_reason(&heard), "end_turn", "{kind}");
        let mut modes = heard.iter().filter_map(|one| one["update"]["currentModeId"].as_str());
        assert_eq!(modes.next_back(), left, "{kind}");
    }
}

#[test]
fn an_editor_answers_a_question_or_declines_it() {
    let (place, model) = served();
    let mut editor = Editor::ssh(&place, &["acp", "claude"]);
    let (session, _) = editor.begin("");
    for (name, wanted) in [("blue", "\"which colour\"=\"blue\""), ("No answer", "done:")] {
        model.answers_next("ask: which colour");
        editor.tell(json!({"do": "prompt", "session": session, "text": "ask me"}));
        let asked = editor.asked();
        let request = &asked["request"];
        assert_eq!(request["toolCall"]["title"], "which colour");
        let option = request["options"].as_array().unwrap().iter().find(|option| option["name"] == name).unwrap();
        let outcome = json!({"outcome": "selected", "optionId": option["optionId"]});
        editor.tell(json!({"do": "answer", "number": asked["number"], "outcome": outcome}));
        let heard = editor.until(|one| one["of"] == "prompt");
        assert_eq!(stop_reason(&heard), "end_turn");
        assert!(said(&heard).contains(wanted) && (name == "blue" || !said(&heard).contains("=\"")), "{}", said(&heard));
    }
}

#[test]
fn opencode_behind_the_door_answers_asks_leave_and_is_cancelled() {
    let (place, _model) = served();
    let mut editor = Editor::ssh(&place, &["acp", "opencode"]);
    let (session, new) = editor.begin("");
    let heard = editor.turn(&session, "slow: 5 20");
    assert_eq!((stop_reason(&heard), said(&heard).as_str()), ("end_turn", "chunk-1 chunk-2 chunk-3 chunk-4 chunk-5 "));
    assert!(chunks(&heard) >= 4, "{heard:#?}");
    for (kind, allowed) in [("allow_once", true), ("reject_once", false)] {
        let file = home(&new).join(unique_word());
        editor.tell(json!({"do": "prompt", "session": session, "text": format!("run: touch {}", file.display())}));
        let asked = editor.asked();
        assert!(asked["request"]["toolCall"]["rawInput"].to_string().contains(&file.display().to_string()), "{asked}");
        assert!(!file.exists(), "nothing is approved by default");
        editor.choose(&asked, kind);
        editor.until(|one| one["of"] == "prompt");
        assert_eq!(file.exists(), allowed, "{kind}");
        let _ = std::fs::remove_file(&file);
    }
    editor.tell(json!({"do": "prompt", "session": session, "text": "slow: 2000 50"}));
    editor.until(|one| one["update"]["sessionUpdate"] == "agent_message_chunk");
    editor.tell(json!({"do": "cancel", "session": session}));
    assert_eq!(stop_reason(&editor.until(|one| one["of"] == "prompt")), "cancelled");
}

#[test]
fn after_a_restart_load_finds_the_same_conversation_of_either_agent() {
    let (place, model) = served();
    for agent in ["claude", "opencode"] {
        let mut editor = Editor::ssh(&place, &["acp", agent]);
        let (session, new) = editor.begin("");
        let word = unique_word();
        assert_eq!(said(&editor.turn(&session, &format!("say: {word}"))), word);
        restart(&place, &session);
        // On the same connection, and on another.
        let mut second = Editor::ssh(&place, &["acp", agent]);
        for editor in [&mut editor, &mut second] {
            editor.tell(json!({"do": "load", "session": session, "cwd": "/"}));
            let heard = editor.until(|one| one["of"] == "load");
            let loaded = heard.last().unwrap();
            assert_eq!(loaded["result"]["modes"], new["modes"], "it says what it is: {heard:#?}");
            // Claude Code tells nothing of before; it knows it all the same.
            assert!(agent == "claude" || said(&heard).contains(&word), "{heard:#?}");
        }
        let before = model.requests().last().unwrap()["messages"].as_u64().unwrap();
        let other = unique_word();
        assert!(said(&second.turn(&session, &format!("say: {other}"))).contains(&other));
        let after = model.requests().last().unwrap()["messages"].as_u64().unwrap();
        assert!(after >= before + 2, "{agent}: {before} messages, then {after}");
    }
}
