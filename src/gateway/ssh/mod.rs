//! The ssh door: the only room that knows russh.

mod detach;
mod lexer;
mod picker;

pub(crate) async fn serve_connection(
    _gateway: crate::gateway::Gateway,
    _stream: crate::gateway::listen::Budgeted<crate::gateway::listen::Socket>,
    _peer: std::net::SocketAddr,
    _permit: crate::gateway::listen::Permit,
) {
}
