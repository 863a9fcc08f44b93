//! What limn and the holder say to each other, and how: messages with descriptors beside them.
//!
//! Each message is a packet of its own on a socket pair, so none is ever read by halves. What may
//! be large, a plan or a command with its environment, is written into memory that only has a
//! descriptor, and that is sent.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// No message is longer.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// No message brings more descriptors.
const DESCRIPTORS_MAX: usize = 4;
/// The kernel takes no command that is longer.
const LARGE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A command, as the holder is asked to start it. With it go the end of a socket for its reports
/// and the end of a pipe that closes when its program has begun.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) argv: Vec<OsString>,
    pub(crate) cwd: OsString,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) columns: u16,
    pub(crate) rows: u16,
}

/// The holder's first message.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Greeting {
    /// It is confined and takes commands. Its own process descriptor comes along, and the
    /// listener of the proxy if one was asked for.
    Ready(Strength),
    /// It could not do as it was told, and ends.
    Failed(String),
}

/// What is in force beyond namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Strength {
    /// The version of Landlock that is enforced; 0 is none.
    pub(crate) landlock: i32,
}

/// What limn hears of a command.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// Our end of its terminal and the process descriptor of its keeper come along.
    Started {
        /// The number by which the terminal is known.
        device: u64,
    },
    /// It could not be started.
    Failed(String),
    /// It ended.
    Exited {
        /// How.
        status: ExitStatus,
        /// Whether it left nothing: what it started has ended as well, all of it.
        is_alone: bool,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ExitStatus {
    Code(i32),
    Signal(i32),
}

/// Two ends for messages; they are closed on exec.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends a message with these descriptors.
pub(crate) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(Errno::MSGSIZE.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::MSGSIZE.into());
    }
    rustix::io::retry_on_intr(|| {
        sendmsg(&socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)
    })?;
    Ok(())
}

/// The next message with its descriptors; none when the other end is closed. A socket that does
/// not block says so with [`io::ErrorKind::WouldBlock`].
pub(crate) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = [0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        recvmsg(&socket, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    });
    let count = match received {
        Ok(message) => message.bytes,
        // The other end was closed with something unread in it.
        Err(Errno::CONNRESET) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(sent) = message {
            descriptors.extend(sent);
        }
    }
    match bytes.get(..count) {
        None | Some([]) => Ok(None),
        Some(bytes) => Ok(Some((serde_json::from_slice(bytes)?, descriptors))),
    }
}

/// Writes something large where only a descriptor leads.
pub(crate) fn wrap(what: &impl Serialize) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("limn", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(what)?)?;
    file.rewind()?;
    Ok(file.into())
}

/// Reads it there.
pub(crate) fn unwrap<T: DeserializeOwned>(descriptor: OwnedFd) -> io::Result<T> {
    let mut bytes = Vec::new();
    File::from(descriptor).take(LARGE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}
