//! Changes of the kernel, and signals for the daemon.

use std::collections::BTreeSet;

use super::{Fate, Pipeline, frame};
use crate::decide::{KernelFacts, Verdict};
use crate::decode::Kernel;
use crate::event::{self, Action, Flags, Text};
use crate::wire::bee_header;

/// linux/bpf.h, `enum bpf_cmd`: those that are told, and what is known of each beside it.
const BPF: &[(u32, &str, Detail)] = &[
    (5, "BPF_PROG_LOAD", Detail::Type),
    (7, "BPF_OBJ_GET", Detail::None),
    (8, "BPF_PROG_ATTACH", Detail::Type),
    (9, "BPF_PROG_DETACH", Detail::Type),
    (13, "BPF_PROG_GET_FD_BY_ID", Detail::Id),
    (14, "BPF_MAP_GET_FD_BY_ID", Detail::Id),
    (17, "BPF_RAW_TRACEPOINT_OPEN", Detail::None),
    (28, "BPF_LINK_CREATE", Detail::Type),
    (29, "BPF_LINK_UPDATE", Detail::None),
    (30, "BPF_LINK_GET_FD_BY_ID", Detail::Id),
    (34, "BPF_LINK_DETACH", Detail::None),
];

/// What the number beside a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    None,
    Type,
    Id,
}

/// `enum bee_time_call`
const TIME: &[&str] = &["settimeofday", "clock_settime", "adjtimex", "clock_adjtime", "stime"];

/// What the daemon has in the kernel, by numbers, so that who reaches for it can be told from who
/// reaches for somebody else's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnObjects {
    /// Programs.
    pub programs: BTreeSet<u32>,
    /// Maps.
    pub maps: BTreeSet<u32>,
    /// Links.
    pub links: BTreeSet<u32>,
}

impl OwnObjects {
    /// Whether what a command of bpf(2) reaches for by number is the daemon's.
    fn has(&self, command: u32, id: u32) -> bool {
        match command {
            13 => self.programs.contains(&id),
            14 => self.maps.contains(&id),
            30 => self.links.contains(&id),
            _ => false,
        }
    }
}

impl Pipeline {
    pub(super) fn kernel(
        &mut self,
        header: &bee_header,
        action: Action,
        kernel: &Kernel<'_>,
        sequence: u64,
    ) -> Fate {
        let fixed = kernel.fixed;
        self.canary.hears(header, true);
        if let Some(fate) = self.own_act(header) {
            return fate;
        }
        let actor = self.enrich.actor(header);
        let bpf = BPF.iter().find(|row| row.0 == fixed.code).filter(|_| action == Action::Bpf);
        let detail = bpf.map_or(Detail::None, |row| row.2);
        let own = action == Action::Bpf && self.own_objects.has(fixed.code, fixed.detail);
        let facts = KernelFacts {
            action,
            on_daemon: own,
            refused: header.result < 0,
            by_init: header.tgid == 1,
            reaches: detail == Detail::Id,
            adjusts: matches!(fixed.code, 2 | 3),
            executable: self.enrich.sure_path(header, &actor),
            unit: self.enrich.cgroups.get(header.cgroup).and_then(|(unit, _)| unit),
        };
        let Verdict::Deliver(severity) = self.decide.kernel(&facts) else { return Fate::Excluded };
        let mut flags = Flags(header.flags);
        let mut target_flags = Flags::default();
        let target = (action == Action::Kill && fixed.target != 0)
            .then(|| self.enrich.target_numbered(fixed.target, header, &mut target_flags));
        // The daemon knows of itself; that it ends is what the signal is for.
        target_flags.0 &= !Flags::TARGET_EXITED.0;
        flags.insert(target_flags);
        if own {
            flags.insert(Flags::OWN_OBJECT);
        }
        flags.insert(actor.flags);
        let body = event::Body::Kernel(event::Kernel {
            request: match action {
                Action::Bpf => bpf.map(|row| row.1),
                Action::TimeSet => usize::try_from(fixed.code).ok().and_then(|at| TIME.get(at).copied()),
                _ => None,
            },
            module: (!kernel.name.is_empty()).then(|| Text::from(kernel.name)),
            object_type: (detail == Detail::Type).then_some(fixed.detail),
            object_id: (detail == Detail::Id).then_some(fixed.detail),
            entries: (action == Action::IoUring).then_some(fixed.code),
            signal: (action == Action::Kill).then_some(fixed.code),
            target,
        });
        let mut event = frame(&self.enrich, header, action, severity, sequence, body);
        event.flags = flags;
        event.process = Some(self.enrich.process(header, &actor));
        Self::deliver(&mut self.sinks, &event)
    }
}
