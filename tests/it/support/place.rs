//! An installation below a directory of its own, served by the real program, ended with all its sessions.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use super::{HANG, ends, eventually, finished};

/// The account that agents of root-mode tests run as; tests/run makes it.
pub const ANN: &str = "pc-test-ann";
/// Another one.
pub const BOB: &str = "pc-test-bob";

/// Where the doors are, from endpoints.json.
#[derive(Debug, Clone)]
pub struct Endpoints {
    pub https: String,
    pub ssh: String,
    pub admin: String,
    pub identity: String,
    pub account: String,
    pub client_key: String,
    pub pid: u32,
}

/// Who starts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// root, with the agents as `ANN`.
    Root,
    /// `ANN` alone, everything under one uid.
    SingleUser,
}

/// See the module. Dropping it ends sessions, gateway and spawner and removes the directory.
pub struct Place {
    pub root: PathBuf,
    pub dir: PathBuf,
    pub home: PathBuf,
    pub mode: Mode,
    pub program: PathBuf,
    child: Option<Child>,
    /// /run/portcullis-HASH, which outlives a server and must not outlive a test.
    reachable: Option<PathBuf>,
    /// More for the environment of the served program.
    pub environment: Vec<(String, String)>,
    /// More words for quickstart.
    pub words: Vec<String>,
    /// What quickstart printed until it served.
    pub said: String,
}

impl Place {
    /// A directory with a home and an ssh key in it; nothing is started.
    pub fn new(mode: Mode) -> Self {
        let root = unique();
        std::fs::set_permissions(&root, PermissionsExt::from_mode(0o755)).unwrap();
        let program = root.join("portcullis");
        std::fs::copy(env!("CARGO_BIN_EXE_portcullis"), &program).unwrap();
        let home = root.join("home");
        std::fs::create_dir_all(home.join(".ssh")).unwrap();
        let key = home.join(".ssh/id_ed25519");
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]).arg(&key));
        if mode == Mode::SingleUser {
            run(Command::new("chown").args(["-R", ANN]).arg(&home));
        }
        let dir = home.join("gw");
        Self {
            dir,
            home,
            mode,
            program,
            root,
            child: None,
            reachable: None,
            environment: Vec::new(),
            words: Vec::new(),
            said: String::new(),
        }
    }

    /// Set up and serving.
    pub fn served(mode: Mode) -> Self {
        let mut place = Self::new(mode);
        place.serve();
        place
    }

    /// Runs quickstart until it says that it serves.
    pub fn serve(&mut self) -> Endpoints {
        self.serve_by(self.quickstart(), "Ctrl-C ends the gateway")
    }

    /// Serves by another command line, until it prints a line that begins so.
    pub fn serve_by(&mut self, mut command: Command, ready: &str) -> Endpoints {
        assert!(self.child.is_none(), "already served");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = read_lines(child.stdout.take().unwrap());
        let errors = child.stderr.take().unwrap();
        let log = self.root.join("console");
        let mut console = std::fs::File::options().append(true).create(true).open(&log).unwrap();
        std::thread::spawn(move || std::io::copy(&mut { errors }, &mut console));
        let mut said = String::new();
        let deadline = Instant::now() + HANG;
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    said.push_str(&line);
                    said.push('\n');
                    if line.starts_with(ready) {
                        break;
                    }
                }
                Err(why) => {
                    // Whatever hung, it and what it started end here.
                    self.child = Some(child);
                    panic!("{why} before {ready:?}: {said}\n{}", self.console());
                }
            }
        }
        self.said = said;
        self.child = Some(child);
        let program = arguments(self.gateway_pid()).into_iter().next().unwrap_or_default();
        self.reachable =
            Path::new(&program).ancestors().nth(2).filter(|dir| dir.starts_with("/run")).map(Path::to_path_buf);
        self.endpoints()
    }

    /// Ends gateway and spawner and serves again with more at the end of the configuration.
    pub fn configure(&mut self, more: &str) -> Endpoints {
        self.stop_serving();
        let file = self.dir.join("portcullis.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{text}\n{more}\n")).unwrap();
        self.serve()
    }

    /// The quickstart command line, in root mode as root, else as `ANN`.
    pub fn quickstart(&self) -> Command {
        let mut command = self.command();
        command.arg("quickstart").arg("--dir").arg(&self.dir);
        for door in ["--https", "--ssh", "--admin"] {
            command.args([door, "127.0.0.1:0"]);
        }
        if self.mode == Mode::Root {
            command.args(["--account", ANN]);
        }
        command.args(&self.words).envs(self.environment.iter().cloned());
        command
    }

    /// The program as the one who serves, with this place's home.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", self.agents().display());
        command.env_clear().env("HOME", &self.home).env("PATH", path).env("LANG", "C.UTF-8").current_dir(&self.home);
        if self.mode == Mode::SingleUser {
            let (uid, gid) = ids(ANN);
            command.uid(uid).gid(gid);
        }
        command
    }

    /// A verb of the local client against this place.
    pub fn client(&self, words: &[&str]) -> Command {
        let mut command = self.command();
        command.args(words).arg("--dir").arg(&self.dir);
        command
    }

    /// The same, run to its end; its output must be good.
    pub fn verb(&self, words: &[&str]) -> String {
        let mut command = self.client(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = finished(command.spawn().unwrap());
        assert!(output.status.success(), "{words:?}: {}\n{}", describe(&output), self.console());
        String::from_utf8(output.stdout).unwrap()
    }

    /// The stock ssh client, with words before the destination.
    pub fn ssh(&self, options: &[&str], words: &[&str]) -> Command {
        let endpoints = self.endpoints();
        let (host, port) = endpoints.ssh.rsplit_once(':').unwrap();
        let known = self.root.join("known_hosts");
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-o", "StrictHostKeyChecking=accept-new", "-o", "IdentitiesOnly=yes"]);
        command.args(["-o", "LogLevel=ERROR", "-o", &format!("UserKnownHostsFile={}", known.display())]);
        command.args(["-i", &endpoints.client_key, "-p", port]).args(options);
        command.arg(format!("{}@{host}", endpoints.account)).args(words).env_remove("SSH_AUTH_SOCK");
        command
    }

    /// Where quickstart finds agents, and nowhere else: empty until a test puts one there.
    pub fn agents(&self) -> PathBuf {
        self.root.join("agents")
    }

    pub fn endpoints(&self) -> Endpoints {
        let text = std::fs::read_to_string(self.dir.join("endpoints.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let text = |name: &str| json[name].as_str().unwrap_or_else(|| panic!("{name} in {json}")).to_owned();
        Endpoints {
            https: text("https"),
            ssh: text("ssh"),
            admin: text("admin"),
            identity: text("identity"),
            account: text("account"),
            client_key: text("client_key"),
            pid: json["pid"].as_u64().unwrap() as u32,
        }
    }

    /// What was said on the server's console.
    pub fn console(&self) -> String {
        std::fs::read_to_string(self.root.join("console")).unwrap_or_default()
    }

    /// Every entry of the gateway's audit chain.
    pub fn audit(&self) -> Vec<serde_json::Value> {
        let file = self.dir.join("state/audit/gateway.jsonl");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The gateway's process id.
    pub fn gateway_pid(&self) -> u32 {
        eventually("a gateway process", || {
            let spawner = self.child.as_ref()?.id();
            children(spawner).into_iter().find(|pid| arguments(*pid).iter().any(|word| word == "gateway"))
        })
    }

    /// Process ids of the hosts that belong here.
    pub fn host_pids(&self) -> Vec<u32> {
        processes()
            .into_iter()
            .filter(|pid| {
                let words = arguments(*pid);
                words.get(1).is_some_and(|word| word == "host")
                    && self.sessions_on_disk().iter().any(|id| words.contains(id))
            })
            .collect()
    }

    fn sessions_on_disk(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.dir.join("run/hosts")) else { return Vec::new() };
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| Some(name.strip_suffix(".sock")?.to_owned()))
            .collect()
    }

    /// `kill -9` of the spawner too.
    pub fn kill_spawner(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn spawner_pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// TERM for the spawner: gateway and spawner end, hosts live on.
    pub fn stop_serving(&mut self) {
        if let Some(child) = self.child.take() {
            run(Command::new("kill").arg(child.id().to_string()));
            let pid = child.id();
            assert!(ends(child) || std::thread::panicking(), "TERM did not end the spawner {pid}");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.child.is_some() {
            let _ = self.client(&["stop", "--all"]).stdin(Stdio::null()).output();
        }
        for pid in self.host_pids() {
            // Left over by a test that killed what could have ended it.
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).output();
        }
        self.stop_serving();
        if std::thread::panicking() {
            eprintln!("console:\n{}", self.console());
        }
        let _ = std::fs::remove_dir_all(&self.root);
        if let Some(reachable) = &self.reachable {
            let _ = std::fs::remove_dir_all(reachable);
        }
    }
}

/// Lines of a pipe as they come; read to its end, so that the writer never waits.
pub fn read_lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", describe(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn describe(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\nstdout: {}\nstderr: {}", output.status, text(&output.stdout), text(&output.stderr))
}

/// uid and gid of an account.
pub fn ids(account: &str) -> (u32, u32) {
    let text = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = text.lines().find(|line| line.split(':').next() == Some(account));
    let line = line.unwrap_or_else(|| panic!("no account {account}: run tests/run"));
    let number = |at: usize| line.split(':').nth(at).unwrap().parse().unwrap();
    (number(2), number(3))
}

/// Lines `Name: value` of /proc/PID/status.
pub fn status_line(pid: u32, name: &str) -> String {
    let mut text = String::new();
    std::fs::File::open(format!("/proc/{pid}/status")).unwrap().read_to_string(&mut text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{name} of {pid}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Field 22 of /proc/PID/stat.
pub fn start_time(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after = text.rsplit_once(')').unwrap().1;
    after.split_whitespace().nth(19).unwrap().parse().unwrap()
}

pub fn is_alive(pid: u32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit_once(')').is_some_and(|(_, after)| !after.trim_start().starts_with('Z'))
}

pub fn arguments(pid: u32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

pub fn processes() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

pub fn children(parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        text.rsplit_once(')').and_then(|(_, after)| after.split_whitespace().nth(1)?.parse().ok()) == Some(parent)
    };
    processes().into_iter().filter(is_child).collect()
}

/// Where tests/run put agents and foreign clients.
pub fn cache() -> PathBuf {
    match std::env::var_os("PORTCULLIS_TEST_CACHE") {
        Some(cache) => cache.into(),
        None => Path::new(&std::env::var_os("HOME").unwrap()).join(".cache/portcullis/tests"),
    }
}

fn unique() -> PathBuf {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    let path = std::env::temp_dir().join(format!("pc-it-{:016x}", u64::from_be_bytes(bytes)));
    std::fs::create_dir(&path).unwrap();
    path
}
