//! From a checked place to a running spawner: identity, certificate, doors, table. Only arranges; each part is elsewhere.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use super::arguments::{DoorArguments, PlaceArguments, ServeArguments};
use super::briefing::Briefings;
use super::certificate::{self, Pair};
use super::endpoints::Endpoints;
use super::failure::{About, Failure};
use super::identities::{Identities, Mode, Resolved};
use super::listeners::{self, Bound, Doors};
use super::place::{self, Place};
use super::spawner_log::SpawnerLog;
use super::tree::Tree;
use super::{host_key, inherited, replacement};
use crate::agents::environment;
use crate::base::{KeyId, Secret};
use crate::config::{LogSettings, Settings};
use crate::spawner::{
    self, AccountEntry, Directories, Fresh, Given, Limits, Listeners, Programs, SystemIdentity, Table, Tls,
};
use crate::telemetry::{LogForm, start_logs};

/// Everything found, made and bound; nothing runs yet.
pub(super) struct Prepared {
    pub(super) tree: Tree,
    pub(super) identities: Identities,
    pub(super) bound: Bound,
    pub(super) identity: KeyId,
    doors: Doors,
    plan: Plan,
}

impl Prepared {
    /// What `endpoints.json` will say.
    pub(super) fn endpoints(&self, client_key: Option<&Path>) -> Endpoints {
        let account = self.identities.accounts.first().map(|account| account.settings.name.as_str());
        Endpoints::new(&self.bound, self.identity.as_str(), account.unwrap_or_default(), client_key)
    }
}

/// What is read anew at a reload.
struct Plan {
    table: Table,
    config: Vec<u8>,
    tls: Pair,
    briefings: Briefings,
}

/// How it is served.
#[derive(Debug, Clone, Default)]
pub(super) struct Manner {
    /// `env_pass` takes its values from this process's environment.
    pub(super) take_environment: bool,
    /// Another unit runs the gateway.
    pub(super) spawner_only: bool,
}

/// `portcullis serve`.
pub(super) fn run(arguments: &ServeArguments) -> Result<ExitCode, Failure> {
    if arguments.detached {
        crate::sys::process::new_session().about("a session of its own", "start it without --detached")?;
    }
    let manner = Manner { take_environment: arguments.take_environment, spawner_only: arguments.spawner_only };
    if let Some(number) = arguments.handed_fd {
        return take_over(arguments, manner, number);
    }
    let place = Place::read(&arguments.place, &arguments.doors)?;
    logs(&place.settings.log)?;
    let prepared = prepare(place, &manner)?;
    // What quickstart found out about the client's key stays true when its server is started by hand.
    let old_key = Endpoints::read(&prepared.tree.endpoints).ok().map(|old| old.client_key.into());
    let client_key = arguments.client_key.clone().or(old_key);
    let endpoints = prepared.endpoints(client_key.as_deref());
    let again = (arguments.place.clone(), arguments.doors.clone());
    let detached = arguments.detached;
    let ended = launch(prepared, manner, again, endpoints, move |endpoints| {
        // Whoever waits reads one line; nobody may be there any more.
        let line = if detached { "ready".to_owned() } else { ready_line(endpoints) };
        let _ = writeln!(std::io::stdout(), "{line}");
    })?;
    let _ = writeln!(std::io::stderr(), "{}", farewell(ended.sessions, &arguments.place));
    Ok(ExitCode::SUCCESS)
}

/// In place of the program that this process ran before. What it cannot read anew stays as that one had it.
fn take_over(arguments: &ServeArguments, manner: Manner, number: i32) -> Result<ExitCode, Failure> {
    let settings = Place::read(&arguments.place, &arguments.doors).map(|place| place.settings.log);
    logs(&settings.unwrap_or_else(|_| LogSettings { filter: "info".to_owned(), json: false }))?;
    let tree = place::tree(arguments.place.dir.as_deref())?;
    let log = SpawnerLog::open(&tree.spawner_audit())?;
    let again = (arguments.place.clone(), arguments.doors.clone());
    let program = replacement::program(&again, &manner)?;
    let executable = std::env::current_exe().about("this program's own file", "install it anew")?;
    let ended = spawner::resume(number, move |listeners| {
        let bound = Bound::of(&listeners);
        Given {
            listeners,
            config: Vec::new(),
            tls: None,
            program: Some(program),
            executable: Some(executable),
            log: Box::new(log),
            // Whoever waited for the first gateway has been told.
            on_ready: Box::new(|| {}),
            reload: Some(Box::new(move || {
                let bound = bound.as_ref().map_err(Clone::clone)?;
                reload(&again, bound, &manner).map_err(|failure| failure.message)
            })),
        }
    });
    let ended = ended.map_err(Failure::setup)?;
    let _ = writeln!(std::io::stderr(), "{}", farewell(ended.sessions, &arguments.place));
    Ok(ExitCode::SUCCESS)
}

/// Makes and binds everything.
pub(super) fn prepare(place: Place, manner: &Manner) -> Result<Prepared, Failure> {
    let Place { tree, settings } = place;
    if spawner::is_served(&tree.run) {
        return Err(Failure::setup(format_args!(
            "{} is being served already; end that first, or choose another directory",
            tree.run.display()
        )));
    }
    let identities = Identities::resolve(&settings, &place::caller()?, place::lookup)?;
    tree.create(identities.owners())?;
    let host_key = settings.identity.host_key.as_deref();
    let identity = host_key::ready(&tree.identity(), host_key, identities.gateway_owner())?;
    let doors = match inherited::listeners()? {
        Some(named) => Doors::inherited(named)?,
        None => Doors::bind(&settings.listen)?,
    };
    let bound = doors.bound()?;
    let plan = plan(&tree, &settings, &identities, &bound, manner)?;
    Ok(Prepared { tree, identities, bound, identity, doors, plan })
}

/// Table, gateway's settings and certificate.
fn plan(
    tree: &Tree,
    settings: &Settings,
    identities: &Identities,
    bound: &Bound,
    manner: &Manner,
) -> Result<Plan, Failure> {
    let names = listeners::host_names(bound.https.ip(), listeners::hostname().as_deref(), &settings.tls.names);
    let tls = match &settings.tls.files {
        Some(files) => certificate::read(&files.certificate, &files.key)?,
        None => certificate::self_signed(&tree.tls_certificate, &tree.tls_key, &names)?,
    };
    let origins = listeners::origins(settings, &names, bound.https.port());
    let config = serde_json::to_vec(&identities.gateway_settings(settings, origins)).map_err(Failure::other)?;
    let table = table(tree, settings, identities, manner);
    table.check(crate::sys::credentials::current_uid()).map_err(Failure::setup)?;
    let briefings = Briefings::new(settings, identities, &tree.reachable);
    Ok(Plan { table, config, tls, briefings })
}

/// The spawner's table.
pub(super) fn table(tree: &Tree, settings: &Settings, identities: &Identities, manner: &Manner) -> Table {
    let directories =
        Directories { state: tree.state.clone(), run: tree.run.clone(), reachable: tree.reachable.clone() };
    Table {
        identities: match &identities.mode {
            Mode::Single => spawner::Identities::SingleUser,
            Mode::Root { gateway, host } => spawner::Identities::Separate {
                gateway: SystemIdentity { uid: gateway.uid, gid: gateway.gid },
                host: SystemIdentity { uid: host.uid, gid: host.gid },
            },
        },
        accounts: identities.accounts.iter().map(|account| entry(account, &identities.mode)).collect(),
        agents: settings.spawner.agents.clone(),
        programs: Programs::installed(&directories, !manner.spawner_only),
        directories,
        ring: settings.sessions.ring_bytes,
        environment: snapshot(settings, manner.take_environment, std::env::vars_os()),
    }
}

fn entry(account: &Resolved, mode: &Mode) -> AccountEntry {
    let limits = account.settings.limits;
    AccountEntry {
        name: account.settings.name.clone(),
        user: account.settings.user.clone(),
        roots: account.settings.roots.iter().map(|root| root.path.clone().into()).collect(),
        agents: account.settings.agents.clone(),
        key_files: account.settings.key_files.clone(),
        max_sessions: account.settings.max_sessions,
        no_new_privs: account.no_new_privs(mode),
        limits: Limits {
            open_files: limits.open_files,
            processes: limits.processes,
            memory: limits.memory_bytes,
            file_size: limits.file_bytes,
            core: limits.core_bytes,
        },
    }
}

/// Language and time zone always, what `env_pass` names only for a person who started this in their own shell.
fn snapshot(
    settings: &Settings,
    take: bool,
    variables: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) -> BTreeMap<String, String> {
    let passed = |name: &str| {
        let mut patterns = settings.spawner.agents.iter().flat_map(|agent| &agent.env_pass);
        take && !environment::is_forbidden(name) && patterns.any(|pattern| environment::matches(pattern, name))
    };
    variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name == "LANG" || name == "TZ" || name.starts_with("LC_") || passed(name))
        .collect()
}

/// Runs the spawner until it is told to end. `ready` is called each time that a gateway serves, after the endpoints are written.
pub(super) fn launch(
    prepared: Prepared,
    manner: Manner,
    again: (PlaceArguments, DoorArguments),
    endpoints: Endpoints,
    mut ready: impl FnMut(&Endpoints) + 'static,
) -> Result<spawner::Ended, Failure> {
    let Prepared { tree, bound, doors, plan, .. } = prepared;
    let log = SpawnerLog::open(&tree.spawner_audit())?;
    let executable = std::env::current_exe().about("this program's own file", "install it anew")?;
    let path = tree.endpoints.clone();
    // Until the gateway is ready there is nobody to dial.
    let _ = std::fs::remove_file(&path);
    let mut first = true;
    let briefings = plan.briefings;
    let given = Given {
        listeners: Listeners {
            https: Some(doors.https.into()),
            ssh: Some(doors.ssh.into()),
            admin: Some(doors.admin.into()),
        },
        config: plan.config,
        tls: Some(tls(plan.tls)),
        program: Some(replacement::program(&again, &manner)?),
        executable: Some(executable),
        log: Box::new(log),
        on_ready: Box::new(move || {
            // A gateway that was replaced is ready again; nothing has changed for anybody.
            if std::mem::take(&mut first) {
                if let Err(error) = endpoints.write(&path) {
                    tracing::warn!("{} could not be written: {error}", path.display());
                }
                briefings.write();
                ready(&endpoints);
            }
        }),
        reload: Some(Box::new(move || reload(&again, &bound, &manner).map_err(|failure| failure.message))),
    };
    spawner::run(plan.table, given).map_err(Failure::setup)
}

/// Everything read anew; doors stay as they are bound.
fn reload(again: &(PlaceArguments, DoorArguments), bound: &Bound, manner: &Manner) -> Result<Fresh, Failure> {
    let Place { tree, settings } = Place::read(&again.0, &again.1)?;
    let identities = Identities::resolve(&settings, &place::caller()?, place::lookup)?;
    let plan = plan(&tree, &settings, &identities, bound, manner)?;
    plan.briefings.write();
    Ok(Fresh { table: plan.table, config: plan.config, tls: Some(tls(plan.tls)) })
}

fn tls(pair: Pair) -> Tls {
    Tls { certificate: pair.certificate, key: Secret::new(pair.key) }
}

/// Logs of this process.
pub(super) fn logs(log: &LogSettings) -> Result<(), Failure> {
    let form = if log.json { LogForm::Json } else { LogForm::Text };
    start_logs(&log.filter, form).map_err(Failure::setup)
}

fn ready_line(endpoints: &Endpoints) -> String {
    format!(
        "serving: https {}, ssh {}, admin {}, identity {}",
        endpoints.https, endpoints.ssh, endpoints.admin, endpoints.identity
    )
}

/// What Ctrl-C leaves.
pub(super) fn farewell(sessions: usize, place: &PlaceArguments) -> String {
    if sessions == 0 {
        return "ended; no session was left".to_owned();
    }
    let dir = place.dir.as_ref().map(|dir| format!(" --dir {}", dir.display())).unwrap_or_default();
    let (noun, verb) = if sessions == 1 { ("session", "lives") } else { ("sessions", "live") };
    format!(
        "ended; {sessions} {noun} {verb} on and will be there after the next start. To end them: start again, then `portcullis stop --all{dir}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layers, load};

    #[test]
    fn only_named_variables_are_passed_and_only_when_asked() {
        let text = "[agents.a]\ncommand = \"/a\"\nenv_pass = [\"ANTHROPIC_*\", \"HTTPS_PROXY\"]\n";
        let settings = load(&Layers { file: Some(("f".into(), text.into())), ..Layers::default() }).unwrap();
        let variables = || {
            [
                ("ANTHROPIC_API_KEY", "k"),
                ("HTTPS_PROXY", "p"),
                ("SECRET", "s"),
                ("LANG", "C"),
                ("LC_TIME", "C"),
                ("TZ", "Z"),
            ]
            .map(|(name, value)| (name.into(), value.into()))
            .into_iter()
        };
        let names = |take| snapshot(&settings, take, variables()).into_keys().collect::<Vec<_>>();
        assert_eq!(names(true), ["ANTHROPIC_API_KEY", "HTTPS_PROXY", "LANG", "LC_TIME", "TZ"]);
        assert_eq!(names(false), ["LANG", "LC_TIME", "TZ"]);
    }

    #[test]
    fn the_farewell_counts() {
        let place = PlaceArguments { dir: Some("/d".into()), config: None };
        assert!(farewell(1, &place).contains("1 session lives on"));
        assert!(farewell(2, &place).contains("2 sessions live on"));
        assert!(farewell(2, &place).contains("stop --all --dir /d"));
    }
}
