//! The parser beside a real sshd, and signatures beside a real ssh-keygen.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use sha2::{Digest as _, Sha512};

use super::support::*;
use super::*;

const KINDS: [(&str, &str); 6] =
    [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521"), ("rsa", "2048"), ("rsa", "3072")];

#[test]
fn ssh_keygen_signs_a_login_with_every_kind_of_key() {
    let scratch = Scratch::new("sign");
    for (kind, bits) in KINDS {
        let (private, public) = scratch.keygen(&format!("{kind}{bits}"), kind, bits);
        let mut scene = Scene::of(&public, "");
        scene.claim.signature = keygen_sign(&scratch, &private, NAMESPACE, &scene.message());
        let proven = scene.verify().unwrap();
        let listed = run(Command::new("ssh-keygen").args(["-l", "-f"]).arg(&private));
        assert!(listed.contains(proven.key().as_str()), "{listed}");

        let mut scene = Scene::of(&public, "");
        scene.claim.signature = keygen_sign(&scratch, &private, "git", &scene.message());
        assert_eq!(scene.verify().unwrap_err().audit_reason(), "malformed", "{kind} {bits}");
        let mut scene = Scene::of(&public, "");
        scene.claim.signature = keygen_sign(&scratch, &private, NAMESPACE, "another text");
        assert_eq!(scene.verify().unwrap_err().audit_reason(), "bad-signature", "{kind} {bits}");
    }
}

#[test]
fn ssh_keygen_verifies_what_we_sign() {
    let scratch = Scratch::new("verify");
    for (kind, bits) in KINDS {
        let (private, public) = scratch.keygen(&format!("{kind}{bits}"), kind, bits);
        let ours = SigningKey::from_openssh(&std::fs::read_to_string(private).unwrap(), None).unwrap();
        assert_eq!(ours.public().line(), public);
        let scene = Scene::of(&public, "");
        let message = scene.message();
        let digest = Sha512::digest(&message);
        for (namespace, text, signature) in [
            (NAMESPACE, message.as_bytes(), ours.sign(NAMESPACE, message.as_bytes()).unwrap()),
            (SERVER_NAMESPACE, digest.as_slice(), server_proof(&ours, &message).unwrap()),
        ] {
            let allowed = scratch.write("allowed", format!("ann {public}\n"));
            let signature = scratch.write("signature", signature);
            let text = std::fs::File::open(scratch.write("text", text)).unwrap();
            let status = Command::new("ssh-keygen")
                .args(["-Y", "verify", "-I", "ann", "-n", namespace, "-f"])
                .arg(allowed)
                .arg("-s")
                .arg(signature)
                .stdin(text)
                .output()
                .unwrap();
            assert!(status.status.success(), "{kind} {bits}: {}", String::from_utf8_lossy(&status.stderr));
        }
    }
}

#[test]
fn keys_that_nobody_may_use() {
    let scratch = Scratch::new("weak");
    let problem = |line: &str| {
        let file = parse_authorized_keys(line.as_bytes(), &|_| true);
        assert_eq!(file.keys, [], "{line}");
        file.problems[0].reason.to_string()
    };
    let (_, rsa) = scratch.keygen("rsa1024", "rsa", "1024");
    assert!(problem(&rsa).contains("1024 bits"));
    let (_, dsa) = scratch.keygen("dsa", "dsa", "1024");
    assert!(problem(&dsa).contains("ssh-dss is not accepted"));
    let (_, good) = scratch.keygen("good", "ed25519", "256");
    let (kind, base64) = good.split_once(' ').unwrap();
    assert!(problem(&format!("ssh-rsa {base64}")).contains("says ssh-rsa but the key inside is ssh-ed25519"));
    assert!(problem(&format!("{kind} {base64}AAAA")).contains("damaged"));
    // Small order: the neutral element, and a point of order 8 as RFC 8032 encodes it.
    for point in [[1].iter().chain(&[0; 31]).copied().collect::<Vec<u8>>(), vec![0; 32]] {
        let blob = [b"\0\0\0\x0bssh-ed25519\0\0\0\x20".as_slice(), &point].concat();
        use base64::Engine as _;
        let weak = format!("ssh-ed25519 {}", base64::engine::general_purpose::STANDARD.encode(blob));
        assert!(problem(&weak).contains("weak"), "{weak}");
    }
    let (ca, _) = scratch.keygen("ca", "ed25519", "256");
    run(Command::new("ssh-keygen")
        .args(["-q", "-s"])
        .arg(ca)
        .args(["-I", "x", "-n", "ann"])
        .arg(scratch.path("good.pub")));
    let certificate = std::fs::read_to_string(scratch.path("good-cert.pub")).unwrap();
    assert!(problem(&certificate).contains("certificates are not accepted"));
    // The same file still lists the good key.
    let file = parse_authorized_keys(format!("{rsa}\n{dsa}\n{good}\n").as_bytes(), &|_| true);
    assert_eq!((file.keys.len(), file.problems.len(), file.keys[0].line), (1, 2, 3));
}

#[test]
fn sha1_is_refused_before_it_is_verified() {
    let scratch = Scratch::new("sha1");
    let (private, public) = scratch.keygen("rsa", "rsa", "2048");
    let mut scene = Scene::of(&public, "");
    let good = ssh_key::SshSig::from_pem(keygen_sign(&scratch, &private, NAMESPACE, &scene.message())).unwrap();
    let sha1 = ssh_key::Signature::new(ssh_key::Algorithm::Rsa { hash: None }, good.signature_bytes()).unwrap();
    let sha1 = ssh_key::SshSig::new(good.public_key().clone(), NAMESPACE, good.hash_alg(), sha1).unwrap();
    scene.claim.signature = sha1.to_pem(ssh_key::LineEnding::LF).unwrap();
    assert!(scene.verify().unwrap_err().to_string().contains("SHA-1"));
}

/// A real sshd on a port of its own that reads one key file.
struct Sshd {
    child: Child,
    port: u16,
    scratch: Scratch,
}

impl Sshd {
    fn start() -> Self {
        let scratch = Scratch::new("sshd");
        let (host_key, _) = scratch.keygen("host", "ed25519", "256");
        std::fs::create_dir_all("/run/sshd").unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = scratch.write(
            "config",
            format!(
                "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
                 PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\n",
                host_key.display(),
                scratch.path("authorized_keys").display()
            ),
        );
        let mut child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(config)
            .stderr(Stdio::piped())
            .spawn()
            .expect("sshd (openssh-server) is needed by this test");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("Server listening")), "sshd did not start");
        // Whatever it goes on to say is read, so that it never blocks.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port, scratch }
    }

    fn admits(&self, line: &str, private: &std::path::Path) -> bool {
        self.scratch.write("authorized_keys", line);
        let output = Command::new("ssh")
            .args(["-v", "-F", "none", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30"])
            .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-i"])
            .arg(private)
            .args(["-p", &self.port.to_string(), "root@127.0.0.1", "true"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).contains("Authenticated to 127.0.0.1")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn we_admit(line: &str, public: &str) -> bool {
    let file = parse_authorized_keys(line.as_bytes(), &|_| true);
    let (account, peer) = ("root".parse().unwrap(), "127.0.0.1".parse().unwrap());
    let key = ssh_key::PublicKey::from_openssh(public).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    Proven::danger_verified_by_ssh(&key, Some(&account), &file.keys, peer, now).is_ok()
}

/// KEY stands for the key, BLOB for its base64.
const BOTH_ADMIT: [&str; 30] = [
    "KEY",
    "KEY comment",
    "KEY a comment, of \"some words",
    "  KEY",
    "\tKEY\tcomment",
    "KEY\r\n",
    "# comment\n\n   # another\nKEY",
    "this is no key line\nKEY",
    "restrict KEY",
    "restrict  \t KEY",
    "ReStRiCt,PTY KEY c",
    "restrict, KEY",
    "restrict,,pty KEY",
    ",restrict KEY",
    "no-pty,no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-user-rc KEY",
    "pty,port-forwarding,X11-forwarding,agent-forwarding,user-rc KEY",
    "no-touch-required,verify-required,no-verify-required,touch-required KEY",
    "permitopen=\"localhost:80\",permitlisten=\"8080\" KEY",
    "command=\"true\" KEY",
    "command=\"echo a, b # c\" KEY c",
    "command=\"echo \\\"hi\\\" \\n\" KEY",
    "from=\"127.0.0.1\" KEY",
    "from=\"127.0.0.0/8\" KEY",
    "from=\"127.0.?.*\" KEY",
    "from=\"10.0.0.0/8,127.0.0.1,*.example.com\" KEY",
    "from=\"*,!10.0.0.0/8\" KEY",
    "expiry-time=\"20990101\" KEY",
    "expiry-time=\"209901011200Z\" KEY",
    "bogus KEY\nKEY",
    "from=\"10.0.0.1\" KEY\nfrom=\"127.0.0.1\" KEY",
];

const BOTH_REFUSE: [&str; 29] = [
    "",
    "#KEY",
    "bogus KEY",
    "restrict,bogus KEY",
    "ED25519 BLOB",
    "restrict, ,pty KEY",
    "restrict=1 KEY",
    "restrictpty KEY",
    "command KEY",
    "command=true KEY",
    "command=\"true KEY",
    "command=\"true\\\" KEY",
    "command=\"a\",command=\"b\" KEY",
    "command=\"a\"b KEY",
    "from=127.0.0.1 KEY",
    "from=\"\" KEY",
    "from=\"10.0.0.0/8\" KEY",
    "from=\"127.0.0.1/8\" KEY",
    "from=\"*,!127.0.0.1\" KEY",
    "from=\"!127.0.0.1,*\" KEY",
    "from=\"*\",from=\"*\" KEY",
    "from=\"host.example.com\" KEY",
    "expiry-time=\"20200101\" KEY",
    "expiry-time=\"20990101\",expiry-time=\"20200101\" KEY",
    "expiry-time=\"tomorrow\" KEY",
    "cert-authority KEY",
    "ssh-ed25519",
    "ssh-rsa BLOB",
    "ssh-ed25519 BLOBAAAA",
];

/// sshd admits these; here an option that cannot be honoured refuses its key.
const ONLY_SSHD_ADMITS: [&str; 3] = ["environment=\"A=b\" KEY", "tunnel=\"0\" KEY", "from=\"*,!host.example.com\" KEY"];

#[test]
fn lines_are_judged_as_sshd_judges_them() {
    let sshd = Sshd::start();
    let (private, public) = sshd.scratch.keygen("client", "ed25519", "256");
    let blob = public.split(' ').nth(1).unwrap();
    let mut wrong = Vec::new();
    for (lines, sshd_admits, ours_admits) in [
        (BOTH_ADMIT.as_slice(), true, true),
        (BOTH_REFUSE.as_slice(), false, false),
        (ONLY_SSHD_ADMITS.as_slice(), true, false),
    ] {
        for template in lines {
            let line = template.replace("KEY", &public).replace("BLOB", blob);
            let judged = (sshd.admits(&line, &private), we_admit(&line, &public));
            if judged != (sshd_admits, ours_admits) {
                wrong.push(format!("{template:?}: (sshd, ours) = {judged:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
