//! The spawner through its real parts: a forked one, real accounts, a shell script for the host.

mod keys;
mod launch;
mod life;
mod refusals;
mod rig;
