//! The trigger programs: built once, copied to where every user may run them.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;

use super::{Fixture, User};

/// Which system call interface a trigger uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    /// The machine's own.
    Native,
    /// 32-bit programs on a 64-bit kernel.
    Compat,
}

impl Abi {
    /// Those this machine can build and run.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Native];
        if built().join("32").is_dir() {
            all.push(Self::Compat);
        } else {
            // On x86-64 the build of the triggers fails without it.
            super::skipped("32-bit triggers: no compiler for them on this machine");
        }
        all
    }

    fn directory(self) -> &'static str {
        match self {
            Self::Native => "64",
            Self::Compat => "32",
        }
    }
}

/// Builds what is not built and gives the directory.
pub fn built() -> PathBuf {
    static ONCE: Once = Once::new();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("triggers");
    ONCE.call_once(|| {
        let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/triggers");
        let mut make = Command::new("make");
        make.env_remove("MAKEFLAGS").args(["-s", "-C", sources]).arg(format!("OUT={}", out.display()));
        assert!(make.status().expect("make").success(), "the triggers do not build; see scripts/setup.sh");
    });
    out
}

/// One call of a trigger, being prepared.
pub struct Trigger {
    program: PathBuf,
    args: Vec<String>,
    abi: Abi,
    uid: u32,
    gid: u32,
    env: Vec<(String, String)>,
}

/// What a trigger did, by its own word.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its process id.
    pub pid: u32,
    /// The program's path.
    pub program: PathBuf,
    /// All of argv.
    pub args: Vec<String>,
    /// The system call interface it used.
    pub abi: Abi,
    /// The user it ran as.
    pub uid: u32,
    /// The group it ran as.
    pub gid: u32,
    /// Its output lines: a result and an errno each.
    pub acts: Vec<(i64, i32)>,
}

impl Trigger {
    /// The trigger `name`, copied into the fixture.
    pub fn new(fixture: &Fixture, name: &str, abi: Abi) -> Self {
        let source = built().join(abi.directory()).join(name);
        let directory = fixture.dir.join("bin").join(abi.directory());
        let program = directory.join(name);
        if !program.exists() {
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::copy(&source, &program).unwrap_or_else(|why| panic!("{}: {why}", source.display()));
        }
        Self { program, args: Vec::new(), abi, uid: 0, gid: 0, env: Vec::new() }
    }

    /// Where it lies.
    pub fn program(&self) -> PathBuf {
        self.program.clone()
    }

    /// Appends arguments.
    pub fn args<T: AsRef<std::ffi::OsStr>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_str().unwrap().to_owned()));
        self
    }

    /// Runs it as this user.
    pub fn user(mut self, user: &User) -> Self {
        (self.uid, self.gid) = (user.uid, user.gid);
        self
    }

    /// Gives it this environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it; `finish` collects.
    pub fn spawn(self) -> Running {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(self.env).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.uid != 0 {
            command.uid(self.uid).gid(self.gid);
        }
        let child = command.spawn().unwrap();
        let first = self.program.to_str().unwrap().to_owned();
        let ran = Ran {
            pid: child.id(),
            program: self.program,
            args: std::iter::once(first).chain(self.args).collect(),
            abi: self.abi,
            uid: self.uid,
            gid: self.gid,
            acts: Vec::new(),
        };
        Running { child, ran }
    }

    /// Runs it to its end.
    pub fn run(self) -> Ran {
        self.spawn().finish()
    }
}

/// A trigger at work.
pub struct Running {
    child: Child,
    ran: Ran,
}

impl Running {
    /// Waits for its end.
    ///
    /// # Panics
    /// Where the trigger itself failed; a failed act is not that.
    pub fn finish(self) -> Ran {
        let mut ran = self.ran;
        let output = self.child.wait_with_output().unwrap();
        let (text, errors) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{:?}: {}: {errors}", ran.args, output.status);
        let act = |line: &str| {
            let (result, errno) = line.split_once(' ')?;
            Some((result.parse().ok()?, errno.parse().ok()?))
        };
        ran.acts = text.lines().map(|line| act(line).unwrap_or_else(|| panic!("odd line: {line}"))).collect();
        ran
    }
}

impl Ran {
    /// Asserts that there were `count` acts and all went well.
    pub fn all_well(self, count: usize) -> Self {
        assert!(self.acts.iter().all(|(result, _)| *result >= 0), "{:?}: {:?}", self.args, self.acts);
        assert_eq!(self.acts.len(), count, "{:?}", self.args);
        self
    }

    /// Asserts that there were `count` acts and all failed with `errno`.
    pub fn all_failed(self, count: usize, errno: i32) -> Self {
        assert!(self.acts.iter().all(|act| *act == (-1, errno)), "{:?}: {:?}", self.args, self.acts);
        assert_eq!(self.acts.len(), count, "{:?}", self.args);
        self
    }
}
