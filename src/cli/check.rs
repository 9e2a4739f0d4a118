//! `portcullis check`: everything that can be known before serving, and what to do about what is wrong; changes nothing.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use super::arguments::CheckArguments;
use super::failure::{About, EX_CONFIG, Failure};
use super::files;
use super::identities::{Identities, Mode, Resolved};
use super::listeners::Doors;
use super::place::{self, Place};
use super::quickstart::shared_uid;
use super::serve::{self, Manner};
use super::{access, certificate, keys};
use crate::agents::AgentSpec;
use crate::base::KEY_FILE;
use crate::sys::credentials::{Account, current_uid};
use crate::{spawner, sys};

/// Most bytes of what a spawner hands over; more than it may.
const HANDED: u64 = 8 << 20;

/// What was found, one line each.
#[derive(Debug, Default)]
struct Findings {
    lines: Vec<String>,
    wrong: usize,
}

impl Findings {
    fn good(&mut self, text: impl AsRef<str>) {
        self.lines.push(format!("ok     {}", text.as_ref()));
    }
    fn note(&mut self, text: impl AsRef<str>) {
        self.lines.push(format!("note   {}", text.as_ref()));
    }
    fn wrong(&mut self, text: impl AsRef<str>) {
        self.wrong = self.wrong.saturating_add(1);
        self.lines.push(format!("WRONG  {}", text.as_ref()));
    }
}

/// Status 78 when anything is wrong.
pub(super) fn run(arguments: &CheckArguments) -> Result<ExitCode, Failure> {
    let place = Place::read(&arguments.place, &arguments.doors)?;
    let identities = Identities::resolve(&place.settings, &place::caller()?, place::lookup)?;
    let table = serve::table(&place.tree, &place.settings, &identities, &Manner::default());
    table.check(current_uid()).map_err(Failure::setup)?;
    if arguments.handed {
        let mut text = Vec::new();
        std::io::stdin().take(HANDED).read_to_end(&mut text).about("standard input", "it is a spawner's to write")?;
        spawner::check_handed(&text).map_err(Failure::setup)?;
    }
    if arguments.table {
        return Ok(ExitCode::SUCCESS);
    }
    let mut findings = Findings::default();
    findings.good(format!("{}: read, and every name in it is known", place.tree.config.display()));
    configuration(&place, &mut findings);
    keys_and_certificate(&place, &mut findings);
    for account in &identities.accounts {
        account_findings(account, &identities.mode, &mut findings);
        for agent in &place.settings.spawner.agents {
            if account.settings.agents.contains(&agent.name) {
                agent_findings(agent, &account.unix, &mut findings);
            }
        }
    }
    ports(&place, &mut findings);
    limits(&place, &identities, &mut findings);
    let mut out = std::io::stdout().lock();
    for line in &findings.lines {
        let _ = writeln!(out, "{line}");
    }
    Ok(if findings.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::from(EX_CONFIG) })
}

fn configuration(place: &Place, findings: &mut Findings) {
    let path = &place.tree.config;
    match fs::metadata(path) {
        Ok(data) if data.mode() & 0o022 != 0 => {
            findings.wrong(format!("{} can be changed by its group or by others: chmod go-w it", path.display()));
        }
        Ok(data) if data.uid() != 0 && data.uid() != current_uid() => {
            findings.wrong(format!("{} belongs to uid {}: chown it to root", path.display(), data.uid()));
        }
        Ok(_) => {}
        Err(error) => findings.wrong(format!("{}: {error}", path.display())),
    }
    for agent in &place.settings.spawner.agents {
        let Some(file) = &agent.env_file else { continue };
        let name = format!("agents.{}.env_file {}", agent.name, file.display());
        match fs::metadata(file) {
            Ok(data) if data.mode() & 0o077 != 0 => {
                findings.wrong(format!("{name} can be read by others: chmod 600 it"))
            }
            Ok(_) => findings.good(name),
            Err(error) => findings.wrong(format!("{name}: {error}; write it, or take the setting out")),
        }
    }
}

fn keys_and_certificate(place: &Place, findings: &mut Findings) {
    if let Some(given) = &place.settings.identity.host_key {
        match files::read(given, KEY_FILE as u64) {
            Ok(_) => findings.good(format!("identity.host_key {}", given.display())),
            Err(error) => findings.wrong(format!("identity.host_key {}: {error}", given.display())),
        }
    }
    match &place.settings.tls.files {
        None => findings.note("tls: a self-signed certificate; clients pin it, browsers ask"),
        Some(tls) => match certificate::read(&tls.certificate, &tls.key) {
            Ok(_) => findings.good(format!("tls.certificate {}", tls.certificate.display())),
            Err(failure) => findings.wrong(failure.message),
        },
    }
}

fn account_findings(account: &Resolved, mode: &Mode, findings: &mut Findings) {
    let name = &account.settings.name;
    for root in &account.roots {
        if access::can_enter(&account.unix, root) {
            findings.good(format!("accounts.{name}: root {}", root.display()));
        } else {
            findings.wrong(format!(
                "accounts.{name}: {} cannot enter root {}: make it, open its parents (chmod o+x), or take it out",
                account.unix.name,
                root.display()
            ));
        }
    }
    let mut keys = 0usize;
    for pattern in &account.settings.key_files {
        keys = keys.saturating_add(key_file(pattern, account, mode, findings));
    }
    if keys == 0 {
        findings.wrong(format!(
            "accounts.{name}: no key is listed, so nobody can log in; add one with `portcullis keys add`"
        ));
    }
    let kept = if account.no_new_privs(mode) { "cannot" } else { "can" };
    findings.note(format!("accounts.{name}: its agents {kept} gain privileges (sudo); no_new_privs decides"));
}

/// How many usable keys; the strict check of owners and modes is the spawner's, with the same words.
fn key_file(pattern: &str, account: &Resolved, mode: &Mode, findings: &mut Findings) -> usize {
    let place = spawner::KeyPlace::new(pattern, &account.settings.name, &account.unix);
    let path = place.path.display();
    if *mode != Mode::Single
        && place.below_home
        && place.path.is_file()
        && !access::can_read(&account.unix, &place.path)
    {
        let user = &account.unix.name;
        findings.wrong(format!("{path} cannot be read by {user}, as whom it is read: chown it, open its parents"));
        return 0;
    }
    match sys::path::read_strict(&place.path, place.strictness, b"") {
        Ok(sys::path::StrictFile::Read { bytes, .. }) => {
            let file = keys::parse(&bytes);
            for problem in &file.problems {
                findings.wrong(format!("{path}: {problem}"));
            }
            findings.good(format!("{path}: {} keys", file.keys.len()));
            file.keys.len()
        }
        Ok(sys::path::StrictFile::Unchanged) => 0,
        Err(sys::path::StrictError::Missing(_)) => {
            findings.note(format!("{path}: is not there, which is no mistake"));
            0
        }
        Err(error) => {
            findings.wrong(error.to_string());
            0
        }
    }
}

fn agent_findings(agent: &AgentSpec, account: &Account, findings: &mut Findings) {
    let program = match agent.command.first() {
        Some(program) => Path::new(program),
        None => account.shell.as_path(),
    };
    if access::executable(account, program).is_some() {
        findings.good(format!("agents.{}: {} can be executed by {}", agent.name, program.display(), account.name));
    } else {
        findings.wrong(format!(
            "agents.{}: {} is missing or {} cannot execute it: install it where every account can reach it, or change command",
            agent.name,
            program.display(),
            account.name
        ));
    }
}

fn ports(place: &Place, findings: &mut Findings) {
    if spawner::is_served(&place.tree.run) {
        findings.note("this configuration is being served now; its ports are its own");
        return;
    }
    match Doors::bind(&place.settings.listen) {
        Ok(_) => findings.good("the three doors can be bound"),
        Err(failure) => failure.message.lines().for_each(|line| findings.wrong(line)),
    }
    let listen = &place.settings.listen;
    for (key, address) in [("https", listen.https), ("ssh", listen.ssh)] {
        if !address.ip().is_loopback() {
            findings.note(format!("listen.{key} {address}: the network may knock; keys and limits stand between"));
        }
    }
    if !listen.admin.ip().is_loopback() {
        findings.wrong(format!("listen.admin {}: it has no login; bind it to 127.0.0.1", listen.admin));
    }
}

fn limits(place: &Place, identities: &Identities, findings: &mut Findings) {
    if let (Mode::Single, Some(account)) = (&identities.mode, identities.accounts.first()) {
        findings.note(format!("not enforced: {}", shared_uid(account.unix.uid, &place.tree.state)));
    }
    let (nice, autogroup) = sys::process::set_priority(-5);
    if !(nice && autogroup) {
        findings.note(
            "gateway and hosts cannot run at nice -5 (not permitted here): normal, output is a little later under load",
        );
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;
    use crate::cli::host_key;
    use crate::cli::identities::tests::unix;
    use crate::cli::keys::KeyStore;
    use crate::cli::testing::TempDir;
    use crate::config::{Layers, load};

    fn resolved(dir: &TempDir) -> Resolved {
        let text = format!("[accounts.ann]\nroots = [\"{0}\"]\nkey_files = [\"{0}/%u.keys\"]\n", dir.path().display());
        let settings = load(&Layers { file: Some(("f".into(), text)), ..Layers::default() }).unwrap();
        let account = settings.spawner.accounts[0].clone();
        let unix = Account { uid: current_uid(), ..unix("ann", 7001) };
        Resolved { settings: account, roots: vec![dir.path().to_owned()], unix }
    }

    #[test]
    fn an_account_without_keys_is_wrong_and_with_one_it_is_not() {
        let dir = TempDir::new("check");
        let account = resolved(&dir);
        let mut findings = Findings::default();
        account_findings(&account, &Mode::Single, &mut findings);
        assert_eq!(findings.wrong, 1, "{findings:?}");
        let key = host_key::new("x").unwrap();
        let path = dir.join("ann.keys");
        KeyStore::new(path.clone()).unwrap().add(&key.public().line()).unwrap();
        let mut findings = Findings::default();
        account_findings(&account, &Mode::Single, &mut findings);
        assert_eq!(findings.wrong, 0, "{findings:?}");
        // Others may write: the gateway would refuse it, and so does the check.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let mut findings = Findings::default();
        account_findings(&account, &Mode::Single, &mut findings);
        assert!(findings.lines.iter().any(|line| line.contains("chmod go-w")), "{findings:?}");
    }

    #[test]
    fn a_key_file_has_the_owner_that_a_login_wants() {
        let dir = TempDir::new("check-owner");
        let mut account = resolved(&dir);
        account.unix = Account { home: dir.join("home"), ..unix("ann", 7001) };
        let mode = Mode::Root { gateway: unix("portcullis", 7002), host: unix("portcullis-host", 7003) };
        let (home, elsewhere) = (dir.join("home"), dir.join("ann.keys"));
        fs::create_dir(&home).unwrap();
        chown(&home, Some(7001), None).unwrap();
        let line = host_key::new("x").unwrap().public().line();
        // (the file, its owner, its mode, what is said of it)
        for (file, owner, bits, says) in [
            (&elsewhere, 0, 0o600, ": 1 keys"),
            (&elsewhere, 7001, 0o644, "it must belong to root: chown it"),
            (&home.join("k"), 7001, 0o600, ": 1 keys"),
            (&home.join("k"), 0, 0o644, ": 1 keys"),
            (&home.join("k"), 7002, 0o644, "it must belong to uid 7001 or to root: chown it"),
            (&home.join("k"), 0, 0o600, "cannot be read by ann, as whom it is read"),
        ] {
            fs::write(file, format!("{line}\n")).unwrap();
            chown(file, Some(owner), None).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(bits)).unwrap();
            let mut findings = Findings::default();
            let keys = key_file(file.to_str().unwrap(), &account, &mode, &mut findings);
            assert_eq!((keys, findings.wrong), if says == ": 1 keys" { (1, 0) } else { (0, 1) }, "{findings:?}");
            assert!(
                findings.lines[0].contains(says) && findings.lines[0].contains(file.to_str().unwrap()),
                "{findings:?}"
            );
        }
    }

    #[test]
    fn a_root_that_is_gone_is_told_with_the_cure() {
        let dir = TempDir::new("check-root");
        let mut account = resolved(&dir);
        account.roots = vec![dir.join("gone")];
        let mut findings = Findings::default();
        account_findings(&account, &Mode::Single, &mut findings);
        assert!(
            findings.lines.iter().any(|line| line.starts_with("WRONG") && line.contains("chmod o+x")),
            "{findings:?}"
        );
    }
}
