//! What a person sees of a request before they decide: with the real Claude Code, looked at through tmux.

use crate::support::agents::unique_word;
use crate::support::eventually;
use crate::support::talk::Talk;
use crate::support::tmux::Tmux;

/// A command of 110 KB for the shell tool, and its last line: raw line, input and command together are above 256 KiB.
fn long(last: &str) -> (Vec<String>, String) {
    let mut lines: Vec<String> =
        (0..2200).map(|number| format!(": line {number} of many that do nothing at all, {number}")).collect();
    lines.push(last.to_owned());
    let command = lines.join("\n");
    assert!(command.len() > 105_000, "{}", command.len());
    (lines, command)
}

fn ask(talk: &Talk, command: &str) {
    let input = serde_json::json!({"command": command, "description": "many lines", "run_in_background": false});
    talk.model.answers_next(&format!("tool: Bash {input}"));
    talk.ssh(&["prompt", "talk", "--no-wait", "run it"]);
}

/// All of it stands above the card, whose keys come last.
fn assert_whole(window: &Tmux, lines: &[String]) {
    let history = window.history();
    let shown: Vec<&str> = history.lines().filter_map(|row| row.strip_prefix("  | ")).map(str::trim_end).collect();
    assert_eq!(shown.len(), lines.len(), "{}", &history[history.len().saturating_sub(2000)..]);
    assert!(shown.iter().zip(lines).all(|(row, line)| row == line));
    let fields = ["  description: many lines", "  run_in_background: false"];
    assert!(fields.iter().all(|field| history.lines().any(|row| row.trim_end() == *field)));
    assert!(history.find("  | ").unwrap() < history.find("y/1 ").unwrap());
}

#[test]
fn a_long_command_stands_whole_above_its_card_before_a_key_allows_it() {
    let talk = Talk::start();
    let attach = |words: &[&str]| Tmux::start(80, 24, &talk.place.ssh(&["-tt"], words));
    let windows = [attach(&["attach", "talk"]), Tmux::start(80, 24, &talk.place.client(&["attach", "talk"]))];
    windows.iter().for_each(|window| drop(window.until("leaves")));
    let file = talk.home().join(unique_word());
    let (lines, command) = long(&format!("touch {}", file.display()));
    ask(&talk, &command);
    for window in &windows {
        window.until("y/1 ");
        assert_whole(window, &lines);
    }
    // Who comes later has it from what waits.
    let late = attach(&["attach", "talk"]);
    late.until("y/1 ");
    assert_whole(&late, &lines);
    assert!(!file.exists());
    windows[0].types("y");
    for window in windows.iter().chain([&late]) {
        window.until("allowed: Bash");
        window.until("| idle |");
    }
    eventually("the last line ran", || file.exists().then_some(()));
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_command_with_too_many_lines_for_a_terminal_can_only_be_rejected_there() {
    let talk = Talk::start();
    let window = Tmux::start(80, 24, &talk.place.ssh(&["-tt"], &["attach", "talk"]));
    window.until("leaves");
    let file = talk.home().join(unique_word());
    let command = ":\n".repeat(25_000) + &format!("touch {}", file.display());
    ask(&talk, &command);
    let screen = window.until("can only be rejected here");
    assert!(screen.contains("characters are not shown"), "{screen}");
    let screen = window.until("r reject with a reason");
    assert!(!screen.contains("y/1 "), "{screen}");
    window.types("y");
    window.until("not all of it was shown here");
    window.types("n");
    window.until("rejected: Bash");
    window.until("| idle |");
    assert!(!file.exists());
}
