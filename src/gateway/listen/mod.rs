//! stub
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub(crate) struct TlsError;
pub(crate) fn start(_: &super::Gateway, _: std::net::TcpListener, _: std::net::TcpListener, _: &[u8], _: &[u8]) -> Result<(), TlsError> { Ok(()) }
