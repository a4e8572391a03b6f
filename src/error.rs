//! One error type per stage and the exit status each leads to.

use std::fmt;

/// How the programs end; documented in `docs/operations.md` and the man pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// All went well.
    Ok = 0,
    /// Something failed.
    Failure = 1,
    /// The command line is wrong (sysexits.h `EX_USAGE`).
    Usage = 64,
    /// The kernel offers nothing usable (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// Not permitted (`EX_NOPERM`).
    NotPermitted = 77,
    /// The configuration is wrong (`EX_CONFIG`).
    Config = 78,
}

impl From<ExitStatus> for std::process::ExitCode {
    fn from(status: ExitStatus) -> Self {
        (status as u8).into()
    }
}

/// What failed, in words a user can act on.
#[derive(Debug)]
pub struct Error {
    /// What the program ends with if nobody handles this.
    pub status: ExitStatus,
    message: String,
}

impl Error {
    /// An error that ends the program with `status`.
    pub fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
    /// A plain failure (exit status 1).
    pub fn failure(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Failure, message)
    }
    /// Puts what was being done in front: `<step>: <message>`.
    pub fn context(mut self, step: impl fmt::Display) -> Self {
        self.message = format!("{step}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::failure(error.to_string())
    }
}

impl From<nix::Error> for Error {
    fn from(error: nix::Error) -> Self {
        Self::failure(error.desc())
    }
}

impl From<libbpf_rs::Error> for Error {
    fn from(error: libbpf_rs::Error) -> Self {
        Self::failure(error.to_string())
    }
}

/// The result of everything that can fail in words.
pub type Result<T> = std::result::Result<T, Error>;
