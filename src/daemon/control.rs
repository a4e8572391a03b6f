//! The daemon's side of the control socket: carries out what clients ask for.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Daemon;
use super::rate::Rate;
use super::status::delivered;
use crate::config::{self, Config, InForce};
use crate::control::filter::Filter;
use crate::control::protocol::{Answer, Change, Reload, Request, Why};
use crate::control::{Asked, Server};
use crate::error::{Error, ExitStatus};
use crate::log;
use crate::shared::Counters;

/// An error of a configuration is told up to this many bytes; a packet has no room for more.
const MAX_ERROR: usize = 40 * 1024;

/// What the daemon remembers for those who ask.
pub(super) struct Hands {
    pub server: Option<Server>,
    /// Requests to the scanner for the configuration, and who waits for what comes of it.
    asked: Vec<(u32, Option<u64>)>,
    pub reloads: u64,
    pub last_reload: Option<Reload>,
    /// The configuration file, as the scanner names it.
    pub file: PathBuf,
    pub sources: config::Sources,
    pub in_force: InForce,
    /// The most bytes that waited in each ring.
    pub highest: [u64; 2],
    pub rate: Rate,
    /// Losses told so far, and when the last, nanoseconds since 1970.
    pub lost: u64,
    pub last_loss: Option<u64>,
    /// Sensors that are switched on and do not run, with the reason.
    pub absent: Vec<(&'static str, String)>,
}

impl Hands {
    pub fn new(
        server: Option<Server>,
        file: PathBuf,
        sources: config::Sources,
        config: &Config,
        absent: Vec<(&'static str, String)>,
        stages: &Counters,
    ) -> Self {
        Self {
            server,
            asked: Vec::new(),
            reloads: 0,
            last_reload: None,
            file,
            sources,
            in_force: InForce::new(config),
            highest: [0; 2],
            rate: Rate::new(Instant::now(), delivered(stages)),
            lost: 0,
            last_loss: None,
            absent,
        }
    }

    pub fn due(&self) -> Option<Instant> {
        self.server.as_ref().and_then(Server::due)
    }

    fn reply(&mut self, token: u64, answer: &Answer) {
        if let Some(server) = &mut self.server {
            server.reply(token, answer);
        }
    }

    /// The configuration was asked for.
    pub fn expect(&mut self, id: u32, token: Option<u64>) {
        self.asked.push((id, token));
    }

    /// Whether `id` was a request for the configuration.
    pub fn expects(&self, id: u32) -> bool {
        self.asked.iter().any(|(asked, _)| *asked == id)
    }

    /// A reload is done: whoever asked for it is told.
    pub fn reloaded(&mut self, id: u32, outcome: Reload) {
        self.reloads += 1;
        self.last_reload = Some(outcome.clone());
        let answer = Answer::Reload(outcome);
        let (done, asked) = std::mem::take(&mut self.asked).into_iter().partition(|(asked, _)| *asked == id);
        self.asked = asked;
        let done: Vec<(u32, Option<u64>)> = done;
        for token in done.into_iter().filter_map(|(_, token)| token) {
            self.reply(token, &answer);
        }
    }

    /// No reload that was asked for will come.
    pub fn abandon(&mut self, outcome: Reload) {
        while let Some((id, _)) = self.asked.first().copied() {
            self.reloaded(id, outcome.clone());
        }
    }
}

impl Daemon<'_> {
    /// Something happened on the control socket.
    pub(super) fn serve(&mut self, now: Instant) {
        let asked = self.hands.server.as_mut().map(|server| server.turn(now)).unwrap_or_default();
        for Asked { token, peer, request } in asked {
            tracing::debug!(
                pid = peer.pid,
                uid = peer.uid,
                "{} is asked for on the control socket",
                request.name()
            );
            match request {
                Request::Status {} => {
                    // What waits is counted where it comes to, not as waiting.
                    self.drain();
                    // Whoever watches has what the numbers speak of before they are told.
                    self.feed_watchers();
                    let status = self.status(now);
                    self.hands.reply(token, &Answer::Status(Box::new(status)));
                }
                Request::Watch(watch) => match Filter::new(&watch) {
                    Ok(filter) => {
                        if let Some(server) = &mut self.hands.server {
                            server.watch(token, filter, watch.format);
                        }
                    }
                    Err(why) => self.hands.reply(token, &Answer::refused(Why::BadRequest, why)),
                },
                Request::Reload {} => match self.scans.ask_for_config() {
                    Ok(id) => self.hands.expect(id, Some(token)),
                    Err(error) => self.hands.reply(token, &Answer::Reload(self.refused_reload(&error))),
                },
                Request::Debug { on } => {
                    let level = log::set_debug(on);
                    tracing::info!("the log level is {level} now");
                    self.hands.reply(token, &Answer::Debug { level });
                }
            }
        }
    }

    /// Sends those who watch what this turn of the loop has brought.
    pub(super) fn feed_watchers(&mut self) {
        if let Some(server) = &mut self.hands.server {
            server.flush();
        }
    }

    /// A reload that came to nothing.
    pub(super) fn refused_reload(&self, error: &Error) -> Reload {
        let mut text = error.to_string();
        if text.len() > MAX_ERROR {
            text.truncate((0..=MAX_ERROR).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
            text.push_str("\n…");
        }
        Reload {
            time: self.seconds_now(),
            error: Some(text),
            wrong_config: error.status == ExitStatus::Config,
            restart: self.waiting_settings(),
            ..Reload::default()
        }
    }

    /// A reload that went well.
    pub(super) fn done_reload(&self, old: &Config, rescan: bool) -> Reload {
        let change = |one: config::Difference| Change {
            key: one.key.to_owned(),
            from: one.from,
            to: one.to,
            restart: one.restart,
        };
        Reload {
            time: self.seconds_now(),
            changed: config::differences(old, &self.config).into_iter().map(change).collect(),
            rescan,
            restart: self.waiting_settings(),
            ..Reload::default()
        }
    }

    /// Settings that are written and not in force.
    pub(super) fn waiting_settings(&self) -> Vec<String> {
        self.hands.in_force.waiting(&self.config).into_iter().map(str::to_owned).collect()
    }

    /// Seconds since 1970.
    pub(super) fn seconds_now(&self) -> u64 {
        let now = crate::sys::Clock::boot_now().unwrap_or(0);
        Duration::from_nanos(self.pipeline.enrich.clock.wall(now)).as_secs()
    }
}
