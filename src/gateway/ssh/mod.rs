//! The ssh door: the only room that knows russh.

mod detach;
mod lexer;
mod picker;

pub(crate) async fn serve_connection<S>(_: super::Gateway, _: S, _: std::net::SocketAddr, _: super::listen::Permit) {}
