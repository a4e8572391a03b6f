//! The self-test: a child does what each sensor must report, before privileges
//! are dropped. A program can load, attach and never run, or read garbage with
//! the wrong BTF; only a record with the right contents proves a sensor.

use std::ffi::CString;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, execve, fork};

use crate::error::{Error, Result};

/// A child that waits to be told to act.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    go: UnixStream,
}

impl Child {
    /// Forks it. It opens this program's own file, executes it with `--version`,
    /// and ends.
    ///
    /// # Errors
    /// When there can be no more processes.
    pub fn fork() -> Result<Self> {
        let (go, mut wait) = UnixStream::pair()?;
        let program = CString::new("/proc/self/exe").map_err(|_| Error::failure("a NUL in a constant"))?;
        let arguments = [c"bee-traced".to_owned(), c"--version".to_owned()];
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        // SAFETY: one thread only at this point of the start, so the child may
        // call what it likes; it allocates nothing and ends by exec or _exit.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self { pid: child, go }),
            ForkResult::Child => {
                let mut byte = [0];
                let told = wait.read_exact(&mut byte).is_ok();
                if told {
                    let _opened = std::fs::File::open("/proc/self/exe");
                    for stream in 0..3 {
                        // SAFETY: two descriptors that are open.
                        unsafe { libc::dup2(null.as_raw_fd(), stream) };
                    }
                    let _ = execve(&program, &arguments, &[] as &[CString]);
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
    pub fn act(mut self) -> Result<()> {
        self.go.write_all(&[1])?;
        waitpid(self.pid, None)?;
        Ok(())
    }
}
