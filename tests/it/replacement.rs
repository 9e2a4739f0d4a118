//! Another program in the spawner's place while sessions, gateway and clients go on; and one that is not fit for it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use portcullis::wire::v1;

use crate::support::client::Wss;
use crate::support::eventually;
use crate::support::place::{Mode, Place, children, describe, run, start_time};

/// Puts a file where the program is, as an installation does: another inode under the same name.
fn install(place: &Place, from: &Path) {
    let new = place.program.with_extension("new");
    std::fs::copy(from, &new).unwrap();
    std::fs::set_permissions(&new, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::rename(new, &place.program).unwrap();
}

fn reload(place: &Place) -> Output {
    place.command().arg("reload").arg("--dir").arg(&place.dir).stdin(Stdio::null()).output().unwrap()
}

/// What a process runs: a file's inode.
fn runs(pid: u32) -> u64 {
    std::fs::metadata(format!("/proc/{pid}/exe")).unwrap().ino()
}

/// Pid and start time, which no other process has.
fn same(pid: u32) -> (u32, u64) {
    (pid, start_time(pid))
}

fn raw(session: &str) -> v1::Attach {
    v1::Attach { session: session.into(), channel: 1, mode: v1::ViewerMode::Raw.into(), ..Default::default() }
}

#[tokio::test]
async fn a_new_program_takes_the_spawner_s_place_and_nobody_notices() {
    for mode in [Mode::Root, Mode::SingleUser] {
        let place = Place::served(mode);
        let mut wss = Wss::login(&place).await;
        wss.start("shell", "main").await;
        wss.attach(raw("main")).await;
        wss.input(1, 0, b"echo before-$((1+1))\n").await;
        wss.until(1, "before-2").await;
        let processes = || [place.spawner_pid(), place.gateway_pid(), place.host_pids()[0]].map(same);
        let before = processes();
        let doors = place.endpoints().https;
        let mut offset = 21;
        // The second time it is the new program that is replaced.
        for round in 1..=2 {
            install(&place, Path::new(env!("CARGO_BIN_EXE_portcullis")));
            let new = std::fs::metadata(&place.program).unwrap().ino();
            assert_ne!(runs(place.spawner_pid()), new);
            let told = reload(&place);
            assert!(told.status.success(), "{}", describe(&told));
            assert_eq!(runs(place.spawner_pid()), new, "{mode:?}");
            assert_eq!(processes(), before, "{mode:?}: the same processes");
            assert_eq!(place.endpoints().https, doors);
            // The client's line never broke, and the session goes on.
            let line = format!("echo after-{round}-$((1+1))\n");
            wss.input(1, offset, line.as_bytes()).await;
            offset += line.len() as u64;
            wss.until(1, &format!("after-{round}-2")).await;
        }
        // A reload without a new program is one as ever.
        assert!(reload(&place).status.success());
        // It can do all that the first one could: start, find its gateway's end, end sessions.
        place.verb(&["new", "shell", "--name", "second"]);
        run(Command::new("kill").args(["-9", &place.gateway_pid().to_string()]));
        let gateway = eventually("another gateway", || {
            children(place.spawner_pid()).into_iter().find(|pid| *pid != before[1].0 && is_gateway(*pid))
        });
        assert_ne!(gateway, before[1].0);
        place.verb(&["kill", "second"]);
        place.verb(&["kill", "main"]);
        assert!(place.verb(&["ls"]).matches("signal HUP").count() == 2, "{}", place.verb(&["ls"]));
        let log = std::fs::read_to_string(place.dir.join("log/spawner.jsonl")).unwrap();
        assert_eq!(log.matches("replaced by").count(), 2);
        let verified = place.command().args(["audit", "verify"]).arg(place.dir.join("log")).output().unwrap();
        assert!(verified.status.success(), "{}", describe(&verified));
    }
}

fn is_gateway(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| String::from_utf8_lossy(&line).contains("\0gateway\0"))
}

#[test]
fn a_program_that_does_not_pass_changes_nothing_and_is_told() {
    let place = Place::served(Mode::Root);
    place.verb(&["new", "shell", "--name", "main"]);
    let before = [place.spawner_pid(), place.gateway_pid(), place.host_pids()[0]].map(same);
    let was = runs(place.spawner_pid());
    let hangs = place.root.join("hangs");
    std::fs::write(&hangs, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    let text = place.root.join("text");
    std::fs::write(&text, "no program\n").unwrap();
    for (wrong, why) in [(Path::new("/bin/false"), "exit status: 1"), (&text, "was not taken"), (&hangs, "within 3 s")]
    {
        install(&place, wrong);
        let told = Command::new(env!("CARGO_BIN_EXE_portcullis")).arg("reload").arg("--dir").arg(&place.dir).output();
        let told = told.unwrap();
        // Whatever follows needs one that works.
        install(&place, Path::new(env!("CARGO_BIN_EXE_portcullis")));
        assert!(!told.status.success(), "{}", describe(&told));
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(said.contains(why) && said.contains("nothing was changed"), "{said}");
        let after = [place.spawner_pid(), place.gateway_pid(), place.host_pids()[0]].map(same);
        assert_eq!((after, runs(place.spawner_pid())), (before, was));
        eventually("the end of what was asked", || (children(place.spawner_pid()).len() <= 2).then_some(()));
    }
    // A table that the new program cannot make is one more reason.
    let config = place.dir.join("portcullis.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    install(&place, Path::new(env!("CARGO_BIN_EXE_portcullis")));
    std::fs::write(&config, format!("{good}\nnonsense = 1\n")).unwrap();
    let told = reload(&place);
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(said.contains("nonsense") && said.contains("nothing was changed"), "{said}");
    assert_eq!(runs(place.spawner_pid()), was);
    // And everything works as before, also the way to a good one.
    std::fs::write(&config, good).unwrap();
    assert!(reload(&place).status.success());
    assert_ne!(runs(place.spawner_pid()), was);
    place.verb(&["send", "main", "echo still-$((1+1))"]);
    eventually("the session", || place.verb(&["show", "main"]).contains("still-2").then_some(()));
}
