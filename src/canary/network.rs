//! What the canary does with sockets: it speaks to itself.

use std::io::Result;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd};

/// Listens, connects, accepts, sends a datagram, and makes a socket that is neither TCP nor UDP (which
/// may be refused). Gives the port all but the last was done through: it leaves the interface `lo`
/// for nowhere.
pub(super) fn acts() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let _connected = TcpStream::connect(address)?;
    let _accepted = listener.accept()?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.send_to(&[0], address)?;
    // SAFETY: three numbers; see socket(2).
    let raw = unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::IPPROTO_ICMP) };
    if raw >= 0 {
        // SAFETY: the kernel has just given this descriptor to us alone.
        drop(unsafe { OwnedFd::from_raw_fd(raw) });
    }
    Ok(address.port())
}
