//! Every refusal of a login with its true reason, each beside the login that succeeds and differs in that one thing.

use std::time::Duration;

use proptest::prelude::*;

use super::support::*;
use super::*;

fn reason(scene: Scene) -> &'static str {
    scene.verify().map_or_else(|error| error.audit_reason(), |_| "admitted")
}

fn changed(options: &str, change: impl FnOnce(&mut Scene)) -> &'static str {
    let mut scene = Scene::new(options);
    change(&mut scene);
    reason(scene)
}

#[test]
fn an_honest_login_is_admitted_with_what_its_line_says() {
    let proven = Scene::new("role=drive,label=phone").verify().unwrap();
    assert_eq!((proven.account().as_str(), proven.label(), proven.door()), ("ann", "phone", Door::Challenge));
    assert_eq!(proven.options().role, Role::Drive);
    assert_eq!(proven.key(), key(1).id());
    assert_eq!(Scene::new("").verify().unwrap().label(), "ann@phone");
}

#[test]
fn each_refusal_has_its_own_reason() {
    assert_eq!(changed("", |_| ()), "admitted");
    assert_eq!(changed("", |s| s.account = None), "unknown-account");
    assert_eq!(changed("", |s| s.keys = file(&key(2).public().line())), "unknown-key");
    assert_eq!(changed("", |s| s.keys.clear()), "unknown-key");
    assert_eq!(changed("", |s| s.origins.remove(0).clear()), "wrong-origin");
    assert_eq!(changed("", |s| s.after = Duration::from_millis(10_001)), "stale");
    assert_eq!(changed("", |s| s.after = Duration::from_secs(10)), "admitted");
    assert_eq!(changed("", |s| s.exporter = None), "not-bindable");
    assert_eq!(changed("", |s| s.require_binding = true), "admitted");
    let sign = |s: &mut Scene| s.claim.signature = key(1).sign(NAMESPACE, s.message().as_bytes()).unwrap();
    let unbound = |s: &mut Scene| {
        s.claim.binding = "none".to_owned();
        sign(s);
    };
    assert_eq!(changed("", unbound), "admitted");
    assert_eq!(changed("", |s| (unbound(s), s.require_binding = true).1), "unbound");
    assert_eq!(changed(r#"from="192.0.2.0/24""#, |_| ()), "admitted");
    assert_eq!(changed(r#"from="192.0.2.0/24""#, |s| s.peer = "198.51.100.1".parse().unwrap()), "not-from-here");
    assert_eq!(changed(r#"expiry-time="20270115080000Z""#, |_| ()), "admitted");
    assert_eq!(changed(r#"expiry-time="20270115080000Z""#, |s| s.unix_now += 1), "expired");
}

#[test]
fn everything_in_the_message_is_under_the_signature() {
    for change in [
        (|s| s.claim.user = "bob".to_owned()) as fn(&mut Scene),
        |s| s.claim.origin = "wss://127.0.0.1:8443".to_owned(),
        |s| s.claim.client_nonce = vec![1; 32],
        |s| s.claim.binding = "none".to_owned(),
        |s| s.server = key(98).id().clone(),
        |s| s.exporter = Some([0; 32]),
        |s| s.challenge = Challenge::new([0; 32], s.made),
    ] {
        assert_eq!(changed("", change), "bad-signature");
    }
    // A relay: the real gateway's challenge, signed by a client that dialled somebody else.
    let relayed = changed("", |s| {
        s.claim.origin = "wss://evil.example".to_owned();
        s.claim.signature = key(1).sign(NAMESPACE, s.message().as_bytes()).unwrap();
        s.claim.origin = "wss://gate.example".to_owned();
    });
    assert_eq!(relayed, "bad-signature");
}

#[test]
fn an_unknown_key_and_a_bad_signature_of_it_are_told_apart_only_from_bad_signatures_of_known_keys() {
    let forged = |s: &mut Scene| s.claim.signature = key(1).sign(NAMESPACE, b"something else").unwrap();
    assert_eq!(changed("", forged), "bad-signature");
    assert_eq!(changed("", |s| (forged(s), s.keys.clear()).1), "unknown-key");
    assert_eq!(changed("", |s| (forged(s), s.account = None).1), "unknown-account");
}

#[test]
fn malformed_answers() {
    let by = |other: u8, namespace: &str| key(other).sign(namespace, Scene::new("").message().as_bytes()).unwrap();
    for change in [
        Box::new(|s: &mut Scene| s.claim.client_nonce.truncate(31)) as Box<dyn Fn(&mut Scene)>,
        Box::new(|s| s.claim.client_nonce.push(0)),
        Box::new(|s| s.claim.binding = "maybe".to_owned()),
        Box::new(|s| s.claim.signature.clear()),
        Box::new(|s| s.claim.signature.truncate(100)),
        Box::new(|s| s.claim.signature = " ".repeat(8193)),
        Box::new(|s| s.claim.user = "ann\nkey x".to_owned()),
        Box::new(|s| s.claim.user.clear()),
        Box::new(|s| s.claim.origin = "a".repeat(301)),
        Box::new(move |s| s.claim.signature = by(1, "git")),
        Box::new(move |s| s.claim.signature = by(2, NAMESPACE)),
    ] {
        assert_eq!(changed("", change), "malformed");
    }
    for public in ["", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAILM"] {
        assert_eq!(changed("", |s| s.claim.public_key = public.to_owned()), "unusable-key", "{public}");
    }
}

#[test]
fn the_first_line_that_admits_counts() {
    let line = key(1).public().line();
    let two = format!("from=\"10.0.0.0/8\",role=view {line}\nrole=drive {line}\nrole=own {line}\n");
    let mut scene = Scene::new("");
    scene.keys = file(&two);
    assert_eq!(scene.verify().unwrap().options().role, Role::Drive);
    assert_eq!(changed("", |s| s.keys = file(&format!("from=\"10.0.0.0/8\" {line}"))), "not-from-here");
}

#[test]
fn a_login_is_judged_again_by_a_changed_file() {
    let line = key(1).public().line();
    let proven = Scene::new("").verify().unwrap();
    let again = |text: &str, now| proven.renewed(&file(text), now).map(|new| new.options().role);
    assert_eq!(again(&format!("role=view {line}"), 0), Ok(Role::View));
    assert_eq!(again("", 0).unwrap_err().audit_reason(), "unknown-key");
    let expiring = format!("expiry-time=\"20270101Z\" {line}");
    assert!(again(&expiring, 1_798_761_600).is_ok());
    assert_eq!(again(&expiring, 1_798_761_601).unwrap_err().audit_reason(), "expired");
    assert_eq!(again(&format!("from=\"10.0.0.1\" {line}"), 0).unwrap_err().audit_reason(), "not-from-here");
}

#[test]
fn security_keys_must_be_touched() {
    let soft = [
        SoftKey::Ed25519(ed25519_dalek::SigningKey::from_bytes(&[5; 32])),
        SoftKey::P256(p256::ecdsa::SigningKey::from_slice(&[5; 32]).unwrap()),
    ];
    for soft in &soft {
        let public = PublicKey::from_ssh(&soft.public()).unwrap().line();
        let attempt = |options: &str, flags: u8, application: &str| {
            let mut scene = Scene::of(&public, options);
            scene.claim.signature = soft.sign(&scene.message(), flags, application);
            reason(scene)
        };
        assert_eq!(attempt("", 1, "ssh:"), "admitted");
        assert_eq!(attempt("", 0, "ssh:"), "no-presence");
        assert_eq!(attempt("no-touch-required", 0, "ssh:"), "admitted");
        assert_eq!(attempt("verify-required", 1, "ssh:"), "no-verification");
        assert_eq!(attempt("verify-required", 5, "ssh:"), "admitted");
        assert_eq!(attempt("", 1, "ssh:other"), "bad-signature");

        let over_ssh = |options: &str| {
            let (account, peer) = ("ann".parse().unwrap(), "192.0.2.7".parse().unwrap());
            Proven::danger_verified_by_ssh(
                &soft.public(),
                Some(&account),
                &file(&format!("{options} {public}")),
                peer,
                0,
            )
            .map_or_else(|error| error.audit_reason(), |_| "admitted")
        };
        assert_eq!(over_ssh(""), "presence-unseen");
        assert_eq!(over_ssh("no-touch-required"), "admitted");
        assert_eq!(over_ssh("no-touch-required,verify-required"), "presence-unseen");
    }
}

#[test]
fn flags_are_under_the_signature_too() {
    let soft = SoftKey::Ed25519(ed25519_dalek::SigningKey::from_bytes(&[5; 32]));
    let public = PublicKey::from_ssh(&soft.public()).unwrap().line();
    let mut scene = Scene::of(&public, "");
    let untouched = ssh_key::SshSig::from_pem(soft.sign(&scene.message(), 0, "ssh:")).unwrap();
    let mut bytes = untouched.signature().as_bytes().to_vec();
    bytes[64] = 1;
    let lie = ssh_key::Signature::new(ssh_key::Algorithm::SkEd25519, bytes).unwrap();
    let lie = ssh_key::SshSig::new(untouched.public_key().clone(), NAMESPACE, untouched.hash_alg(), lie).unwrap();
    scene.claim.signature = lie.to_pem(ssh_key::LineEnding::LF).unwrap();
    assert_eq!(reason(scene), "bad-signature");
}

#[test]
fn an_agent_signs_through_the_closure() {
    use ed25519_dalek::Signer as _;
    let mut scene = Scene::new("");
    let client_nonce = [9; 32];
    let signing = key(1);
    let message = Message {
        origin: "wss://gate.example",
        server: &scene.server.clone(),
        server_nonce: &NONCE,
        client_nonce: &client_nonce,
        user: "ann",
        key: signing.id(),
        exporter: Some(&EXPORTER),
    };
    let agent = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let signed = sign_login(&message, signing.public(), |data| {
        let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x40".to_vec();
        blob.extend(agent.sign(data).to_bytes());
        Ok(blob)
    })
    .unwrap();
    assert_eq!(signed.message, scene.message());
    assert_eq!(signed.signature, key(1).sign_login(&message).unwrap().signature);
    scene.claim.signature = signed.signature;
    assert_eq!(reason(scene), "admitted");
    assert!(sign_login(&message, key(1).public(), |_| Err("no agent".to_owned())).is_err());
    assert!(sign_login(&message, key(1).public(), |_| Ok(vec![0; 9])).is_err());
}

#[test]
fn the_gateway_proves_itself_over_this_login_only() {
    let proven = Scene::new("").verify().unwrap();
    let message = proven.message().unwrap();
    let proof = server_proof(&key(99), message).unwrap();
    let check = |server: u8, message: &str, proof: &str| verify_server_proof(key(server).public(), message, proof);
    assert_eq!(check(99, message, &proof), Ok(()));
    assert_eq!(check(98, message, &proof), Err(SignError::ServerProof));
    assert_eq!(check(99, "another M", &proof), Err(SignError::ServerProof));
    let login = key(99).sign(NAMESPACE, message.as_bytes()).unwrap();
    assert_eq!(check(99, message, &login), Err(SignError::ServerProof), "a login is no proof");
}

proptest! {
    #[test]
    fn no_bytes_panic_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let file = parse_authorized_keys(&bytes, &|_| true);
        prop_assert!(file.keys.is_empty());
    }

    #[test]
    fn no_mixture_of_what_lines_are_made_of_panics_the_parser(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "\"", "\\", ",", "=", " ", "\t", "\n", "\r", "#", "\0", "é", "from", "command", "restrict", "role", "a", "10.0.0.0/8",
            "ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c", "expiry-time", "2027", "!",
        ]), 0..24)
    ) {
        let text = parts.concat();
        let file = parse_authorized_keys(text.as_bytes(), &|_| false);
        let lines = text.split('\n').count();
        prop_assert!(file.keys.len() + file.problems.len() <= lines);
        prop_assert!(file.keys.iter().all(|line| line.options.command.is_none()));
    }

    #[test]
    fn no_armour_panics_the_verifier(text in "(-----BEGIN SSH SIGNATURE-----\n)?[A-Za-z0-9+/=\n]{0,200}(-----END SSH SIGNATURE-----)?") {
        let mut scene = Scene::new("");
        scene.claim.signature = text;
        prop_assert_eq!(reason(scene), "malformed");
    }
}
