//! From an order to what is launched: the order names, the table says what that means. Starts nothing.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::jobs::identity_of;
use super::layout::hook_path;
use super::table::{AccountEntry, Identities, Limits, SystemIdentity, Table};
use crate::agents::claude::hooks;
use crate::agents::environment::{Surroundings, build};
use crate::agents::{AgentSpec, ConversationId, DriverKind, Mode};
use crate::base::{EVENT_RING, Name, SessionId, WinSize, printable};
use crate::sys::credentials::{Account, current_gid, current_uid};
use crate::sys::privileges::Identity;
use crate::wire::v1;

/// Why an order is not carried out: stable code, one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Stable.
    pub(super) code: &'static str,
    /// One sentence.
    pub(super) message: String,
}

impl Refusal {
    /// With a stable code.
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The stable code that a helper named; what it is not known to name is ours to answer for.
    pub(super) fn from_problem(problem: &super::helper::Problem) -> Self {
        let known = ["no-such-account", "directory-outside-roots", "no-such-directory"];
        let code = known.into_iter().find(|code| *code == problem.code).unwrap_or("launch-failed");
        Self::new(code, problem.message.clone())
    }
}

/// Longest relative directory; PATH_MAX.
const DIRECTORY: usize = 4096;
/// Longest fingerprint and label.
const CREATOR: usize = 512;

/// A start order that the table permits.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Which session.
    pub(super) session: SessionId,
    /// Whose.
    pub(super) account: AccountEntry,
    /// What.
    pub(super) agent: AgentSpec,
    /// How.
    pub(super) mode: Mode,
    /// As configured.
    pub(super) root: PathBuf,
    /// Below the root, as ordered.
    pub(super) relative: String,
    /// Of the grid.
    pub(super) size: WinSize,
    /// Program and arguments; empty where the account's shell is meant.
    pub(super) argv: Vec<String>,
    /// What is spoken on the pipes, and in which conversation; none with a terminal.
    pub(super) structured: Option<(DriverKind, ConversationId)>,
    /// What those were made of.
    pub(super) chosen: v1::Chosen,
    /// The session's name; empty for none.
    pub(super) name: String,
    /// Key and label.
    pub(super) creator: String,
}

impl Request {
    /// Judges an order by the table alone; a new conversation's id is made of `random`.
    pub(super) fn parse(order: &v1::Start, table: &Table, random: [u8; 16]) -> Result<Self, Refusal> {
        let session = order.session_id.parse().map_err(|error| Refusal::new("bad-option", format!("{error}")))?;
        let shown = |text: &str| printable(text, 64);
        let account = table.account(&order.account).ok_or_else(|| {
            Refusal::new("no-such-account", format!("account {} is not configured", shown(&order.account)))
        })?;
        let agent = table
            .agent(&order.agent)
            .ok_or_else(|| Refusal::new("no-such-agent", format!("agent {} is not configured", shown(&order.agent))))?;
        if !account.agents.contains(&agent.name) {
            let allowed: Vec<&str> = account.agents.iter().map(Name::as_str).collect();
            return Err(Refusal::new(
                "agent-not-allowed",
                format!("account {} may not run agent {}; it may: {}", account.name, agent.name, allowed.join(", ")),
            ));
        }
        let mode = agent.mode(&order.mode).ok_or_else(|| {
            Refusal::new("bad-option", format!("agent {} has no mode {}", agent.name, shown(&order.mode)))
        })?;
        let root = usize::try_from(order.root).ok().and_then(|place| account.roots.get(place)).ok_or_else(|| {
            let roots = account.roots.len();
            Refusal::new("directory-outside-roots", format!("account {} has {roots} roots", account.name))
        })?;
        if order.directory.len() > DIRECTORY || order.directory.contains('\0') {
            return Err(Refusal::new(
                "no-such-directory",
                format!("a directory has at most {DIRECTORY} bytes, no NUL"),
            ));
        }
        let options: Vec<(String, String)> =
            order.options.iter().map(|option| (option.name.clone(), option.value.clone())).collect();
        let structured = agent.driver.filter(|_| mode == Mode::Structured);
        let structured = structured.map(|driver| (driver, ConversationId::chosen(&order.resume, &options, random)));
        if !order.resume.is_empty() && !ConversationId::is_id(&order.resume) {
            return Err(Refusal::new("bad-option", format!("{} is no conversation", shown(&order.resume))));
        }
        let argv = match &structured {
            Some((_, conversation)) => agent.structured_argv(&options, &order.args, conversation),
            None => agent.terminal_argv(&options, &order.args, &order.resume),
        };
        let argv = argv.map_err(|error| Refusal::new("bad-option", error.to_string()))?;
        if !order.name.is_empty() && order.name.parse::<Name>().is_err() {
            return Err(Refusal::new("bad-option", format!("{} is no session name", shown(&order.name))));
        }
        let size = order.size.unwrap_or_default();
        Ok(Self {
            session,
            account: account.clone(),
            agent: agent.clone(),
            mode,
            root: root.clone(),
            relative: order.directory.clone(),
            size: WinSize::clamped(size.cols, size.rows),
            argv,
            structured,
            chosen: v1::Chosen { options: order.options.clone(), args: order.args.clone() },
            name: order.name.clone(),
            creator: printable(&order.creator, CREATOR),
        })
    }

    /// Whether another order means the same session.
    pub(super) fn is_same(&self, order: &v1::Start) -> bool {
        self.account.name.as_str() == order.account && self.agent.name.as_str() == order.agent
    }
}

/// What the helper found out.
#[derive(Debug)]
pub(super) struct Resolved {
    /// The account.
    pub(super) account: Account,
    /// Pairs of the agent's file.
    pub(super) env_file: Vec<(String, String)>,
    /// Opened as the account.
    pub(super) directory: OwnedFd,
    /// Where it lies.
    pub(super) directory_path: String,
    /// What the login shell says.
    pub(super) shell_path: Option<String>,
}

/// All that a launch needs, nothing left to decide.
#[derive(Debug)]
pub(super) struct Plan {
    /// Which session.
    pub(super) session: SessionId,
    /// Whom the agent's side becomes; none in single-user mode.
    pub(super) agent_identity: Option<Identity>,
    /// Whom the host becomes; none in single-user mode.
    pub(super) host_identity: Option<Identity>,
    /// Who owns terminal and hook socket.
    pub(super) account: (u32, u32),
    /// Who may connect to the host.
    pub(super) gateway: SystemIdentity,
    /// Where the agent starts.
    pub(super) directory: OwnedFd,
    /// What lies between host and agent.
    pub(super) mode: Mode,
    /// The terminal's size.
    pub(super) size: WinSize,
    /// What is executed for the agent.
    pub(super) program: String,
    /// Its arguments with the zeroth.
    pub(super) argv: Vec<String>,
    /// Its whole environment, NAME=VALUE.
    pub(super) environment: Vec<String>,
    /// Its limits.
    pub(super) limits: Limits,
    /// Whether it is kept from gaining privileges.
    pub(super) no_new_privs: bool,
    /// The host's command up to its named descriptors.
    pub(super) host: Vec<String>,
    /// The host's ring in bytes.
    pub(super) ring: u64,
    /// What the host tells of its session: a `Launch` message.
    pub(super) meta: Vec<u8>,
}

impl Plan {
    /// Puts order, table and findings together. `created` in Unix seconds.
    pub(super) fn new(request: &Request, table: &Table, resolved: Resolved, created: u64) -> Self {
        let account = resolved.account;
        let (agent_identity, host_identity, gateway, owner) = match &table.identities {
            Identities::SingleUser => {
                let own = SystemIdentity { uid: current_uid(), gid: current_gid() };
                (None, None, own, (own.uid, own.gid))
            }
            Identities::Separate { gateway, host } => {
                (Some(identity_of(&account)), Some(host.identity()), *gateway, (account.uid, account.gid))
            }
        };
        let home = account.home.to_string_lossy();
        let shell = account.shell.to_string_lossy();
        let around = Surroundings {
            user: &account.name,
            home: &home,
            shell: &shell,
            path: resolved.shell_path.as_deref(),
            snapshot: &table.environment,
        };
        let mut environment = build(&request.agent, &around, &resolved.env_file);
        // The program of the hosts is the one that every account reaches.
        let program = table.programs.host.first().map_or("", String::as_str);
        let hooked = hooks::with_hooks(&request.agent, request.mode, &request.argv, program);
        let reports = hooked.is_some();
        if reports {
            let socket = hook_path(table, request.session).to_string_lossy().into_owned();
            environment.insert(hooks::HOOK_VARIABLE.to_owned(), socket);
        }
        let mut argv = hooked.unwrap_or_else(|| request.argv.clone());
        let program = match argv.first() {
            Some(program) => program.clone(),
            None => shell.into_owned(),
        };
        let zeroth = if request.agent.login_shell { login_name(&program) } else { program.clone() };
        match argv.first_mut() {
            Some(first) => *first = zeroth,
            None => argv.push(zeroth),
        }
        let session = v1::Session {
            session_id: request.session.to_string(),
            name: request.name.clone(),
            account: request.account.name.to_string(),
            agent: request.agent.name.to_string(),
            mode: request.mode.as_str().into(),
            directory: resolved.directory_path,
            creator: request.creator.clone(),
            created,
            size: Some(v1::Size { cols: request.size.cols().into(), rows: request.size.rows().into() }),
            ..v1::Session::default()
        };
        let structured = request.structured.as_ref().map(|(driver, conversation)| v1::Structured {
            driver: driver.as_str().into(),
            conversation: conversation.id.clone(),
            resume: conversation.resume,
            turn_ms: milliseconds(request.agent.turn_timeout),
            request_ms: milliseconds(request.agent.request_timeout),
        });
        let ring = if structured.is_some() { EVENT_RING } else { table.ring };
        let hooks = if reports { "claude" } else { "" }.to_owned();
        let launch = v1::Launch { session: Some(session), chosen: Some(request.chosen.clone()), structured, hooks };
        Self {
            session: request.session,
            agent_identity,
            host_identity,
            account: owner,
            gateway,
            directory: resolved.directory,
            mode: request.mode,
            size: request.size,
            program,
            argv,
            environment: lines(environment),
            limits: request.account.limits.clone(),
            no_new_privs: request.account.no_new_privs,
            host: table.programs.host.clone(),
            ring,
            meta: crate::wire::encode_launch(&launch),
        }
    }
}

fn milliseconds(seconds: Option<u32>) -> u64 {
    u64::from(seconds.unwrap_or(0)) * 1000
}

/// As login writes it: a leading dash and the last component.
fn login_name(program: &str) -> String {
    format!("-{}", program.rsplit('/').next().unwrap_or(program))
}

fn lines(environment: BTreeMap<String, String>) -> Vec<String> {
    environment.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}
