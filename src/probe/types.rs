//! The kernel's types for the loader, read once for all objects: a small BTF for
//! CO-RE, and the numbers of the hooks that are attached by number.
//!
//! For a program of the kinds in `SECTIONS` libbpf reads the kernel's whole BTF,
//! once for each object, to find that number. Here it is given the number just
//! before it loads the program: our handler of the section says until then that
//! the program is a raw tracepoint, which needs no BTF.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int, c_long};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libbpf_rs::libbpf_sys;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::kernel_btf::KernelBtf;
use super::{FAMILIES, Family, ability, calls};
use crate::btf::{self, Btf, Kind};
use crate::error::{Error, Result};

/// A kind of program that is attached by the number of a type.
struct Section {
    /// What its hooks begin with.
    name: &'static str,
    /// What the type's name begins with, before that of the hook.
    prefix: &'static str,
    kind: Kind,
    program: libbpf_sys::bpf_prog_type,
    attach: libbpf_sys::bpf_attach_type,
}

const SECTIONS: &[Section] = &[
    Section {
        name: "tp_btf",
        prefix: "btf_trace_",
        kind: Kind::Typedef,
        program: libbpf_sys::BPF_PROG_TYPE_TRACING,
        attach: libbpf_sys::BPF_TRACE_RAW_TP,
    },
    Section {
        name: "fentry",
        prefix: "",
        kind: Kind::Function,
        program: libbpf_sys::BPF_PROG_TYPE_TRACING,
        attach: libbpf_sys::BPF_TRACE_FENTRY,
    },
    Section {
        name: "fexit",
        prefix: "",
        kind: Kind::Function,
        program: libbpf_sys::BPF_PROG_TYPE_TRACING,
        attach: libbpf_sys::BPF_TRACE_FEXIT,
    },
    Section {
        name: "lsm",
        prefix: "bpf_lsm_",
        kind: Kind::Function,
        program: libbpf_sys::BPF_PROG_TYPE_LSM,
        attach: libbpf_sys::BPF_LSM_MAC,
    },
];

fn section(hook: &str) -> Option<(&'static Section, &str)> {
    let (name, target) = hook.split_once('/')?;
    Some((SECTIONS.iter().find(|section| section.name == name)?, target))
}

/// Whether a hook is attached by the number of a type.
pub(crate) fn by_number(hook: &str) -> bool {
    section(hook).is_some()
}

/// What is kept of the running kernel's types.
#[derive(Debug)]
pub(crate) struct Kernel {
    small: Vec<u8>,
    numbers: HashMap<&'static str, u32>,
    typed_task: bool,
}

/// What the kernel calls the helper that gives the current task with its type (BPF_CALL_0 of
/// linux/filter.h), since 5.11.
const TYPED_TASK: (Kind, &str) = (Kind::Typedef, "btf_bpf_get_current_task_btf");

impl Kernel {
    /// The number of the type `hook` is attached by; none where there is no such type, or
    /// it is not a hook of ours.
    pub(crate) fn number(&self, hook: &str) -> Option<u32> {
        self.numbers.get(hook).copied()
    }

    /// Whether a program may have the current task with its type, and read its fields directly.
    pub(crate) fn typed_task(&self) -> bool {
        self.typed_task
    }

    /// The types as a file for libbpf.
    pub(crate) fn file(&self) -> Result<TypesFile> {
        let mut file = File::from(memfd_create(c"bee-types", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&self.small)?;
        Ok(TypesFile { path: format!("/proc/self/fd/{}", file.as_raw_fd()).into(), _file: file })
    }
}

/// Types in memory, with a path as long as this lives.
#[derive(Debug)]
pub(crate) struct TypesFile {
    path: PathBuf,
    _file: File,
}

impl TypesFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

static KERNEL: OnceLock<std::result::Result<Kernel, String>> = OnceLock::new();

/// The types of the running kernel, read at the first call. To be called before an
/// object is opened.
///
/// # Errors
/// Why there are none, in words. libbpf may try for itself then.
pub(crate) fn kernel() -> std::result::Result<&'static Kernel, &'static str> {
    KERNEL.get_or_init(|| read().map_err(|why| why.to_string())).as_ref().map_err(String::as_str)
}

fn read() -> Result<Kernel> {
    let bytes = KernelBtf::open()
        .map_err(|_| Error::failure("this kernel has no types of its own (CONFIG_DEBUG_INFO_BTF)"))?;
    let damaged = |why: btf::Error| Error::failure(format!("the kernel's types cannot be read: {why}"));
    let types = Btf::parse(&bytes).map_err(damaged)?;
    let small = btf::minimise_parsed(&types, btf::needs()).map_err(damaged)?;
    let hooks: Vec<&'static str> = FAMILIES
        .iter()
        .flat_map(Family::variants)
        .map(|(_, variant)| variant.hook)
        .chain(ability::TRIALS.iter().copied())
        .filter(|hook| by_number(hook))
        .collect();
    let names: Vec<(Kind, String)> = hooks
        .iter()
        .filter_map(|hook| section(hook))
        .map(|(section, target)| {
            let target = match section.kind {
                Kind::Function => calls::function(target),
                _ => target.into(),
            };
            (section.kind, format!("{}{target}", section.prefix))
        })
        .collect();
    let wanted: Vec<(Kind, &str)> =
        names.iter().map(|(kind, name)| (*kind, name.as_str())).chain([TYPED_TASK]).collect();
    let mut found = types.find(&wanted);
    let typed_task = found.pop().flatten().is_some();
    let found = hooks.into_iter().zip(found);
    let numbers = found.filter_map(|(hook, id)| Some((hook, id?))).collect();
    for (index, section) in (0..).zip(SECTIONS) {
        register(index, section)?;
    }
    Ok(Kernel { small, numbers, typed_task })
}

fn register(index: c_long, section: &Section) -> Result<()> {
    let name = CString::new(format!("{}/", section.name)).map_err(|_| Error::failure("a NUL in a name"))?;
    let options = libbpf_sys::libbpf_prog_handler_opts {
        sz: size_of::<libbpf_sys::libbpf_prog_handler_opts>() as libbpf_sys::size_t,
        cookie: index,
        prog_setup_fn: None,
        prog_prepare_load_fn: Some(prepare),
        prog_attach_fn: None,
    };
    // SAFETY: libbpf copies the name and the options. Its table of handlers is changed here alone,
    // once, and read when an object is opened, which is done after `kernel` has returned.
    let id = unsafe {
        libbpf_sys::libbpf_register_prog_handler(
            name.as_ptr(),
            libbpf_sys::BPF_PROG_TYPE_RAW_TRACEPOINT,
            section.attach,
            &options,
        )
    };
    if id < 0 { Err(std::io::Error::from_raw_os_error(-id).into()) } else { Ok(()) }
}

/// Called by libbpf with a program it is about to load, and with what it will tell
/// the kernel.
unsafe extern "C" fn prepare(
    program: *mut libbpf_sys::bpf_program,
    options: *mut libbpf_sys::bpf_prog_load_opts,
    cookie: c_long,
) -> c_int {
    // SAFETY: libbpf calls with a program of its own, whose section's name lives as long.
    let hook = unsafe { CStr::from_ptr(libbpf_sys::bpf_program__section_name(program)) };
    let kernel = KERNEL.get().and_then(|kernel| kernel.as_ref().ok());
    let number = hook.to_str().ok().and_then(|hook| kernel?.number(hook));
    let section = usize::try_from(cookie).ok().and_then(|index| SECTIONS.get(index));
    let (Some(number), Some(section)) = (number, section) else { return -libc::ESRCH };
    // SAFETY: as above; the options are libbpf's and nobody else has them.
    unsafe {
        (*options).attach_btf_id = number;
        libbpf_sys::bpf_program__set_type(program, section.program)
    }
}
