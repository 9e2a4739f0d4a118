//! Holds the room table of ARCHITECTURE.md: who names whom, who names which crate, what pure rooms may not touch, file sizes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;

/// A room, the rooms that it may name (all above it), and whether it is pure.
struct Room {
    name: &'static str,
    may_name: &'static [&'static str],
    pure_room: bool,
}

const fn room(name: &'static str, may_name: &'static [&'static str], pure_room: bool) -> Room {
    Room { name, may_name, pure_room }
}

const BANDS_0_AND_1: &[&str] = &[
    "base",
    "wire",
    "replay",
    "screen",
    "agents",
    "authn",
    "policy",
    "sys",
    "config",
    "store",
    "audit",
    "record",
    "telemetry",
];

/// The table, in its order.
const ROOMS: &[Room] = &[
    room("base", &[], true),
    room("wire", &["base"], true),
    room("replay", &["base"], true),
    room("screen", &["base"], true),
    room("agents", &["base", "wire"], true),
    room("authn", &["base", "wire"], true),
    room("policy", &["base", "authn", "agents"], true),
    room("sys", &["base"], false),
    room("config", &["base", "policy", "agents"], false),
    room("store", &["base"], false),
    room("audit", &["base"], false),
    room("record", &["base"], false),
    room("telemetry", &["base"], false),
    room("spawner", &["base", "wire", "agents", "sys", "audit"], false),
    room("host", &["base", "wire", "replay", "screen", "agents", "sys", "record", "telemetry"], false),
    room("gateway", BANDS_0_AND_1, false),
    room(
        "cli",
        &[
            "base",
            "wire",
            "replay",
            "screen",
            "agents",
            "authn",
            "policy",
            "sys",
            "config",
            "store",
            "audit",
            "record",
            "telemetry",
            "spawner",
            "host",
            "gateway",
        ],
        false,
    ),
];

/// An outside crate and the only places that may name it.
const CRATES: &[(&str, &[&str])] = &[
    ("prost", &["wire"]),
    ("pbjson", &["wire"]),
    ("alacritty_terminal", &["screen"]),
    ("agent_client_protocol_schema", &["agents"]),
    ("ed25519_dalek", &["authn"]),
    ("ssh_key", &["authn"]),
    ("p256", &["authn"]),
    ("rustix", &["sys"]),
    ("libc", &["sys"]),
    ("landlock", &["sys"]),
    ("seccompiler", &["sys"]),
    ("figment", &["config"]),
    ("rusqlite", &["store"]),
    ("tracing_subscriber", &["telemetry"]),
    ("prometheus_client", &["telemetry"]),
    ("tokio_tungstenite", &["gateway", "cli"]),
    ("tokio_rustls", &["gateway", "cli"]),
    ("axum", &["gateway"]),
    ("russh", &["gateway/ssh"]),
    ("governor", &["gateway/listen"]),
    ("clap", &["cli"]),
    ("anyhow", &["cli"]),
    ("tokio", &["gateway", "cli"]),
];

/// What a pure room may not touch.
const IMPURE: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "net"],
    &["std", "env"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "os"],
    &["Instant", "now"],
    &["SystemTime", "now"],
    &["getrandom"],
];

/// Of sys the gateway may name only what moves bytes between processes it is connected to, and its own process's state.
const SYS_FOR_GATEWAY: &[&str] = &["seqpacket", "stream", "memfd", "poll", "credentials", "process", "path"];

const LINES: usize = 600;

#[test]
fn the_table_is_in_dependency_order() {
    for (place, room) in ROOMS.iter().enumerate() {
        for named in room.may_name {
            let above = ROOMS.iter().take(place).any(|other| other.name == *named);
            assert!(above, "{} names {named}, which is not above it", room.name);
        }
    }
}

#[test]
fn every_file_keeps_to_its_room() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut complaints = Vec::new();
    let files = rust_files(&source);
    let for_tests = test_files(&files);
    for file in files {
        let relative = file.strip_prefix(&source).unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        // Files that only tests compile may use clocks, files and anything else; their length counts all the same.
        let text =
            if for_tests.iter().any(|skip| file.starts_with(skip)) { text.replace(|c| c != '\n', "") } else { text };
        complaints.extend(judge(&relative, &text));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// The scanner bites: each rule finds one planted offence, and its twin without the offence passes.
#[test]
fn each_rule_finds_a_planted_offence() {
    let cases: &[(&str, &str, &str)] = &[
        ("wire/x.rs", "use crate::gateway::Router;", "use crate::base::Offset;"),
        ("wire/x.rs", "fn f() { crate::host::run() }", "fn f() { crate::base::run() }"),
        ("wire/x.rs", "use crate::{base, host};", "use crate::base;"),
        ("wire/x.rs", "use super::super::host::Core;", "use super::Frame;"),
        ("wire/mod.rs", "use super::host::Core;", "use self::frame::Frame;"),
        ("replay/x.rs", "fn f() { println!(\"{}\", crate::screen::X) }", "fn f() { println!(\"{}\", crate::base::X) }"),
        ("base/x.rs", "fn f() { std::time::Instant::now(); }", "fn f(now: std::time::Instant) {}"),
        ("base/x.rs", "use std::time::Instant; fn f() { Instant::now(); }", "use std::time::Instant;"),
        ("authn/x.rs", "use std::fs::File;", "use std::fmt;"),
        ("authn/x.rs", "use std::{fmt, net::TcpStream};", "use std::{fmt, net::IpAddr};"),
        ("host/x.rs", "use tokio::net::UnixStream;", "use std::os::unix::net::UnixStream;"),
        ("gateway/wss/x.rs", "use russh::server;", "use tokio_tungstenite::tungstenite;"),
        ("gateway/x.rs", "fn f() -> rustix::io::Errno { loop {} }", "fn f() {}"),
        ("gateway/x.rs", "use crate::sys::fork;", "use crate::sys::stream;"),
        ("spawner/x.rs", "use figment::Figment;", "use std::path::Path;"),
        ("spawner/x.rs", "pub use crate::host::Core;", "pub use crate::wire::v1;"),
        ("screen/x.rs", "fn f() { unsafe { g() } }", "fn f() { g() }"),
        ("host/x.rs", "#[cfg(target_os = \"linux\")] fn f() {}", "#[cfg(test)] fn f() {}"),
        ("nowhere/x.rs", "fn f() {}", ""),
    ];
    for (place, bad, good) in cases {
        assert!(!judge(place, bad).is_empty(), "not found in {place}: {bad}");
        if !good.is_empty() {
            assert_eq!(judge(place, good), Vec::<String>::new(), "{place}: {good}");
        }
    }
    let long = "fn f() {}\n".repeat(LINES + 1);
    assert!(!judge("base/x.rs", &long).is_empty());
}

fn judge(relative: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut complain = |what: String| complaints.push(format!("src/{relative}: {what}"));
    let lines = text.lines().count();
    if lines > LINES {
        complain(format!("{lines} lines; the limit is {LINES}"));
    }
    let Some((name, _)) = relative.split_once('/') else { return complaints };
    let Some(room) = ROOMS.iter().find(|room| room.name == name) else {
        complain("a folder without a row in the table".to_owned());
        return complaints;
    };
    let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("src/{relative}: {error}"));
    let mut scan = Scan::default();
    scan.visit_file(&parsed);
    for path in &scan.paths {
        for what in offences(room, relative, path) {
            complain(what);
        }
    }
    if scan.has_unsafe && name != "sys" {
        complain("unsafe outside sys".to_owned());
    }
    if scan.has_target && name != "sys" {
        complain("cfg(target_os) outside sys".to_owned());
    }
    complaints
}

fn offences(room: &Room, relative: &str, path: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let words: Vec<&str> = path.iter().map(String::as_str).collect();
    let shown = words.join("::");
    let own_mod = relative.matches('/').count() == 1 && relative.ends_with("/mod.rs");
    match words.as_slice() {
        ["crate", other, rest @ ..] => {
            if ROOMS.iter().any(|known| known.name == *other) && *other != room.name && !room.may_name.contains(other) {
                found.push(format!("{shown}: {} may not name {other}", room.name));
            }
            if room.name == "gateway"
                && *other == "sys"
                && rest.first().is_some_and(|part| !SYS_FOR_GATEWAY.contains(part))
            {
                found.push(format!("{shown}: of sys the gateway may name only {SYS_FOR_GATEWAY:?}"));
            }
        }
        ["super", "super", ..] => found.push(format!("{shown}: super::super hides an edge; write crate::")),
        ["super", ..] if own_mod => found.push(format!("{shown}: in a room's own mod.rs super is the crate root")),
        _ => {}
    }
    for (outside, places) in CRATES {
        let named = words.first() == Some(outside);
        let here = places
            .iter()
            .any(|place| relative.starts_with(&format!("{place}/")) || relative.starts_with(&format!("{place}.rs")));
        if named && !here {
            found.push(format!("{shown}: only {places:?} may name {outside}"));
        }
    }
    if room.pure_room {
        for banned in IMPURE {
            let hit = words.windows(banned.len()).any(|window| window == *banned);
            // Addresses are plain data.
            let data = words.last().is_some_and(|last| {
                matches!(*last, "IpAddr" | "Ipv4Addr" | "Ipv6Addr" | "SocketAddr" | "OsStr" | "OsString")
            });
            if hit && !data {
                found.push(format!("{shown}: a pure room does no I/O and reads no clock"));
            }
        }
    }
    found
}

#[derive(Default)]
struct Scan {
    paths: BTreeSet<Vec<String>>,
    has_unsafe: bool,
    has_target: bool,
    in_test: bool,
}

impl Scan {
    fn use_tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |ident: &syn::Ident| before.iter().cloned().chain([ident.to_string()]).collect::<Vec<_>>();
        match tree {
            syn::UseTree::Path(path) => self.use_tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => _ = self.paths.insert(with(&name.ident)),
            syn::UseTree::Rename(rename) => _ = self.paths.insert(with(&rename.ident)),
            syn::UseTree::Glob(_) => _ = self.paths.insert(before.to_vec()),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.use_tree(before, item)),
        }
    }

    /// Paths inside macros, which syn leaves as tokens.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.keep(&mut path);
                    }
                    if ident == "unsafe" {
                        self.has_unsafe = true;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.keep(&mut path);
                    colons = 0;
                    self.tokens(group.stream());
                }
                _ => {
                    self.keep(&mut path);
                    colons = 0;
                }
            }
        }
        self.keep(&mut path);
    }

    fn keep(&mut self, path: &mut Vec<String>) {
        if path.len() > 1 {
            self.paths.insert(std::mem::take(path));
        }
        path.clear();
    }

    fn is_test(attributes: &[syn::Attribute]) -> bool {
        attributes.iter().any(|attribute| {
            attribute.path().is_ident("cfg")
                && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string().contains("test"))
        })
    }
}

impl<'ast> Visit<'ast> for Scan {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        // Tests may use clocks, files and anything else: only the program is held to the table.
        let test = matches!(item, syn::Item::Mod(module) if Self::is_test(&module.attrs));
        if !test && !self.in_test {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.tokens(mac.tokens.clone());
        syn::visit::visit_macro(self, mac);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if attribute.path().is_ident("cfg") && attribute.to_token_text().contains("target_os") {
            self.has_target = true;
        }
    }

    fn visit_expr_unsafe(&mut self, _: &'ast syn::ExprUnsafe) {
        self.has_unsafe = true;
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.has_unsafe |= signature.unsafety.is_some();
        syn::visit::visit_signature(self, signature);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.has_unsafe |= item.unsafety.is_some();
        syn::visit::visit_item_impl(self, item);
    }
}

trait TokenText {
    fn to_token_text(&self) -> String;
}

impl TokenText for syn::Attribute {
    fn to_token_text(&self) -> String {
        match &self.meta {
            syn::Meta::List(list) => list.tokens.to_string(),
            _ => String::new(),
        }
    }
}

/// Files and folders of modules declared `#[cfg(test)] mod name;`.
fn test_files(files: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in files {
        let parsed = syn::parse_file(&std::fs::read_to_string(file).unwrap()).unwrap();
        let folder = match file.file_stem().unwrap().to_str().unwrap() {
            "mod" | "lib" | "main" => file.parent().unwrap().to_path_buf(),
            stem => file.with_file_name(stem),
        };
        for item in parsed.items {
            if let syn::Item::Mod(module) = item
                && module.content.is_none()
                && Scan::is_test(&module.attrs)
            {
                found.push(folder.join(format!("{}.rs", module.ident)));
                found.push(folder.join(module.ident.to_string()));
            }
        }
    }
    found
}

pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
