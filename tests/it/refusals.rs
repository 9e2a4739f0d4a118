//! Every refused login with the reason that the audit log has, beside the login that differs in that one thing.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use futures_util::StreamExt;
use portcullis::wire::v1::{self, client_message::Body as Ask, server_message::Body as Say};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::by_hand::{ByHand, Claim, Key, connect_from, is_ready, reasons_since};
use crate::support::client::{Heard, Wss, careless, hear};
use crate::support::place::{ANN, BOB, Mode, Place, describe, ids, run};
use crate::support::{HANG, eventually};

/// One login attempt by hand; what was answered and what the log says by then.
async fn attempt(place: &Place, key: &Key, change: impl FnOnce(&mut Claim)) -> (Heard, Vec<String>) {
    let before = place.audit().len();
    let mut hand = ByHand::open(&place.endpoints().https).await;
    let mut claim = ByHand::claim(place, key);
    change(&mut claim);
    let login = hand.login(&claim, &key.signing());
    let heard = hand.answer(login).await;
    (heard, reasons_since(place, before))
}

async fn refused(place: &Place, key: &Key, change: impl FnOnce(&mut Claim)) -> String {
    let (heard, mut reasons) = attempt(place, key, change).await;
    let Heard::Said(_, Say::Error(error)) = &heard else { panic!("let in or cut off: {heard:?}") };
    assert_eq!((error.code.as_str(), error.message.as_str()), ("login-failed", portcullis::authn::REFUSED));
    reasons.retain(|reason| !reason.starts_with("key-"));
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    reasons.remove(0)
}

async fn admitted(place: &Place, key: &Key, change: impl FnOnce(&mut Claim)) {
    let (heard, reasons) = attempt(place, key, change).await;
    assert!(is_ready(&heard), "{heard:?} {reasons:?}\n{}", place.console());
}

#[tokio::test]
async fn wss_logins() {
    let place = Place::served(Mode::Root);
    let key = Key::listed(&place, "good", "");
    let stranger = Key::new(&place, "stranger", &["ed25519"]);
    admitted(&place, &key, |_| ()).await;
    assert_eq!(refused(&place, &stranger, |_| ()).await, "unknown-key");
    assert_eq!(refused(&place, &key, |claim| claim.user = "nobody-here".into()).await, "unknown-account");
    assert_eq!(refused(&place, &key, |claim| claim.user = BOB.into()).await, "unknown-account");
    // Signed for a name that this gateway does not answer to.
    let evil = "wss://evil.example".to_owned();
    let elsewhere = |claim: &mut Claim| (claim.origin, claim.signed_origin) = (evil.clone(), evil.clone());
    assert_eq!(refused(&place, &key, elsewhere).await, "wrong-origin");
    // A relay: the signature is for the fake gateway, the claim for the real one.
    assert_eq!(refused(&place, &key, |claim| claim.signed_origin = evil.clone()).await, "bad-signature");
    admitted(&place, &key, |claim| (claim.binding, claim.signed_binding) = ("none", "none")).await;
    assert_eq!(refused(&place, &key, |claim| claim.binding = "none").await, "bad-signature");
    assert_eq!(refused(&place, &key, |claim| claim.signed_binding = "none").await, "bad-signature");
    assert_eq!(refused(&place, &key, |claim| claim.binding = "maybe").await, "malformed");
}

/// Every frame that follows a login, as it came, until the connection ends.
async fn all_that_is_said(hand: &mut ByHand, login: v1::Login) -> Vec<String> {
    hand.send(login).await;
    let mut frames = Vec::new();
    loop {
        let frame = tokio::time::timeout(HANG, hand.socket.next()).await.expect("neither an answer nor the end");
        match frame {
            Some(Ok(frame)) => frames.push(format!("{frame:?}")),
            Some(Err(_)) | None => return frames,
        }
    }
}

#[tokio::test]
async fn a_stranger_cannot_tell_what_was_wrong_by_the_answer() {
    let place = Place::served(Mode::Root);
    let (key, stranger) = (Key::listed(&place, "good", ""), Key::new(&place, "stranger", &["ed25519"]));
    let expired = Key::listed(&place, "expired", r#"expiry-time="20200101Z""#);
    let mut answers = Vec::new();
    for (reason, key, user, honest) in [
        ("bad-signature", &key, ANN, false),
        ("unknown-key", &stranger, ANN, true),
        ("unknown-key", &stranger, ANN, false),
        ("unknown-account", &key, "nobody-here", true),
        ("unknown-account", &stranger, "nobody-here", false),
        ("expired", &expired, ANN, true),
    ] {
        let before = place.audit().len();
        let mut hand = ByHand::open(&place.endpoints().https).await;
        let mut claim = ByHand::claim(&place, key);
        claim.user = user.into();
        if !honest {
            claim.signed_origin = "wss://evil.example".into();
        }
        let login = hand.login(&claim, &key.signing());
        answers.push(all_that_is_said(&mut hand, login).await);
        assert_eq!(reasons_since(&place, before), [reason]);
    }
    // One error, one close: the same bytes each time.
    assert_eq!(answers[0].len(), 2, "{answers:?}");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
}

#[tokio::test]
async fn a_recorded_login_is_worth_nothing_and_a_challenge_one_answer() {
    let place = Place::served(Mode::Root);
    let key = Key::listed(&place, "good", "");
    let https = place.endpoints().https;
    let claim = ByHand::claim(&place, &key);
    let unbound = Claim { binding: "none", signed_binding: "none", ..claim.clone() };
    for claim in [&claim, &unbound] {
        let mut first = ByHand::open(&https).await;
        let recorded = first.login(claim, &key.signing());
        assert!(is_ready(&first.answer(recorded.clone()).await));
        let before = place.audit().len();
        let mut second = ByHand::open(&https).await;
        let heard = second.answer(recorded).await;
        assert!(matches!(&heard, Heard::Said(_, Say::Error(error)) if error.code == "login-failed"), "{heard:?}");
        assert_eq!(reasons_since(&place, before), ["bad-signature"]);
    }
    // A wrong answer and, at once behind it, the right one.
    let before = place.audit();
    let mut hand = ByHand::open(&https).await;
    let right = hand.login(&claim, &key.signing());
    hand.send(v1::Login { signature: right.signature.replacen('A', "B", 1), ..right.clone() }).await;
    hand.send(right.clone()).await;
    assert!(matches!(hear(&mut hand.socket).await, Heard::Said(_, Say::Error(error)) if error.code == "login-failed"));
    assert!(matches!(hear(&mut hand.socket).await, Heard::Closed(Some((4401, _)))));
    let logins = |audit: &[serde_json::Value]| audit.iter().filter(|entry| entry["event"] == "login").count();
    assert_eq!(logins(&before), logins(&place.audit()));
    // After a good one a second is refused and the connection lives.
    let mut wss = Wss::login(&place).await;
    assert!(matches!(wss.ask(Ask::Login(right)).await, Say::Error(error) if error.code == "bad-request"));
    assert!(matches!(wss.ask(Ask::List(v1::ListSessions {})).await, Say::Sessions(_)));
}

#[tokio::test]
async fn a_page_of_another_origin_is_turned_away() {
    let place = Place::served(Mode::Root);
    let https = place.endpoints().https;
    let ask = |header: Option<(&'static str, String)>| {
        let https = https.clone();
        async move {
            let tcp = connect_from(&https, [127, 0, 0, 1].into()).await;
            let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
            let tls =
                tokio_rustls::TlsConnector::from(std::sync::Arc::new(careless())).connect(name, tcp).await.unwrap();
            let mut request = format!("wss://{https}/v1/ws").into_client_request().unwrap();
            if let Some((name, value)) = header {
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            match tokio_tungstenite::client_async(request, tls).await {
                Ok(_) => 101,
                Err(tokio_tungstenite::tungstenite::Error::Http(response)) => response.status().as_u16(),
                Err(other) => panic!("{other}"),
            }
        }
    };
    assert_eq!(ask(None).await, 101);
    for (header, status, reason) in [
        (("origin", "https://evil.example".to_owned()), 403, "web-origin"),
        (("origin", "null".to_owned()), 403, "web-origin"),
        (("host", "rebound.example".to_owned()), 421, "host-header"),
    ] {
        let before = place.audit().len();
        assert_eq!(ask(Some(header)).await, status);
        assert_eq!(reasons_since(&place, before), [reason]);
    }
    let first = ask(Some(("origin", format!("https://{https}")))).await;
    assert!(first == 101 || first == 403, "{first}");
}

#[tokio::test]
async fn options_of_the_keys_line() {
    let place = Place::served(Mode::Root);
    let listed = |name: &str, options: &str| Key::listed(&place, name, options);
    let (here, there) = (listed("here", r#"from="127.0.0.0/8""#), listed("there", r#"from="192.0.2.0/24,!127.0.0.1""#));
    admitted(&place, &here, |_| ()).await;
    assert_eq!(refused(&place, &there, |_| ()).await, "not-from-here");
    let (new, old) = (listed("new", r#"expiry-time="20990101Z""#), listed("old", r#"expiry-time="20200101Z""#));
    admitted(&place, &new, |_| ()).await;
    assert_eq!(refused(&place, &old, |_| ()).await, "expired");
    // What one door cannot honour it refuses; the other runs it.
    let forced = listed("forced", r#"command="ls --json""#);
    let before = place.audit().len();
    let heard = ByHand::log_in(&place, &forced).await;
    assert!(matches!(&heard, Heard::Said(_, Say::Error(error)) if error.code == "not-allowed"), "{heard:?}");
    assert_eq!(reasons_since(&place, before), ["forced-command"]);
    let told = ssh(&place, &forced, &[], &["new", "shell"]);
    assert_eq!(String::from_utf8_lossy(&told.stdout).trim(), "[]", "{}", describe(&told));
    // A role's restrictions are options, too.
    let no_terminal = listed("no-terminal", "no-pty");
    let told = ssh(&place, &no_terminal, &[], &["new", "shell", "--name", "x"]);
    assert!(!told.status.success() && text(&told.stderr).contains("no-pty"), "{}", describe(&told));
    let told = ssh(&place, &here, &[], &["new", "shell", "--name", "x"]);
    assert!(told.status.success(), "{}", describe(&told));
}

#[tokio::test]
async fn lines_that_list_no_key_and_files_that_are_not_read() {
    let place = Place::served(Mode::Root);
    let key = Key::listed(&place, "good", "");
    let file = place.dir.join("keys").join(ANN);
    let good = std::fs::read_to_string(&file).unwrap();
    let rewrite = |text: &str| std::fs::write(&file, text).unwrap();
    let line = good.lines().find(|line| line.contains(&key.public)).unwrap().to_owned();

    // (what is wrong, the line)
    let weak = weak_line();
    for bad in [
        format!("no-such-option {line}"),
        format!("environment=\"A=b\" {line}"),
        format!("cert-authority {line}"),
        format!("principals=\"ann\" {line}"),
        format!("command=\"rm -rf /\" {line}"),
        format!("role=admin {line}"),
    ] {
        rewrite(&bad);
        let before = place.audit().len();
        assert_eq!(refused(&place, &key, |_| ()).await, "unknown-key", "{bad}");
        assert!(reasons_since(&place, before).contains(&"key-line".to_owned()), "{bad}");
    }
    rewrite(&format!("{weak}\nnonsense\n{line}\n"));
    let before = place.audit().len();
    admitted(&place, &key, |_| ()).await;
    assert_eq!(reasons_since(&place, before), ["key-line", "key-line"], "the weak key and the nonsense");
    let mut command = place.command();
    command.args(["keys", "add", "--dir"]).arg(&place.dir).args(["--account", ANN]);
    assert_eq!(command.arg(&weak).output().unwrap().status.code(), Some(78), "a weak key was added");

    let aside = file.with_extension("aside");
    for (what, says) in [
        ("group", "can be written by its group or by others: chmod go-w it"),
        ("others", "can be written by its group or by others: chmod go-w it"),
        ("owner", "it must belong to root: chown it"),
        ("fifo", "is not a plain file: put the file itself there"),
        ("link", "is not a plain file: put the file itself there"),
        ("directory", "is not a plain file: put the file itself there"),
    ] {
        std::fs::copy(&file, &aside).unwrap();
        spoil(&file, &aside, what);
        let before = place.audit().len();
        assert_eq!(refused(&place, &key, |_| ()).await, "refused-key-file", "{what}");
        assert_eq!(reasons_since(&place, before), ["key-file", "refused-key-file"], "{what}");
        // Told of the file once, of each login that it may have cost always; the other door's answer is its usual one.
        let told = ssh(&place, &key, &[], &["ls"]);
        let lines: Vec<_> = text(&told.stderr).lines().map(str::to_owned).collect();
        assert_eq!((told.status.code(), lines.len()), (Some(255), 1), "{what}: {}", describe(&told));
        assert!(lines[0].ends_with("Permission denied (publickey)."), "{what}: {lines:?}");
        eventually("the refused ssh login", || {
            let reasons = reasons_since(&place, before);
            (reasons == ["key-file", "refused-key-file", "refused-key-file"]).then_some(())
        });
        // Which file, why and what to do, where the operator looks.
        let said = format!("{} ", file.display());
        for entry in place.audit().iter().skip(before).filter(|entry| entry["event"] == "refused") {
            let message = entry["message"].as_str().unwrap();
            assert!(message.contains(&said) && message.contains(says), "{what}: {entry}");
        }
        let console = place.console();
        let line = console.lines().rfind(|line| line.contains("refused login")).unwrap();
        assert!(line.contains(&said) && line.contains(says) && !line.contains("keys add"), "{what}: {line}");
        mend(&file, &aside);
        admitted(&place, &key, |_| ()).await;
        assert!(ssh(&place, &key, &[], &["ls"]).status.success(), "{what}");
    }
    // Whoever is listed nowhere is that again.
    let stranger = Key::new(&place, "stranger", &["ed25519"]);
    assert_eq!(refused(&place, &stranger, |_| ()).await, "unknown-key");
    std::fs::rename(&file, &aside).unwrap();
    // A file that is not there lists nothing, and that is all.
    let before = place.audit().len();
    assert_eq!(refused(&place, &key, |_| ()).await, "unknown-key");
    assert_eq!(reasons_since(&place, before), ["unknown-key"]);
}

/// What makes a key file one that nobody may trust.
fn spoil(file: &Path, aside: &Path, what: &str) {
    let mode = |mode| std::fs::set_permissions(file, PermissionsExt::from_mode(mode)).unwrap();
    match what {
        "group" => return mode(0o620),
        "others" => return mode(0o666),
        // Outside the account's home not even the account decides who may log in.
        "owner" => return std::os::unix::fs::chown(file, Some(ids(ANN).0), None).unwrap(),
        _ => std::fs::remove_file(file).unwrap(),
    }
    match what {
        "fifo" => drop(run(Command::new("mkfifo").arg(file))),
        "link" => std::os::unix::fs::symlink(aside, file).unwrap(),
        _ => std::fs::create_dir(file).unwrap(),
    }
}

fn mend(file: &Path, aside: &Path) {
    if file.is_dir() { std::fs::remove_dir(file) } else { std::fs::remove_file(file) }.unwrap();
    std::fs::rename(aside, file).unwrap();
}

#[tokio::test]
async fn ssh_logins() {
    let place = Place::served(Mode::Root);
    let key = Key::listed(&place, "good", "");
    let stranger = Key::new(&place, "stranger", &["ed25519"]);
    for kind in [
        &["ed25519"][..],
        &["ecdsa", "-b", "256"],
        &["ecdsa", "-b", "384"],
        &["ecdsa", "-b", "521"],
        &["rsa", "-b", "2048"],
    ] {
        let key = Key::new(&place, &kind.join(""), kind);
        key.list(&place, "");
        let told = ssh(&place, &key, &[], &["ls"]);
        assert!(told.status.success(), "{kind:?} {}", describe(&told));
        admitted(&place, &key, |_| ()).await;
    }
    let refused = |what: &str, reason: &str, command: &mut Command| {
        let before = place.audit().len();
        let told = command.stdin(Stdio::null()).output().unwrap();
        assert_eq!(told.status.code(), Some(255), "{what}: {}", describe(&told));
        eventually(what, || reasons_since(&place, before).iter().any(|have| have == reason).then_some(()));
    };
    refused("stranger", "unknown-key", &mut ssh_command(&place, &stranger, &[], &["ls"]));
    refused("user", "unknown-account", &mut ssh_command(&place, &key, &["-l", "nobody-here"], &["ls"]));
    let there = Key::listed(&place, "there", r#"from="192.0.2.1""#);
    refused("from", "not-from-here", &mut ssh_command(&place, &there, &[], &["ls"]));
    let old = Key::listed(&place, "old", r#"expiry-time="20200101Z""#);
    refused("old", "expired", &mut ssh_command(&place, &old, &[], &["ls"]));
    // SHA-1 alone: the twin above is the same kind of key with SHA-2.
    let rsa = Key::new(&place, "rsa-sha1", &["rsa", "-b", "2048"]);
    rsa.list(&place, "");
    let sha1 = ["-o", "PubkeyAcceptedAlgorithms=ssh-rsa"];
    let told = ssh(&place, &rsa, &sha1, &["ls"]);
    assert_eq!(told.status.code(), Some(255), "{}", describe(&told));
    let told = ssh(&place, &rsa, &["-o", "PubkeyAcceptedAlgorithms=rsa-sha2-256"], &["ls"]);
    assert!(told.status.success(), "{}", describe(&told));
    // The seventh key of an agent is one too many, the sixth is not.
    let strangers: Vec<_> = (0..6).map(|n| Key::new(&place, &format!("s{n}"), &["ed25519"])).collect();
    for (others, good) in [(5, true), (6, false)] {
        let mut options = Vec::new();
        strangers[..others].iter().for_each(|key| options.extend(["-i", key.path()]));
        let before = place.audit().len();
        let told = ssh_with(&place, &options, &key, &["ls"]).stdin(Stdio::null()).output().unwrap();
        assert_eq!(told.status.success(), good, "{others} others: {}", describe(&told));
        let reasons = reasons_since(&place, before);
        assert_eq!(reasons.contains(&"too-many-keys".to_owned()), !good, "{reasons:?}");
    }
}

#[tokio::test]
async fn a_fake_gateway_in_the_middle_gets_nobody_in() {
    let mut place = Place::served(Mode::Root);
    let key = Key::listed(&place, "good", "");
    let https = place.endpoints().https;
    let gate = |address: &str, known: &std::path::Path| {
        let mut command = place.command();
        command.args(["ls", "--gateway", &format!("wss://{address}"), "--key", key.path(), "--user", ANN]);
        command.env("HOME", known).stdin(Stdio::null()).output().unwrap()
    };
    // The identity is pinned by a first visit to the real one.
    let home = place.root.join("client-home");
    std::fs::create_dir(&home).unwrap();
    let told = gate(&https, &home);
    assert!(told.status.success(), "{}", describe(&told));
    let fake = crate::support::middle::Middle::start(&place.root, &https).await;
    // Without binding our client demands a certificate that is valid, or the file of the installation.
    let told = place.client(&["ls", "--no-binding"]).stdin(Stdio::null()).output().unwrap();
    assert!(told.status.success(), "{}", describe(&told));
    // Behind the fake one stands the real one, with the pinned identity: a client that binds is refused.
    let before = place.audit().len();
    for more in [&[][..], &["--no-binding"]] {
        let mut command = Command::new(&place.program);
        command.args(["ls", "--gateway", &format!("wss://{}", fake.address), "--user", ANN, "--key", key.path()]);
        command.args(more).env_clear().env("HOME", &home).stdin(Stdio::null());
        // The fake gateway lives on this thread.
        let told = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(!told.status.success(), "{more:?}: {}", describe(&told));
        assert!(
            !place.audit()[before..].iter().any(|entry| entry["event"] == "login"),
            "{more:?}: {}",
            describe(&told)
        );
        if !more.is_empty() {
            assert!(text(&told.stderr).contains("certificate"), "{}", describe(&told));
        }
    }
    // The same by hand: a client that dials the fake one under the real one's name (DNS is the attacker's).
    let mut hand = ByHand::open_on(connect_from(&fake.address, [127, 0, 0, 1].into()).await, &https).await;
    assert_eq!(hand.challenge.server_key.split(' ').nth(1), real_identity(&place).split(' ').nth(1));
    let before = place.audit().len();
    let login = hand.login(&ByHand::claim(&place, &key), &key.signing());
    let heard = hand.answer(login).await;
    assert!(matches!(&heard, Heard::Said(_, Say::Error(error)) if error.code == "login-failed"), "{heard:?}");
    assert_eq!(reasons_since(&place, before), ["bad-signature"]);
    // Who signs "-" there lets the middle in: that is why our client never does without a valid certificate, and why
    // an operator can demand the binding.
    place.configure("[auth]\nrequire_channel_binding = true");
    assert_eq!(
        refused(&place, &key, |claim| (claim.binding, claim.signed_binding) = ("none", "none")).await,
        "unbound"
    );
    admitted(&place, &key, |_| ()).await;
}

#[tokio::test]
async fn a_live_login_ends_with_its_key() {
    let place = Place::served(Mode::Root);
    place.verb(&["new", "shell", "--name", "main"]);
    let (removed, kept) = (Key::listed(&place, "removed", ""), Key::listed(&place, "kept", ""));
    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(3);
    let soon = run(Command::new("date")
        .args(["-u", "+%Y%m%d%H%M%SZ", "-d"])
        .arg(format!("@{}", soon.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs())));
    let expiring = Key::listed(&place, "expiring", &format!("expiry-time=\"{}\"", soon.trim()));
    let endpoints = place.endpoints();
    let login =
        async |key: &Key| Wss::login_to(&endpoints.https, &endpoints.https, key.path(), &endpoints.account).await;
    let (mut gone, mut late, mut stays) = (login(&removed).await, login(&expiring).await, login(&kept).await);
    let watching = ssh_command(&place, &removed, &[], &["attach", "main"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("ssh attached", || {
        let by_ssh = |entry: &serde_json::Value| entry["event"] == "attach" && entry["door"] == "ssh";
        place.audit().iter().any(by_ssh).then_some(())
    });
    removed.unlist(&place);
    let began = std::time::Instant::now();
    for (wss, what) in [(&mut gone, "removed"), (&mut late, "expired")] {
        loop {
            match wss.next().await {
                Heard::Closed(Some((code, _))) => break assert_eq!(code, 4410, "{what}"),
                Heard::Closed(None) => panic!("{what}: cut without a word"),
                _ => {}
            }
        }
    }
    let told = watching.wait_with_output().unwrap();
    assert!(!told.status.success() && text(&told.stderr).contains("login is over"), "{}", describe(&told));
    assert!(began.elapsed() < crate::support::HANG);
    let revoked = place.audit().iter().filter(|entry| entry["event"] == "revoked").count();
    assert_eq!(revoked, 3, "two over wss, one over ssh");
    assert!(matches!(stays.ask(Ask::List(v1::ListSessions {})).await, Say::Sessions(list) if list.sessions.len() == 1));
    assert_eq!(refused(&place, &removed, |_| ()).await, "unknown-key");
}

fn real_identity(place: &Place) -> String {
    let file = place.dir.join("state/identity");
    run(Command::new("ssh-keygen").arg("-y").arg("-f").arg(file))
}

/// The identity point: every signature of a certain form verifies under it with a careless verifier.
fn weak_line() -> String {
    use base64::Engine as _;
    let mut blob = Vec::new();
    for part in [&b"ssh-ed25519"[..], &{
        let mut point = [0; 32];
        point[0] = 1;
        point
    }] {
        blob.extend((part.len() as u32).to_be_bytes());
        blob.extend(part);
    }
    format!("ssh-ed25519 {} weak", base64::engine::general_purpose::STANDARD.encode(blob))
}

fn ssh(place: &Place, key: &Key, options: &[&str], words: &[&str]) -> Output {
    ssh_command(place, key, options, words).stdin(Stdio::null()).output().unwrap()
}

fn ssh_command(place: &Place, key: &Key, options: &[&str], words: &[&str]) -> Command {
    ssh_with(place, options, key, words)
}

/// The stock client with this key behind whatever keys the options name.
fn ssh_with(place: &Place, options: &[&str], key: &Key, words: &[&str]) -> Command {
    let endpoints = place.endpoints();
    let (host, port) = endpoints.ssh.rsplit_once(':').unwrap();
    let mut command = Command::new("ssh");
    command.args(["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]);
    command.args(["-o", "LogLevel=ERROR", "-o", "UserKnownHostsFile=/dev/null", "-p", port]);
    command.args(options).args(["-i", key.path()]);
    if !options.contains(&"-l") {
        command.args(["-l", &endpoints.account]);
    }
    command.arg(host).args(words).env_remove("SSH_AUTH_SOCK");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
