//! The hook socket of a host, with real connections; the agent behind it is a shell.

use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use super::session::{ended, input};
use super::{Gateway, Host, Prepared, launch};
use crate::base::HOST_RING;
use crate::sys::credentials::current_uid;
use crate::wire::v1::to_gateway::Body as G;
use crate::wire::v1::{Launch, PermissionAsked, to_host};

const ASKS: &[u8] = b"{\"hook_event_name\":\"PermissionRequest\",\"tool_name\":\"Bash\",\"tool_input\":{\"command\":\"ls\"},\"digest\":\"d\"}\n";

fn host(script: &str) -> Host {
    let launch = Launch { hooks: "claude".into(), ..launch() };
    Prepared::new(script, current_uid(), None).run_launch(launch, HOST_RING)
}

fn hook(host: &Host, says: &[u8]) -> BufReader<UnixStream> {
    let mut stream = UnixStream::connect(host.dir.join("hook")).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    stream.write_all(says).unwrap();
    BufReader::new(stream)
}

fn hears(hook: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    hook.read_line(&mut line).unwrap();
    line
}

/// What the agent waits for, as the gateway hears of it; until it is so many.
fn pending(gateway: &mut Gateway, many: usize) -> Vec<PermissionAsked> {
    loop {
        let piece = gateway.wait(|body| if let G::Agent(piece) = body { Some(piece) } else { None });
        let summary = crate::wire::decode_summary(piece.data).unwrap();
        if summary.permissions.len() == many {
            return summary.permissions;
        }
    }
}

#[test]
fn a_request_is_kept_and_lives_as_long_as_its_connection_or_its_agent() {
    let host = host("read x");
    let (mut gateway, _) = host.link();
    let mut first = hook(&host, ASKS);
    assert_eq!(hears(&mut first), "kept\n");
    pending(&mut gateway, 1);
    let mut second = hook(&host, ASKS);
    assert_eq!(hears(&mut second), "kept\n");
    pending(&mut gateway, 2);
    // As the agent ends it when its turn is interrupted; what else waited in that turn is released.
    drop(first);
    pending(&mut gateway, 0);
    assert_eq!(hears(&mut second), "\n");
    let mut third = hook(&host, ASKS);
    assert_eq!(hears(&mut third), "kept\n");
    third.get_mut().write_all(b"over\n").unwrap();
    assert_eq!(hears(&mut third), "\n", "released, as it said itself");
    let mut last = hook(&host, ASKS);
    assert_eq!(hears(&mut last), "kept\n");
    gateway.say(to_host::Body::Input(input(0, b"\n")));
    gateway.wait(ended);
    assert_eq!(hears(&mut last), "", "nobody waits any more");
    assert!(UnixStream::connect(host.dir.join("hook")).is_err(), "and nobody is asked");
    host.forget(&mut gateway);
}

#[test]
fn more_requests_than_people_can_judge_and_lines_without_end_are_closed_and_reports_still_come() {
    let host = host("read x");
    let (mut gateway, _) = host.link();
    let mut kept: Vec<_> = (0..8).map(|_| hook(&host, ASKS)).collect();
    assert!(kept.iter_mut().all(|hook| hears(hook) == "kept\n"));
    assert_eq!(hears(&mut hook(&host, ASKS)), "", "the dialog alone");
    let mut endless = UnixStream::connect(host.dir.join("hook")).unwrap();
    while endless.write_all(&[b'x'; 64 * 1024]).is_ok() {}
    assert_eq!(hears(&mut hook(&host, b"{\"hook_event_name\":\"Stop\"}\n")), "");
    pending(&mut gateway, 0);
    gateway.say(to_host::Body::Input(input(0, b"\n")));
    gateway.wait(ended);
    host.forget(&mut gateway);
}
