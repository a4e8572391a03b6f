//! The self-test: a child does what each sensor must report, before privileges
//! are dropped. A program can load, attach and never run, or read garbage with
//! the wrong BTF; only a record with the right contents proves a sensor.

use std::ffi::CString;
use std::fs;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::ptrace;
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, execve, fork, getppid};

use crate::error::{Error, Result};

mod known;
mod network;

pub use known::Known;

/// What it opens and executes, as it names it.
pub const FILE: &[u8] = b"/proc/self/exe";

/// What it executes that with, as the kernel has it.
const ARGUMENTS: &[u8] = b"bee-traced\0--version\0";

/// It opens this below /proc/self: a file on another file system than most, so that its
/// path leads through a mount point.
const ELSEWHERE: &str = "status";

/// Nobody may open this for writing, whatever the capabilities: mode 0444 is final in
/// proc_sys_permission() (fs/proc/proc_sysctl.c).
const REFUSED: &str = "/proc/sys/kernel/osrelease";

/// What its directory for acts on names begins with.
const SCRATCH_NAME: &str = ".bee-canary-";

/// Where it makes files of its own: memory, and writable under systemd's ProtectSystem=strict.
const SCRATCH: &[&str] = &["/dev/shm", "/tmp"];

/// What the canary can be asked to show of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: it does no such act.
    None,
    /// It acts so wherever it runs: begins, opens, is refused an open, executes, ends.
    Always,
    /// It acts so where it finds a directory to make files in.
    Named,
    /// It acts so where it may speak to itself.
    Network,
}

/// What a canary did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acted {
    /// It had a directory for acts on names.
    pub named: bool,
    /// The port it spoke to itself through; 0: it could not.
    pub port: u16,
}

impl Acted {
    /// Whether a hook with this proof must have reported something.
    pub fn shows(self, proof: Proof) -> bool {
        match proof {
            Proof::None => false,
            Proof::Always => true,
            Proof::Named => self.named,
            Proof::Network => self.port != 0,
        }
    }
}

/// A child that waits to be told to act.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    go: UnixStream,
}

impl Child {
    /// Forks it. It opens this program's own file and one of procfs, is refused another, makes, changes
    /// and removes a file of its own, speaks to itself through sockets, executes this program with `--version`, and ends.
    ///
    /// # Errors
    /// When there can be no more processes.
    pub fn fork() -> Result<Self> {
        let (go, mut parent) = UnixStream::pair()?;
        let program = CString::new(FILE).map_err(|_| Error::failure("a NUL in a constant"))?;
        let arguments = [c"bee-traced".to_owned(), c"--version".to_owned()];
        // A program that is measured leaves what it measured in a new file: not this one.
        let environment = [c"LLVM_PROFILE_FILE=/dev/null".to_owned()];
        let environment = if cfg!(coverage) { environment.as_slice() } else { &[] };
        let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        // SAFETY: one thread only at this point of the start, so the child may
        // call what it likes; it ends by exec or _exit.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self { pid: child, go }),
            ForkResult::Child => {
                if parent.read_exact(&mut [0]).is_ok() {
                    let _opened = fs::File::open("/proc/self/exe");
                    let _elsewhere = fs::File::open(Path::new("/proc/self").join(ELSEWHERE));
                    let _refused = fs::OpenOptions::new().write(true).open(REFUSED);
                    reach_for(getppid());
                    let named = SCRATCH.iter().any(|place| name_acts(Path::new(place)).is_ok());
                    let [high, low] = network::acts().unwrap_or(0).to_be_bytes();
                    let _ = parent.write_all(&[u8::from(named), high, low]);
                    for stream in 0..3 {
                        // SAFETY: two descriptors that are open.
                        unsafe { libc::dup2(null.as_raw_fd(), stream) };
                    }
                    let _ = execve(&program, &arguments, environment);
                }
                // SAFETY: ends the child without running the parent's destructors.
                unsafe { libc::_exit(1) }
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }
    /// Lets it act and waits for its end.
    ///
    /// # Errors
    /// When it cannot be told or waited for.
    pub fn act(mut self) -> Result<Acted> {
        let mut said = [0; 3];
        self.go.write_all(&[1])?;
        // Nothing comes from a child that died before; it then did no such act.
        let told = self.go.read_exact(&mut said).is_ok();
        waitpid(self.pid, None)?;
        let [named, high, low] = if told { said } else { [0; 3] };
        Ok(Acted { named: named == 1, port: u16::from_be_bytes([high, low]) })
    }
}

/// The files of the target's directory in /proc that it opens.
const REACHED: [&str; 6] = ["maps", "smaps", "smaps_rollup", "numa_maps", "environ", "mem"];

/// linux/bpf.h, `enum bpf_cmd`.
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;

/// What the memory sensor must report, once each, with the process `target`. Whether it is allowed
/// makes no difference: a refusal is reported too. The end of this process undoes all of it.
fn reach_for(target: Pid) {
    for name in REACHED {
        let _opened = fs::File::open(format!("/proc/{target}/{name}"));
    }
    // Nothing is moved: an address of nobody's.
    let nothing = [RemoteIoVec { base: 0, len: 1 }];
    let _ = process_vm_readv(target, &mut [IoSliceMut::new(&mut [0])], &nothing);
    let _ = process_vm_writev(target, &[IoSlice::new(&[0])], &nothing);
    // It neither stops the target nor outlives who asks.
    let _ = ptrace::seize(target, ptrace::Options::empty());
    // SAFETY: system calls with numbers; a descriptor that comes of them is closed by the exec below
    // (pidfd_open, pidfd_getfd: close-on-exec) or by the end of the process.
    unsafe {
        let descriptor = libc::syscall(libc::SYS_pidfd_open, target.as_raw(), 0);
        libc::syscall(libc::SYS_pidfd_getfd, descriptor, 0, 0);
        // And what the kernel sensor must: an io_uring that cannot be, with no entries, an eBPF
        // program with a number none has, and a signal that changes nothing for one that runs.
        libc::syscall(libc::SYS_io_uring_setup, 0, std::ptr::null::<u8>());
        let attributes = [u32::MAX, 0, 0, 0];
        libc::syscall(libc::SYS_bpf, BPF_PROG_GET_FD_BY_ID, attributes.as_ptr(), size_of_val(&attributes));
        libc::kill(target.as_raw(), libc::SIGCONT);
    }
}

/// Each act on names once, in a directory made for it below `place`.
fn name_acts(place: &Path) -> std::io::Result<()> {
    let directory = place.join(format!("{SCRATCH_NAME}{}", std::process::id()));
    fs::create_dir(&directory)?;
    let acts = || -> std::io::Result<()> {
        let [one, two, three] = ["one", "two", "three"].map(|name| directory.join(name));
        mknod(&one, SFlag::S_IFREG, Mode::S_IRUSR | Mode::S_IWUSR, 0)?;
        nix::unistd::truncate(&one, 0)?;
        chown(&one, None, Some(nix::unistd::getegid().as_raw()))?;
        fs::set_permissions(&one, fs::Permissions::from_mode(0o400))?;
        fs::hard_link(&one, &two)?;
        symlink(&one, &three)?;
        fs::rename(&three, &two)?;
        fs::remove_file(&two)?;
        fs::remove_file(&one)
    };
    let done = acts();
    for name in ["one", "two", "three"] {
        if done.is_err() {
            let _ = fs::remove_file(directory.join(name));
        }
    }
    fs::remove_dir(&directory)?;
    done
}
