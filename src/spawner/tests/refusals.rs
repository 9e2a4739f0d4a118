//! What the spawner does not do, each with its stable code and beside what it does.

use super::rig::{ACCOUNT, GATEWAY, Rig, id};
use crate::wire::v1::{self, Start, answer, order};

#[test]
fn each_refusal_has_its_code() {
    let (mut rig, _mail) = Rig::with("refusals", "exec sleep 1000", super::rig::HOST_SCRIPT, |table| {
        for name in ["root", "pc-test-ghost"] {
            let (name, user) = (name.parse().unwrap(), name.parse().unwrap());
            let other = crate::spawner::AccountEntry { name, user, ..table.accounts[0].clone() };
            table.accounts.push(other);
        }
    });
    let (inside, outside) = (rig.dir.join("projects/inside"), rig.dir.join("projects/link"));
    std::fs::create_dir(&inside).unwrap();
    std::fs::create_dir(rig.dir.join("projects/closed")).unwrap();
    std::fs::set_permissions(rig.dir.join("projects/closed"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .unwrap();
    std::os::unix::fs::symlink("../projects-evil", outside).unwrap();
    let mut gateway = rig.connect();
    let option = |name: &str, value: &str| v1::Option { name: name.into(), value: value.into() };
    let base = rig.order(1);
    let at = |directory: &str| Start { directory: directory.into(), ..base.clone() };
    let evil = rig.dir.join("projects-evil").display().to_string();
    for (order, code) in [
        (Start { account: "nobody".into(), ..base.clone() }, "no-such-account"),
        (Start { account: "root".into(), ..base.clone() }, "no-such-account"),
        (Start { account: "pc-test-ghost".into(), ..base.clone() }, "no-such-account"),
        (Start { agent: "none".into(), ..base.clone() }, "no-such-agent"),
        (Start { agent: "forbidden".into(), ..base.clone() }, "agent-not-allowed"),
        (Start { mode: "structured".into(), ..base.clone() }, "bad-option"),
        (Start { session_id: "x".into(), ..base.clone() }, "bad-option"),
        (Start { name: "Bad Name".into(), ..base.clone() }, "bad-option"),
        (Start { options: vec![option("model", "x")], ..base.clone() }, "bad-option"),
        (Start { args: vec!["--help".into()], ..base.clone() }, "bad-option"),
        (Start { root: 2, ..base.clone() }, "directory-outside-roots"),
        (at(".."), "directory-outside-roots"),
        (at("../projects-evil"), "directory-outside-roots"),
        (at("inside/../../projects-evil"), "directory-outside-roots"),
        (at("link"), "directory-outside-roots"),
        (at(&evil), "directory-outside-roots"),
        (at("none"), "no-such-directory"),
        (at("closed"), "no-such-directory"),
        (at("a\0b"), "no-such-directory"),
    ] {
        let shown = format!("{order:?}");
        let (refused, message) = gateway.start(order).expect_err(&shown);
        assert_eq!(refused, code, "{shown}: {message}");
    }
    assert_eq!(gateway.list(), []);
    gateway.start(at("inside")).unwrap();
    gateway.start(Start { session_id: id(2), root: 1, ..base.clone() }).unwrap();
    let (code, message) = gateway.start(rig.order(3)).unwrap_err();
    assert_eq!(code, "too-many-sessions");
    assert!(message.contains("limit is 2"), "{message}");
    // An ended one makes room, though its host stays.
    gateway.stop(1, 0);
    gateway.start(rig.order(3)).unwrap();
    assert_eq!(gateway.list().len(), 3);
}

#[test]
fn a_session_id_starts_once() {
    let (mut rig, _mail) = Rig::new("once", "exec sleep 1000");
    let mut gateway = rig.connect();
    let (one, two) = (gateway.send(order::Body::Start(rig.order(1))), gateway.send(order::Body::Start(rig.order(1))));
    let mut pids = Vec::new();
    while pids.len() < 2 {
        let (answer, _) = gateway.next().unwrap();
        assert!([one, two].contains(&answer.number));
        match answer.body {
            Some(answer::Body::Started(started)) => pids.push(started.host_pid),
            Some(answer::Body::Accepted(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pids[0], pids[1]);
    assert_eq!(gateway.start(rig.order(1)).unwrap(), pids[0], "also later");
    assert_eq!(gateway.list().len(), 1);
}

#[test]
fn nothing_starts_without_audit() {
    let (mut rig, _mail) = Rig::new("audit", "exec sleep 1000");
    let mut gateway = rig.connect();
    gateway.start(rig.order(1)).unwrap();
    std::fs::write(rig.dir.join("audit-full"), "").unwrap();
    assert_eq!(gateway.start(rig.order(2)).unwrap_err().0, "audit-unavailable");
    assert_eq!(gateway.list().len(), 1, "the live one goes on");
    std::fs::remove_file(rig.dir.join("audit-full")).unwrap();
    gateway.start(rig.order(2)).unwrap();
}

#[test]
fn only_the_gateway_is_heard() {
    let (mut rig, _mail) = Rig::new("peers", "");
    let account = rig.account.uid;
    assert_eq!(rig.connect_as(account).err().unwrap().kind(), std::io::ErrorKind::PermissionDenied);
    // Root may connect to any socket, and is not the gateway.
    let run = crate::sys::path::open_root(&rig.table.directories.run).unwrap();
    let root = crate::sys::seqpacket::Seqpacket::connect(std::os::fd::AsFd::as_fd(&run), "spawner.sock").unwrap();
    assert!(rig.event("Connection").contains("uid: 0, accepted: false"));
    let mut buffer = Vec::new();
    assert!(root.recv(&mut buffer).unwrap().is_none(), "closed without a word");
    rig.stop_spawner(crate::sys::process::Kill::Terminate);
    rig.again();
    let mut gateway = rig.connect();
    assert!(rig.event("Connection").contains(&format!("uid: {GATEWAY}, accepted: true")));
    assert_eq!(gateway.list(), []);
}

#[test]
fn an_order_outside_the_table_ends_the_connection() {
    for wrong in ["early", "again", "unknown", "rubbish"] {
        let (mut rig, _mail) = Rig::new(&format!("gate-{wrong}"), "");
        let mut gateway = match wrong {
            "early" => rig.connect_as(GATEWAY).unwrap(),
            _ => rig.connect(),
        };
        match wrong {
            "early" => {
                gateway.send(order::Body::List(v1::ListHosts {}));
            }
            "again" => {
                gateway.send(order::Body::Hello(v1::OrderHello { version: 1 }));
            }
            // Field 99, length 0.
            "unknown" => gateway.socket.send(&[0x9a, 0x06, 0x00], &[]).unwrap(),
            _ => gateway.socket.send(&[0xff; 20], &[]).unwrap(),
        }
        assert!(gateway.next().is_none(), "{wrong}");
        rig.event("OrderRefused");
    }
}

#[test]
fn a_table_that_breaks_a_promise_is_not_served() {
    use crate::spawner::{Identities, SystemIdentity, TableError};
    let (rig, _mail) = Rig::new("table", "");
    let good = &rig.table;
    good.check(0).unwrap();
    assert!(matches!(good.check(1000), Err(TableError::Caller(_))));
    let changed = |change: &dyn Fn(&mut crate::spawner::Table)| {
        let mut table = good.clone();
        change(&mut table);
        table.check(0)
    };
    assert!(matches!(changed(&|table| table.identities = Identities::SingleUser), Err(TableError::Caller(_))));
    let same = SystemIdentity { uid: 5, gid: 5 };
    let two = |gateway, host| Identities::Separate { gateway, host };
    assert_eq!(changed(&|table| table.identities = two(same, same)), Err(TableError::Identities));
    let root = SystemIdentity { uid: 0, gid: 0 };
    assert_eq!(changed(&|table| table.identities = two(root, same)), Err(TableError::Identities));
    assert!(changed(&|table| table.agents[0].command[0] = "sh".into()).is_err());
    assert!(changed(&|table| table.agents[0].free_args = true).is_err());
    assert!(changed(&|table| table.accounts[0].roots.push("relative".into())).is_err());
    assert!(changed(&|table| table.accounts[0].key_files.push("%hidden/keys".into())).is_err());
    assert!(changed(&|table| table.accounts[0].agents.push("ghost".parse().unwrap())).is_err());
    let twin = |table: &mut crate::spawner::Table| {
        table
            .accounts
            .push(crate::spawner::AccountEntry { name: "twin".parse().unwrap(), ..table.accounts[0].clone() });
    };
    let shared = changed(&twin).unwrap_err();
    assert!(matches!(shared, TableError::SharedUser { .. }), "{shared}");
    assert!(shared.to_string().contains(ACCOUNT) && shared.to_string().contains("twin"), "{shared}");
    let text = serde_json::to_string(good).unwrap();
    assert_eq!(serde_json::from_str::<crate::spawner::Table>(&text).unwrap(), *good);
    assert!(text.contains(ACCOUNT));
}
