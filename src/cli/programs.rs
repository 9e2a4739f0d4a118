//! Runs a short command of the system and takes what it prints, with a deadline; does not know what for.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a shell's start files or an ssh-agent may take.
const DEADLINE: Duration = Duration::from_secs(3);
/// More than any PATH or list of keys.
const MOST: u64 = 1024 * 1024;

/// Standard output, if the command ended well within the deadline; it is killed after that.
pub(super) fn output(command: &mut Command) -> Option<String> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let pipe = child.stdout.take()?;
    // Read beside the wait: a full pipe would hold the command up.
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.take(MOST).read_to_end(&mut bytes).ok().map(|_| bytes)
    });
    let ended_well = wait(&mut child);
    if !ended_well {
        // Something that it left behind may hold the pipe: do not wait for the reader.
        return None;
    }
    let since = Instant::now();
    while !reader.is_finished() && since.elapsed() < DEADLINE {
        std::thread::sleep(Duration::from_millis(5));
    }
    let bytes = reader.is_finished().then(|| reader.join().ok().flatten())??;
    String::from_utf8(bytes).ok()
}

fn wait(child: &mut Child) -> bool {
    let since = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if since.elapsed() < DEADLINE => std::thread::sleep(Duration::from_millis(10)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_failure_and_a_command_that_hangs() {
        assert_eq!(output(Command::new("/bin/sh").args(["-c", "printf a"])).as_deref(), Some("a"));
        assert_eq!(output(Command::new("/bin/sh").args(["-c", "printf a; exit 3"])), None);
        assert_eq!(output(Command::new("/bin/sh").args(["-c", "exec sleep 1000"])), None);
        assert_eq!(output(&mut Command::new("/no/such/program")), None);
    }
}
