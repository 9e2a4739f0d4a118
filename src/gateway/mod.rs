//! The network face: TLS, ssh, login, routing, audit. Unprivileged; never binds, forks, opens a PTY or reads an account's home.

mod listen;
