//! What the tests share: an installation in a directory of its own, clients of it, and waiting on events.

pub mod agents;
pub mod by_hand;
pub mod client;
pub mod editor;
pub mod follower;
pub mod generator;
pub mod local;
pub mod middle;
pub mod place;
pub mod proxy;
pub mod soft_key;
pub mod talk;
pub mod tmux;
pub mod turns;
pub mod windows;

use std::process::{Child, Output};
use std::time::{Duration, Instant};

/// Far beyond what anything here takes on a busy machine; reaching it means that something hangs.
pub const HANG: Duration = Duration::from_secs(60);

/// Looks at something that only can be looked at (a file, /proc) until it is as wanted.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + HANG;
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "did not happen: {what}");
        // Nobody sends: this is the pause between two looks.
        let _ = never.recv_timeout(Duration::from_millis(10));
    }
}

/// The same beside other tasks of this thread.
pub async fn soon<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + HANG;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for a process that must end by itself, and takes what it wrote.
pub fn finished(child: Child) -> Output {
    let pid = child.id();
    let (done, output) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    match output.recv_timeout(HANG) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
            panic!("{pid} did not end: {:?}", output.recv())
        }
    }
}

/// Waits for a process that must end by itself. One that does not is killed, and the answer is false.
pub fn ends(mut child: Child) -> bool {
    let pid = child.id();
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(child.wait().is_ok()));
    let in_time = ended.recv_timeout(HANG).is_ok();
    if !in_time {
        let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
        let _ = ended.recv();
    }
    in_time
}
