//! The shipped file against the code, and every kind of mistake.

use std::path::PathBuf;

use super::*;

const SHIPPED: &str = include_str!("../../config/portcullis.toml");

fn layers(text: &str) -> Layers {
    Layers { file: Some((PathBuf::from("/etc/p.toml"), text.to_owned())), ..Layers::default() }
}

fn mistakes(text: &str) -> Vec<String> {
    load(&layers(text)).unwrap_err().0.iter().map(ToString::to_string).collect()
}

/// The file with every setting in force.
fn uncommented(text: &str) -> String {
    let is_setting = |line: &str| {
        line.strip_prefix('#').is_some_and(|rest| {
            rest.starts_with('[')
                || rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ') && !key.is_empty())
        })
    };
    text.lines().map(|line| if is_setting(line) { &line[1..] } else { line }).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shipped_file_is_the_defaults() {
    let defaults = load(&Layers::default()).unwrap();
    assert_eq!(load(&layers(SHIPPED)).unwrap(), defaults, "as shipped it changes nothing");
    let mut all = load(&layers(&uncommented(SHIPPED))).unwrap();
    assert_eq!(all.spawner.agents.len(), 1);
    assert_eq!(all.spawner.accounts.len(), 1);
    all.spawner = defaults.spawner.clone();
    assert_eq!(all, defaults, "every commented value is the default");
}

#[test]
fn the_shipped_file_names_every_key() {
    let text = uncommented(SHIPPED);
    let written = layers(&text).reader().unwrap();
    let mut asked = layers(&text).reader().unwrap();
    sections::read(&mut asked).unwrap();
    for key in asked.known() {
        let path: Vec<&str> = key.iter().map(String::as_str).collect();
        assert!(written.is_set(&path), "config/portcullis.toml does not show {}", path.join("."));
    }
}

#[test]
fn all_mistakes_in_one_run_each_with_file_key_and_what_is_allowed() {
    let text = r#"
        [listen]
        https = "nowhere"
        shh = "127.0.0.1:1"
        [sessions]
        ring_bytes = 12
        kept_ended = "many"
        [limits]
        logins = "10 per day"
        [surprise]
        x = 1
        [accounts."no name"]
        [accounts.root]
        [accounts.other]
        user = "no name"
        [accounts.ann]
        agents = ["claude"]
        roots = ["projects", { path = "/a/../b", trusted = true }]
        key_files = ["keys"]
        [agents.shell]
        modes = ["telepathy"]
        env = { LD_PRELOAD = "x" }
        env_pass = ["GIT_*"]
        options.resume = { pattern = "any", flag = "resume" }
        login_shell = true
    "#;
    let found = mistakes(text);
    let expected = [
        ("listen.https", "an IP address and a port"),
        ("listen.shh", "allowed here: admin, https, ssh"),
        ("sessions.ring_bytes", "65536 to 268435456"),
        ("sessions.kept_ended", "0 to 1000"),
        ("limits.logins", "COUNT/s"),
        ("surprise", "allowed here: accounts, agents, auth"),
        ("accounts.no name", "at most 32"),
        ("accounts.root", "uid 0"),
        ("accounts.other.user", "name of a Unix account"),
        ("accounts.ann.agents", "configured agents: shell"),
        ("accounts.ann.roots", "absolute directories"),
        ("accounts.ann.key_files", "%u"),
        ("agents.shell.modes", "terminal"),
        ("agents.shell.env", "LD_*"),
        ("agents.shell.env_pass", "LD_*"),
        ("agents.shell.options.resume.pattern", "uuid"),
        ("agents.shell.options.resume.flag", "beginning with -"),
    ];
    for (key, allowed) in expected {
        let line = found.iter().find(|line| line.starts_with(&format!("/etc/p.toml: {key}: ")));
        let line = line.unwrap_or_else(|| panic!("{key} was not found:\n{}", found.join("\n")));
        assert!(line.contains(allowed), "{line}");
    }
    // Two wrong roots are two mistakes; nothing else was invented.
    assert_eq!(found.len(), expected.len() + 1, "{}", found.join("\n"));
}

#[test]
fn a_file_that_is_no_toml_is_one_mistake() {
    let told = mistakes("[listen\nhttps=").join("\n");
    let found: Vec<&str> = told.lines().collect();
    assert!(found[0].starts_with("/etc/p.toml: (file): is no TOML; allowed: "), "{found:?}");
    assert!(found[1].contains("line 1, column 8"), "{found:?}");
    assert!(found.contains(&"1 | [listen"), "{found:?}");
    assert!(found.iter().all(|line| !line.contains("\\u{")), "{found:?}");
    // What acts on a terminal stays escaped.
    let acts = mistakes("a = \"\u{1b}[2J").join("\n");
    assert!(acts.contains("\\u{1b}") && !acts.contains('\u{1b}'), "{acts:?}");
}

#[test]
fn half_a_certificate_is_a_mistake() {
    assert!(mistakes("tls.certificate = \"/a.pem\"")[0].contains("tls.key: is missing"));
    assert!(mistakes("tls.key = \"a.pem\"")[0].contains("an absolute path"));
    assert!(mistakes("system.host_user = \"portcullis\"")[0].contains("an account of its own"));
}

#[test]
fn the_stronger_layer_wins() {
    let mut layers =
        layers("listen.https = \"127.0.0.1:1\"\nlisten.ssh = \"127.0.0.1:1\"\nlisten.admin = \"127.0.0.1:1\"");
    layers.environment = vec![
        ("PORTCULLIS_LISTEN__SSH".into(), "127.0.0.1:2".into()),
        ("PORTCULLIS_LISTEN__ADMIN".into(), "127.0.0.1:2".into()),
        ("PORTCULLIS_AUTH__REQUIRE_CHANNEL_BINDING".into(), "true".into()),
        ("PORTCULLIS_ORIGINS__PAGES".into(), "[\"https://a.example:443\"]".into()),
        ("PORTCULLIS_HOME".into(), "unrelated".into()),
    ];
    layers.flags = vec![Flag { key: "listen.admin", flag: "--admin", value: "[::1]:3".into() }];
    let settings = load(&layers).unwrap();
    let ports = [settings.listen.https, settings.listen.ssh, settings.listen.admin].map(|address| address.port());
    assert_eq!(ports, [1, 2, 3]);
    assert!(settings.auth.require_channel_binding);
    assert_eq!(settings.origins.pages, ["https://a.example"]);
}

#[test]
fn a_mistake_names_its_variable_or_flag() {
    let environment =
        vec![("PORTCULLIS_LISTEN__SSH".into(), "here".into()), ("PORTCULLIS_LISTEN__X".into(), "1".into())];
    let flags = vec![Flag { key: "listen.admin", flag: "--admin", value: "there".into() }];
    let layers = Layers { environment, flags, ..Layers::default() };
    let found: Vec<String> = load(&layers).unwrap_err().0.iter().map(ToString::to_string).collect();
    assert!(found.iter().any(|line| line.starts_with("PORTCULLIS_LISTEN__SSH: listen.ssh: ")), "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("PORTCULLIS_LISTEN__X: listen.x: unknown key")), "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("--admin: listen.admin: ")), "{found:?}");
}

#[test]
fn accounts_and_agents_never_come_from_the_environment() {
    let environment = vec![
        ("PORTCULLIS_ACCOUNTS__ANN__USER".into(), "ann".into()),
        ("PORTCULLIS_AGENTS__X__COMMAND".into(), "/bin/sh".into()),
    ];
    let layers = Layers { environment, ..Layers::default() };
    let found = load(&layers).unwrap_err().0;
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|mistake| mistake.problem.contains("never come from the environment")));
}

#[test]
fn a_root_is_a_path_or_says_more() {
    let text = "[agents.a]\ncommand = \"/a\"\n[accounts.ann]\nroots = [\"%h\", { path = \"/srv\", trusted = true }, { path = \"/tmp\" }]";
    let roots = &load(&layers(text)).unwrap().spawner.accounts[0].roots;
    let found: Vec<_> = roots.iter().map(|root| (root.path.as_str(), root.is_trusted)).collect();
    assert_eq!(found, [("%h", false), ("/srv", true), ("/tmp", false)]);
    for wrong in
        ["roots = [{ path = \"/srv\", trust = true }]", "roots = [{ trusted = true }]", "roots = [3]", "roots = []"]
    {
        let found = mistakes(&format!("[accounts.ann]\n{wrong}\n"));
        assert!(found.len() == 1 && found[0].contains("trusted = true"), "{wrong}: {found:?}");
    }
}

#[test]
fn the_gateways_part_survives_its_trip() {
    let settings = load(&layers(&uncommented(SHIPPED))).unwrap();
    let part = GatewaySettings {
        single_user: false,
        accounts: vec![GatewayAccount {
            name: "alice".parse().unwrap(),
            roots: vec!["/home/alice".into()],
            agents: vec!["claude".parse().unwrap()],
            key_files: 2,
            max_sessions: 3,
        }],
        agents: vec![GatewayAgent {
            name: "claude".parse().unwrap(),
            modes: vec!["terminal".into()],
            options: vec!["resume".into()],
            careful: vec![CarefulOption { name: "mode".into(), asks: vec!["plan".into()] }],
            free_args: false,
        }],
        origins: settings.origins,
        auth: settings.auth,
        sessions: settings.sessions,
        limits: settings.limits,
        detach: settings.detach,
        log: settings.log,
    };
    let bytes = serde_json::to_vec(&part).unwrap();
    assert_eq!(serde_json::from_slice::<GatewaySettings>(&bytes).unwrap(), part);
}

#[test]
fn rates_and_detach_keys_mean_what_they_say() {
    let rate: Rate = "30/m".parse().unwrap();
    assert_eq!((rate.count.get(), rate.period().as_secs(), rate.to_string().as_str()), (30, 60, "30/m"));
    for bad in ["", "0/s", "1", "1/d", "-1/s", "1/s "] {
        assert!(bad.parse::<Rate>().is_err(), "{bad}");
    }
    for (text, byte) in [("ctrl-]", Some(0x1d)), ("ctrl-b", Some(2)), ("ctrl-\\", Some(0x1c)), ("none", None)] {
        assert_eq!(text.parse(), Ok(DetachKey { byte }), "{text}");
    }
    for bad in ["ctrl-[", "ctrl-i", "ctrl-m", "ctrl-3", "x", "ctrl-", "ctrl-ab"] {
        assert!(bad.parse::<DetachKey>().is_err(), "{bad}");
    }
}
