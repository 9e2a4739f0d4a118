//! Three identities, read from /proc of the running processes.

use portcullis::wire::v1;

use crate::support::client::Wss;
use crate::support::place::{ANN, Mode, Place, arguments, children, ids, is_alive, run, status_line};
use crate::support::{eventually, place};

fn as_account(account: &str, script: &str) -> std::process::Output {
    let (uid, gid) = ids(account);
    let ids = [format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()];
    std::process::Command::new("setpriv").args(ids).args(["sh", "-c", script]).output().unwrap()
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
    let links = |pid: u32| -> Vec<String> {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        entries.filter_map(|e| Some(std::fs::read_link(e.ok()?.path()).ok()?.to_string_lossy().into_owned())).collect()
    };
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

#[tokio::test]
async fn the_agent_cannot_reach_host_or_gateway() {
    let place = Place::served(Mode::Root);
    place.verb(&["new", "shell", "--name", "main"]);
    let (gateway, host) = (place.gateway_pid(), place.host_pids()[0]);
    for pid in [gateway, host] {
        let output = as_account(ANN, &format!("kill -TERM {pid}"));
        assert!(!output.status.success(), "{pid} was signalled");
        let output = as_account(ANN, &format!("cat /proc/{pid}/environ /proc/{pid}/mem"));
        assert!(!output.status.success() && output.stdout.is_empty(), "{pid} was read");
    }
    let sockets = format!("{0}/run/hosts/*.sock {0}/run/spawner.sock {0}/run/admin.sock", place.dir.display());
    let connect = "import socket,sys,glob\nfor p in sys.argv[1:]:\n for f in glob.glob(p) or [p]:\n  for k in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):\n   try:\n    s=socket.socket(socket.AF_UNIX,k); s.connect(f); print('connected', f)\n   except OSError as e: pass";
    let output = as_account(ANN, &format!("python3 -c \"{connect}\" {sockets}"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{output:?}");
    let state =
        as_account(ANN, &format!("ls {0}/state {0}/log; cat {0}/portcullis.toml {0}/tls.key", place.dir.display()));
    assert!(state.stdout.is_empty(), "{state:?}");
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
