//! A TCP proxy that cuts connections at byte positions: half by RST, half by FIN.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::generator::Dice;

/// See the module.
pub struct Proxy {
    /// Where clients dial.
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    armed: AtomicBool,
    left: AtomicU64,
    done: AtomicU64,
    resets: AtomicU64,
    mean: u64,
    dice: Mutex<Dice>,
}

/// How many bytes each direction of a connection passes before the connection is cut.
#[derive(Clone, Copy)]
struct Cut {
    up: u64,
    down: u64,
    reset: bool,
}

impl Proxy {
    /// Listens; nothing passes before `run`. A cut comes after `mean` bytes of output on average.
    pub async fn bind(cuts: u64, mean: u64) -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Shared {
            armed: AtomicBool::new(false),
            left: AtomicU64::new(cuts),
            done: AtomicU64::new(0),
            resets: AtomicU64::new(0),
            mean,
            dice: Mutex::new(Dice::new()),
        };
        (Self { address, shared: Arc::new(shared) }, listener)
    }

    /// The gateway's environment that makes it answer to the proxy's name.
    pub fn environment(&self) -> (String, String) {
        ("PORTCULLIS_ORIGINS__OWN".into(), format!("[\"wss://{}\"]", self.address))
    }

    /// Passes bytes to `target` from now on, in tasks.
    pub fn run(&self, listener: TcpListener, target: String) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(Arc::clone(&shared), client, target.clone()));
            }
        });
    }

    /// Cuts what is open and what comes, until all cuts are made.
    pub fn arm(&self) {
        self.shared.armed.store(true, Ordering::SeqCst);
    }

    /// Cuts made, and how many of them by RST.
    pub fn made(&self) -> (u64, u64) {
        (self.shared.done.load(Ordering::SeqCst), self.shared.resets.load(Ordering::SeqCst))
    }

    /// True when no cut is left.
    pub fn is_done(&self) -> bool {
        self.shared.left.load(Ordering::SeqCst) == 0
    }
}

impl Shared {
    // A third of the cuts lie in what the client sends: TLS, login, attach, input. One that sends no more than a login
    // never gets to some of these places; its output does.
    fn draw(&self) -> Cut {
        let mut dice = self.dice.lock().unwrap();
        let (up, down) = match dice.below(3) {
            0 => (dice.below(8 * 1024), 2 * self.mean),
            _ => (u64::MAX, dice.below(2 * self.mean)),
        };
        Cut { up, down, reset: dice.below(2) == 0 }
    }

    // Whether this cut is still to be made.
    fn take(&self) -> bool {
        let take = |left: u64| left.checked_sub(1);
        self.armed.load(Ordering::SeqCst) && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }
}

async fn pass(shared: Arc<Shared>, mut client: TcpStream, target: String) {
    let Ok(mut server) = TcpStream::connect(&target).await else { return };
    let cut = shared.draw();
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let was_cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            cut = copy(&shared, from_client, to_server, cut.up) => cut,
            cut = copy(&shared, from_server, to_client, cut.down) => cut,
        }
    };
    if was_cut && cut.reset {
        for stream in [&client, &server] {
            rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
        }
        shared.resets.fetch_add(1, Ordering::SeqCst);
    }
    shared.done.fetch_add(was_cut.into(), Ordering::SeqCst);
}

// Copies until either end closes or the cut's place is reached; whether it was.
async fn copy(shared: &Shared, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, cut: u64) -> bool {
    let mut passed = 0;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return false };
        let mut rest = &buffer[..read];
        if passed + read as u64 > cut && shared.armed.load(Ordering::SeqCst) {
            // A connection from before the proxy was armed is cut at its next piece.
            let before = cut.saturating_sub(passed).min(read as u64) as usize;
            let first;
            (first, rest) = rest.split_at(before);
            let _ = to.write_all(first).await;
            if shared.take() {
                return true;
            }
        }
        if to.write_all(rest).await.is_err() {
            return false;
        }
        passed += read as u64;
    }
}
