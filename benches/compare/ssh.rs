//! The ssh client of both sides: the same library, the same settings. Does not know who answers.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use russh::client::{self, Config, Handle, Handler, Msg};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg};

/// Loopback to a server that this program started itself: whoever answers is right.
pub(crate) struct Anybody;

impl Handler for Anybody {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

/// A logged-in connection.
pub(crate) struct Connection(Handle<Anybody>);

/// One channel with a program at its other end.
pub(crate) struct SshLine {
    channel: Channel<Msg>,
    /// The connection lives as long as its channel.
    _connection: Option<Connection>,
}

impl Connection {
    pub(crate) async fn login(address: &str, user: &str, key: &Path) -> Result<Self> {
        let config = Config { nodelay: true, ..Config::default() };
        let mut handle = client::connect(Arc::new(config), address, Anybody).await.context("connect")?;
        let key = PrivateKey::read_openssh_file(key)?;
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
        if !handle.authenticate_publickey(user, key).await?.success() {
            bail!("{address} refused the key of {user}");
        }
        Ok(Self(handle))
    }

    /// A command, with a terminal of this size or without one.
    pub(crate) async fn exec(&self, command: &str, size: Option<(u32, u32)>) -> Result<SshLine> {
        let channel = self.0.channel_open_session().await.context("channel")?;
        if let Some((cols, rows)) = size {
            channel.request_pty(false, "xterm-256color", cols, rows, 0, 0, &[]).await?;
        }
        channel.exec(false, command).await?;
        Ok(SshLine { channel, _connection: None })
    }

    /// The same; the connection ends with the channel.
    pub(crate) async fn only(self, command: &str, size: Option<(u32, u32)>) -> Result<SshLine> {
        let line = self.exec(command, size).await?;
        Ok(SshLine { _connection: Some(self), ..line })
    }
}

impl SshLine {
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.channel.data_bytes(Bytes::copy_from_slice(bytes)).await?)
    }

    pub(crate) async fn receive(&mut self) -> Result<Bytes> {
        loop {
            match self.channel.wait().await {
                Some(ChannelMsg::Data { data }) => return Ok(data),
                Some(ChannelMsg::ExtendedData { data, .. }) => bail!("stderr: {}", String::from_utf8_lossy(&data)),
                Some(ChannelMsg::ExitStatus { exit_status }) => bail!("ended with status {exit_status}"),
                Some(_) => {}
                None => bail!("the connection ended"),
            }
        }
    }

    /// Ends the channel: a connection has only so many. The library tells nobody of the other side's answer.
    pub(crate) async fn close(self) -> Result<()> {
        Ok(self.channel.close().await?)
    }
}
