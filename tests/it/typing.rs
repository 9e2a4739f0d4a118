//! Who may type at the ssh door and who may not; and which keys leave a session, on real terminals.

use std::process::Command;

use crate::support::by_hand::Key;
use crate::support::eventually;
use crate::support::place::{Mode, Place};
use crate::support::windows::Windows;

/// `ssh -t` with another key than the place's own.
fn with_key(place: &Place, key: &Key, words: &[&str]) -> Command {
    let (stock, own) = (place.ssh(&["-t"], words), place.endpoints().client_key);
    let mut command = Command::new("ssh");
    command.args(stock.get_args().map(|word| if word == own.as_str() { key.path().as_ref() } else { word }));
    command
}

#[test]
fn over_ssh_roles_drive_and_own_type_and_view_does_not() {
    let place = Place::served(Mode::Root);
    place.verb(&["new", "shell", "--name", "main"]);
    let tmux = Windows::new(&place);
    let [view, drive, own] = ["view", "drive", "own"].map(|role| Key::listed(&place, role, &format!("role={role}")));
    let viewing = tmux.open("view", (80, 24), &with_key(&place, &view, &["attach", "main"]));
    let driving = tmux.open("drive", (80, 24), &with_key(&place, &drive, &["attach", "main"]));
    let owning = tmux.open("own", (80, 24), &with_key(&place, &own, &["attach", "main"]));
    // Its own wish: may type, and only looks.
    let looking = tmux.open("look", (80, 24), &with_key(&place, &own, &["attach", "main", "--view"]));
    for window in [&viewing, &driving, &owning, &looking] {
        window.until("$");
    }
    viewing.line("echo viewed-$((40+2))");
    looking.line("echo looked-$((40+2))");
    for (window, name) in [(&driving, "driven"), (&owning, "owned")] {
        window.line(&format!("echo {name}-$((40+2))"));
        for sees in [&viewing, &driving, &owning, &looking] {
            sees.until(&format!("{name}-42"));
        }
    }
    let shown = place.verb(&["show", "main"]);
    assert!(!shown.contains("viewed") && !shown.contains("looked"), "{shown}");
    // Who only looks can still leave.
    for window in [&viewing, &looking] {
        window.keys(&["C-]", "d"]);
        assert_eq!(window.status(), 0);
    }
}

#[test]
fn no_key_of_a_paste_leaves_and_the_csi_u_form_does() {
    let place = Place::served(Mode::Root);
    place.verb(&["new", "shell", "--name", "main"]);
    let tmux = Windows::new(&place);
    for (name, command) in
        [("ssh", place.ssh(&["-t"], &["attach", "main"])), ("local", place.client(&["attach", "main"]))]
    {
        let window = tmux.open(name, (80, 24), &command);
        window.until("$");
        // A program that wants pastes in brackets, as agents do.
        window.line("printf '\\033[?2004h'; cat -v");
        eventually("the program reads", || place.verb(&["show", "main"]).contains("cat -v").then_some(()));
        window.text("\u{1b}[200~pasted-\u{1d}d-\u{1b}[93;5ud-end\u{1b}[201~");
        window.keys(&["Enter"]);
        window.until("pasted-^]d-^[[93;5ud-end");
        // The prefix as a terminal with the kitty keyboard says it, then any key: both go to the program.
        window.text("\u{1b}[93;5ux");
        window.keys(&["Enter"]);
        window.until("^[[93;5ux");
        window.keys(&["C-c"]);
        window.line(&format!("echo {name}-$((40+2))"));
        window.until(&format!("{name}-42"));
        window.text("\u{1b}[93;5ud");
        assert_eq!(window.status(), 0, "{name}");
    }
    assert!(place.verb(&["ls"]).contains("running"));
}
