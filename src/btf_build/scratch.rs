//! A private directory for the compiler's files, gone when it is dropped. A signal
//! that would end the program is kept until then, so that none stays behind.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::{Error, Result};

/// The directory.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    signals: Vec<SigId>,
    ended: Arc<AtomicBool>,
}

impl Scratch {
    /// Makes it, readable by its owner only (mkdtemp(3)).
    pub(super) fn new() -> Result<Self> {
        let mut scratch = Self { path: PathBuf::new(), signals: Vec::new(), ended: Arc::default() };
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            scratch.signals.push(signal_hook::flag::register(signal, Arc::clone(&scratch.ended))?);
        }
        let template = std::env::temp_dir().join("bee-trace-btf-XXXXXX");
        scratch.path = nix::unistd::mkdtemp(&template)
            .map_err(|error| Error::from(error).context(format!("making {}", template.display())))?;
        Ok(scratch)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails when a signal came that would have ended the program.
    pub(super) fn go_on(&self) -> Result<()> {
        if self.ended.load(Ordering::Relaxed) {
            return Err(Error::failure("ended by a signal; nothing was written"));
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // What cannot be removed lies in a directory for such files, and holds nothing secret.
            let _ = std::fs::remove_dir_all(&self.path);
        }
        for id in self.signals.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_private_and_goes_away() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().to_owned();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(path.join("x"), "x").unwrap();
        scratch.go_on().unwrap();
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGHUP).unwrap();
        assert!(scratch.go_on().is_err());
        drop(scratch);
        assert!(!path.exists());
    }
}
