//! Key files, read as the account or as root, or not at all.

use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use super::rig::{ACCOUNT, Gateway, Rig, test_account};
use crate::base::KEY_FILE;
use crate::sys::memfd::read_sealed;
use crate::sys::process::Kill;
use crate::wire::v1::{Keys, KeysAnswer, answer, order};

fn ask(gateway: &mut Gateway, account: &str, file: u32, stamp: &[u8]) -> (KeysAnswer, Option<Vec<u8>>) {
    let keys = Keys { account: account.into(), file, stamp: stamp.to_vec().into() };
    let (answer, descriptors) = gateway.ask(order::Body::Keys(keys));
    let Some(answer::Body::Keys(keys)) = answer.body else { panic!("{answer:?}") };
    (keys, descriptors.first().map(|file| read_sealed(file.as_fd(), KEY_FILE).unwrap()))
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn files_of_the_account_and_of_root() {
    let (mut rig, _mail) = Rig::new("keys", "");
    // An account of this test alone: its home is written to.
    let account = test_account("pc-test-keys");
    rig.table.accounts[0].name = "pc-test-keys".parse().unwrap();
    rig.table.accounts[0].user = "pc-test-keys".parse().unwrap();
    rig.stop_spawner(Kill::Terminate);
    rig.again();
    let mut gateway = rig.connect();
    let own = |path: &Path| chown(path, Some(account.uid), Some(account.gid)).unwrap();
    let dir = account.home.join(".pc-test");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir(&dir).unwrap();
    own(&dir);
    mode(&dir, 0o700);
    let path = dir.join("keys");
    let mut keys = |file: u32, stamp: &[u8]| ask(&mut gateway, "pc-test-keys", file, stamp);

    let (answer, bytes) = keys(0, b"");
    assert!(answer.problem.contains("does not exist") && bytes.is_none(), "{answer:?}");
    std::fs::write(&path, "one\n").unwrap();
    own(&path);
    mode(&path, 0o600);
    let (answer, bytes) = keys(0, b"");
    assert_eq!((answer.problem.as_str(), bytes.as_deref()), ("", Some(&b"one\n"[..])));
    assert_eq!(answer.path, path.to_string_lossy());
    let stamp = answer.stamp;
    let (answer, bytes) = keys(0, &stamp);
    assert!(answer.unchanged && bytes.is_none() && answer.problem.is_empty());
    std::fs::write(&path, "two\n").unwrap();
    assert_eq!(keys(0, &stamp).1.unwrap(), b"two\n");

    // Read as the account: what it cannot read, root does not read for it.
    chown(&path, Some(0), Some(0)).unwrap();
    let (answer, bytes) = keys(0, b"");
    assert!(answer.problem.contains("Permission denied") && bytes.is_none(), "{answer:?}");
    let shadow = |path: &Path| symlink("/etc/shadow", path).unwrap();
    let fifo = |path: &Path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    for (make, says) in [(&shadow as &dyn Fn(&Path), "not a plain file"), (&fifo, "not a plain file")] {
        std::fs::remove_file(&path).unwrap();
        make(&path);
        let _ = std::os::unix::fs::lchown(&path, Some(account.uid), Some(account.gid));
        let (answer, bytes) = keys(0, b"");
        assert!(answer.problem.contains(says) && bytes.is_none(), "{answer:?}");
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "three\n").unwrap();
    own(&path);
    for (who, bits) in [(&path, 0o660), (&dir, 0o777), (&account.home, 0o777)] {
        let before = who.metadata().unwrap().permissions();
        mode(who, bits);
        let (answer, bytes) = keys(0, b"");
        assert!(answer.problem.contains("can be written by its group or by others") && bytes.is_none(), "{answer:?}");
        std::fs::set_permissions(who, before).unwrap();
    }
    assert_eq!(keys(0, b"").1.unwrap(), b"three\n");
    std::fs::write(&path, vec![b'#'; KEY_FILE + 1]).unwrap();
    assert!(keys(0, b"").0.problem.contains("the limit is"));
    std::fs::write(&path, vec![b'#'; KEY_FILE]).unwrap();
    assert_eq!(keys(0, b"").1.unwrap().len(), KEY_FILE);

    // Elsewhere: root's, and nobody else's.
    let roots = rig.dir.join("keys");
    std::fs::create_dir(&roots).unwrap();
    let roots = roots.join("pc-test-keys");
    std::fs::write(&roots, "root's\n").unwrap();
    mode(&roots, 0o600);
    assert_eq!(keys(1, b"").1.unwrap(), b"root's\n");
    own(&roots);
    assert!(keys(1, b"").0.problem.contains("must belong to"));

    assert!(!keys(2, b"").0.problem.is_empty(), "no such file is configured");
    assert!(!ask(&mut gateway, ACCOUNT, 0, b"").0.problem.is_empty(), "nor that account");
    std::fs::remove_dir_all(dir).unwrap();
}
