//! Three identities, read from /proc of the running processes.

use portcullis::wire::v1;

use crate::support::client::Wss;
use crate::support::place::{ANN, BOB, Mode, Place, arguments, children, ids, is_alive, run, status_line};
use crate::support::{eventually, place};

fn as_account(account: &str, script: &str) -> std::process::Output {
    let (uid, gid) = ids(account);
    let ids = [format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()];
    std::process::Command::new("setpriv").args(ids).args(["sh", "-c", script]).output().unwrap()
}

/// Where each descriptor of a process leads.
fn links(pid: u32) -> Vec<String> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    entries.filter_map(|e| Some(std::fs::read_link(e.ok()?.path()).ok()?.to_string_lossy().into_owned())).collect()
}

#[tokio::test]
async fn each_process_is_who_it_should_be_and_no_more() {
    let place = Place::served(Mode::Root);
    place.verb(&["new", "shell", "--name", "main"]);
    // A shell that answers has read its start-up files, whose helpers are gone.
    let mut wss = Wss::login(&place).await;
    let attach =
        v1::Attach { session: "main".into(), channel: 1, mode: v1::ViewerMode::Raw.into(), ..Default::default() };
    wss.attach(attach).await;
    wss.input(1, 0, b"echo up-$((1+1))\n").await;
    wss.until(1, "up-2").await;
    let (gateway, host) = (place.gateway_pid(), place.host_pids()[0]);
    let agent = children(host)[0];
    let (ann, ann_group) = ids(ANN);
    let (gateway_uid, gateway_gid) = ids("portcullis");
    let (host_uid, host_gid) = ids("portcullis-host");
    let four = |id: u32| format!("{id} {id} {id} {id}");
    for (pid, uid, gid, groups) in [
        (gateway, gateway_uid, gateway_gid, ""),
        (host, host_uid, host_gid, ""),
        (agent, ann, ann_group, &*ann_group.to_string()),
    ] {
        let what = format!("{pid} {:?}", arguments(pid));
        assert_eq!(status_line(pid, "Uid"), four(uid), "{what}");
        assert_eq!(status_line(pid, "Gid"), four(gid), "{what}");
        let have = status_line(pid, "Groups");
        assert!(have == groups || have == gid.to_string(), "{what}: {have}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(status_line(pid, set), "0000000000000000", "{set} of {what}");
        }
        assert_eq!(status_line(pid, "NoNewPrivs"), "1", "{what}");
    }
    assert_eq!(status_line(agent, "CapBnd"), "0000000000000000");
    // A shell keeps copies of its terminal; nothing else came along.
    assert!(links(agent).iter().all(|link| link.starts_with("/dev/pts/") || link == "/dev/tty"), "{:?}", links(agent));
    let masters = place::processes().into_iter().filter(|pid| {
        std::fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|fds| {
            fds.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|link| link.ends_with("ptmx")))
        })
    });
    let masters: Vec<_> =
        masters.filter(|pid| *pid == host || *pid == gateway || *pid == place.spawner_pid()).collect();
    assert_eq!(masters, [host], "only the host holds the PTY's master");
    let environment = String::from_utf8(std::fs::read(format!("/proc/{agent}/environ")).unwrap()).unwrap();
    for name in ["SSH_", "LD_", "GIT_", "PORTCULLIS", "NODE_OPTIONS"] {
        assert!(!environment.split('\0').any(|entry| entry.starts_with(name)), "{name} in {environment:?}");
    }
}

#[test]
fn gateway_and_host_hold_nothing_but_what_they_need() {
    let place = Place::served(Mode::Root);
    place.verb(&["new", "shell", "--name", "main"]);
    let (gateway, host) = (place.gateway_pid(), place.host_pids()[0]);
    for pid in [gateway, host] {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert_eq!(String::from_utf8_lossy(&environment), "", "{:?}", arguments(pid));
    }
    let below = |name: &str| place.dir.join(name).display().to_string();
    let (state, hosts) = (below("state"), below("run/hosts"));
    let anonymous = ["socket:[", "pipe:[", "anon_inode:[", "/dev/null"];
    for (pid, more) in [(gateway, &[state.as_str(), &hosts][..]), (host, &["/dev/ptmx", "/memfd:session"])] {
        let open = links(pid);
        let known = |link: &String| anonymous.iter().chain(more).any(|start| link.starts_with(start));
        assert!(open.iter().all(known), "{:?}: {open:?}", arguments(pid));
        // Nothing that was given is gone: this looked at the right process.
        assert!(more.iter().all(|start| open.iter().any(|link| link.starts_with(start))), "{open:?}");
    }
}

/// Tries everything on processes and sockets as one identity; says what worked.
const PROBE: &str = r#"
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
for what in sys.argv[1:]:
    if what.isdigit():
        try:
            os.kill(int(what), 0)
            print("signals", what)
        except PermissionError:
            pass
        # PTRACE_SEIZE stops nothing, and ends with this process.
        if libc.ptrace(0x4206, int(what), None, None) == 0:
            print("traces", what)
        try:
            open(f"/proc/{what}/mem", "rb").close()
            print("reads", what)
        except OSError:
            pass
        continue
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        try:
            socket.socket(socket.AF_UNIX, kind).connect(what)
            print("connects", what)
        except OSError:
            pass
"#;

#[test]
fn no_identity_signals_traces_reads_or_dials_another() {
    let place = Place::served(Mode::Root);
    place.verb(&["new", "shell", "--name", "main"]);
    let (gateway, host) = (place.gateway_pid(), place.host_pids()[0]);
    let agent = children(host)[0];
    let below = place.dir.join("run");
    let socket = std::fs::read_dir(below.join("hosts")).unwrap().next().unwrap().unwrap().path();
    let [host_socket, spawner, admin] =
        [socket, below.join("spawner.sock"), below.join("admin.sock")].map(|path| path.display().to_string());
    let processes = [place.spawner_pid(), gateway, host, agent].map(|pid| pid.to_string());
    let tries = |account: Option<&str>, targets: &[&str]| {
        // root's own PATH may lead to where no other can go.
        let mut command = std::process::Command::new("setpriv");
        command.env("PATH", "/usr/bin:/bin");
        if let Some((uid, gid)) = account.map(ids) {
            command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--init-groups".to_owned()]);
        }
        run(command.args(["python3", "-c", PROBE]).args(targets))
    };
    let [of_spawner, of_gateway, of_host, of_agent] = processes.each_ref().map(String::as_str);
    for (account, targets) in [
        ("portcullis", vec![of_spawner, of_host, of_agent, &admin]),
        ("portcullis-host", vec![of_spawner, of_gateway, of_agent, &host_socket, &spawner, &admin]),
        (ANN, vec![of_spawner, of_gateway, of_host, &host_socket, &spawner, &admin]),
        (BOB, vec![of_spawner, of_gateway, of_host, of_agent, &host_socket, &spawner, &admin]),
    ] {
        assert_eq!(tries(Some(account), &targets), "", "as {account}");
    }
    // The same tries by somebody who may.
    let worked = tries(None, &[of_gateway, of_host, of_agent, &host_socket]);
    for pid in [of_gateway, of_host, of_agent] {
        for what in ["signals", "traces", "reads"] {
            assert!(worked.contains(&format!("{what} {pid}\n")), "{what} {pid}: {worked}");
        }
    }
    assert!(worked.contains(&format!("connects {host_socket}")), "{worked}");
    // Nobody noticed.
    assert!(place.verb(&["ls"]).contains("running"));
    assert_eq!((place.gateway_pid(), place.host_pids()), (gateway, vec![host]));
}

#[test]
fn the_account_reads_nothing_of_the_gateways() {
    let place = Place::served(Mode::Root);
    for path in
        ["state", "state/identity", "state/audit/gateway.jsonl", "log/spawner.jsonl", "portcullis.toml", "tls.key"]
    {
        // ls of a directory, its first bytes of a file.
        let look = format!("test -d {0} && ls {0} || head -c 9 {0}", place.dir.join(path).display());
        let output = as_account(ANN, &look);
        assert!(!output.status.success() && output.stdout.is_empty(), "{path}: {output:?}");
        assert_ne!(run(std::process::Command::new("sh").args(["-c", &look])), "", "{path} holds nothing");
    }
}

#[test]
fn what_was_made_under_run_goes_with_the_last_host_and_the_spawner() {
    let mut place = Place::served(Mode::Root);
    let program = place::arguments(place.gateway_pid())[0].clone();
    let reachable = std::path::Path::new(&program).ancestors().nth(2).unwrap().to_path_buf();
    assert!(reachable.starts_with("/run") && reachable != std::path::Path::new("/run"), "{program}");
    let is_there = || std::path::Path::new(&program).exists();
    place.verb(&["new", "shell", "--name", "main"]);
    let host = place.host_pids()[0];
    // A host that lives runs from there, one whose agent has ended too.
    place.stop_serving();
    assert!(is_there() && is_alive(host));
    place.serve();
    place.verb(&["kill", "main"]);
    place.stop_serving();
    assert!(is_there() && is_alive(host));
    place.serve();
    place.verb(&["stop", "--all"]);
    eventually("the host's end", || (!is_alive(host)).then_some(()));
    // Whoever serves on can start another one.
    assert!(is_there());
    place.verb(&["new", "shell", "--name", "next"]);
    place.verb(&["stop", "--all"]);
    eventually("the next host's end", || place.host_pids().is_empty().then_some(()));
    place.stop_serving();
    assert!(!reachable.exists(), "{:?}", std::fs::read_dir(&reachable).map(Iterator::collect::<Vec<_>>));
    // And it is made again.
    place.serve();
    assert!(is_there());
    place.verb(&["new", "shell", "--name", "main"]);
}

#[tokio::test]
async fn a_daemonised_grandchild_is_gone_after_kill() {
    let place = Place::served(Mode::Root);
    let mut wss = Wss::login(&place).await;
    wss.start("shell", "main").await;
    let attach =
        v1::Attach { session: "main".into(), channel: 1, mode: v1::ViewerMode::Raw.into(), ..Default::default() };
    wss.attach(attach).await;
    let mark = place.root.join("daemon");
    std::fs::write(&mark, "").unwrap();
    run(std::process::Command::new("chmod").arg("666").arg(&mark));
    let script = format!(
        "setsid sh -c 'trap \"\" HUP TERM; echo $$ > {}; while :; do read x; done' </dev/zero >/dev/null 2>&1 & disown\n",
        mark.display()
    );
    wss.input(1, 0, script.as_bytes()).await;
    let daemon: u32 = eventually("the daemon's pid", || std::fs::read_to_string(&mark).ok()?.trim().parse().ok());
    assert!(is_alive(daemon));
    place.verb(&["kill", "main"]);
    assert!(!is_alive(daemon), "the daemonised grandchild survived");
}
