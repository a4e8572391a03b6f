//! exec, fork and exit: the process table first, then the event.

use super::{Fate, Pipeline, frame};
use crate::enrich::process::Image;
use crate::enrich::seen;
use crate::event::{self, Action, Exec, Flags, Severity, Text};
use crate::wire::bee_header;
use crate::{canary, decide, decode};

impl Pipeline {
    pub(super) fn fork(&mut self, header: &bee_header, sibling: bool, sequence: u64) -> Fate {
        let mut child = seen(header);
        if sibling {
            child.parent = self.enrich.processes.parent_of(header.ppid);
        }
        self.enrich.processes.forked(child, header.ppid);
        self.canary.hears(header, true);
        self.process(header, Action::Fork, event::Body::Fork, sequence)
    }

    pub(super) fn exit(&mut self, header: &bee_header, status: u32, sequence: u64) -> Fate {
        self.canary.hears(header, true);
        if !self.enrich.processes.exited(seen(header)) {
            return Fate::Duplicate;
        }
        let signal = status & 0x7f;
        let known = !Flags(header.flags).contains(Flags::STATUS_UNKNOWN);
        let body = event::Body::Exit {
            code: (known && signal == 0).then_some(status >> 8 & 0xff),
            signal: (known && signal != 0).then_some(signal),
        };
        self.process(header, Action::Exit, body, sequence)
    }

    fn process(&mut self, header: &bee_header, action: Action, body: event::Body<'_>, sequence: u64) -> Fate {
        if let Some(fate) = self.own_act(header) {
            return fate;
        }
        let actor = self.enrich.actor(header);
        let mut event = frame(&self.enrich, header, action, Severity::Info, sequence, body);
        event.flags.insert(actor.flags);
        event.process = Some(self.enrich.process(header, &actor));
        Self::deliver(&mut self.sinks, &event)
    }

    pub(super) fn exec(&mut self, header: &bee_header, exec: &decode::Exec<'_>, sequence: u64) -> Fate {
        self.path.clear();
        exec.image.write(&mut self.path);
        let as_given = Flags(header.flags).contains(Flags::EXE_AS_GIVEN);
        if as_given {
            self.path.extend_from_slice(exec.script);
        }
        self.canary.hears(header, self.path == self.canary_path || self.path == canary::FILE);
        let kept = Flags::EXE_MEMFD.0 | Flags::EXE_DELETED.0 | Flags::EXE_TMPFS.0 | Flags::EXE_AS_GIVEN.0;
        let image = Image {
            executable: self.path.as_slice().into(),
            args: exec.args.into(),
            flags: header.flags & (kept | Flags::ARGS_TRUNCATED.0 | Flags::ARGS_UNREADABLE.0),
        };
        self.enrich.processes.executed(seen(header), image);
        if let Some(fate) = self.own_act(header) {
            return fate;
        }
        let secret_env: Vec<Text<'_>> = exec
            .env
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty() && self.decide.secret_env(name))
            .map(Text::from)
            .collect();
        let severity = decide::exec_severity(Flags(header.flags), !secret_env.is_empty());
        let script = (!as_given && !exec.script.is_empty()).then(|| exec.script.into());
        let body = event::Body::Exec(Exec { script, secret_env });
        let actor = self.enrich.actor(header);
        let mut event = frame(&self.enrich, header, Action::Exec, severity, sequence, body);
        event.flags.insert(actor.flags);
        event.process = Some(self.enrich.process(header, &actor));
        Self::deliver(&mut self.sinks, &event)
    }
}
