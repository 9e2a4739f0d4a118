//! How spawners and gateways come and go while sessions stay.

use std::os::fd::AsFd;

use super::rig::{ACCOUNT, GATEWAY, Rig, id, status, wait_end};
use crate::sys::memfd::read_sealed;
use crate::sys::process::{Ended, Kill, Process};
use crate::sys::procfs;
use crate::wire::v1::{ReportReady, StopAll, answer, order};

#[test]
fn a_new_spawner_adopts_what_lives() {
    let (mut rig, mut mail) =
        Rig::new("adopt", "trap 'echo hup >$mail' HUP; echo $$ >$mail; while :; do sleep 1000 & wait; done");
    let mut gateway = rig.connect();
    let hosts = [1, 2].map(|session| gateway.start(rig.order(session)).unwrap());
    let agents = [mail.line(), mail.line()].map(|line| line.parse::<i32>().unwrap());
    let before = gateway.list();
    assert_eq!(before.iter().map(|host| host.pid).collect::<Vec<_>>(), hosts);
    assert_eq!(rig.stop_spawner(Kill::Kill), Ended::Signal(9));
    // One host goes meanwhile.
    Process::open(hosts[1]).unwrap().signal(Kill::Kill).unwrap();
    wait_end(hosts[1]);
    // The known limit: nobody was left to end its agent, which traps the hang-up.
    Process::open(agents[1]).unwrap().signal(Kill::Kill).unwrap();
    rig.again();
    let mut gateway = rig.connect();
    let after = gateway.list();
    assert_eq!(after, before[..1]);
    assert_eq!(after[0].account, ACCOUNT);
    assert_eq!(procfs::stat(hosts[0]).unwrap().start_time, after[0].start_time);
    assert_eq!(gateway.start(rig.order(1)).unwrap(), hosts[0], "the same session");
    for left in [format!("hosts/{}.sock", id(2)), format!("agents/{}", id(2)), format!("records/{}", id(2))] {
        assert!(!rig.dir.join("run").join(&left).exists(), "{left}");
    }
    assert!(gateway.stop(1, 400) >= 1);
    wait_end(agents[0]);
    // The end of a host that is nobody's child here is seen all the same.
    Process::open(hosts[0]).unwrap().signal(Kill::Kill).unwrap();
    gateway.gone(1);
}

#[test]
fn the_end_of_a_spawner_is_nobody_elses() {
    let (mut rig, mut mail) =
        Rig::new("end", "trap 'echo hup >$mail' HUP; echo $$ >$mail; while :; do sleep 1000 & wait; done");
    let mut gateway = rig.connect();
    let host = gateway.start(rig.order(1)).unwrap();
    let agent = mail.line().parse::<i32>().unwrap();
    assert!(crate::spawner::is_served(&rig.table.directories.run));
    assert_eq!(rig.stop_spawner(Kill::HangUp), Ended::Status(1), "one session lives on");
    assert!(!crate::spawner::is_served(&rig.table.directories.run));
    assert!(gateway.next().is_none());
    for pid in [host, agent] {
        assert!(procfs::stat(pid).is_some_and(|stat| !stat.zombie));
    }
    assert!(!rig.dir.join("run/spawner.sock").exists());
    rig.again();
    let mut gateway = rig.connect();
    assert_eq!(gateway.list().len(), 1);
    let (answer, _) = gateway.ask(order::Body::StopAll(StopAll { grace_ms: 0 }));
    assert!(matches!(answer.body, Some(answer::Body::Stopped(stopped)) if stopped.processes >= 1));
    assert_eq!(rig.stop_spawner(Kill::Terminate), Ended::Status(0));
}

#[test]
fn two_spawners_do_not_serve_one_place() {
    let (mut rig, _mail) = Rig::new("lock", "");
    rig.event("Started");
    let first = Process::open(rig.spawner.pid()).unwrap();
    rig.again();
    assert!(rig.spawner.ends_within(std::time::Duration::from_secs(60)).unwrap());
    assert_eq!(rig.spawner.reap().unwrap(), Ended::Status(101));
    rig.spawner = first;
}

#[test]
fn hello_brings_the_descriptors_by_name() {
    let (mut rig, _mail) = Rig::new("hello", "");
    let mut gateway = rig.connect();
    let names: Vec<&str> = gateway.descriptors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["https", "admin.sock", "state", "hosts", "config"]);
    let config = &gateway.descriptors.last().unwrap().1;
    assert_eq!(read_sealed(config.as_fd(), 100).unwrap(), b"settings");
    // The newest connection wins.
    rig.stop_spawner(Kill::Terminate);
    rig.again();
    let mut old = rig.connect();
    let (answer, _) = old.ask(order::Body::Ready(ReportReady {}));
    assert!(matches!(answer.body, Some(answer::Body::Done(_))));
    assert!(gateway.next().is_none());
}

#[test]
fn the_gateway_is_dropped_watched_and_replaced() {
    // A gateway says who it is, and nothing else.
    let (mut rig, mut mail) = Rig::with("gateway", "", "", |table| {
        let mail = table.directories.run.parent().unwrap().join("mail");
        let script = format!("echo $$ >{0}; exec tail -f /dev/null", mail.display());
        table.programs.gateway = Some(vec!["/bin/sh".into(), "-c".into(), script]);
    });
    let first: i32 = mail.line().parse().unwrap();
    let four = [GATEWAY; 4].map(|id| id.to_string()).join(" ");
    assert_eq!(
        (status(first, "Uid"), status(first, "Gid"), status(first, "Groups")),
        (four.clone(), four, String::new())
    );
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(first, set), "0000000000000000", "{set}");
    }
    assert_eq!(status(first, "NoNewPrivs"), "1");
    let environment = std::fs::read_to_string(format!("/proc/{first}/environ")).unwrap();
    assert!(
        environment.split_terminator('\0').all(|entry| entry.starts_with("PWD=")),
        "the shell's own: {environment}"
    );
    let socket = std::fs::read_link(format!("/proc/{first}/fd/3")).unwrap();
    assert!(socket.to_string_lossy().starts_with("socket:"));
    Process::open(first).unwrap().signal(Kill::Kill).unwrap();
    assert!(rig.event("GatewayEnded").contains("signal 9"));
    let second: i32 = mail.line().parse().unwrap();
    assert_ne!(first, second);
    assert_eq!(rig.stop_spawner(Kill::Terminate), Ended::Status(0));
    wait_end(second);
}

#[test]
fn single_user_mode_is_the_same_without_other_uids() {
    let (mut rig, mut mail) = Rig::single_user("single", "echo $$ >$mail; exec sleep 1000");
    let mut gateway = rig.connect();
    let host = gateway.start(rig.order(1)).unwrap();
    let agent = mail.line().parse::<i32>().unwrap();
    let four = [rig.account.uid; 4].map(|id| id.to_string()).join(" ");
    for pid in [host, agent, rig.spawner.pid()] {
        assert_eq!(status(pid, "Uid"), four);
    }
    assert_eq!((status(host, "NoNewPrivs"), status(agent, "NoNewPrivs")), ("1".into(), "1".into()));
    assert!(gateway.stop(1, 0) >= 1);
    wait_end(agent);
    assert_eq!(rig.stop_spawner(Kill::Terminate), Ended::Status(0));
}
