//! What the scanner is sent for and what it says.

use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant};

use super::{Daemon, build, reload};
use crate::error::Error;
use crate::scanner::{Answer, Coverage};

/// A daemon whose scanner ends when it is younger goes on without: else one that cannot live would
/// have the service manager start both again without end.
const YOUNG: Duration = Duration::from_secs(60);

impl Daemon<'_> {
    /// Sends the scanner where it has to go. A directory that is moved while it
    /// walks can pass from what it has yet to see to what it has seen: until it is
    /// done every rename is told, and led after.
    pub(crate) fn scan(&mut self, now: Instant) {
        self.watch_renames();
        self.scans.work(now, &self.config);
        self.settle_names();
    }

    pub(super) fn watch_renames(&self) {
        let every = self.policies.every_directory() || !self.scans.is_idle();
        self.settings.set_every_directory(every.into());
    }

    pub(super) fn enforce(&mut self) {
        match self.policies.enforce(&self.config) {
            Ok(()) => {
                self.filesystems.forget();
                self.scans.start_over();
            }
            Err(error) => tracing::error!("{error}; the watch lists stay as they were"),
        }
    }

    pub(super) fn hear_scanner(&mut self) {
        loop {
            let reply = match self.scans.read() {
                Ok(Some(reply)) => reply,
                Ok(None) => return,
                Err(error) => {
                    tracing::error!("{error}; files are recognised by their names alone from now on");
                    if let Some(fd) = self.scans.fd() {
                        self.waiter.remove(fd);
                    }
                    self.scans.ended();
                    self.settings.set_names_everywhere(1);
                    let outcome = self.refused_reload(&error);
                    self.hands.abandon(outcome);
                    if self.stored.is_some() && self.started.elapsed() >= YOUNG {
                        self.ending = Some(Error::failure(
                            "a scanner can only be made with privileges: this daemon ends, so that the service \
                             manager starts one that takes over what runs and has a scanner",
                        ));
                    }
                    return;
                }
            };
            match reply.answer {
                Answer::Config { id, ref paths } => {
                    let documents = reload::documents(&self.hands.file, paths, reply.files);
                    let outcome =
                        self.reload(documents.and_then(|documents| build(&documents, &self.overrides)));
                    self.hands.reloaded(id, outcome);
                }
                Answer::Failed { id, why } if self.hands.expects(id) => {
                    let error = Error::failure(why);
                    self.note_problem(&format!("reload: {error}; the configuration stays as it was"));
                    let outcome = self.refused_reload(&error);
                    self.hands.reloaded(id, outcome);
                }
                Answer::Failed { id, why } => {
                    tracing::warn!("scanner: {why}");
                    self.scans.given_up(id);
                }
                Answer::Superseded { id } => self.scans.given_up(id),
                Answer::Mount { id, point, coverage, why } if self.scans.is_current(id) => {
                    tracing::debug!(?point, ?coverage, why, "file system scanned");
                    if coverage == Coverage::Complete {
                        // Its mark was submitted before this was said.
                        self.drain();
                        let point = point.as_os_str().as_bytes();
                        if self.filesystems.complete(point) {
                            self.settings.set_scanned(self.filesystems.list(), self.filesystems.usual());
                        }
                    }
                }
                Answer::Done { id, summary } => {
                    tracing::debug!(?summary, "scan done");
                    if self.scans.done(id) {
                        self.policies.learned();
                    }
                    self.watch_renames();
                }
                Answer::Mount { .. } | Answer::Ready => {}
            }
        }
    }

    /// Ends the name checks that a rename or link began, when the scanner has
    /// been wherever one led. While the kernel side's word is cleared ours
    /// hold, so that no rename falls between.
    fn settle_names(&mut self) {
        if !self.state.names_everywhere() || !self.scans.is_idle() {
            return;
        }
        self.settings.set_names_everywhere(1);
        self.settings.set_every_directory(1);
        self.state.clear_names_everywhere();
        self.drain();
        if self.scans.is_idle() {
            self.settings.set_names_everywhere(0);
        } else {
            self.scan(Instant::now());
        }
    }
}
