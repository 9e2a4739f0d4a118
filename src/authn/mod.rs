//! Who is asking: `authorized_keys`, the challenge, signatures. Knows no file, socket or clock, and nothing of what the asker may do.
//!
//! `Challenge` → `Proven` is the only way to an identity; each step consumes the last and no step can be made up:
//!
//! ```compile_fail,E0451
//! # use portcullis::authn::{KeyOptions, Proven};
//! fn forge(account: portcullis::base::AccountName, key: portcullis::base::KeyId) -> Proven {
//!     Proven { account, key, options: KeyOptions::default(), label: String::new(), proof: todo!() }
//! }
//! ```
//!
//! A challenge answers once, whatever the outcome:
//!
//! ```compile_fail,E0382
//! # use portcullis::authn::{Challenge, LoginClaim, VerifyContext};
//! fn twice(challenge: Challenge, claim: &LoginClaim<'_>, context: &VerifyContext<'_>) {
//!     let _ = challenge.verify(claim, context, &[]);
//!     let _ = challenge.verify(claim, context, &[]);
//! }
//! ```
//!
//! The same lines, used once:
//!
//! ```
//! # use portcullis::authn::{Challenge, LoginClaim, VerifyContext};
//! fn once(challenge: Challenge, claim: &LoginClaim<'_>, context: &VerifyContext<'_>) {
//!     let _ = challenge.verify(claim, context, &[]);
//! }
//! ```
#![deny(clippy::indexing_slicing)]

mod authorized_keys;
mod challenge;
mod error;
mod expiry;
mod identity;
mod key;
mod message;
mod options;
mod pattern;
mod proven;
mod signature;
mod source;

#[cfg(test)]
mod against_openssh;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tests;

pub use authorized_keys::{KeyFile, KeyLine, LineProblem, parse_authorized_keys};
pub use challenge::{Challenge, LoginClaim, VerifyContext};
pub use error::{AuthError, REFUSED};
pub use identity::{IdentityError, SignError, SignedLogin, SigningKey, server_proof, sign_login, verify_server_proof};
pub use key::{KeyError, PublicKey};
pub use message::{Message, MessageError, NAMESPACE, SERVER_NAMESPACE, origin};
pub use options::{KeyOptions, OptionError, Role};
pub use pattern::Glob;
pub use proven::{Door, Proven};
pub use source::FromRule;
