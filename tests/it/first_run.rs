//! The first run and the runs after it: what quickstart makes, finds, prints and leaves, as root and as one user.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sha2::{Digest, Sha256};

use crate::support::place::{
    ANN, BOB, Endpoints, Mode, Place, arguments, children, describe, ids, is_alive, run, status_line,
};
use crate::support::windows::Windows;
use crate::support::{eventually, finished};

const DOORS: [&str; 6] = ["--https", "127.0.0.1:0", "--ssh", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

/// Runs to its end, with nothing to read.
pub fn ended(command: &mut Command) -> Output {
    finished(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `ssh … ls` with the key that endpoints.json names.
pub fn logs_in(place: &Place) {
    let output = ended(&mut place.ssh(&["-T"], &["ls"]));
    assert_eq!(output.status.code(), Some(0), "{}\n{}", describe(&output), place.console());
}

/// A server in the background; ends with its sessions.
struct Background<'a> {
    place: &'a Place,
    said: String,
    at: Endpoints,
}

/// `quickstart --detach` with these words and variables, and no account named.
fn background<'a>(place: &'a Place, words: &[&str], variables: &[(&str, &str)]) -> Result<Background<'a>, Output> {
    let mut command = place.command();
    command.args(["quickstart", "--detach", "--dir"]).arg(&place.dir).args(DOORS).args(words);
    let output = ended(command.envs(variables.iter().copied()));
    if !output.status.success() {
        return Err(output);
    }
    Ok(Background { place, said: text(&output.stdout), at: place.endpoints() })
}

impl Drop for Background<'_> {
    fn drop(&mut self) {
        let _ = ended(&mut self.place.client(&["stop", "--all"]));
        let gateway = gateway_of(self.at.pid);
        let program = gateway.map(arguments).and_then(|words| words.into_iter().next()).unwrap_or_default();
        let _ = Command::new("kill").arg(self.at.pid.to_string()).output();
        eventually("the server's end", || (!is_alive(self.at.pid)).then_some(()));
        if let Some(reachable) = Path::new(&program).ancestors().nth(2).filter(|dir| dir.starts_with("/run/")) {
            let _ = std::fs::remove_dir_all(reachable);
        }
    }
}

fn gateway_of(spawner: u32) -> Option<u32> {
    children(spawner).into_iter().find(|pid| arguments(*pid).iter().any(|word| word == "gateway"))
}

/// Everything below a directory that a run may not change: path to kind, mode, owner and contents.
pub fn tree(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        let below = path.strip_prefix(dir).unwrap().to_owned();
        // Sockets and locks; where the doors are this time; what was logged.
        if ["run", "endpoints.json", "log", "state/audit"].iter().any(|grows| below == Path::new(grows)) {
            continue;
        }
        let data = std::fs::symlink_metadata(&path).unwrap();
        let mut what = format!("{:o} {}:{}", data.mode(), data.uid(), data.gid());
        if data.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            what += &format!(" {:x?} {:?}", Sha256::digest(std::fs::read(&path).unwrap()), data.modified().unwrap());
        }
        found.insert(below, what);
    }
    found
}

#[test]
fn the_first_run_tells_all_and_the_next_ones_change_nothing() {
    for mode in [Mode::Root, Mode::SingleUser] {
        let mut place = Place::served(mode);
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(place.dir.join("endpoints.json")).unwrap()).unwrap();
        let mut keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["account", "admin", "client_key", "https", "identity", "pid", "ssh"]);
        let at = place.endpoints();
        assert_eq!((at.account.as_str(), at.pid), (ANN, place.spawner_pid()));
        assert_eq!(Path::new(&at.client_key), place.home.join(".ssh/id_ed25519"));
        for address in [&at.https, &at.ssh, &at.admin] {
            assert!(address.parse::<std::net::SocketAddr>().unwrap().ip().is_loopback(), "{address}");
        }
        logs_in(&place);
        let scanned = ended(Command::new("ssh-keyscan").args(["-p", at.ssh.rsplit_once(':').unwrap().1, "127.0.0.1"]));
        std::fs::write(place.root.join("scanned"), &scanned.stdout).unwrap();
        let fingerprint = run(Command::new("ssh-keygen").arg("-lf").arg(place.root.join("scanned")));
        assert!(fingerprint.contains(&at.identity), "{fingerprint} {}", at.identity);
        place.verb(&["new", "shell", "--name", "main"]);
        let (hosts, before) = (place.host_pids(), tree(&place.dir));
        assert_eq!(hosts.len(), 1);

        // While it is served: the same lines.
        let again = ended(&mut place.quickstart());
        assert_eq!(again.status.code(), Some(0), "{}", describe(&again));
        let tail = "Ctrl-C ends the gateway; sessions live on.\n";
        assert_eq!(format!("{}{tail}", text(&again.stdout)), place.said);
        assert_eq!((place.endpoints().pid, tree(&place.dir)), (at.pid, before.clone()));
        // The lines are what a shell takes.
        let line =
            place.said.lines().find(|line| line.trim_start().starts_with("ssh ") && line.ends_with(" ls")).unwrap();
        let known = format!("-o StrictHostKeyChecking=no -o UserKnownHostsFile={}/kh", place.root.display());
        let typed = line.replacen("ssh ", &format!("ssh -F none {known} "), 1);
        assert!(run(Command::new("sh").args(["-c", &typed])).contains("main"), "{typed}");

        // After its end: it starts, and what lived lives.
        place.stop_serving();
        assert!(is_alive(hosts[0]));
        assert_eq!(tree(&place.dir), before, "ending changed something");
        place.serve();
        assert_eq!(tree(&place.dir), before, "starting again changed something");
        assert_eq!(place.host_pids(), hosts);
        place.verb(&["send", "main", "echo lives-$((1+1))"]);
        eventually("the old session's answer", || place.verb(&["show", "main"]).contains("lives-2").then_some(()));
        assert_eq!(place.endpoints().identity, at.identity);
    }
}

#[test]
fn flags_that_what_runs_does_not_follow_are_told_and_change_nothing() {
    for mode in [Mode::Root, Mode::SingleUser] {
        let mut place = Place::new(mode);
        let at = place.serve();
        let before = tree(&place.dir);
        let pid = at.pid.to_string();
        let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
        let (same, other) = (format!("127.0.0.1:{}", port(&at.https)), format!("0.0.0.0:{}", port(&at.ssh)));
        let free = "127.0.0.1:0".to_owned();
        let again = |words: &[&str]| {
            let mut command = place.command();
            let output = ended(command.arg("quickstart").arg("--dir").arg(&place.dir).args(words));
            let said = text(&output.stdout);
            assert!(
                output.status.success() && place.said.starts_with(&said) && said.len() > 99,
                "{}",
                describe(&output)
            );
            text(&output.stderr)
        };
        // What it follows, or leaves open, is not told.
        for words in [&["--https", &same, "--ssh", &free][..], &["--account", ANN, "--detach"], &[]] {
            assert_eq!(again(words), "", "{words:?}");
        }
        let told = again(&["--https", "127.0.0.1:1", "--ssh", &other, "--admin", &free]);
        for said in [
            format!("not used: --https 127.0.0.1:1 (it is {}), --ssh {other} (it is {});", at.https, at.ssh),
            format!("kill {pid};"),
        ] {
            assert!(told.lines().count() == 1 && told.contains(&said), "{told}");
        }
        assert!(!told.contains("--admin") && !told.contains("--account"), "{told}");
        let told = again(&["--account", BOB, "--https", &same]);
        let config = place.dir.join("portcullis.toml");
        let cure = format!("write [accounts.{BOB}] into {} first", config.display());
        assert!(told.contains(&format!("not used: --account {BOB} (it has {ANN});")) && told.contains(&cure), "{told}");
        assert!(told.lines().count() == 1 && !told.contains("--https") && !told.contains("kill"), "{told}");
        assert_eq!((tree(&place.dir), place.endpoints().pid), (before, at.pid));
    }
}

#[test]
fn detach_serves_in_a_session_of_its_own() {
    for mode in [Mode::Root, Mode::SingleUser] {
        let place = Place::new(mode);
        let account: &[&str] = if mode == Mode::Root { &["--account", ANN] } else { &[] };
        let server = background(&place, account, &[]).unwrap_or_else(|output| panic!("{}", describe(&output)));
        assert!(server.said.starts_with("Portcullis serves.") && !server.said.contains("Ctrl-C"), "{}", server.said);
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.at.pid)).unwrap();
        let session = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap().to_owned();
        assert_eq!(session, server.at.pid.to_string());
        logs_in(&place);
        let again = ended(&mut place.quickstart());
        assert_eq!((again.status.code(), text(&again.stdout)), (Some(0), server.said.clone()));
    }
}

#[test]
fn a_home_without_keys_gets_a_pair_and_new_key_makes_one_anyway() {
    for mode in [Mode::Root, Mode::SingleUser] {
        let mut place = Place::new(mode);
        std::fs::remove_dir_all(place.home.join(".ssh")).unwrap();
        let at = place.serve();
        assert_eq!(Path::new(&at.client_key), place.dir.join("client_key"));
        assert!(place.said.contains(&format!("made a client key: {}", at.client_key)), "{}", place.said);
        let data = std::fs::metadata(&at.client_key).unwrap();
        let uid = if mode == Mode::Root { 0 } else { ids(ANN).0 };
        assert_eq!((data.mode() & 0o7777, data.uid()), (0o600, uid));
        logs_in(&place);
        assert!(!place.home.join(".ssh").exists());
    }
    let mut place = Place::new(Mode::Root);
    place.words.push("--new-key".into());
    let at = place.serve();
    assert_eq!(Path::new(&at.client_key), place.dir.join("client_key"));
    logs_in(&place);
    // The key that was there is offered too.
    let old = place.home.join(".ssh/id_ed25519").display().to_string();
    let output = ended(place.client(&["ls"]).args(["--key", &old]));
    assert!(output.status.success(), "{}", describe(&output));
}

/// An account that goes away with its home.
struct Passing(&'static str);

impl Drop for Passing {
    fn drop(&mut self) {
        let _ = Command::new("userdel").args(["--remove", self.0]).output();
    }
}

#[test]
fn root_without_account_has_one_of_its_own() {
    const AGENT: &str = "portcullis-agent";
    let knows = || std::fs::read_to_string("/etc/passwd").unwrap().contains(&format!("\n{AGENT}:"));
    let passing = (!knows()).then_some(Passing(AGENT));
    let place = Place::new(Mode::Root);
    // Root by way of sudo from root is root.
    let server =
        background(&place, &[], &[("SUDO_USER", "root")]).unwrap_or_else(|output| panic!("{}", describe(&output)));
    assert_eq!(server.at.account, AGENT);
    if passing.is_some() {
        assert!(server.said.contains(&format!("userdel --remove {AGENT}")), "{}", server.said);
    }
    place.verb(&["new", "shell", "--name", "main"]);
    let host = eventually("a host", || place.host_pids().first().copied());
    let agent = eventually("an agent", || children(host).first().copied());
    let uid = ids(AGENT).0;
    assert!(uid != 0 && status_line(agent, "Uid") == format!("{uid} {uid} {uid} {uid}"));
    drop(server);
    drop(passing);
}

#[test]
fn behind_sudo_it_is_the_caller_and_the_callers_keys() {
    const CALLER: &str = "pc-test-sudo";
    let _ = Command::new("userdel").args(["--remove", CALLER]).output();
    run(Command::new("useradd").args(["--create-home", "--shell", "/bin/bash", CALLER]));
    let _passing = Passing(CALLER);
    // Without a key, and without ~/.ssh.
    let place = Place::new(Mode::Root);
    let server =
        background(&place, &[], &[("SUDO_USER", CALLER)]).unwrap_or_else(|output| panic!("{}", describe(&output)));
    assert_eq!(server.at.account, CALLER);
    let uid = ids(CALLER).0;
    let pair = PathBuf::from(&server.at.client_key);
    assert_eq!(pair, Path::new(&format!("/home/{CALLER}/.ssh/portcullis_client")));
    assert_eq!(std::fs::metadata(&pair).unwrap().uid(), uid);
    assert_eq!(std::fs::metadata(pair.parent().unwrap()).unwrap().uid(), uid, "the caller's own directory");
    logs_in(&place);
    drop(server);

    // With one: it is copied to where no agent can add to it.
    let other = Place::new(Mode::Root);
    let key = pair.with_file_name("id_ed25519");
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key));
    run(Command::new("chown").args(["-R", CALLER]).arg(pair.parent().unwrap()));
    let server = background(&other, &["--account", ANN], &[("SUDO_USER", CALLER)]);
    let server = server.unwrap_or_else(|output| panic!("{}", describe(&output)));
    assert_eq!((server.at.account.as_str(), Path::new(&server.at.client_key)), (ANN, &*key));
    let listed = other.dir.join("keys").join(ANN);
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let data = std::fs::metadata(&listed).unwrap();
    assert!(std::fs::read_to_string(&listed).unwrap().contains(public.trim()));
    assert_eq!((data.uid(), data.mode() & 0o022), (0, 0));
    logs_in(&other);
}

#[test]
fn agents_never_run_as_uid_0_and_accounts_must_exist() {
    let place = Place::new(Mode::Root);
    for (account, why) in [("root", "never run as uid 0"), ("pc-test-nobody", "useradd")] {
        let Err(output) = background(&place, &["--account", account], &[]) else { panic!("served as {account}") };
        let told = text(&output.stderr);
        assert!(
            output.status.code() == Some(78) && told.contains(why) && told.lines().count() == 1,
            "{}",
            describe(&output)
        );
    }
    let single = Place::new(Mode::SingleUser);
    let Err(output) = background(&single, &["--account", BOB], &[]) else { panic!("served as somebody else") };
    assert!(output.status.code() == Some(78) && text(&output.stderr).contains("without root"), "{}", describe(&output));
}

#[test]
fn ctrl_c_and_a_closed_terminal_end_the_gateway_and_no_session() {
    let mut place = Place::new(Mode::Root);
    let tmux = Windows::new(&place);
    let window = tmux.open("server", (160, 50), &place.quickstart());
    window.until("Ctrl-C ends the gateway");
    let spawner = place.endpoints().pid;
    let gateway = gateway_of(spawner).unwrap();
    place.verb(&["new", "shell", "--name", "one"]);
    place.verb(&["new", "shell", "--name", "two"]);
    let hosts = place.host_pids();
    assert_eq!(hosts.len(), 2);
    window.keys(&["C-c"]);
    assert_eq!(window.status(), 0);
    let told = window.screen().replace('\n', "");
    assert!(told.contains("2 sessions live on"), "{told}");
    assert!(told.contains(&format!("stop --all --dir {}", place.dir.display())), "{told}");
    assert!(!is_alive(spawner) && !is_alive(gateway) && hosts.iter().all(|pid| is_alive(*pid)));

    let window = tmux.open("again", (160, 50), &place.quickstart());
    window.until("Ctrl-C ends the gateway");
    let spawner = place.endpoints().pid;
    let gateway = gateway_of(spawner).unwrap();
    assert_eq!(place.verb(&["ls"]).matches("running").count(), 2);
    window.close();
    eventually("the end of what the terminal had", || (!is_alive(spawner) && !is_alive(gateway)).then_some(()));
    assert!(hosts.iter().all(|pid| is_alive(*pid)), "a closed terminal ended a session");

    // What Ctrl-C said to do.
    place.serve();
    assert_eq!(place.verb(&["stop", "--all"]), "ended 2 sessions\n");
    eventually("the hosts' end", || hosts.iter().all(|pid| !is_alive(*pid)).then_some(()));
}

#[test]
fn the_admin_socket_is_for_this_machines_owner_without_a_key() {
    for mode in [Mode::Root, Mode::SingleUser] {
        let place = Place::served(mode);
        place.verb(&["new", "shell", "--name", "one"]);
        place.verb(&["new", "shell", "--name", "two"]);
        let local = |words: &[&str]| {
            let mut command = place.command();
            ended(command.env("HOME", "/").args(words).arg("--dir").arg(&place.dir))
        };
        let list = local(&["ls", "--all"]);
        assert!(list.status.success(), "{}", describe(&list));
        let list = text(&list.stdout);
        assert!(list.contains("one") && list.contains("two") && list.contains(ANN), "{list}");
        // Another account: nothing.
        let (uid, gid) = ids(BOB);
        let switch = [format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()];
        for words in [&["ls", "--all"][..], &["kill", "one"], &["stop", "--all"]] {
            let mut other = Command::new("setpriv");
            let output = ended(other.args(&switch).arg(&place.program).args(words).arg("--dir").arg(&place.dir));
            assert!(!output.status.success() && output.stdout.is_empty(), "{mode:?} {words:?}: {}", describe(&output));
        }
        let none = local(&["kill", "none"]);
        assert!(none.status.code() == Some(1) && text(&none.stderr).contains("none"), "{}", describe(&none));
        assert_eq!(text(&local(&["kill", "one"]).stdout), "ended one\n");
        assert!(place.verb(&["ls"]).lines().any(|line| line.starts_with("one ") && line.contains("signal")));
        // As objects, like those of the client's list.
        let json = |output: Output| serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();
        let list = json(local(&["ls", "--json", "--all"]));
        let of = |name: &str| list.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
        assert_eq!((&of("one")["exit"]["signal"], &of("two")["state"]), (&"HUP".into(), &"running".into()), "{list}");
        let mut both: Vec<String> = list.as_array().unwrap().iter().map(ToString::to_string).collect();
        let mine = json(ended(&mut place.client(&["ls", "--json"])));
        let mut mine: Vec<String> = mine.as_array().unwrap().iter().map(ToString::to_string).collect();
        both.sort();
        mine.sort();
        assert_eq!(both, mine);
        assert_eq!(text(&local(&["stop", "--all"]).stdout), "ended 1 session\n");
        assert!(!place.verb(&["ls"]).contains("running"));
        // Nobody there: said, with the cure.
        let nobody = ended(place.command().args(["ls", "--all", "--dir"]).arg(place.root.join("none")));
        assert!(nobody.status.code() == Some(1) && text(&nobody.stderr).contains("--dir"), "{}", describe(&nobody));
    }
}

#[test]
fn keys_of_an_account_that_nobody_configured_are_no_empty_list() {
    let place = Place::served(Mode::Root);
    let keys = |words: &[&str]| ended(place.command().arg("keys").args(words).arg("--dir").arg(&place.dir));
    for words in [&["--account", "ghost", "ls"][..], &["--account", "ghost", "rm", "x"]] {
        let output = keys(words);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{}", describe(&output));
        assert!(output.stdout.is_empty() && told.contains("ghost") && told.trim().ends_with(ANN), "{told}");
    }
    assert!(keys(&["--account", ANN, "ls"]).status.success());
    // Before its account is there, with a word about that.
    let public = std::fs::read_to_string(place.home.join(".ssh/id_ed25519.pub")).unwrap();
    let output = keys(&["--account", "ghost", "add", &public]);
    assert!(
        output.status.success() && text(&output.stderr).contains("there is no account ghost"),
        "{}",
        describe(&output)
    );
}

#[test]
fn a_taken_port_is_one_sentence_with_the_cure() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for detach in [false, true] {
        let place = Place::new(Mode::Root);
        let mut command = place.command();
        command.args(["quickstart", "--account", ANN, "--ssh", &address, "--https", "127.0.0.1:0"]);
        command.args(["--admin", "127.0.0.1:0", "--dir"]).arg(&place.dir).args(detach.then_some("--detach"));
        let output = ended(&mut command);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{}", describe(&output));
        let line = told.lines().find(|line| line.contains(&address)).unwrap_or_else(|| panic!("{told}"));
        assert!(line.contains("another program listens there") && line.contains("--ssh"), "{told}");
        assert!(detach || told.lines().count() == 1, "{told}");
        assert!(!place.dir.join("endpoints.json").exists());
    }
}

#[test]
fn operators_serve_a_configuration_file() {
    let mut place = Place::served(Mode::Root);
    place.verb(&["new", "shell", "--name", "main"]);
    place.stop_serving();
    std::fs::remove_file(place.dir.join("endpoints.json")).unwrap();
    let config = place.root.join("operators.toml");
    std::fs::copy(place.dir.join("portcullis.toml"), &config).unwrap();
    let mut command = place.command();
    command.arg("serve").arg("--config").arg(&config).arg("--dir").arg(&place.dir);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let key = place.home.join(".ssh/id_ed25519").display().to_string();
    let https = eventually("endpoints", || {
        let text = std::fs::read_to_string(place.dir.join("endpoints.json")).ok()?;
        Some(serde_json::from_str::<serde_json::Value>(&text).ok()?["https"].as_str()?.to_owned())
    });
    let list = ended(
        place.client(&["ls", "--key", &key, "--gateway", &format!("wss://{https}")]).env("XDG_STATE_HOME", &place.root),
    );
    run(Command::new("kill").arg(child.id().to_string()));
    let mut told = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut told).unwrap();
    assert!(child.wait().unwrap().success(), "{told}");
    assert!(list.status.success() && text(&list.stdout).contains("main"), "{}\n{told}", describe(&list));
    assert!(told.contains("1 session lives on"), "{told}");
    place.serve();
}

#[test]
fn root_serves_a_directory_that_only_root_can_enter() {
    let mut place = Place::new(Mode::Root);
    let closed = place.root.join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
    place.dir = closed.join("deeper/gw");
    place.serve();
    logs_in(&place);
    place.verb(&["new", "shell", "--name", "main"]);
    place.verb(&["send", "main", "echo deep-$((1+1))"]);
    eventually("the session's answer", || place.verb(&["show", "main"]).contains("deep-2").then_some(()));
    assert_eq!(std::fs::metadata(&closed).unwrap().mode() & 0o7777, 0o700, "it was opened");
    // The gateway that comes after a crash comes there too.
    let gateway = place.gateway_pid();
    run(Command::new("kill").args(["-9", &gateway.to_string()]));
    eventually("another gateway", || (place.gateway_pid() != gateway).then_some(()));
    eventually("a login", || ended(&mut place.ssh(&["-T"], &["ls"])).status.success().then_some(()));
}
