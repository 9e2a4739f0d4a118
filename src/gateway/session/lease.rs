//! Who writes to a bare program: one client at a time, until it leaves. Knows no host and no door.

use crate::base::WriterId;
use crate::gateway::authority::LiveGrant;
use crate::gateway::error::SessionError;

/// The input of one session.
#[derive(Default)]
pub(super) struct Lease(Option<Holder>);

struct Holder {
    /// The same after a reconnect: whoever comes back may go on.
    writer: WriterId,
    login: LiveGrant,
}

impl Lease {
    /// It is this writer's; true when it was nobody's before.
    ///
    /// # Errors
    /// Somebody else holds it.
    pub(super) fn take(&mut self, writer: WriterId, login: &LiveGrant, session: &str) -> Result<bool, SessionError> {
        match &mut self.0 {
            Some(holder) if holder.writer == writer => {
                holder.login = login.clone();
                Ok(false)
            }
            Some(holder) => Err(holder.refusal(session)),
            None => {
                self.0 = Some(Holder { writer, login: login.clone() });
                Ok(true)
            }
        }
    }

    /// Whether this client may say something between the bytes.
    ///
    /// # Errors
    /// Somebody else holds the input.
    pub(super) fn allows(&self, login: &LiveGrant, session: &str) -> Result<(), SessionError> {
        match &self.0 {
            Some(holder) if !holder.login.is(login) => Err(holder.refusal(session)),
            _ => Ok(()),
        }
    }

    /// This writer writes no more.
    pub(super) fn release(&mut self, writer: WriterId) {
        self.0.take_if(|holder| holder.writer == writer);
    }
}

impl Holder {
    fn refusal(&self, session: &str) -> SessionError {
        SessionError::InputHeld { session: session.to_owned(), who: self.login.who().to_owned() }
    }
}
