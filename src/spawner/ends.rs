//! What lies between a host and its agent, a terminal or three pipes: made before the fork, then one end each. Moves no byte.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};

use crate::agents::Mode;
use crate::base::WinSize;
use crate::sys::fork::set_stdio;
use crate::sys::pty::{self, PtyPair};

/// Both ends; closed by exec.
pub(super) enum Ends {
    /// Both directions.
    Terminal(PtyPair),
    /// One for each standard stream.
    Pipes {
        /// The agent reads it.
        input: (PipeReader, PipeWriter),
        /// The agent writes it.
        output: (PipeReader, PipeWriter),
        /// Its messages for people.
        error: (PipeReader, PipeWriter),
    },
}

impl Ends {
    /// As the mode needs; the agent's end is the account's, so that its programs can open `/dev/stdout` again.
    pub(super) fn open(mode: Mode, size: WinSize, (uid, gid): (u32, u32)) -> io::Result<Self> {
        let give = |fd: BorrowedFd<'_>| pty::give(fd, uid, gid);
        match mode {
            Mode::Terminal => {
                let pair = pty::open(size)?;
                give(pair.terminal.as_fd())?;
                Ok(Self::Terminal(pair))
            }
            Mode::Structured => {
                let (input, output, error) = (io::pipe()?, io::pipe()?, io::pipe()?);
                for end in [input.0.as_fd(), output.1.as_fd(), error.1.as_fd()] {
                    give(end)?;
                }
                Ok(Self::Pipes { input, output, error })
            }
        }
    }

    /// The host's descriptors with the names of the arguments that tell their numbers.
    pub(super) fn of_host(&self) -> Vec<(&'static str, BorrowedFd<'_>)> {
        match self {
            Self::Terminal(pair) => vec![("--pty-fd", pair.master.as_fd())],
            Self::Pipes { input, output, error } => vec![
                ("--stdin-fd", input.1.as_fd()),
                ("--stdout-fd", output.0.as_fd()),
                ("--stderr-fd", error.0.as_fd()),
            ],
        }
    }

    /// In the agent's process, which leads a session of its own: a controlling terminal if there is one, and the standard streams.
    pub(super) fn become_standard(&self) -> io::Result<()> {
        match self {
            Self::Terminal(pair) => {
                pty::control(pair.terminal.as_fd())?;
                set_stdio([pair.terminal.as_fd(); 3])
            }
            Self::Pipes { input, output, error } => set_stdio([input.0.as_fd(), output.1.as_fd(), error.1.as_fd()]),
        }
    }
}
