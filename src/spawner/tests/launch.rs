//! What host and agent are, read from /proc.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::rig::{ACCOUNT, GATEWAY, GUARD, HOST, OTHER, Rig, as_account, id, status, test_account, wait_end};
use crate::sys::process::{Kill, Process};
use crate::sys::procfs;

const NOTHING: &str = "0000000000000000";

fn descriptors(pid: i32) -> Vec<(String, PathBuf)> {
    let mut all: Vec<(String, PathBuf)> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| {
            let entry = entry.unwrap();
            // One that was closed meanwhile is none.
            Some((entry.file_name().into_string().unwrap(), std::fs::read_link(entry.path()).ok()?))
        })
        .collect();
    all.sort();
    all
}

fn environment(pid: i32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let mut all: Vec<String> = bytes
        .split(|byte| *byte == 0)
        .filter(|entry| !entry.is_empty())
        .map(|entry| String::from_utf8_lossy(entry).into())
        .collect();
    all.sort();
    all
}

/// Field of /proc/PID/stat by its number in proc(5), from 3 on.
fn field(pid: i32, number: usize) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(number - 3).unwrap().to_owned()
}

fn owner(path: &Path) -> (u32, u32, u32) {
    let metadata = path.symlink_metadata().unwrap();
    (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
}

#[test]
fn host_and_agent_have_what_they_need_and_nothing_else() {
    // The subshells hold what the mail needs; the shells themselves have closed all before the last word of each.
    let (mut rig, mut mail) = Rig::with(
        "proc",
        "(exec 9>$mail; echo agent $$ $(tty) >&9; : >/dev/tty && : <>$(tty) && echo reopened >&9); exec tail -f /dev/null",
        "printf x >&6; exec 6>&-; (echo settled >$out/mail; exec cat <&3 >/dev/null 2>&1); exec tail -f /dev/null",
        |_| {},
    );
    let mut gateway = rig.connect();
    let host = gateway.start(rig.order(1)).unwrap();
    let mut lines = [mail.line(), mail.line(), mail.line()];
    lines.sort();
    assert_eq!(lines[1..], ["reopened", "settled"]);
    let [_, agent, tty] = *lines[0].split(' ').collect::<Vec<_>>() else { panic!("{lines:?}") };
    let agent: i32 = agent.parse().unwrap();
    host_is_right(host, agent, &rig);
    agent_is_right(agent, host, tty, &rig);
    disk_is_right(host, agent, &rig);
}

fn four(id: u32) -> String {
    [id; 4].map(|id| id.to_string()).join(" ")
}

fn host_is_right(host: i32, agent: i32, rig: &Rig) {
    assert_eq!((status(host, "Uid"), status(host, "Gid")), (four(HOST), four(HOST)));
    assert_eq!((status(host, "Groups"), status(host, "NoNewPrivs")), (String::new(), "1".into()));
    assert!(
        environment(host).iter().all(|entry| entry.starts_with("PWD=") || entry.starts_with("_=")),
        "the shell's own"
    );
    let open = descriptors(host);
    let names: Vec<&str> = open.iter().map(|(number, _)| number.as_str()).filter(|number| number.len() == 1).collect();
    assert_eq!(names, ["0", "1", "2", "3", "4", "5", "7", "8"], "6 was closed by the script: {open:?}");
    let target = |number: &str| open.iter().find(|(name, _)| name == number).unwrap().1.to_string_lossy().into_owned();
    assert_eq!(["0", "1", "2"].map(target), ["/dev/null"; 3]);
    assert!(target("3").ends_with("ptmx") && target("4").starts_with("socket:") && target("5").starts_with("socket:"));
    assert!(target("7").starts_with("pipe:") && target("8").contains("memfd:session"), "{open:?}");
    let command = std::fs::read(format!("/proc/{host}/cmdline")).unwrap();
    let command = String::from_utf8(command).unwrap().replace('\0', " ");
    for words in [
        format!("--session {} --pty-fd 3 --listen-fd 4 --hook-fd 5 --ready-fd 6 --exec-error-fd 7 --meta-fd 8", id(1)),
        format!("--child-pid {agent} --ring 65536 --gateway-uid {GATEWAY} --account-uid {}", rig.account.uid),
    ] {
        assert!(command.contains(&words), "{command}");
    }
    let group = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/autogroup"));
    if let (Ok(host), Ok(agent)) = (group(host), group(agent)) {
        assert!(host.trim().ends_with("nice -5") && agent.trim().ends_with("nice 0"), "{host} {agent}");
    }
    // Session of its own, no controlling terminal, before others.
    assert_eq!((field(host, 6), field(host, 7), field(host, 19)), (host.to_string(), "0".into(), "-5".into()));
}

fn agent_is_right(agent: i32, host: i32, tty: &str, rig: &Rig) {
    let account = &rig.account;
    assert_eq!((status(agent, "Uid"), status(agent, "Gid")), (four(account.uid), four(account.gid)));
    let mut groups = account.groups.clone();
    groups.sort_unstable();
    assert!(groups.len() > 1, "the account has a second group");
    assert_eq!(status(agent, "Groups"), groups.iter().map(u32::to_string).collect::<Vec<_>>().join(" "));
    assert_eq!(status(agent, "NoNewPrivs"), "1");
    for pid in [host, agent] {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status(pid, set), NOTHING, "{set}");
        }
        assert_eq!((status(pid, "SigBlk"), status(pid, "SigIgn")), (NOTHING.into(), NOTHING.into()));
    }
    assert_eq!(procfs::stat(agent).unwrap().parent, host, "the host reaps it");
    assert_eq!((field(agent, 6), field(agent, 19)), (agent.to_string(), "0".into()));
    assert_ne!(field(agent, 7), "0", "a controlling terminal");
    // The last thing that a starting `tail -f` opens; before it, its libraries come and go.
    let deadline = Instant::now() + GUARD;
    let tails = loop {
        let open = descriptors(agent);
        if open.iter().any(|(_, path)| path == Path::new("/dev/null")) {
            break open;
        }
        assert!(Instant::now() < deadline, "{open:?}");
        std::thread::yield_now();
    };
    assert!(tails.iter().filter(|(_, path)| path.to_string_lossy() == tty).count() == 3, "{tails:?}");
    assert!(
        tails.iter().all(|(_, path)| path.to_string_lossy() == tty
            || path.ends_with("null")
            || path.to_string_lossy().contains("inotify")),
        "{tails:?}"
    );
    assert_eq!(owner(Path::new(tty)), (account.uid, account.gid, 0o600));
    assert_eq!(std::fs::read_link(format!("/proc/{agent}/cwd")).unwrap(), rig.dir.join("projects"));
    let limits = std::fs::read_to_string(format!("/proc/{agent}/limits")).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_ascii_whitespace().skip(3).collect::<Vec<_>>(), ["512", "512", "files"]);
    let wanted = |name: &str| {
        environment(agent).into_iter().find_map(|entry| Some(entry.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
    };
    assert_eq!(wanted("HOME").unwrap(), account.home.to_string_lossy());
    assert_eq!((wanted("USER").unwrap(), wanted("TERM").unwrap()), (ACCOUNT.into(), "xterm-256color".into()));
    assert_eq!((wanted("PASSED_ON").unwrap(), wanted("FROM_TABLE").unwrap()), ("1".into(), "yes".into()));
    assert_eq!((wanted("SECRET"), wanted("LANG")), (None, Some("C.UTF-8".into())));
    assert!(wanted("PATH").unwrap().contains("/usr/bin"));
}

fn disk_is_right(host: i32, agent: i32, rig: &Rig) {
    let account = &rig.account;
    let run = rig.dir.join("run");
    let socket = run.join("hosts").join(format!("{}.sock", id(1)));
    assert_eq!(owner(&socket), (HOST, GATEWAY, 0o660));
    assert_eq!(owner(&run.join("hosts")), (0, GATEWAY, 0o750));
    assert_eq!(owner(&rig.dir.join("state")), (GATEWAY, GATEWAY, 0o700));
    assert_eq!(owner(&run.join("spawner.sock")), (0, GATEWAY, 0o660));
    assert_eq!(owner(&run.join("admin.sock")), (0, 0, 0o600));
    assert_eq!(owner(&run.join("records").join(id(1))), (0, 0, 0o600));
    let hooks = run.join("agents").join(id(1));
    assert_eq!(owner(&hooks), (account.uid, account.gid, 0o700));
    let hook = hooks.join("hook.sock");
    assert_eq!(owner(&hook), (account.uid, account.gid, 0o600));

    // Who reaches whom.
    let other = test_account(OTHER);
    assert!(as_account(account, || UnixStream::connect(&hook).is_ok()));
    assert!(as_account(&other, || UnixStream::connect(&hook).is_err()));
    for stranger in [account, &other] {
        assert!(as_account(stranger, || UnixStream::connect(&socket).is_err()));
        let signalled = |pid: i32| Process::open(pid).unwrap().signal(Kill::HangUp).is_ok();
        assert!(as_account(stranger, || !signalled(host)));
    }
    assert!(as_account(&other, || Process::open(agent).unwrap().signal(Kill::HangUp).is_err()));
    assert!(as_account(account, || std::fs::read(format!("/proc/{host}/environ")).is_err()));
}

#[test]
fn a_stop_finds_a_daemonised_grandchild_and_leaves_the_host() {
    let (mut rig, mut mail) = Rig::new(
        "stop",
        "(trap '' HUP TERM; setsid sh -c 'trap \"\" HUP TERM; echo $$ >'$mail'; while :; do sleep 1000; done' &) \n echo $$ >$mail; exec sleep 1000",
    );
    let mut gateway = rig.connect();
    let host = gateway.start(rig.order(1)).unwrap();
    let pids = [mail.line(), mail.line()].map(|line| line.parse::<i32>().unwrap());
    assert!(gateway.stop(1, 200) >= 2);
    for pid in pids {
        wait_end(pid);
    }
    assert!(procfs::descendants(host).is_empty());
    assert!(procfs::stat(host).is_some_and(|stat| !stat.zombie), "the host keeps what there is to see");
    assert_eq!(gateway.list().len(), 1);
    assert_eq!(gateway.stop(1, 200), 0, "nothing is left to stop");
    assert_eq!(gateway.stop(9, 200), 0, "nor of a session that never was");
}

#[test]
fn who_missed_a_hang_up_and_ignores_term_gets_another_before_the_kill() {
    let (mut rig, mut mail) = Rig::new(
        "twice",
        "trap '' TERM; trap 'n=$((n+1)); echo hup-$n >$mail; [ $n -lt 2 ] || exit 0' HUP; echo up >$mail; while :; do sleep 1000 & wait; done",
    );
    let mut gateway = rig.connect();
    gateway.start(rig.order(1)).unwrap();
    assert_eq!(mail.line(), "up");
    gateway.stop(1, 3000);
    assert_eq!([mail.line(), mail.line()], ["hup-1", "hup-2"]);
}

#[test]
fn an_orphan_of_a_killed_host_is_killed() {
    let (mut rig, mut mail) = Rig::new(
        "orphan",
        "(setsid sh -c 'trap \"\" HUP TERM; echo $$ >'$mail'; while :; do sleep 1000; done' &) \n exec sleep 1000",
    );
    let mut gateway = rig.connect();
    let host = gateway.start(rig.order(1)).unwrap();
    let daemon = mail.line().parse().unwrap();
    Process::open(host).unwrap().signal(Kill::Kill).unwrap();
    gateway.gone(1);
    wait_end(daemon);
    assert_eq!(gateway.list(), []);
    let run = rig.dir.join("run");
    for left in [format!("hosts/{}.sock", id(1)), format!("agents/{}", id(1)), format!("records/{}", id(1))] {
        assert!(!run.join(&left).exists(), "{left}");
    }
    // The id is free again, as `restart` needs it.
    gateway.start(rig.order(1)).unwrap();
    mail.line();
}

#[test]
fn a_host_that_fails_leaves_no_agent() {
    for (name, host, why) in
        [("fails", "exit 3", "ended before it was ready"), ("hangs", "exec sleep 1000", "not ready within 5 s")]
    {
        let (mut rig, _mail) = Rig::with(name, "echo ran >$out; exec sleep 1000", host, |_| {});
        let mut gateway = rig.connect();
        let (code, message) = gateway.start(rig.order(1)).unwrap_err();
        assert_eq!(code, "launch-failed");
        assert!(message.contains(why), "{message}");
        assert!(procfs::children(rig.spawner.pid()).iter().all(|(pid, _)| {
            wait_end(*pid);
            true
        }));
        assert_eq!(gateway.list(), []);
        assert!(!rig.dir.join("run/records").join(id(1)).exists());
    }
}

#[test]
fn a_host_program_that_is_not_there_is_said() {
    let (mut rig, _mail) = Rig::with("nohost", "", "", |table| table.programs.host = vec!["/nonexistent/host".into()]);
    let mut gateway = rig.connect();
    let (code, message) = gateway.start(rig.order(1)).unwrap_err();
    assert_eq!(code, "launch-failed");
    assert!(message.contains("/nonexistent/host") && message.contains("No such file"), "{message}");
}

#[test]
fn an_agent_that_cannot_be_executed_is_the_hosts_news() {
    let (mut rig, mut mail) = Rig::with(
        "noagent",
        "",
        // The host reads the errno from descriptor 7.
        "printf x >&6; exec 6>&-; od -An -tu4 <&7 >$out/mail; exec tail -f /dev/null",
        |table| table.agents[0].command = vec!["/nonexistent/agent".into()],
    );
    let mut gateway = rig.connect();
    gateway.start(rig.order(1)).unwrap();
    assert_eq!(mail.line().trim(), "2", "ENOENT");
}

#[test]
fn the_login_shell_gives_the_path() {
    let (mut rig, mut mail) = Rig::new("path", "echo $PATH >$mail; echo ${0} >$mail; exec sleep 1000");
    let account = test_account("pc-test-path");
    rig.table.accounts[0].user = "pc-test-path".parse().unwrap();
    let profile = account.home.join(".bash_profile");
    std::fs::write(&profile, "echo chatter; export PATH=/opt/own/bin:/usr/bin:/bin\n").unwrap();
    let restarted = |rig: &mut Rig| {
        rig.stop_spawner(Kill::Terminate);
        rig.again();
        rig.connect()
    };
    let mut gateway = restarted(&mut rig);
    let order = |session| rig.order(session);
    let (first, second) = (order(1), order(2));
    gateway.start(first).unwrap();
    assert_eq!(mail.line(), "/opt/own/bin:/usr/bin:/bin");
    mail.line();
    // A profile that hangs, with a child of its own, costs its PATH and is ended.
    std::fs::write(
        &profile,
        format!("(setsid sh -c 'echo $$ >{0}; exec sleep 1000' &); sleep 1000\n", mail.path.display()),
    )
    .unwrap();
    let mut gateway = restarted(&mut rig);
    gateway.start(second).unwrap();
    let lines = [mail.line(), mail.line(), mail.line()];
    assert!(lines.iter().any(|line| line == crate::agents::environment::FALLBACK_PATH), "{lines:?}");
    let daemon = lines.iter().find_map(|line| line.parse().ok()).unwrap();
    wait_end(daemon);
    std::fs::remove_file(profile).unwrap();
}
