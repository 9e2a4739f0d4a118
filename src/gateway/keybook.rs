//! The accounts' key files as the gateway last saw them; asks the spawner, parses, remembers by stamp. Judges nobody.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::audit::{Entry, Event, Field};
use crate::authn::{KeyLine, parse_authorized_keys};
use crate::base::{AccountName, KEY_FILE, Name, printable};
use crate::gateway::error::SessionError;
use crate::gateway::journal::Journal;
use crate::gateway::spawner_client::Spawner;
use crate::gateway::verbs;
use crate::sys::memfd;
use crate::wire::v1;
use crate::wire::v1::answer::Body as AnswerBody;
use crate::wire::v1::order::Body as OrderBody;

/// The cache; a hold copies an Arc or inserts one.
pub(crate) struct Keybook {
    spawner: Spawner,
    journal: Journal,
    /// What a `command=` may name besides verbs.
    agents: Vec<Name>,
    files: Mutex<HashMap<(AccountName, u32), Known>>,
}

#[derive(Clone)]
struct Known {
    stamp: Bytes,
    lines: Arc<Vec<KeyLine>>,
    /// Why the file is not used; empty when it is.
    problem: String,
    /// It is not there, which is no mistake.
    missing: bool,
}

impl Keybook {
    pub(crate) fn new(spawner: Spawner, agents: Vec<Name>, journal: Journal) -> Self {
        Self { spawner, journal, agents, files: Mutex::new(HashMap::new()) }
    }

    /// The lines of the account's first `count` key files, in order, as they are now.
    pub(crate) async fn lines(&self, account: &AccountName, count: u32) -> Result<Arc<Vec<KeyLine>>, SessionError> {
        let mut all = Vec::new();
        for file in 0..count {
            all.push(self.file(account, file).await?);
        }
        // Most accounts have one file with keys; then nothing is copied.
        all.retain(|lines| !lines.is_empty());
        match all.as_slice() {
            [only] => Ok(Arc::clone(only)),
            several => Ok(Arc::new(several.iter().flat_map(|lines| lines.iter().cloned()).collect())),
        }
    }

    /// Why some of them were not used when they were last asked for, with the cures.
    pub(crate) fn problems(&self, account: &AccountName, count: u32) -> Vec<String> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let known = (0..count).filter_map(|file| files.get(&(account.clone(), file)));
        known.filter(|known| !known.missing && !known.problem.is_empty()).map(|known| known.problem.clone()).collect()
    }

    async fn file(&self, account: &AccountName, file: u32) -> Result<Arc<Vec<KeyLine>>, SessionError> {
        let place = (account.clone(), file);
        let known = self.files.lock().unwrap_or_else(PoisonError::into_inner).get(&place).cloned();
        let stamp = known.as_ref().map(|known| known.stamp.clone()).unwrap_or_default();
        let order = v1::Keys { account: account.to_string(), file, stamp };
        let (answer, descriptors) = self.spawner.order(OrderBody::Keys(order)).await?;
        let AnswerBody::Keys(answer) = answer else { return Err(SessionError::NoSpawner) };
        let before = known.as_ref().map(|known| known.problem.clone()).unwrap_or_default();
        if let Some(known) = known.filter(|_| answer.unchanged) {
            return Ok(known.lines);
        }
        let lines = Arc::new(match descriptors.into_iter().next() {
            Some(descriptor) => self.parse(account, &answer.path, descriptor),
            None => Vec::new(),
        });
        // Most accounts use one of their files: one that is not there is no news. One that stays bad is looked at anew
        // each time, and told of once.
        if !answer.problem.is_empty() && !answer.missing && answer.problem != before {
            self.unused(account, &answer.path, "key-file", 0, &answer.problem);
        }
        let known =
            Known { stamp: answer.stamp, lines: Arc::clone(&lines), problem: answer.problem, missing: answer.missing };
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(place, known);
        Ok(lines)
    }

    fn parse(&self, account: &AccountName, path: &str, descriptor: std::os::fd::OwnedFd) -> Vec<KeyLine> {
        let bytes = match memfd::read_sealed(descriptor.as_fd(), KEY_FILE) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.unused(account, path, "key-file", 0, &error.to_string());
                return Vec::new();
            }
        };
        let file = parse_authorized_keys(&bytes, &|text| {
            verbs::is_forcible(text, &|word| self.agents.iter().any(|agent| agent.as_str() == word))
        });
        for problem in &file.problems {
            self.unused(account, path, "key-line", problem.line, &problem.reason.to_string());
        }
        file.keys
    }

    /// Why keys that somebody listed do not count: a login by one of them is only "unknown key" afterwards.
    fn unused(&self, account: &AccountName, path: &str, reason: &str, line: usize, why: &str) {
        tracing::warn!(%account, path = %printable(path, 300), line, reason = %printable(why, 300), "{reason} not used");
        let entry = Entry::new(Event::Refused)
            .text(Field::Account, account.as_str())
            .text(Field::Reason, reason)
            .text(Field::File, path)
            .number(Field::Line, i64::try_from(line).unwrap_or(i64::MAX))
            .text(Field::Message, why);
        self.journal.note(&entry);
    }
}
