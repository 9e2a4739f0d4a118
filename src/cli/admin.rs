//! Talks to the gateway over the local admin socket: `ls --all`, `kill NAME`, `stop --all` without a key; the socket's owner is the proof.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::failure::Failure;
use crate::wire::v1::Session;

/// A list of every session of a team fits; what is longer is no answer of ours.
const ANSWER: u64 = 4 * 1024 * 1024;
/// Stopping waits for agents to end, killing them after their grace.
const DEADLINE: Duration = Duration::from_secs(60);

/// A request that was not answered as it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    /// Nobody listens.
    #[error("no gateway answers at {0} ({1}); start it, or name its directory with --dir")]
    Connect(String, std::io::Error),
    /// Connection lost or silent.
    #[error("the gateway did not answer ({0}); it may be restarting: try again")]
    Io(#[from] std::io::Error),
    /// Not HTTP as we speak it.
    #[error("the gateway's answer cannot be read; is it another version?")]
    Answer,
    /// The gateway says no, in its own words.
    #[error("{0}")]
    Refused(String),
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        Self::other(error)
    }
}

/// The socket in the run directory.
pub(super) struct Admin<'a> {
    run: &'a Path,
}

impl<'a> Admin<'a> {
    /// Does not connect yet.
    pub(super) fn new(run: &'a Path) -> Self {
        Self { run }
    }

    /// Whether the socket is there for this user.
    pub(super) fn is_there(&self) -> bool {
        self.connect().is_ok()
    }

    /// Every account's sessions.
    pub(super) fn sessions(&self) -> Result<Vec<Session>, AdminError> {
        let answer = self.ask("GET", "/v1/sessions")?;
        let list = answer.get("sessions").cloned().unwrap_or(answer);
        serde_json::from_value(list).map_err(|_| AdminError::Answer)
    }

    /// Ends one session.
    pub(super) fn kill(&self, name: &str) -> Result<(), AdminError> {
        self.ask("POST", &format!("/v1/sessions/{name}/kill")).map(drop)
    }

    /// Ends all; how many.
    pub(super) fn stop_all(&self) -> Result<u64, AdminError> {
        let answer = self.ask("POST", "/v1/stop")?;
        Ok(answer.get("stopped").and_then(Value::as_u64).unwrap_or(0))
    }

    /// Reads everything anew; what the gateway does then.
    pub(super) fn reload(&self) -> Result<String, AdminError> {
        let answer = self.ask("POST", "/v1/reload")?;
        Ok(answer.get("gateway").and_then(Value::as_str).unwrap_or("goes on").to_owned())
    }

    fn ask(&self, method: &str, target: &str) -> Result<Value, AdminError> {
        let mut stream =
            self.connect().map_err(|error| AdminError::Connect(self.run.join(SOCKET).display().to_string(), error))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        let request =
            format!("{method} {target} HTTP/1.1\r\nHost: admin\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER).read_to_end(&mut answer)?;
        parse(&answer)
    }

    /// By way of a descriptor: a socket's path may be at most 107 bytes long.
    fn connect(&self) -> std::io::Result<UnixStream> {
        let dir = File::open(self.run)?;
        UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()))
    }
}

const SOCKET: &str = "admin.sock";

/// Status line, headers, then a body that ends with the connection, by its length or in chunks.
fn parse(answer: &[u8]) -> Result<Value, AdminError> {
    let text = std::str::from_utf8(answer).map_err(|_| AdminError::Answer)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(AdminError::Answer)?;
    let mut lines = head.lines();
    let status: u16 = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .ok_or(AdminError::Answer)?;
    let chunked = lines.any(|line| line.to_ascii_lowercase().replace(' ', "") == "transfer-encoding:chunked");
    let body = if chunked { unchunk(body).ok_or(AdminError::Answer)? } else { body.to_owned() };
    let value = match body.trim() {
        "" => Value::Null,
        text => serde_json::from_str(text).map_err(|_| AdminError::Answer)?,
    };
    if (200..300).contains(&status) {
        return Ok(value);
    }
    let message = value.get("message").and_then(Value::as_str).unwrap_or("the gateway refused");
    Err(AdminError::Refused(crate::base::printable(message, 400)))
}

fn unchunk(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::cli::testing::TempDir;

    /// Answers one connection and returns what was asked.
    fn serve(dir: &TempDir, answer: &'static str) -> std::thread::JoinHandle<String> {
        let path = dir.join(SOCKET);
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            let length = stream.read(&mut asked).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        })
    }

    #[test]
    fn the_list_with_a_length_and_in_chunks() {
        let dir = TempDir::new("admin");
        let plain = "HTTP/1.1 200 OK\r\ncontent-length: 47\r\n\r\n{\"sessions\":[{\"name\":\"a\",\"account\":\"ann\",\"x\":1}]}";
        let server = serve(&dir, plain);
        let list = Admin::new(dir.path()).sessions().unwrap();
        assert_eq!((list[0].name.as_str(), list[0].account.as_str(), list.len()), ("a", "ann", 1));
        assert!(server.join().unwrap().starts_with("GET /v1/sessions HTTP/1.1\r\n"));
        serve(&dir, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"stoppe\r\n5\r\nd\":3}\r\n0\r\n\r\n");
        assert_eq!(Admin::new(dir.path()).stop_all().unwrap(), 3);
    }

    #[test]
    fn a_refusal_is_told_and_silence_is_an_error() {
        let dir = TempDir::new("admin-refusal");
        let server = serve(
            &dir,
            "HTTP/1.1 404 Not Found\r\n\r\n{\"code\":\"unknown-session\",\"message\":\"no session b\\u001b\"}",
        );
        assert_eq!(Admin::new(dir.path()).kill("b").unwrap_err().to_string(), "no session b\\u{1b}");
        assert!(server.join().unwrap().starts_with("POST /v1/sessions/b/kill "));
        serve(&dir, "");
        assert!(matches!(Admin::new(dir.path()).sessions(), Err(AdminError::Answer)));
        let empty = TempDir::new("admin-empty");
        assert!(matches!(Admin::new(empty.path()).sessions(), Err(AdminError::Connect(..))));
        assert!(!Admin::new(empty.path()).is_there());
    }
}
