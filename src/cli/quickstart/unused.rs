//! What a run of quickstart asked for and did not get, because its directory is being served otherwise; changes nothing.

use std::net::SocketAddr;

use crate::cli::arguments::QuickstartArguments;
use crate::cli::endpoints::Endpoints;
use crate::cli::tree::Tree;
use crate::config::Settings;

/// One sentence with the cure; none when what runs is what was asked for. `settings` hold the flags already.
pub(super) fn unused(
    arguments: &QuickstartArguments,
    settings: &Settings,
    endpoints: &Endpoints,
    tree: &Tree,
) -> Option<String> {
    let (doors, listen) = (&arguments.doors, &settings.listen);
    let mut others: Vec<String> = [
        ("--https", &doors.https, listen.https, &endpoints.https),
        ("--ssh", &doors.ssh, listen.ssh, &endpoints.ssh),
        ("--admin", &doors.admin, listen.admin, &endpoints.admin),
    ]
    .into_iter()
    .filter(|(_, given, wanted, has)| given.is_some() && !is_met(*wanted, has))
    .map(|(flag, _, wanted, has)| format!("{flag} {wanted} (it is {has})"))
    .collect();
    let mut cures = Vec::new();
    if !others.is_empty() {
        cures.push(format!("end that one (kill {}; sessions live on) and run this again", endpoints.pid));
    }
    let accounts: Vec<&str> = settings.spawner.accounts.iter().map(|account| account.name.as_str()).collect();
    if let Some(wanted) = arguments.account.as_ref().filter(|wanted| !accounts.contains(&wanted.as_str())) {
        others.push(format!("--account {wanted} (it has {})", accounts.join(", ")));
        cures.push(format!("for the account write [accounts.{wanted}] into {} first", tree.config.display()));
    }
    if others.is_empty() {
        return None;
    }
    Some(format!("already served by pid {}, so not used: {}; {}", endpoints.pid, others.join(", "), cures.join("; ")))
}

/// Port 0 wants any.
fn is_met(wanted: SocketAddr, has: &str) -> bool {
    let Ok(has) = has.parse::<SocketAddr>() else { return false };
    has.ip() == wanted.ip() && (wanted.port() == 0 || has.port() == wanted.port())
}
