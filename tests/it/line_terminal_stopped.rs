//! A window that reads nothing while its agent floods: the agent is not held up, nothing hangs, and the window goes on at the
//! end of what was said.

use std::process::Command;

use crate::support::place::{children, run};
use crate::support::talk::{Talk, Watch};
use crate::support::tmux::Tmux;

/// Prints so many lines of a thousand letters as its prompt says, and a last word.
const FLOODS: &str = r#"text=$(head -c 1000 /dev/zero | tr '\0' x)
echo '{"type":"ready"}'
while read -r line; do
  case $line in
    *'"type":"stop"'*) exit 0;;
    *'"type":"prompt"'*)
      count=$(sed 's/.*flood-\([0-9]*\).*/\1/' <<< "$line")
      yes '{"type":"message","text":"'$text'\n"}' | head -n "$count"
      echo '{"type":"message","text":"last-of-'$count'"}'
      echo '{"type":"complete"}';;
  esac
done"#;

/// A window; tmux lets no child of its own stand still, so a shell is between.
fn window(program: &Command) -> Tmux {
    let mut command = Command::new("sh");
    command.args(["-c", "\"$@\"; true", "sh"]).arg(program.get_program()).args(program.get_args());
    Tmux::start(80, 24, &command)
}

/// Lets a window's program stand still, or go on.
fn signal(window: &Tmux, name: &str) {
    let shell = window.format("#{pane_pid}").parse().unwrap();
    run(Command::new("kill").args([name, &children(shell)[0].to_string()]));
}

fn attachments(talk: &Talk, door: &str) -> usize {
    talk.place.audit().iter().filter(|entry| entry["event"] == "attach" && entry["door"] == door).count()
}

/// Floods while two windows stand still, and lets them go on; how often each attached again.
async fn floods(lines: u32) -> ([usize; 2], [String; 2]) {
    let talk = Talk::with(&[("floods", "lines", FLOODS)]);
    talk.ssh(&["new", "floods", "--name", "talk"]);
    let windows = [talk.place.ssh(&["-tt"], &["attach", "talk"]), talk.place.client(&["attach", "talk"])];
    let windows = windows.map(|program| window(&program));
    for window in &windows {
        window.until("talk | idle |");
        signal(window, "-STOP");
    }
    let before = ["ssh", "wss"].map(|door| attachments(&talk, door));
    talk.ssh(&["prompt", "--no-wait", "talk", &format!("flood-{lines}")]);
    // Nobody who stands holds the agent up.
    let mut looks = 1;
    while Watch::start(&talk.place, None, false).await.attached.agent.unwrap().turns_ended == 0 {
        looks += 1;
    }
    for window in &windows {
        assert!(!window.text().contains("last-of"));
        signal(window, "-CONT");
    }
    for window in &windows {
        window.until(&format!("last-of-{lines}"));
        window.until("talk | idle |");
    }
    let told = windows.each_ref().map(Tmux::history);
    let after = ["ssh", "wss"].map(|door| attachments(&talk, door));
    // And goes on: what is typed there is prompted, once.
    windows[0].types("flood-1");
    windows[0].presses("Enter");
    for window in &windows {
        window.until("last-of-1\n");
        window.until("talk | idle |");
    }
    ([after[0] - before[0], after[1] - before[1] - looks], told)
}

#[tokio::test]
async fn windows_that_stood_still_go_on_where_they_stood_as_long_as_the_host_holds_it() {
    // Some 10 MiB with what is kept beside each: more than sockets and the gateway hold, less than the host.
    let (again, told) = floods(5_000).await;
    assert_eq!(again, [0, 0]);
    assert!(told.iter().all(|told| !told.contains("are gone")), "nothing is lost");
}

#[tokio::test]
async fn windows_that_were_overtaken_by_a_flood_are_told_and_go_on_at_its_end() {
    // Some 60 MiB, of which the host holds 16.
    let (again, told) = floods(30_000).await;
    assert!(again.iter().all(|times| *times > 0), "too slow, and back: {again:?}");
    assert!(told.iter().all(|told| told.contains("are gone")), "and told so");
}
