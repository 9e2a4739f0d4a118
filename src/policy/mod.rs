//! What somebody proven may do: a Grant or a Denial, never an act. Knows no session, only names.
//!
//! A Grant is made from a [`Proven`](crate::authn::Proven) alone, which it consumes:
//!
//! ```compile_fail,E0382
//! # use portcullis::{authn::Proven, policy::{AccountPolicy, Grant}};
//! fn twice(proven: Proven, account: &AccountPolicy) {
//!     let _ = Grant::admit(proven, account);
//!     let _ = Grant::admit(proven, account);
//! }
//! ```
//!
//! ```compile_fail,E0451
//! # use portcullis::{authn::Proven, policy::{AccountPolicy, Grant}};
//! fn forge(proven: Proven, policy: AccountPolicy) -> Grant {
//!     Grant { proven, policy }
//! }
//! ```
//!
//! The same, allowed:
//!
//! ```
//! # use portcullis::{authn::Proven, policy::{AccountPolicy, Grant}};
//! fn once(proven: Proven, account: &AccountPolicy) {
//!     let _ = Grant::admit(proven, account);
//! }
//! ```

mod denial;
mod grant;

pub use denial::Denial;
pub use grant::{AccountPolicy, Grant, Revoked, Subject, Verb};

#[cfg(test)]
mod tests;
