//! Structured sessions as a line terminal, with the real Claude Code, looked at through tmux.

use std::process::Stdio;

use crate::support::agents::unique_word;
use crate::support::eventually;
use crate::support::place::describe;
use crate::support::talk::Talk;
use crate::support::tmux::Tmux;

/// Windows as people have them.
const WIDTHS: [(u16, u16); 3] = [(40, 16), (80, 24), (120, 30)];

fn attach(talk: &Talk, (cols, rows): (u16, u16)) -> Tmux {
    let window = Tmux::start(cols, rows, &talk.place.ssh(&["-tt"], &["attach", "talk"]));
    window.until("leaves");
    window
}

fn local(talk: &Talk, words: &[&str]) -> Tmux {
    Tmux::start(80, 24, &talk.place.client(words))
}

fn send(window: &Tmux, text: &str) {
    window.types(text);
    window.presses("Enter");
}

/// The live region is there once, with its line at the bottom of what is written.
fn assert_tidy(window: &Tmux) {
    let screen = window.text();
    println!("{screen}----");
    let written: Vec<&str> = screen.trim_end().lines().collect();
    assert_eq!(written.iter().filter(|line| line.starts_with(" talk | ")).count(), 1, "{screen}");
    assert!(written.last().unwrap().starts_with('>'), "{screen}");
}

#[test]
fn three_windows_follow_one_conversation_and_a_key_in_any_approves() {
    let talk = Talk::start();
    let windows: Vec<Tmux> = WIDTHS.iter().map(|size| attach(&talk, *size)).collect();
    let word = unique_word();
    talk.model.answers_next(&format!(
        "think: let me see ;; say: {word} \u{6f22}\u{5b57} and some more words that are wrapped where it is narrow"
    ));
    send(&windows[1], "what is the word?");
    for window in &windows {
        window.until(&word);
        window.until("-- done");
        let screen = window.text();
        assert_eq!(screen.matches(&word).count(), 1, "said once, in pieces and whole\n{screen}");
        assert!(screen.contains("> what is the word?") && screen.contains("  let me see"), "{screen}");
    }

    let file = talk.home().join(format!("made-{}", unique_word()));
    talk.model.answers_next(&format!("run: touch {}", file.display()));
    send(&windows[2], "make it");
    for window in &windows {
        window.until("y/1 ");
        println!("{}----", window.text());
    }
    assert!(!file.exists(), "nothing is approved by default");
    windows[0].presses("y");
    for window in &windows {
        window.until("allowed: Bash");
        window.until("| idle |");
        assert_tidy(window);
    }
    assert!(file.exists(), "allowed");
    std::fs::remove_file(&file).unwrap();

    let file = talk.home().join(format!("not-made-{}", unique_word()));
    talk.model.answers_next(&format!("run: touch {}", file.display()));
    send(&windows[0], "make another");
    windows[1].until("y/1 ");
    windows[1].types("r");
    windows[1].until("why not>");
    send(&windows[1], "not today");
    windows[2].until("rejected: Bash");
    windows[2].until("not today");
    windows[2].until("| idle |");
    assert!(!file.exists(), "rejected");
    windows.iter().for_each(assert_tidy);
}

#[test]
fn an_interrupted_answer_a_detach_and_what_was_said_when_one_comes_back() {
    let talk = Talk::start();
    let window = attach(&talk, (80, 24));
    send(&window, "slow: 500 50");
    window.until("chunk-5 ");
    window.types("next question");
    // The window is pulled while text streams into it.
    for (cols, rows) in [(50, 20), (100, 24), (60, 12), (80, 24)] {
        window.resize(cols, rows);
        eventually("the window has its size", || {
            (window.format("#{pane_width}x#{pane_height}") == format!("{cols}x{rows}")).then_some(())
        });
    }
    eventually("the live region is as wide as the window", || {
        let screen = window.text();
        screen.lines().any(|line| line.starts_with(" talk | ") && !line.contains('…')).then_some(())
    });
    window.presses("C-c");
    window.until("| working");
    window.presses("C-c");
    window.until("-- interrupted");
    window.until("| idle |");
    assert_tidy(&window);
    assert!(window.text().starts_with("test> slow: 500 50\n"), "what stands above stays there\n{}", window.text());
    window.presses("C-]");
    window.types("d");
    let left = window.until("[detached from talk; it lives on");
    assert!(!left.contains("| idle |"), "the live region is gone\n{left}");

    let back = attach(&talk, (80, 24));
    let screen = back.until("-- interrupted");
    assert!(screen.contains("chunk-5 "), "{screen}");
    assert_tidy(&back);
    back.presses("Up");
    back.types("x");
    back.until("> x");
    back.presses("C-u");
    talk.model.answers_next("ask: which colour");
    send(&back, "ask me");
    back.until("1 red - the red one");
    back.until("answer>");
    println!("{}----", back.text());
    back.presses("2");
    back.until("answered: which colour: blue");
    back.until("| idle |");
    talk.ssh(&["kill", "talk"]);
    back.until("[talk ended: ");
}

#[test]
fn changes_are_shown_in_colour_and_output_acts_on_no_terminal() {
    let talk = Talk::start();
    let window = attach(&talk, (80, 24));
    let file = talk.home().join(format!("written-{}", unique_word()));
    talk.model.answers_next(&format!("write: {} one\\ntwo", file.display()));
    send(&window, "write it");
    window.until("y/1 ");
    let added = |row: &&str| row.contains("fg=32") && row.contains("  + two");
    let cells = window.cells();
    println!("{}----\n{cells}", window.text());
    assert!(cells.lines().filter(added).count() == 1, "{cells}");
    window.presses("y");
    window.until("allowed: Write");
    window.until("| idle |");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "one\ntwo");
    std::fs::remove_file(&file).unwrap();

    talk.model.answers_next(r"run: printf '\033[31mred\033[0m \033[2J\033]0;title\007\n%s' `seq 30`");
    send(&window, "print it");
    window.until("y/1 ");
    window.presses("y");
    window.until(r"  red \u{1b}[2J\u{1b}]0;title\u{7}");
    window.until("more lines");
    window.until("| idle |");
    assert_ne!(window.format("#{pane_title}"), "title");
    assert_tidy(&window);

    // What is pasted is one text, whatever it holds.
    window.types("\x1b[200~first\ry\x1b[201~");
    window.until("  y");
    talk.model.answers_next("say: taken");
    window.presses("Enter");
    window.until("taken");
    let screen = window.text();
    assert!(screen.contains("> first\n") && screen.contains("      y\n"), "{screen}");
}

#[test]
fn the_local_client_shows_the_same_and_comes_back_by_itself() {
    let talk = Talk::start();
    let piped = talk.place.client(&["attach", "talk"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(piped.status.code(), Some(2), "{}", describe(&piped));
    assert!(String::from_utf8_lossy(&piped.stderr).contains("events talk"), "{}", describe(&piped));
    let piped = talk.place.ssh(&["-T"], &["attach", "talk"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(piped.status.code(), Some(2), "{}", describe(&piped));

    let (window, viewer) = (local(&talk, &["attach", "talk"]), local(&talk, &["attach", "talk", "--view"]));
    window.until("leaves");
    viewer.until("only looking");
    let word = unique_word();
    talk.model.answers_next(&format!("say: {word}"));
    send(&window, "one");
    window.until(&word);
    viewer.until(&word);
    let gateway = talk.place.gateway_pid();
    assert!(std::process::Command::new("kill").args(["-9", &gateway.to_string()]).status().unwrap().success());
    eventually("another gateway serves", || (talk.place.gateway_pid() != gateway).then_some(()));
    let file = talk.home().join(format!("made-{}", unique_word()));
    talk.model.answers_next(&format!("run: touch {}", file.display()));
    // What is sent while there is no connection comes back into the line.
    eventually("the prompt is taken", || {
        send(&window, "");
        let screen = window.text();
        if !screen.contains("make it") {
            window.types("make it");
        }
        screen.contains("$ touch").then_some(())
    });
    window.until("y/1 ");
    viewer.until("only looking here: approve ");
    window.types("y");
    window.until("allowed: Bash");
    window.until("| idle |");
    assert!(file.exists(), "allowed");
    std::fs::remove_file(&file).unwrap();
    assert_tidy(&window);
    let screen = viewer.text();
    assert!(screen.contains("allowed: Bash") && !screen.contains("\n> "), "{screen}");
    window.presses("C-d");
    window.until("[portcullis: left session talk; it goes on]");
    talk.ssh(&["kill", "talk"]);
    viewer.until("[portcullis: session talk has ended with status");
}

#[test]
fn new_and_the_list_lead_into_the_conversation() {
    let talk = Talk::start();
    let new =
        Tmux::start(80, 24, &talk.place.ssh(&["-tt"], &["new", "claude", "--mode", "structured", "--name", "zed"]));
    new.until("zed | idle |");
    new.presses("C-d");
    new.until("[detached from zed; it lives on");
    let list = Tmux::start(80, 24, &talk.place.ssh(&["-tt"], &[]));
    list.until("> 1 talk");
    list.presses("Enter");
    list.until("talk | idle |");
    // What is typed behind the keys that leave is the list's.
    list.presses("C-]");
    list.types("dq");
    // Its status tmux does not always learn.
    eventually("the list was left as well", || (list.format("#{pane_dead}") == "1").then_some(()));
}
