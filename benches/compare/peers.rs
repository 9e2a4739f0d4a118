//! Who is measured: quickstart's own process tree, and OpenSSH's sshd with its own configuration; both ended and removed when dropped.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use portcullis::wire::v1::ViewerMode;

use crate::programs::PROGRAMS;
use crate::talkers::TALKERS;
use crate::{proc, ssh, wss};

/// The account that programs run as on both sides; tests/run makes it.
const ACCOUNT: &str = "pc-test-ann";

/// What the bench's configuration raises; every limiter stays in the path.
const LIMITS: &str = "\n[limits]\nconnections = \"100000/s\"\nlogins = \"100000/s\"\nunauthenticated_per_source = 1024\n\
    connections_per_key = 4096\nsession_starts = \"100000/m\"\nmessages = \"1000000/s\"\n";

/// A way to a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    OpenSsh,
    Ssh,
    Wss,
}

/// The peers of most tables; OpenSSH first, because the others are divided by it.
pub(crate) const DOORS: [Door; 3] = [Door::OpenSsh, Door::Ssh, Door::Wss];

/// Where, as whom, with which key.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) door: Door,
    pub(crate) address: String,
    pub(crate) key: PathBuf,
}

/// A program's terminal as a client has it.
pub(crate) enum Line {
    Ssh(ssh::SshLine),
    Wss(wss::WssLine),
}

impl Line {
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Ssh(line) => line.send(bytes).await,
            Self::Wss(line) => line.send(bytes).await,
        }
    }

    pub(crate) async fn receive(&mut self) -> Result<Bytes> {
        match self {
            Self::Ssh(line) => line.receive().await,
            Self::Wss(line) => line.receive().await,
        }
    }

    pub(crate) async fn until(&mut self, wanted: &str) -> Result<()> {
        let mut tail = Vec::new();
        loop {
            let bytes = self.receive().await.with_context(|| format!("before {wanted}"))?;
            if crate::figures::holds(&mut tail, &bytes, wanted) {
                return Ok(());
            }
        }
    }
}

impl Target {
    pub(crate) fn text(&self) -> String {
        format!("{:?} {} {}", self.door, self.address, self.key.display())
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut words = text.split(' ');
        let door = match words.next() {
            Some("OpenSsh") => Door::OpenSsh,
            Some("Ssh") => Door::Ssh,
            _ => Door::Wss,
        };
        let address = words.next().context("address")?.to_owned();
        Ok(Self { door, address, key: words.next().context("key")?.into() })
    }

    /// Connects, logs in and is attached to `what`: a session of ours, a command of OpenSSH's.
    pub(crate) async fn connect(&self, what: &str, terminal: bool) -> Result<Line> {
        let size = terminal.then_some((80, 24));
        if self.door == Door::Wss {
            let connection = wss::Connection::login(&self.address, ACCOUNT, &self.key).await?;
            let mode = if terminal { ViewerMode::Raw } else { ViewerMode::Exact };
            return Ok(Line::Wss(connection.attach(what, mode).await?));
        }
        let connection = ssh::Connection::login(&self.address, ACCOUNT, &self.key).await?;
        let command = if self.door == Door::Ssh { format!("attach {what}") } else { what.to_owned() };
        Ok(Line::Ssh(connection.only(&command, size).await?))
    }
}

/// Both servers, and a directory that the account can read.
pub(crate) struct Stage {
    root: PathBuf,
    pub(crate) program: PathBuf,
    key: PathBuf,
    sshd: Server,
    sshd_address: String,
    served: Server,
    endpoints: serde_json::Value,
    counter: AtomicUsize,
}

impl Stage {
    /// `BENCH_PORTCULLIS` names the program that is measured.
    pub(crate) fn new() -> Result<Self> {
        let portcullis = std::env::var("BENCH_PORTCULLIS").context("BENCH_PORTCULLIS: path of the release build")?;
        let root = std::env::temp_dir().join(format!("pc-bench-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir(&root)?;
        std::fs::set_permissions(&root, PermissionsExt::from_mode(0o755))?;
        let program = root.join("bench");
        std::fs::copy(std::env::current_exe()?, &program)?;
        let key = root.join("home/.ssh/id_ed25519");
        std::fs::create_dir_all(root.join("home/.ssh"))?;
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key))?;
        let (sshd, sshd_address) = sshd(&root, &key)?;
        let (served, endpoints) = served(Path::new(&portcullis), &root, &program)?;
        let counter = AtomicUsize::new(0);
        let stage = Self { root, program, key, sshd, sshd_address, served, endpoints, counter };
        println!("our configuration:{LIMITS}max_sessions = 1000");
        Ok(stage)
    }

    pub(crate) fn target(&self, door: Door) -> Target {
        let name = |name: &str| self.endpoints[name].as_str().unwrap_or_default().to_owned();
        let address = match door {
            Door::OpenSsh => self.sshd_address.clone(),
            Door::Ssh => name("ssh"),
            Door::Wss => name("https"),
        };
        Target { door, address, key: self.key.clone() }
    }

    /// A session of ours with this program, not attached.
    pub(crate) async fn session(&self, program: &str, size: (u32, u32)) -> Result<(String, String)> {
        let name = format!("s{}", self.counter.fetch_add(1, Ordering::Relaxed));
        let session = self.wss().await?.start(&format!("bench-{program}"), &name, size).await?;
        Ok((name, session.session_id))
    }

    pub(crate) async fn kill(&self, name: &str) -> Result<()> {
        use portcullis::wire::v1::{Forget, Kill, client_message::Body};
        let mut connection = self.wss().await?;
        connection.ask(Body::Kill(Kill { session: name.into() })).await?;
        connection.ask(Body::Forget(Forget { session: name.into() })).await?;
        Ok(())
    }

    pub(crate) async fn wss(&self) -> Result<wss::Connection> {
        wss::Connection::login(&self.target(Door::Wss).address, ACCOUNT, &self.key).await
    }

    pub(crate) async fn ssh(&self, door: Door) -> Result<ssh::Connection> {
        ssh::Connection::login(&self.target(door).address, ACCOUNT, &self.key).await
    }

    /// What `Target::connect` takes for this program, and our session's name.
    pub(crate) async fn prepare(&self, door: Door, program: &str) -> Result<String> {
        match door {
            Door::OpenSsh => Ok(self.command(program)),
            _ => Ok(self.session(program, (80, 24)).await?.0),
        }
    }

    pub(crate) fn command(&self, program: &str) -> String {
        format!("{} program {}", self.program.display(), words(program).join(" "))
    }

    /// Ended and forgotten; OpenSSH's programs end with their connection.
    pub(crate) async fn discard(&self, door: Door, what: &str) -> Result<()> {
        if door != Door::OpenSsh { self.kill(what).await } else { Ok(()) }
    }

    pub(crate) fn gateway(&self) -> Result<u32> {
        let with = |pid: &u32| proc::arguments(*pid).get(1).is_some_and(|word| word == "gateway");
        proc::tree(self.served.id()).into_iter().find(with).context("no gateway process")
    }

    pub(crate) fn hosts(&self) -> Vec<u32> {
        let with = |pid: &u32| proc::arguments(*pid).get(1).is_some_and(|word| word == "host");
        proc::tree(self.served.id()).into_iter().filter(with).collect()
    }

    /// The processes that move this door's bytes: gateway and hosts, or every sshd.
    pub(crate) fn movers(&self, door: Door) -> Result<Vec<u32>> {
        if door == Door::OpenSsh {
            let is_sshd = |pid: &u32| proc::arguments(*pid).first().is_some_and(|word| word.contains("sshd"));
            return Ok(proc::tree(self.sshd.id()).into_iter().filter(is_sshd).collect());
        }
        let mut movers = self.hosts();
        movers.push(self.gateway()?);
        Ok(movers)
    }

    /// The program that is measured.
    pub(crate) fn measured(&self) -> PathBuf {
        self.root.join("portcullis")
    }

    /// What runs, for the output.
    pub(crate) fn ps(&self) -> String {
        let mut pids = proc::tree(self.served.id());
        pids.extend(proc::tree(self.sshd.id()));
        proc::ps(&pids).replace(&self.root.display().to_string(), "DIR")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let portcullis = self.root.join("portcullis");
        let dir = self.root.join("home/gw");
        // As root the copy that hosts run from is outside the directory, and outlives the server.
        let copy = self.gateway().ok().and_then(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).ok());
        if let Some(run) = copy.as_deref().and_then(|exe| exe.parent()?.parent()).filter(|run| run.starts_with("/run"))
        {
            let _ = std::fs::remove_dir_all(run);
        }
        let _ = Command::new(portcullis).args(["stop", "--all", "--dir"]).arg(dir).stdout(Stdio::null()).status();
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// A process that is ended with all below it.
struct Server(Child);

impl Server {
    fn id(&self) -> u32 {
        self.0.id()
    }

    fn end(&mut self) {
        let below = proc::tree(self.id());
        let _ = Command::new("kill").arg(self.id().to_string()).status();
        let _ = self.0.wait();
        for pid in below.iter().skip(1).filter(|pid| !proc::arguments(**pid).is_empty()) {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// A program's words; numbers that belong to it come from the plan through its name.
fn words(program: &str) -> Vec<String> {
    let number = |name: &str, default: usize| std::env::var(name).unwrap_or_else(|_| default.to_string());
    match program {
        "bulk" => vec![program.into(), number("BENCH_MIB", 64)],
        "paced" => vec![program.into(), number("BENCH_SECONDS", 6)],
        _ => vec![program.into()],
    }
}

fn sshd(root: &Path, key: &Path) -> Result<(Server, String)> {
    let host_key = root.join("sshd_host_key");
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&host_key))?;
    let keys = root.join("authorized_keys");
    std::fs::copy(key.with_extension("pub"), &keys)?;
    std::fs::create_dir_all("/run/sshd")?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config = root.join("sshd_config");
    let text = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nUseDNS no\n\
         StrictModes no\nPasswordAuthentication no\nMaxStartups 1000:30:1000\nMaxSessions 1000\nAllowUsers {ACCOUNT}\n\
         PrintMotd no\nPrintLastLog no\nLogLevel ERROR\n",
        host_key.display(),
        keys.display()
    );
    std::fs::write(&config, text)?;
    let log = std::fs::File::create(root.join("sshd.log"))?;
    let child = Server(Command::new("/usr/sbin/sshd").args(["-D", "-e", "-f"]).arg(&config).stderr(log).spawn()?);
    let address = format!("127.0.0.1:{port}");
    for _ in 0..200 {
        if std::net::TcpStream::connect(&address).is_ok() {
            return Ok((child, address));
        }
        std::thread::sleep(std::time::Duration::from_millis(25));
    }
    bail!("sshd does not listen: {}", std::fs::read_to_string(root.join("sshd.log"))?)
}

/// quickstart twice: the first writes the configuration, to which the bench's programs and limits are added.
fn served(portcullis: &Path, root: &Path, bench: &Path) -> Result<(Server, serde_json::Value)> {
    let copy = root.join("portcullis");
    std::fs::copy(portcullis, &copy).with_context(|| portcullis.display().to_string())?;
    let dir = root.join("home/gw");
    drop(quickstart(&copy, root, &dir)?);
    let file = find(&dir, "portcullis.toml").context("quickstart wrote no configuration")?;
    let mut text = std::fs::read_to_string(&file)?;
    text.push_str("max_sessions = 1000\n");
    text.push_str(LIMITS);
    for program in PROGRAMS {
        let command = [bench.display().to_string(), "program".into()].into_iter().chain(words(program));
        let command: Vec<String> = command.map(|word| format!("{word:?}")).collect();
        text.push_str(&format!("\n[agents.bench-{program}]\ncommand = [{}]\n", command.join(", ")));
    }
    for talker in TALKERS {
        let bench = bench.display();
        text.push_str(&format!("\n[agents.bench-{talker}]\ncommand = [\"{bench}\", \"program\", \"{talker}\"]\n"));
        text.push_str("modes = [\"structured\"]\ndriver = \"claude\"\n");
    }
    std::fs::write(&file, text)?;
    let child = quickstart(&copy, root, &dir)?;
    let endpoints = serde_json::from_str(&std::fs::read_to_string(dir.join("endpoints.json"))?)?;
    Ok((child, endpoints))
}

fn quickstart(program: &Path, root: &Path, dir: &Path) -> Result<Server> {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", root.join("home")).env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
    command.env("LANG", "C.UTF-8").current_dir(root).args(["quickstart", "--account", ACCOUNT, "--dir"]).arg(dir);
    for door in ["--https", "--ssh", "--admin"] {
        command.args([door, "127.0.0.1:0"]);
    }
    let log = std::fs::File::options().append(true).create(true).open(root.join("console"))?;
    let mut child = Server(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?);
    let mut lines = BufReader::new(child.0.stdout.take().context("stdout")?).lines();
    let mut said = String::new();
    for line in lines.by_ref() {
        said += &format!("{}\n", line?);
        if said.contains("Ctrl-C ends the gateway") {
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(child);
        }
    }
    bail!("quickstart ended: {said}{}", std::fs::read_to_string(root.join("console"))?)
}

fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let entries: Vec<PathBuf> = std::fs::read_dir(dir).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let here = entries.iter().find(|path| path.file_name().is_some_and(|found| found == name));
    here.cloned().or_else(|| entries.iter().filter(|path| path.is_dir()).find_map(|path| find(path, name)))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
