//! `portcullis check`, and what is told of the same mistakes while it serves.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::first_run::{ended, logs_in, text, tree};
use crate::support::eventually;
use crate::support::place::{ANN, Mode, Place, describe, run};

/// `check` of a place, with more words.
fn check(place: &Place, words: &[&str]) -> (Option<i32>, String) {
    let output = ended(place.command().args(["check", "--dir"]).arg(&place.dir).args(words));
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn check_finds_nothing_wrong_with_a_good_installation() {
    for mode in [Mode::Root, Mode::SingleUser] {
        let mut place = Place::served(mode);
        let (status, told) = check(&place, &[]);
        assert!(
            status == Some(0) && !told.contains("WRONG") && told.contains("being served now"),
            "{mode:?} {status:?}\n{told}"
        );
        place.stop_serving();
        let before = tree(&place.dir);
        let (status, told) = check(&place, &[]);
        assert!(
            status == Some(0) && !told.contains("WRONG") && told.contains("can be bound"),
            "{mode:?} {status:?}\n{told}"
        );
        assert!(told.contains("not enforced") == (mode == Mode::SingleUser), "{told}");
        assert_eq!(tree(&place.dir), before, "check changed something");
    }
}

#[test]
fn check_tells_what_is_wrong_and_what_to_do() {
    let mut place = Place::served(Mode::SingleUser);
    place.stop_serving();
    let (config, keys) = (place.dir.join("portcullis.toml"), place.dir.join("keys").join(ANN));
    let good = std::fs::read_to_string(&config).unwrap();
    let listed = std::fs::read_to_string(&keys).unwrap();
    let wrong = |what: &str, cure: &str, words: &[&str]| {
        let (status, told) = check(&place, words);
        let found = told.lines().any(|line| line.starts_with("WRONG") && line.contains(what) && line.contains(cure));
        assert!(status == Some(78) && found, "{what} … {cure}: {status:?}\n{told}");
    };
    let mode = |bits| std::fs::set_permissions(&keys, PermissionsExt::from_mode(bits)).unwrap();
    mode(0o666);
    wrong(&keys.display().to_string(), "chmod go-w", &[]);
    mode(0);
    wrong(&keys.display().to_string(), "ermission", &[]);
    mode(0o600);
    std::fs::write(&keys, "").unwrap();
    wrong("no key is listed", "portcullis keys add", &[]);
    std::fs::write(&keys, format!("{listed}nonsense\n")).unwrap();
    wrong(&keys.display().to_string(), "line", &[]);
    std::fs::write(&keys, &listed).unwrap();

    let with = |more: &str| std::fs::write(&config, format!("{good}\n{more}\n")).unwrap();
    with("[agents.gone]\ncommand = [\"/nonexistent/agent\"]");
    wrong("agents.gone", "install it", &[]);
    with("[identity]\nhost_key = \"/nonexistent/key\"");
    wrong("identity.host_key /nonexistent/key", "", &[]);
    with("[tls]\ncertificate = \"/nonexistent/crt\"\nkey = \"/nonexistent/key\"");
    wrong("/nonexistent/", "", &[]);
    std::fs::write(&config, good.replacen("roots = [", "roots = [\"/nonexistent/root\", ", 1)).unwrap();
    wrong("cannot enter root /nonexistent/root", "chmod o+x", &[]);
    with("");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    wrong(&address, "another program listens there", &["--ssh", &address]);
    wrong("listen.admin 0.0.0.0:0", "127.0.0.1", &["--admin", "0.0.0.0:0"]);
    run(Command::new("chmod").arg("g+w").arg(&config));
    wrong(&config.display().to_string(), "chmod go-w", &[]);
    run(Command::new("chmod").arg("g-w").arg(&config));
    let (status, told) = check(&place, &[]);
    assert_eq!(status, Some(0), "{told}");
}

#[test]
fn every_mistake_of_a_configuration_is_told_in_one_run() {
    let mut place = Place::served(Mode::Root);
    place.stop_serving();
    let config = place.dir.join("portcullis.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    let bad = "[sessions]\nring_byte = 1\nring_bytes = 5\n[lissten]\nssh = \"x\"\n[log]\nformat = \"xml\"\n";
    std::fs::write(&config, format!("{good}\n{bad}")).unwrap();
    let keys = ["sessions.ring_byte:", "sessions.ring_bytes:", "lissten", "log.format:"];
    for words in [&["check"][..], &["serve"], &["quickstart"], &["quickstart", "--detach"]] {
        let output = ended(place.command().args(words).arg("--dir").arg(&place.dir));
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{words:?}: {}", describe(&output));
        for key in keys {
            let line =
                told.lines().find(|line| line.contains(key)).unwrap_or_else(|| panic!("{words:?} {key}: {told}"));
            assert!(line.contains(&config.display().to_string()), "{line}");
        }
        assert_eq!(told.lines().count(), keys.len(), "{words:?}: {told}");
    }
    // A variable is named as what it is.
    std::fs::write(&config, good).unwrap();
    let output = ended(place.command().args(["check", "--dir"]).arg(&place.dir).env("PORTCULLIS_LOG__FORMAT", "xml"));
    assert!(
        output.status.code() == Some(78) && text(&output.stderr).contains("PORTCULLIS_LOG__FORMAT"),
        "{}",
        describe(&output)
    );
}

#[test]
fn keys_and_agents_that_cannot_be_used_are_told_while_serving() {
    let mut place = Place::served(Mode::SingleUser);
    place.stop_serving();
    let config = place.dir.join("portcullis.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    // The identity's own file: nothing is served with another one.
    std::fs::write(&config, format!("{good}\n[identity]\nhost_key = \"/nonexistent/key\"\n")).unwrap();
    let output = ended(&mut place.quickstart());
    let told = text(&output.stderr);
    assert!(output.status.code() == Some(78) && told.contains("/nonexistent/key"), "{}", describe(&output));
    assert_eq!(told.lines().count(), 1, "{told}");

    std::fs::write(&config, format!("{good}\n[agents.gone]\ncommand = [\"/nonexistent/agent\"]\n")).unwrap();
    place.serve();
    logs_in(&place);
    let output = ended(&mut place.client(&["new", "gone", "--name", "main"]));
    let all = describe(&output) + &text(&ended(&mut place.client(&["attach", "main"])).stderr);
    assert!(all.contains("/nonexistent/agent") || all.contains("No such file"), "{all}");
    let attached = ended(&mut place.client(&["attach", "main"]));
    assert!(!attached.status.success(), "{}", describe(&attached));

    let keys = place.dir.join("keys").join(ANN);
    std::fs::set_permissions(&keys, PermissionsExt::from_mode(0o666)).unwrap();
    let refused = eventually("a refusal", || {
        Some(ended(&mut place.ssh(&["-T"], &["ls"]))).filter(|output| !output.status.success())
    });
    assert_eq!(refused.status.code(), Some(255), "{}", describe(&refused));
    eventually("the cure on the console", || {
        let console = place.console();
        console.lines().any(|line| line.contains(&keys.display().to_string()) && line.contains("chmod")).then_some(())
    });
    std::fs::set_permissions(&keys, PermissionsExt::from_mode(0o600)).unwrap();
    eventually("a login", || ended(&mut place.ssh(&["-T"], &["ls"])).status.success().then_some(()));
}
