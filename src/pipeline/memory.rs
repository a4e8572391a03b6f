//! Acts on other processes: whose memory it is, and whether it is an event.

use super::{Fate, Pipeline, frame};
use crate::decide::{MemoryFacts, Verdict};
use crate::decode::{Memory, Walk};
use crate::event::{self, Access, Action, Flags, Target};
use crate::path;
use crate::wire::bee_header;

/// linux/ptrace.h
const PTRACE: &[(u32, &str)] =
    &[(TRACEME, "PTRACE_TRACEME"), (16, "PTRACE_ATTACH"), (0x4206, "PTRACE_SEIZE")];
const TRACEME: u32 = 0;

/// `enum bee_proc_file`
const FILES: &[(u32, &str)] =
    &[(1, "mem"), (2, "environ"), (3, "maps"), (4, "smaps"), (5, "smaps_rollup"), (6, "numa_maps")];

/// Whose a file of a process is, as its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// Of the process, or thread, with this number.
    Number(u32),
    /// Of the process whose directory the name begins in.
    Directory,
    /// Of who names it.
    Own,
    /// Of none: it is another file.
    Nobody,
}

/// What is known of the target before the process table is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// The record has its facts.
    Read,
    /// A number that was given.
    Number(u32),
    /// There is something, and nothing says what.
    Unknown,
}

impl Pipeline {
    pub(super) fn memory(
        &mut self,
        header: &bee_header,
        action: Action,
        memory: &Memory<'_>,
        sequence: u64,
    ) -> Fate {
        let fixed = memory.fixed;
        let mut flags = Flags(header.flags);
        let actor = self.enrich.actor(header);
        let traceme = action == Action::Ptrace && fixed.request == TRACEME;
        let mut found = match (fixed.target_tgid, fixed.target_number) {
            (0, 0) if traceme && actor.parent() != 0 => Found::Number(actor.parent()),
            (0, 0) => Found::Unknown,
            (0, number) => Found::Number(number),
            _ => Found::Read,
        };
        if !memory.name.is_empty() {
            self.path.clear();
            path::alone(Walk::default(), memory.name, &mut self.path);
            if self.path.first().is_some_and(|byte| *byte != b'/') {
                flags.insert(Flags::PATH_RELATIVE);
            }
            match whose(&self.path, &self.proc) {
                Whose::Number(number) => found = Found::Number(number),
                Whose::Directory if found == Found::Read => {}
                Whose::Directory | Whose::Own | Whose::Nobody => return Fate::NotWatched,
            }
        }
        if let Found::Number(number) = found {
            // By a thread's number, as well.
            if number == header.tgid || number == header.tid {
                return Fate::NotWatched;
            }
            if !traceme {
                flags.insert(Flags::TARGET_AS_GIVEN);
            }
            // Nobody there, and so nobody reached for.
            let nobody = header.result == -libc::ESRCH || header.result == -libc::EFAULT;
            if nobody && self.enrich.processes.target(number, None).is_none() {
                return Fate::NotWatched;
            }
        }
        let target_pid = match found {
            Found::Read => fixed.target_tgid,
            Found::Number(number) => number,
            Found::Unknown => 0,
        };
        if target_pid != 0 && target_pid == header.tgid {
            return Fate::NotWatched;
        }
        // What the canary reaches for is the daemon that made it, which alone can say who it is.
        self.canary.hears(header, found == Found::Unknown || target_pid == self.own[0]);
        if let Some(fate) = self.own_act(header) {
            return fate;
        }

        let cgroup = self.enrich.cgroups.get(header.cgroup);
        let uncontained = cgroup.is_some_and(|(_, container)| container.is_none());
        let facts = MemoryFacts {
            action,
            traceme,
            refused: header.result < 0,
            on_daemon: target_pid != 0 && self.own.contains(&target_pid),
            executable: self.enrich.sure_path(header, &actor),
            unit: cgroup.and_then(|(unit, _)| unit),
            // A container has a first process of its own, which the number alone does not tell apart.
            of_init: target_pid == 1 && (found == Found::Read || uncontained),
        };
        let severity = match self.decide.memory(&facts) {
            Verdict::Deliver(severity) => severity,
            Verdict::NotWatched => return Fate::NotWatched,
            Verdict::Excluded => return Fate::Excluded,
        };
        let target = match found {
            Found::Read => self.enrich.target_read(fixed, &mut flags),
            Found::Number(number) => self.enrich.target_numbered(number, header, &mut flags),
            Found::Unknown => {
                flags.insert(Flags::TARGET_UNKNOWN);
                Target::default()
            }
        };
        flags.insert(actor.flags);
        let words = match action {
            Action::Ptrace => PTRACE,
            Action::ProcMem | Action::ProcEnviron | Action::ProcMaps => FILES,
            _ => &[],
        };
        let request = words.iter().find(|(number, _)| *number == fixed.request).map(|(_, word)| *word);
        let access = Access::of(fixed.access);
        let body = event::Body::Memory(event::Memory { request, access, target });
        let mut event = frame(&self.enrich, header, action, severity, sequence, body);
        event.flags = flags;
        event.process = Some(self.enrich.process(header, &actor));
        Self::deliver(&mut self.sinks, &event)
    }
}

/// Whose the file at this path is, which is normalised, or relative to a directory that is not
/// known. `proc`: where procfs is mounted, beside /proc.
fn whose(path: &[u8], proc: &[u8]) -> Whose {
    let below = [proc, b"/proc"].into_iter().find_map(|mount| path.strip_prefix(mount)?.strip_prefix(b"/"));
    let relative = path.first().is_some_and(|byte| *byte != b'/');
    let Some(names) = below.or(relative.then_some(path)) else { return Whose::Nobody };
    let names: Vec<&[u8]> = names.split(|byte| *byte == b'/').collect();
    let (_, above) = match names.split_last() {
        Some((last, above)) => (last, above),
        None => return Whose::Nobody,
    };
    match above {
        [] if relative => Whose::Directory,
        [b"task", thread] if relative && number(thread).is_some() => Whose::Directory,
        // A relative name may have anything in front.
        [.., b"self" | b"thread-self"] | [.., b"self", b"task", _] => Whose::Own,
        [before @ .., process, b"task", thread] if relative || before.is_empty() => {
            number(process).filter(|_| number(thread).is_some()).map_or(Whose::Nobody, Whose::Number)
        }
        [before @ .., process] if relative || before.is_empty() => {
            number(process).map_or(Whose::Nobody, Whose::Number)
        }
        _ => Whose::Nobody,
    }
}

fn number(name: &[u8]) -> Option<u32> {
    let digits = !name.is_empty() && name.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(name).ok().filter(|_| digits)?.parse().ok().filter(|number| *number != 0)
}

#[cfg(test)]
mod tests {
    use super::{Whose, whose};

    #[test]
    fn whose_memory_a_name_is_of() {
        for (path, wanted) in [
            ("/proc/12/mem", Whose::Number(12)),
            ("/proc/12/task/13/maps", Whose::Number(12)),
            ("/host/proc/12/environ", Whose::Number(12)),
            ("/proc/self/mem", Whose::Own),
            ("/proc/thread-self/mem", Whose::Own),
            ("/proc/self/task/14/mem", Whose::Own),
            ("mem", Whose::Directory),
            ("task/14/mem", Whose::Directory),
            ("12/mem", Whose::Number(12)),
            ("../12/mem", Whose::Number(12)),
            ("proc/12/task/13/mem", Whose::Number(12)),
            ("self/environ", Whose::Own),
            ("task/x/mem", Whose::Nobody),
            ("/proc/0/mem", Whose::Nobody),
            ("/proc/4294967296/mem", Whose::Nobody),
            ("/proc/1/net/mem", Whose::Nobody),
            ("/proc/sys/12/mem", Whose::Nobody),
            ("/procfs/12/mem", Whose::Nobody),
            ("/home/12/mem", Whose::Nobody),
            ("/mem", Whose::Nobody),
            ("/proc/mem", Whose::Nobody),
            ("", Whose::Nobody),
        ] {
            assert_eq!(whose(path.as_bytes(), b"/host/proc"), wanted, "{path}");
        }
    }
}
