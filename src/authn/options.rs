//! What the options of an `authorized_keys` line allow its key; does not know the key, nor which verbs exist.

use super::expiry;
use super::pattern::Glob;
use super::source::{FromRule, SourceError};
use crate::base::Name;

/// How far a key may go; a later one includes the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Look.
    View,
    /// Type, paste, send, decide the size.
    Drive,
    /// Start, kill, restart, rename, forget.
    Own,
}

impl Role {
    /// The word in `role=` and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Drive => "drive",
            Self::Own => "own",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Everything that a line's options say. The default is a line without options: `own`, with approve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOptions {
    /// `role=`.
    pub role: Role,
    /// Whether the key may approve what an agent asks for.
    pub approve: bool,
    /// `agents=`: only these.
    pub agents: Option<Vec<Name>>,
    /// `sessions=`: only sessions with such names.
    pub sessions: Option<Vec<Glob>>,
    /// `label=`: how the key is called in lists and logs.
    pub label: Option<String>,
    /// False after `no-pty`: no terminal sessions.
    pub pty: bool,
    /// `command=`: the one verb line that this key runs, whatever it asks for.
    pub command: Option<String>,
    /// `from=`.
    pub from: Option<FromRule>,
    /// `expiry-time=` in Unix seconds: accepted up to and with this second.
    pub expiry: Option<u64>,
    /// A security key need not be touched.
    pub no_touch_required: bool,
    /// A security key must have verified its user (PIN, fingerprint).
    pub verify_required: bool,
}

impl Default for KeyOptions {
    fn default() -> Self {
        Self {
            role: Role::Own,
            approve: true,
            agents: None,
            sessions: None,
            label: None,
            pty: true,
            command: None,
            from: None,
            expiry: None,
            no_touch_required: false,
            verify_required: false,
        }
    }
}

/// Why a line's options are refused, and its key with them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// A quote that nothing ends.
    #[error("a quote is not closed")]
    Unterminated,
    /// A word that is no option of sshd or ours.
    #[error("unknown option {0:?}; remove it, or list the key in a file of its own")]
    Unknown(String),
    /// An option that must have a quoted value.
    #[error("{0} needs a value in double quotes")]
    NeedsQuotes(&'static str),
    /// An option twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// An option that is understood and cannot be honoured.
    #[error("{option} is refused: {why}")]
    Refused {
        /// The option.
        option: &'static str,
        /// What stands against it.
        why: &'static str,
    },
    /// A value outside what the option takes.
    #[error("{option} {value:?}: {allowed}")]
    Value {
        /// The option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What may be given.
        allowed: &'static str,
    },
    /// A `from=` list that cannot be honoured.
    #[error(transparent)]
    From(#[from] SourceError),
}

/// Options that take something away or give it back which no key ever gets here: honoured by doing nothing.
const NEVER_OFFERED: [&str; 8] = [
    "port-forwarding",
    "no-port-forwarding",
    "agent-forwarding",
    "no-agent-forwarding",
    "x11-forwarding",
    "no-x11-forwarding",
    "user-rc",
    "no-user-rc",
];

impl KeyOptions {
    /// From the options of a line. Read from left to right as sshd does: `restrict` takes away, a later option gives back.
    pub fn parse(text: &str, is_verb: &dyn Fn(&str) -> bool) -> Result<Self, OptionError> {
        let mut options = Self::default();
        let mut rest = text;
        let mut approve = None;
        while !rest.is_empty() {
            let one;
            (one, rest) = One::cut(rest)?;
            options.apply(&one, &mut approve, is_verb)?;
        }
        // Approving is more than looking: a viewer does it only when told so by name.
        options.approve = approve.unwrap_or(options.role > Role::View);
        Ok(options)
    }

    fn apply(
        &mut self,
        one: &One<'_>,
        approve: &mut Option<bool>,
        is_verb: &dyn Fn(&str) -> bool,
    ) -> Result<(), OptionError> {
        if one.value.is_none() {
            return self.apply_flag(one, approve);
        }
        match one.name.as_str() {
            "command" => {
                let command = one.quoted("command=")?;
                if !is_verb(command) {
                    let allowed =
                        "only a verb of this gateway can be forced (see `help`); list the key without command=";
                    return Err(value_error("command=", command, allowed));
                }
                once(&mut self.command, "command=", command.to_owned())
            }
            "from" => once(&mut self.from, "from=", FromRule::parse(one.quoted("from=")?)?),
            "expiry-time" => {
                let value = one.quoted("expiry-time=")?;
                let allowed = "YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, in UTC";
                let at = expiry::parse(value).ok_or_else(|| value_error("expiry-time=", value, allowed))?;
                // Of several, sshd takes the earliest.
                self.expiry = Some(self.expiry.map_or(at, |earlier| earlier.min(at)));
                Ok(())
            }
            "permitopen" => one.quoted("permitopen=").map(|_| ()),
            "permitlisten" => one.quoted("permitlisten=").map(|_| ()),
            "principals" => {
                Err(OptionError::Refused { option: "principals=", why: "certificates are not accepted yet" })
            }
            "environment" => Err(OptionError::Refused {
                option: "environment=",
                why: "a key does not choose an agent's environment; the configuration does (agents.env)",
            }),
            "tunnel" => Err(OptionError::Refused { option: "tunnel=", why: "there are no tunnels here" }),
            "role" => {
                let role = match one.word() {
                    "view" => Role::View,
                    "drive" => Role::Drive,
                    "own" => Role::Own,
                    other => return Err(value_error("role=", other, "view, drive or own")),
                };
                self.role = role;
                Ok(())
            }
            "agents" => {
                let list = one.word();
                let allowed = "agent names, separated by commas";
                let names: Result<Vec<Name>, _> = list.split(',').map(|name| name.trim().parse()).collect();
                once(&mut self.agents, "agents=", names.map_err(|_| value_error("agents=", list, allowed))?)
            }
            "sessions" => once(&mut self.sessions, "sessions=", session_globs(one.word())?),
            "label" => {
                let label = one.word();
                let good = !label.is_empty() && label.chars().count() <= 64 && !label.chars().any(char::is_control);
                let allowed = "1 to 64 characters, no control characters";
                let label = good.then(|| label.to_owned()).ok_or_else(|| value_error("label=", label, allowed))?;
                once(&mut self.label, "label=", label)
            }
            _ => Err(OptionError::Unknown(one.name.clone())),
        }
    }

    fn apply_flag(&mut self, one: &One<'_>, approve: &mut Option<bool>) -> Result<(), OptionError> {
        match one.name.as_str() {
            // sshd skips commas with nothing between them.
            "" => {}
            "restrict" => {
                self.role = Role::View;
                *approve = Some(false);
            }
            "approve" => *approve = Some(true),
            "no-approve" => *approve = Some(false),
            "pty" => self.pty = true,
            "no-pty" => self.pty = false,
            "touch-required" => self.no_touch_required = false,
            "no-touch-required" => self.no_touch_required = true,
            "verify-required" => self.verify_required = true,
            "no-verify-required" => self.verify_required = false,
            "cert-authority" => {
                return Err(OptionError::Refused {
                    option: "cert-authority",
                    why: "certificates are not accepted yet; list the users' own keys",
                });
            }
            name if NEVER_OFFERED.contains(&name) => {}
            _ => return Err(OptionError::Unknown(one.name.clone())),
        }
        Ok(())
    }
}

fn session_globs(list: &str) -> Result<Vec<Glob>, OptionError> {
    let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '*' | '?');
    let allowed = "session names with * and ?, separated by commas";
    list.split(',')
        .map(str::trim)
        .map(|glob| {
            let good = !glob.is_empty() && glob.chars().all(of_name);
            good.then(|| Glob::new(glob)).ok_or_else(|| value_error("sessions=", glob, allowed))
        })
        .collect()
}

fn once<T>(slot: &mut Option<T>, option: &'static str, value: T) -> Result<(), OptionError> {
    if slot.replace(value).is_some() { Err(OptionError::Twice(option)) } else { Ok(()) }
}

fn value_error(option: &'static str, value: &str, allowed: &'static str) -> OptionError {
    OptionError::Value { option, value: crate::base::printable(value, 80), allowed }
}

/// One option, cut off the list.
struct One<'a> {
    /// Lower case: sshd compares option names without regard to case.
    name: String,
    value: Option<Value<'a>>,
}

enum Value<'a> {
    Quoted(String),
    Bare(&'a str),
}

impl<'a> One<'a> {
    /// Cuts the first option off; what is left begins after the comma.
    fn cut(text: &'a str) -> Result<(Self, &'a str), OptionError> {
        let name_end = text.find([',', '=', '"']).unwrap_or(text.len());
        let (name, rest) = text.split_at(name_end);
        let unknown = || OptionError::Unknown(crate::base::printable(name, 80));
        let (value, rest) = match rest.strip_prefix('=') {
            None => (None, rest),
            Some(rest) if rest.starts_with('"') => {
                let (value, rest) = dequote(rest)?;
                (Some(Value::Quoted(value)), rest)
            }
            Some(rest) => {
                let (value, rest) = rest.split_at(rest.find([',', '"']).unwrap_or(rest.len()));
                (Some(Value::Bare(value)), rest)
            }
        };
        let rest = if rest.is_empty() { rest } else { rest.strip_prefix(',').ok_or_else(unknown)? };
        Ok((Self { name: crate::base::printable(&name.to_ascii_lowercase(), 80), value }, rest))
    }

    /// The value of an option that sshd knows, which wants quotes.
    fn quoted(&self, option: &'static str) -> Result<&str, OptionError> {
        match &self.value {
            Some(Value::Quoted(value)) => Ok(value),
            _ => Err(OptionError::NeedsQuotes(option)),
        }
    }

    /// The value of an option of ours, with or without quotes.
    fn word(&self) -> &str {
        match &self.value {
            Some(Value::Quoted(value)) => value,
            Some(Value::Bare(value)) => value,
            None => "",
        }
    }
}

/// A quoted value and what follows its end; `\"` is a quote inside, every other backslash is itself.
fn dequote(text: &str) -> Result<(String, &str), OptionError> {
    let mut value = String::new();
    let mut rest = text.strip_prefix('"').unwrap_or(text);
    loop {
        let at = rest.find(['"', '\\']).ok_or(OptionError::Unterminated)?;
        let (plain, tail) = rest.split_at(at);
        value.push_str(plain);
        if let Some(after) = tail.strip_prefix("\\\"") {
            value.push('"');
            rest = after;
        } else if let Some(after) = tail.strip_prefix('\\') {
            value.push('\\');
            rest = after;
        } else {
            return Ok((value, tail.strip_prefix('"').unwrap_or(tail)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<KeyOptions, OptionError> {
        KeyOptions::parse(text, &|verb| verb.starts_with("attach "))
    }

    #[test]
    fn roles_and_restrict() {
        let of = |text: &str| parse(text).map(|options| (options.role, options.approve, options.pty)).unwrap();
        assert_eq!(of(""), (Role::Own, true, true));
        assert_eq!(of("restrict"), (Role::View, false, true));
        assert_eq!(of("restrict,role=drive"), (Role::Drive, false, true));
        assert_eq!(of("restrict,role=\"drive\",approve"), (Role::Drive, true, true));
        assert_eq!(of("role=own,restrict"), (Role::View, false, true), "left to right, as in sshd");
        assert_eq!(of("role=view"), (Role::View, false, true));
        assert_eq!(of("role=view,approve"), (Role::View, true, true));
        assert_eq!(of("role=drive"), (Role::Drive, true, true));
        assert_eq!(of("no-approve"), (Role::Own, false, true));
        assert_eq!(of("no-pty"), (Role::Own, true, false));
        assert_eq!(of("NO-PTY,Restrict,pty"), (Role::View, false, true));
    }

    #[test]
    fn values_with_everything_in_them() {
        let options =
            parse(r#"command="attach a,#b \"c\" \d",label="a, b",agents="claude,shell",sessions="work-*,x?""#);
        let options = options.unwrap();
        assert_eq!(options.command.as_deref(), Some(r#"attach a,#b "c" \d"#));
        assert_eq!(options.label.as_deref(), Some("a, b"));
        assert_eq!(options.agents.unwrap().len(), 2);
        assert!(options.sessions.unwrap().iter().any(|glob| glob.matches("work-1")));
    }

    #[test]
    fn the_earliest_expiry_counts() {
        let both = parse(r#"expiry-time="20300101",expiry-time="20290101""#).unwrap().expiry;
        assert_eq!(both, parse(r#"expiry-time="20290101Z""#).unwrap().expiry);
    }

    #[test]
    fn what_is_refused() {
        use OptionError as E;
        type Check = fn(&OptionError) -> bool;
        let table: [(&str, Check); 21] = [
            ("bogus", |e| matches!(e, E::Unknown(_))),
            ("=\"x\"", |e| matches!(e, E::Unknown(_))),
            ("\"x\"", |e| matches!(e, E::Unknown(_))),
            ("restrict=1", |e| matches!(e, E::Unknown(_))),
            ("command", |e| matches!(e, E::Unknown(_))),
            (r#"restrict"x""#, |e| matches!(e, E::Unknown(_))),
            (r#"label="a"b"#, |e| matches!(e, E::Unknown(_))),
            (r#"command="x"#, |e| matches!(e, E::Unterminated)),
            (r#"command="x\""#, |e| matches!(e, E::Unterminated)),
            (r#"command="rm -rf /""#, |e| matches!(e, E::Value { option: "command=", .. })),
            (r#"command="attach a",command="attach b""#, |e| matches!(e, E::Twice("command="))),
            ("from=10.0.0.1", |e| matches!(e, E::NeedsQuotes("from="))),
            (r#"from="10.0.0.1/8""#, |e| matches!(e, E::From(_))),
            (r#"expiry-time="soon""#, |e| matches!(e, E::Value { option: "expiry-time=", .. })),
            (r#"environment="A=b""#, |e| matches!(e, E::Refused { option: "environment=", .. })),
            (r#"tunnel="1""#, |e| matches!(e, E::Refused { option: "tunnel=", .. })),
            ("cert-authority", |e| matches!(e, E::Refused { option: "cert-authority", .. })),
            (r#"principals="a""#, |e| matches!(e, E::Refused { option: "principals=", .. })),
            ("role=root", |e| matches!(e, E::Value { option: "role=", .. })),
            (r#"agents="Claude""#, |e| matches!(e, E::Value { option: "agents=", .. })),
            (r#"sessions="!a""#, |e| matches!(e, E::Value { option: "sessions=", .. })),
        ];
        for (text, check) in table {
            let error = parse(text).expect_err(text);
            assert!(check(&error), "{text}: {error:?}");
        }
    }
}
