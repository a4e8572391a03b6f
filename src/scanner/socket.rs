//! Datagrams with descriptors over a `SOCK_SEQPACKET` pair.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use super::wire::{MAX_FILES, MAX_INLINE, MAX_REQUEST};

/// A datagram of this one byte says: the message is in the descriptor. It is no kind of request.
const IN_DESCRIPTOR: u8 = 0xff;

/// What came.
pub type Message = (Vec<u8>, Vec<OwnedFd>);

/// Sends one datagram.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], files: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let raw: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights[..] };
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)
        {
            Err(Errno::EINTR) => {}
            result => return result.map(drop),
        }
    }
}

/// Sends a message of up to [`MAX_REQUEST`] bytes: a long one in a memfd.
pub fn send_long(socket: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), Errno> {
    if bytes.len() <= MAX_INLINE {
        return send(socket, bytes, &[]);
    }
    let mut file = File::from(memfd_create(c"bee-scan-request", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes).map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    send(socket, &[IN_DESCRIPTOR], &[file.as_fd()])
}

/// Receives one datagram; `None` when the other end is closed. What did not fit
/// is an error (`EMSGSIZE`), not a shorter message.
pub fn receive(socket: BorrowedFd<'_>) -> Result<Option<Message>, Errno> {
    let mut buffer = vec![0u8; MAX_INLINE];
    let mut control = nix::cmsg_space!([RawFd; MAX_FILES]);
    let (length, flags, files) = loop {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags) {
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => return Ok(None),
            Err(errno) => return Err(errno),
            Ok(message) => {
                let mut files = Vec::new();
                // A cut control message is refused below, but what came of it must be closed.
                if let Ok(messages) = message.cmsgs() {
                    for part in messages {
                        if let ControlMessageOwned::ScmRights(raw) = part {
                            // SAFETY: the kernel has just made these descriptors for us alone.
                            files.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                        }
                    }
                }
                break (message.bytes, message.flags, files);
            }
        }
    };
    if flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
        return Err(Errno::EMSGSIZE);
    }
    if length == 0 {
        return Ok(None);
    }
    buffer.truncate(length);
    Ok(Some((buffer, files)))
}

/// The message itself, wherever it is. The other side may still write to its
/// memfd, so it is read once and at most [`MAX_REQUEST`] bytes of it.
pub fn unwrap_long((bytes, files): Message) -> Result<Vec<u8>, Errno> {
    if bytes != [IN_DESCRIPTOR] {
        return Ok(bytes);
    }
    let file = File::from(files.into_iter().next().ok_or(Errno::EBADMSG)?);
    let mut bytes = vec![0u8; MAX_REQUEST + 1];
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) => return Err(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)),
        }
    }
    if length > MAX_REQUEST {
        return Err(Errno::EMSGSIZE);
    }
    bytes.truncate(length);
    Ok(bytes)
}
