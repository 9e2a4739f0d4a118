//! What a reload changes: the certificate at once, everything else by a new gateway. Knows no door.

use std::os::fd::{AsFd, OwnedFd};

use tokio::sync::watch;

use super::error::SessionError;
use super::listen::Tls;
use super::spawner_client::Spawner;
use crate::audit::{Entry, Event, Field};
use crate::gateway::journal::Journal;
use crate::sys::memfd;
use crate::wire::v1;
use crate::wire::v1::answer::Body as AnswerBody;
use crate::wire::v1::order::Body as OrderBody;

/// The gateway's settings as JSON: some hundred accounts.
pub(super) const SETTINGS_MOST: usize = 4 << 20;
/// A certificate chain or a key, PEM.
pub(super) const PEM_MOST: usize = 1 << 20;

/// See the module.
pub(crate) struct Reloader {
    pub(super) spawner: Spawner,
    pub(super) journal: Journal,
    pub(super) tls: Tls,
    /// As the spawner gave them at the start.
    pub(super) settings: Vec<u8>,
    /// Set when this gateway has to make room for one with other settings.
    pub(super) outdated: watch::Sender<bool>,
}

/// What a reload did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reloaded {
    /// New handshakes get the new certificate; nothing else changed.
    Certificate,
    /// Settings changed: the next gateway takes over. Sessions live on, clients come back.
    Gateway,
}

impl Reloader {
    /// Has the spawner read everything anew, and takes what it brings.
    pub(crate) async fn reload(&self) -> Result<Reloaded, SessionError> {
        self.journal.append(&Entry::new(Event::Admin).text(Field::Act, "reload"))?;
        let refused = |message: String| SessionError::Refused { code: "not-reloaded", message };
        let (names, descriptors) = match self.spawner.order(OrderBody::Reload(v1::Reload {})).await? {
            (AnswerBody::Hello(hello), descriptors) => (hello.descriptors, descriptors),
            (AnswerBody::Done(done), _) => return Err(refused(done.message)),
            _ => return Err(SessionError::NoSpawner),
        };
        let given: Vec<(String, OwnedFd)> = names.into_iter().zip(descriptors).collect();
        let read = |name: &str, most: usize| -> Result<Option<Vec<u8>>, SessionError> {
            let Some((_, file)) = given.iter().find(|(known, _)| known == name) else { return Ok(None) };
            memfd::read_sealed(file.as_fd(), most).map(Some).map_err(|error| refused(format!("{name}: {error}")))
        };
        if let (Some(certificate), Some(key)) = (read("tls-cert", PEM_MOST)?, read("tls-key", PEM_MOST)?) {
            self.tls.replace(&certificate, &key).map_err(|error| refused(error.to_string()))?;
        }
        match read("config", SETTINGS_MOST)? {
            Some(settings) if settings != self.settings => {
                self.outdated.send_replace(true);
                Ok(Reloaded::Gateway)
            }
            _ => Ok(Reloaded::Certificate),
        }
    }

    /// Resolves when a gateway with other settings has to take over.
    pub(super) async fn outdated(&self) {
        let mut outdated = self.outdated.subscribe();
        // The sender lives in this very value.
        let _ = outdated.wait_for(|outdated| *outdated).await;
    }
}
