//! What the scanner is asked, and when. One request that needs an answer at a
//! time is enough: a full scan replaces all others.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::decide::Decide;
use crate::error::{Error, Result};
use crate::scanner::{Reply, Request, Scanner};

/// A change of the mount table settles for this long before it is scanned.
const SETTLE: Duration = Duration::from_secs(2);
/// Full scans that nobody asked for come at most this often.
const APART: Duration = Duration::from_secs(60);
/// A full table is made anew at most this often.
const START_OVER: Duration = Duration::from_secs(3600);
/// More paths than this are replaced by one full scan.
const TREES: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct Scans {
    scanner: Option<Scanner>,
    last_id: u32,
    /// The full scan under way or last done; answers to others are stale.
    current: u32,
    running: bool,
    wanted: Option<Instant>,
    last_scan: Option<Instant>,
    trees: VecDeque<Vec<u8>>,
    tree_running: Option<u32>,
    /// Whether the kernel side learns from a scan at all.
    teaching: bool,
}

impl Scans {
    /// Nothing is asked yet.
    pub fn new(scanner: Option<Scanner>) -> Self {
        Self {
            scanner,
            last_id: 0,
            current: 0,
            running: false,
            wanted: None,
            last_scan: None,
            trees: VecDeque::new(),
            tree_running: None,
            teaching: true,
        }
    }

    /// The kernel side knows no identities: nothing is scanned. The scanner still opens the
    /// configuration.
    pub fn stop_teaching(&mut self) {
        self.teaching = false;
    }

    /// Where answers come from.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.scanner.as_ref().map(Scanner::fd)
    }

    /// The next answer.
    ///
    /// # Errors
    /// When the scanner has ended.
    pub fn read(&self) -> Result<Option<Reply>> {
        self.scanner.as_ref().map_or(Ok(None), Scanner::read_reply)
    }

    /// The scanner is gone.
    pub fn ended(&mut self) {
        self.scanner = None;
    }

    /// Whether an answer belongs to the full scan in force.
    pub fn is_current(&self, id: u32) -> bool {
        id == self.current
    }

    /// A request is done. True when it was the full scan in force.
    pub fn done(&mut self, id: u32) -> bool {
        if self.tree_running == Some(id) {
            self.tree_running = None;
        }
        let full = id == self.current && self.running;
        if full {
            self.running = false;
        }
        full
    }

    /// A request came to nothing: it failed, or a newer scan took its place.
    /// Names go on being checked wherever it did not get.
    pub fn given_up(&mut self, id: u32) {
        self.done(id);
    }

    /// Whether the scanner has been wherever it was sent.
    pub fn is_idle(&self) -> bool {
        !self.running && self.tree_running.is_none() && self.trees.is_empty() && self.wanted.is_none()
    }

    /// Have this path taught again.
    pub fn tree(&mut self, path: Vec<u8>) {
        if !self.teaching {
            return;
        }
        if self.trees.len() >= TREES {
            // Not at once: where so much is renamed the next scan would end the same way.
            // Names are checked until it is done.
            self.trees.clear();
            self.want(Instant::now());
            return;
        }
        self.trees.push_back(path);
    }

    /// A full scan soon.
    pub fn want(&mut self, now: Instant) {
        if !self.teaching {
            return;
        }
        let earliest = self.last_scan.map_or(now, |last| last + APART);
        let when = (now + SETTLE).max(earliest);
        self.wanted = Some(self.wanted.map_or(when, |set| set.min(when)));
    }

    /// A full scan at once: the lists changed.
    pub fn start_over(&mut self) {
        if !self.teaching {
            return;
        }
        self.trees.clear();
        self.tree_running = None;
        self.wanted = Some(Instant::now());
    }

    /// Whether the table may be made anew now.
    pub fn may_start_over(&self, now: Instant) -> bool {
        !self.running && self.last_scan.is_some_and(|last| now >= last + START_OVER)
    }

    /// When there is something to do.
    pub fn due(&self) -> Option<Instant> {
        self.scanner.as_ref().and(self.wanted)
    }

    /// Sends what is due.
    pub fn work(&mut self, now: Instant, config: &Config) {
        let Some(scanner) = &self.scanner else { return };
        if self.wanted.is_some_and(|when| when <= now) {
            let request = Request::Scan {
                id: self.last_id + 1,
                watch: Decide::texts(&config.file.watch),
                watch_write: Decide::texts(&config.file.watch_write),
                ignore: Decide::texts(&config.file.ignore),
                skip: config.file.scan_skip.clone(),
            };
            match scanner.request(&request) {
                Ok(true) => {
                    self.last_id += 1;
                    self.current = self.last_id;
                    self.running = true;
                    self.wanted = None;
                    self.last_scan = Some(now);
                }
                // Its queue is full: once more when it has answered.
                Ok(false) => {}
                Err(error) => tracing::error!("{error}"),
            }
        } else if self.tree_running.is_none() {
            let Some(path) = self.trees.pop_front() else { return };
            let id = self.last_id + 1;
            let request =
                Request::Tree { id, path: PathBuf::from(std::ffi::OsString::from_vec(path.clone())) };
            match scanner.request(&request) {
                Ok(true) => {
                    self.last_id = id;
                    self.tree_running = Some(id);
                }
                Ok(false) => self.trees.push_front(path),
                Err(error) => tracing::error!("{error}"),
            }
        }
    }

    /// Asks for the configuration files; gives the number the answer will have.
    ///
    /// # Errors
    /// When there is nobody to ask.
    pub fn ask_for_config(&mut self) -> Result<u32> {
        let Some(scanner) = &self.scanner else {
            return Err(Error::failure("the scanner, which opens the configuration, has ended"));
        };
        self.last_id += 1;
        if scanner.request(&Request::Config { id: self.last_id })? {
            Ok(self.last_id)
        } else {
            Err(Error::failure("the scanner is too busy; try again"))
        }
    }
}
