//! Security keys: a touch is demanded over wss, and over ssh, where it cannot be seen, the line has to do without.

use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use portcullis::authn::NAMESPACE;
use portcullis::wire::v1::server_message::Body as Say;

use crate::support::by_hand::{ByHand, Key, is_ready, reasons_since};
use crate::support::client::Heard;
use crate::support::eventually;
use crate::support::place::{Mode, Place, describe};
use crate::support::soft_key::SoftKey;

/// Lists a key that has no file.
fn list(place: &Place, name: &str, options: &str, soft: &SoftKey) {
    Key { path: place.root.join(name), public: soft.public() }.list(place, options);
}

#[tokio::test]
async fn over_wss_a_touch_is_demanded_unless_the_line_does_without() {
    let place = Place::served(Mode::Root);
    let honest = Key::listed(&place, "honest", "");
    for (name, options, flags, reason) in [
        ("touched", "", 1, None),
        ("untouched", "", 0, Some("no-presence")),
        ("needless", "no-touch-required", 0, None),
        ("unverified", "verify-required", 1, Some("no-verification")),
        ("verified", "verify-required", 5, None),
    ] {
        let soft = SoftKey::new(flags);
        list(&place, name, options, &soft);
        let before = place.audit().len();
        let mut hand = ByHand::open(&place.endpoints().https).await;
        let mut claim = ByHand::claim(&place, &honest);
        claim.public = soft.public();
        let (mut login, text) = hand.unsigned(&claim, &[7; 32]);
        login.signature = soft.sshsig(NAMESPACE, &text);
        let heard = hand.answer(login).await;
        let refused = matches!(&heard, Heard::Said(_, Say::Error(error)) if error.code == "login-failed");
        assert!(if reason.is_some() { refused } else { is_ready(&heard) }, "{name}: {heard:?}");
        assert_eq!(reasons_since(&place, before), reason.into_iter().collect::<Vec<_>>(), "{name}");
    }
}

#[tokio::test]
async fn over_ssh_only_a_line_that_does_without_a_touch_is_let_in() {
    let place = Place::served(Mode::Root);
    let endpoints = place.endpoints();
    let (host, port) = endpoints.ssh.rsplit_once(':').unwrap();
    for (name, options, good) in [
        ("touched", "", false),
        ("needless", "no-touch-required", true),
        ("verified", "no-touch-required,verify-required", false),
    ] {
        let soft = SoftKey::new(1);
        list(&place, name, options, &soft);
        let socket = place.root.join(format!("{name}.agent"));
        let signed = soft.serve(&socket);
        let before = place.audit().len();
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "BatchMode=yes",
        ]);
        ssh.args([
            "-o",
            "LogLevel=ERROR",
            "-o",
            "IdentityFile=none",
            "-o",
            &format!("IdentityAgent={}", socket.display()),
        ]);
        ssh.args(["-p", port, "-l", &endpoints.account, host, "ls"]).stdin(Stdio::null());
        let told = ssh.output().unwrap();
        assert_eq!(told.status.success(), good, "{name}: {}", describe(&told));
        assert!(signed.load(Ordering::Relaxed) > 0, "{name}: the key was not asked");
        if !good {
            eventually(name, || reasons_since(&place, before).contains(&"presence-unseen".to_owned()).then_some(()));
        }
    }
}
