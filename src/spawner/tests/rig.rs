//! A spawner in a process of its own, and the gateway's side of its socket.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::agents::{AgentSpec, Mode};
use crate::base::SessionId;
use crate::spawner::{
    AccountEntry, Directories, Given, Identities, Limits, Listeners, Log, LogEntry, Programs, SystemIdentity, Table,
};
use crate::sys::credentials::{Account, account, current_uid};
use crate::sys::fork::fork;
use crate::sys::path::{NONBLOCK, open_root};
use crate::sys::privileges::{Identity, appear_as, become_identity};
use crate::sys::process::{Ended, Kill, Process};
use crate::sys::procfs;
use crate::sys::readiness::readable;
use crate::sys::seqpacket::Seqpacket;
use crate::wire::v1::{self, Answer, Order, answer, order};
use crate::wire::{decode_answer, encode_order};

/// Hang guard.
pub(super) const GUARD: Duration = Duration::from_secs(60);
/// Nobody's: system users need no entry.
pub(super) const GATEWAY: u32 = 61_001;
pub(super) const HOST: u32 = 61_002;
pub(super) const ACCOUNT: &str = "pc-test-agent";
pub(super) const OTHER: &str = "pc-test-other";

/// A test account, made where it is missing; never removed.
pub(super) fn test_account(name: &str) -> Account {
    assert_eq!(current_uid(), 0, "this test forks processes of other accounts and must run as root");
    let lock = File::create(std::env::temp_dir().join("pc-test-accounts.lock")).unwrap();
    lock.lock().unwrap();
    if account(name).unwrap().is_none() {
        let made = std::process::Command::new("useradd")
            .args(["--create-home", "--shell", "/bin/bash", "--groups", "games", name])
            .status();
        assert!(made.unwrap().success(), "useradd {name}");
    }
    account(name).unwrap().unwrap()
}

/// Runs in a process that became the account; what it returned.
pub(super) fn as_account(account: &Account, test: impl FnOnce() -> bool) -> bool {
    let identity = Identity { uid: account.uid, gid: account.gid, groups: account.groups.clone() };
    let child = fork(|| {
        become_identity(&identity).unwrap();
        i32::from(!test())
    });
    child.unwrap().reap().unwrap() == Ended::Status(0)
}

/// A place where a process of any account leaves a line.
pub(super) struct Mailbox {
    file: File,
    pub(super) path: PathBuf,
    pending: String,
}

impl Mailbox {
    fn new(path: PathBuf) -> Self {
        let made = std::process::Command::new("mkfifo").args(["-m", "666"]).arg(&path).status();
        assert!(made.unwrap().success());
        // Open for writing too, so that it never is at its end.
        let file = File::options().read(true).write(true).custom_flags(NONBLOCK).open(&path).unwrap();
        Self { file, path, pending: String::new() }
    }

    pub(super) fn line(&mut self) -> String {
        loop {
            if let Some((line, rest)) = self.pending.split_once('\n') {
                let line = line.to_owned();
                self.pending = rest.to_owned();
                return line;
            }
            assert!(readable(&[self.file.as_fd()], Some(GUARD)).unwrap()[0], "no line came");
            let mut bytes = [0; 4096];
            let length = self.file.read(&mut bytes).unwrap();
            self.pending.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
        }
    }
}

/// Tells each entry to the test; full as long as a file says so.
struct TestLog(Seqpacket, PathBuf);

impl Log for TestLog {
    fn entry(&mut self, entry: &LogEntry<'_>) -> io::Result<()> {
        if self.1.exists() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let _ = self.0.send(format!("{entry:?}").as_bytes(), &[]);
        Ok(())
    }
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) struct Rig {
    pub(super) dir: PathBuf,
    pub(super) table: Table,
    pub(super) account: Account,
    pub(super) spawner: Process,
    events: Seqpacket,
    number: u32,
}

/// What the fake host does, before it idles: it says that it is ready, and drains the terminal.
pub(super) const HOST_SCRIPT: &str = "printf x >&6; exec 6>&-; (exec cat <&3 >/dev/null 2>&1); exec tail -f /dev/null";

impl Rig {
    /// A spawner with separate identities whose agents run this script under /bin/sh, with `$mail` its mailbox.
    pub(super) fn new(name: &str, agent: &str) -> (Self, Mailbox) {
        Self::with(name, agent, HOST_SCRIPT, |_| {})
    }

    pub(super) fn with(name: &str, agent: &str, host: &str, change: impl FnOnce(&mut Table)) -> (Self, Mailbox) {
        let account = test_account(ACCOUNT);
        let dir = std::env::temp_dir().join(format!("pc-spawner-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).unwrap();
        let dir = dir.canonicalize().unwrap();
        let mailbox = Mailbox::new(dir.join("mail"));
        std::fs::write(dir.join("host.sh"), format!("out={}\n{host}\n", dir.display())).unwrap();
        std::fs::set_permissions(dir.join("host.sh"), PermissionsExt::from_mode(0o755)).unwrap();
        for root in ["projects", "projects-evil"] {
            std::fs::create_dir(dir.join(root)).unwrap();
            chown(dir.join(root), Some(account.uid), Some(account.gid)).unwrap();
        }
        let mut table = table(&dir, agent);
        change(&mut table);
        let (spawner, events) = start(&table, &dir, None);
        (Self { dir, table, account, spawner, events, number: 0 }, mailbox)
    }

    /// The same spawner in single-user mode, run by the test account.
    pub(super) fn single_user(name: &str, agent: &str) -> (Self, Mailbox) {
        // Prepared under a gateway that never comes; then the directory changes hands.
        let (mut rig, mailbox) = Self::with(name, agent, HOST_SCRIPT, |_| {});
        rig.stop_spawner(Kill::Terminate);
        for part in ["run", "state"] {
            let _ = std::fs::remove_dir_all(rig.dir.join(part));
        }
        chown(&rig.dir, Some(rig.account.uid), Some(rig.account.gid)).unwrap();
        rig.table.identities = Identities::SingleUser;
        let (spawner, events) = start(&rig.table, &rig.dir, Some(&rig.account));
        (rig.spawner, rig.events) = (spawner, events);
        (rig, mailbox)
    }

    /// Another spawner on the same directories.
    pub(super) fn again(&mut self) {
        let account = (self.table.identities == Identities::SingleUser).then_some(&self.account);
        let (spawner, events) = start(&self.table, &self.dir, account);
        (self.spawner, self.events) = (spawner, events);
    }

    /// Ends the spawner; how it ended.
    pub(super) fn stop_spawner(&mut self, how: Kill) -> Ended {
        self.spawner.signal(how).unwrap();
        assert!(self.spawner.ends_within(GUARD).unwrap());
        self.spawner.reap().unwrap()
    }

    /// The next entry that begins so.
    pub(super) fn event(&self, beginning: &str) -> String {
        let mut datagram = Vec::new();
        loop {
            assert!(readable(&[self.events.as_fd()], Some(GUARD)).unwrap()[0], "no {beginning}");
            assert!(self.events.recv(&mut datagram).unwrap().is_some(), "the spawner is gone before {beginning}");
            let text = String::from_utf8(datagram.clone()).unwrap();
            if text.starts_with(beginning) {
                return text;
            }
        }
    }

    /// Connects as the gateway and says hello.
    pub(super) fn connect(&mut self) -> Gateway {
        let mut gateway = self.connect_as(GATEWAY).unwrap();
        let (answer, descriptors) = gateway.ask(order::Body::Hello(v1::OrderHello { version: 1 }));
        let Some(answer::Body::Hello(hello)) = answer.body else { panic!("{answer:?}") };
        gateway.descriptors = hello.descriptors.into_iter().zip(descriptors).collect();
        gateway
    }

    /// Connects as this uid, in a thread that is nothing else.
    pub(super) fn connect_as(&mut self, uid: u32) -> io::Result<Gateway> {
        self.event("Started");
        let uid = if self.table.identities == Identities::SingleUser { self.account.uid } else { uid };
        let run = open_root(&self.table.directories.run).unwrap();
        let connected = std::thread::spawn(move || {
            appear_as(uid).unwrap();
            Seqpacket::connect(run.as_fd(), "spawner.sock")
        });
        let socket = connected.join().unwrap()?;
        self.number += 1000;
        Ok(Gateway { socket, number: self.number, descriptors: Vec::new() })
    }

    /// A start of `agent` in the first root.
    pub(super) fn order(&self, session: u8) -> v1::Start {
        v1::Start {
            session_id: id(session),
            account: ACCOUNT.into(),
            agent: "agent".into(),
            size: Some(v1::Size { cols: 101, rows: 33 }),
            creator: "SHA256:x label".into(),
            ..v1::Start::default()
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        end(self.spawner.pid());
        // Hosts live on by design: each is ended by its record, with what is below it.
        for entry in std::fs::read_dir(self.dir.join("run/records")).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let record: Result<crate::spawner::records::Record, _> = serde_json::from_str(&text);
            if let Ok(record) = record
                && procfs::stat(record.pid).is_some_and(|stat| stat.start_time == record.start_time)
            {
                end(record.pid);
            }
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Kills what is below a process until nothing comes after, then the process.
fn end(pid: i32) {
    loop {
        let below = procfs::descendants(pid);
        if below.is_empty() {
            return crate::spawner::stop::kill_tree(pid);
        }
        for (pid, start_time) in below {
            crate::spawner::stop::kill_same(pid, start_time);
        }
    }
}

pub(super) fn id(session: u8) -> String {
    SessionId::from_bytes([session; 16]).to_string()
}

fn table(dir: &Path, agent: &str) -> Table {
    let directories = Directories { state: dir.join("state"), run: dir.join("run"), reachable: dir.join("run") };
    let mail = dir.join("mail").display().to_string();
    let script = format!("mail={mail}\n{agent}\n");
    let agent = AgentSpec {
        name: "agent".parse().unwrap(),
        command: vec!["/bin/sh".into(), "-c".into(), script],
        modes: vec![Mode::Terminal],
        options: Vec::new(),
        env: [("FROM_TABLE".to_owned(), "yes".to_owned())].into(),
        env_pass: vec!["PASSED_*".into()],
        env_file: None,
        free_args: false,
        login_shell: false,
        driver: None,
        structured_args: Vec::new(),
        turn_timeout: None,
        request_timeout: None,
    };
    let shell = AgentSpec { name: "shell".parse().unwrap(), command: Vec::new(), login_shell: true, ..agent.clone() };
    let forbidden = AgentSpec { name: "forbidden".parse().unwrap(), ..agent.clone() };
    Table {
        identities: Identities::Separate {
            gateway: SystemIdentity { uid: GATEWAY, gid: GATEWAY },
            host: SystemIdentity { uid: HOST, gid: HOST },
        },
        accounts: vec![AccountEntry {
            name: ACCOUNT.parse().unwrap(),
            user: ACCOUNT.parse().unwrap(),
            roots: vec![dir.join("projects"), "%h".into()],
            agents: vec!["agent".parse().unwrap(), "shell".parse().unwrap()],
            key_files: vec!["%h/.pc-test/keys".into(), format!("{}/keys/%u", dir.display())],
            max_sessions: 2,
            no_new_privs: true,
            limits: Limits { open_files: Some(512), core: Some(0), ..Limits::default() },
        }],
        agents: vec![agent, shell, forbidden],
        directories,
        programs: Programs { gateway: None, host: vec!["/bin/sh".into(), dir.join("host.sh").display().to_string()] },
        ring: 64 * 1024,
        environment: [("PASSED_ON", "1"), ("SECRET", "2"), ("LANG", "C.UTF-8")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    }
}

/// Forks a spawner, as this account where one is given. Its status is the number of sessions that live on.
fn start(table: &Table, dir: &Path, account: Option<&Account>) -> (Process, Seqpacket) {
    let (events, theirs) = Seqpacket::pair().unwrap();
    let spawner = fork(|| {
        if let Some(account) = account {
            become_identity(&Identity { uid: account.uid, gid: account.gid, groups: account.groups.clone() }).unwrap();
        }
        let given = Given {
            listeners: Listeners { https: Some(crate::sys::fork::open_null().unwrap()), ..Listeners::default() },
            config: b"settings".to_vec(),
            tls: None,
            program: None,
            executable: None,
            log: Box::new(TestLog(theirs, dir.join("audit-full"))),
            on_ready: Box::new(|| {}),
            reload: None,
        };
        match crate::spawner::run(table.clone(), given) {
            Ok(ended) => ended.sessions as i32,
            Err(error) => {
                eprintln!("the spawner: {error}");
                101
            }
        }
    });
    (spawner.unwrap(), events)
}

/// The gateway's end.
pub(super) struct Gateway {
    pub(super) socket: Seqpacket,
    number: u32,
    pub(super) descriptors: Vec<(String, OwnedFd)>,
}

impl Gateway {
    pub(super) fn send(&mut self, body: order::Body) -> u32 {
        self.number += 1;
        let order = Order { number: self.number, body: Some(body) };
        self.socket.send(&encode_order(&order).unwrap(), &[]).unwrap();
        self.number
    }

    /// The next answer; none when the spawner closed the connection.
    pub(super) fn next(&mut self) -> Option<(Answer, Vec<OwnedFd>)> {
        assert!(readable(&[self.socket.as_fd()], Some(GUARD)).unwrap()[0], "no answer");
        let mut datagram = Vec::new();
        let descriptors = self.socket.recv(&mut datagram).unwrap()?;
        Some((decode_answer(&datagram).unwrap(), descriptors))
    }

    /// The next answer to this order; what comes unasked is skipped.
    pub(super) fn answer(&mut self, number: u32) -> (Answer, Vec<OwnedFd>) {
        let deadline = Instant::now() + GUARD;
        loop {
            let (answer, descriptors) = self.next().expect("the connection is closed");
            if answer.number == number {
                return (answer, descriptors);
            }
            assert!(Instant::now() < deadline);
        }
    }

    pub(super) fn ask(&mut self, body: order::Body) -> (Answer, Vec<OwnedFd>) {
        let number = self.send(body);
        self.answer(number)
    }

    /// Orders a start; the host's pid, or code and message of the refusal.
    pub(super) fn start(&mut self, start: v1::Start) -> Result<i32, (String, String)> {
        let session = start.session_id.clone();
        let number = self.send(order::Body::Start(start));
        let mut accepted = false;
        loop {
            match self.answer(number).0.body {
                Some(answer::Body::Accepted(_)) if !accepted => accepted = true,
                Some(answer::Body::Started(started)) if accepted => {
                    assert_eq!(started.session_id, session);
                    return Ok(started.host_pid);
                }
                Some(answer::Body::Refused(refused)) => return Err((refused.code, refused.message)),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Orders a stop; how many processes were ended.
    pub(super) fn stop(&mut self, session: u8, grace_ms: u32) -> u32 {
        let (answer, _) = self.ask(order::Body::Stop(v1::Stop { session_id: id(session), grace_ms }));
        match answer.body {
            Some(answer::Body::Stopped(stopped)) => stopped.processes,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn list(&mut self) -> Vec<v1::HostRecord> {
        match self.ask(order::Body::List(v1::ListHosts {})).0.body {
            Some(answer::Body::Hosts(hosts)) => hosts.hosts,
            other => panic!("{other:?}"),
        }
    }

    /// Waits for the word that this host is gone.
    pub(super) fn gone(&mut self, session: u8) {
        loop {
            let (answer, _) = self.next().expect("the connection is closed");
            if matches!(&answer.body, Some(answer::Body::Gone(gone)) if gone.session_id == id(session)) {
                return;
            }
        }
    }
}

/// One line of /proc/PID/status, words joined by single spaces.
pub(super) fn status(pid: i32, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap();
    line.split_ascii_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

/// Waits until a process has ended.
pub(super) fn wait_end(pid: i32) {
    if let Ok(process) = Process::open(pid) {
        assert!(process.ends_within(GUARD).unwrap(), "{pid} lives");
    }
}
