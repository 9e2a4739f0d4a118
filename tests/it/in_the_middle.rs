//! A man in the middle with a certificate of his own, under a name that the gateway answers to, the pinned identity
//! behind him: only what a client binds or checks keeps him out.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use portcullis::wire::v1::server_message::Body as Say;

use crate::support::by_hand::{ByHand, Claim, Key, connect_from, is_ready, reasons_since};
use crate::support::client::Heard;
use crate::support::finished;
use crate::support::middle::Middle;
use crate::support::place::{ANN, Mode, Place, cache, describe};
use crate::support::proxy::Proxy;

fn ended(command: &mut Command) -> Output {
    finished(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// A place, a wire to it that passes everything as it is, and the man in the middle: three names, one identity.
struct Scene {
    place: Place,
    key: Key,
    wire: Proxy,
    middle: Middle,
}

impl Scene {
    async fn new() -> Self {
        let mut place = Place::new(Mode::Root);
        let (wire, listener) = Proxy::bind(0, 1).await;
        let mut middle = Middle::bind(&place.root).await;
        let names = format!("[\"wss://{}\", \"wss://{}\"]", wire.address, middle.address);
        place.environment.push(("PORTCULLIS_ORIGINS__OWN".into(), names));
        let endpoints = place.serve();
        wire.run(listener, endpoints.https.clone());
        middle.run(&endpoints.https);
        let key = Key::listed(&place, "good", "");
        // A session that has ended: whoever gets in learns its status at once.
        place.verb(&["new", "shell", "--name", "main"]);
        place.verb(&["send", "main", "exit 5"]);
        Self { place, key, wire, middle }
    }

    /// `attach` of somebody who has pinned the identity under this name.
    fn attach(&self, address: &str, more: &[&str]) -> Output {
        let state = self.place.root.join("state");
        let pins = state.join("portcullis");
        std::fs::create_dir_all(&pins).unwrap();
        let pin = format!("wss://{address} {}\n", self.place.endpoints().identity);
        std::fs::write(pins.join("known_gateways"), pin).unwrap();
        let mut command = self.place.command();
        command.args(["attach", "main", "--gateway", &format!("wss://{address}"), "--user", ANN]);
        command.args(["--key", self.key.path()]).args(more).env("XDG_STATE_HOME", state);
        ended(&mut command)
    }

    /// `attach` of somebody who was given the installation's endpoints and certificate, with another address in them.
    fn attach_by_file(&self, address: &str, more: &[&str]) -> Output {
        let copy = self.place.root.join("copy");
        std::fs::create_dir_all(&copy).unwrap();
        let said = std::fs::read_to_string(self.place.dir.join("endpoints.json")).unwrap();
        let said = said.replace(&self.place.endpoints().https, address);
        std::fs::write(copy.join("endpoints.json"), said).unwrap();
        std::fs::copy(self.place.dir.join("tls.crt"), copy.join("tls.crt")).unwrap();
        ended(self.place.command().args(["attach", "main", "--dir"]).arg(&copy).args(more))
    }

    /// The client of docs/protocol.md, which binds nothing and checks the certificate.
    fn foreign(&self, address: &str) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/client.py");
        let mut command = Command::new(cache().join("venv/bin/python"));
        command.arg(script).args(["--url", &format!("wss://{address}"), "--key", self.key.path(), "--user", ANN]);
        ended(command.arg("--cafile").arg(self.place.dir.join("tls.crt")).arg("list"))
    }

    /// What a client that binds nothing and checks nothing hears.
    async fn careless(&self) -> Heard {
        let tcp = connect_from(&self.middle.address, [127, 0, 0, 1].into()).await;
        let mut hand = ByHand::open_on(tcp, &self.middle.address).await;
        let origin = format!("wss://{}", self.middle.address);
        let claim = Claim {
            signed_origin: origin.clone(),
            origin,
            binding: "none",
            signed_binding: "none",
            ..ByHand::claim(&self.place, &self.key)
        };
        let login = hand.login(&claim, &self.key.signing());
        hand.answer(login).await
    }

    fn logins(&self) -> usize {
        self.place.audit().iter().filter(|entry| entry["event"] == "login").count()
    }
}

fn is_in(output: &Output) {
    assert_eq!(output.status.code(), Some(5), "{}", describe(output));
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_lets_nobody_in_between() {
    let scene = Scene::new().await;
    for more in [&[][..], &["--no-binding"]] {
        let by_file = scene.attach_by_file(&scene.wire.address, more);
        is_in(&by_file);
        let (logins, before) = (scene.logins(), scene.place.audit().len());
        for output in [scene.attach(&scene.middle.address, more), scene.attach_by_file(&scene.middle.address, more)] {
            assert_eq!(output.status.code(), Some(1), "{more:?}: {}", describe(&output));
            let wanted = if more.is_empty() { "login refused" } else { "certificate" };
            assert!(describe(&output).contains(wanted), "{more:?}: {}", describe(&output));
        }
        assert_eq!(scene.logins(), logins, "{more:?}");
        // Bound, the gateway sees another TLS connection than was signed; unbound, our client signs nothing.
        let reasons = if more.is_empty() { &["bad-signature"; 2][..] } else { &[] };
        assert_eq!(reasons_since(&scene.place, before), reasons, "{more:?}");
    }
    is_in(&scene.attach(&scene.wire.address, &[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_binds_nothing_needs_the_certificate_or_an_operator_who_demands_binding() {
    let mut scene = Scene::new().await;
    let good = scene.foreign(&scene.wire.address);
    assert!(good.status.success() && describe(&good).contains("main"), "{}", describe(&good));
    let (logins, before) = (scene.logins(), scene.place.audit().len());
    let bad = scene.foreign(&scene.middle.address);
    assert!(!bad.status.success() && describe(&bad).contains("certificate"), "{}", describe(&bad));
    assert_eq!((scene.logins(), reasons_since(&scene.place, before)), (logins, vec![]));
    // Who does neither is lost, and only the operator can help.
    assert!(is_ready(&scene.careless().await), "this test proves nothing");
    scene.place.configure("[auth]\nrequire_channel_binding = true");
    scene.middle.run(&scene.place.endpoints().https);
    let before = scene.place.audit().len();
    let heard = scene.careless().await;
    assert!(matches!(&heard, Heard::Said(_, Say::Error(error)) if error.code == "login-failed"), "{heard:?}");
    assert_eq!(reasons_since(&scene.place, before), ["unbound"]);
}
