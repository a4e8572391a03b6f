//! The pattern language: what a watch list may say, and exactly what it means.

use super::glob::Component;
use super::rules::{self, RuleKind};

/// A pattern may be this long, in bytes.
pub const MAX_LENGTH: usize = 1024;
/// A pattern may have this many components; the set of live positions is one word.
pub const MAX_COMPONENTS: usize = 60;

/// One pattern of a watch list, parsed.
///
/// | written | matches |
/// |---|---|
/// | `/etc/shadow` | this path |
/// | `*.kdbx`, `id_rsa` | every file of that name, wherever it is |
/// | `~/.ssh/*` | the same as `/**/.ssh/*`: any home, also in containers, chroots and backups |
/// | `/etc/ssl/private/**` | everything below that directory |
///
/// `*` and `?` do not cross a slash and do match a leading dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// Everything but the last component; two `**` never follow each other.
    pub(super) directories: Box<[Component]>,
    /// Never `**`: a trailing one is kept as `**`, `*`.
    pub(super) last: Component,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it and what would be right. Patterns of which the
    /// kernel could test nothing (`**`, `/*`, `*a*`) are refused too: they
    /// would send every open of the machine to user space.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut components = Vec::new();
        for part in absolute(text)?.split('/') {
            match part {
                "" => return Err("has an empty component; write one `/` between names".into()),
                "." | ".." => {
                    return Err(format!(
                        "has a component `{part}`; write the path without it, as the kernel does"
                    ));
                }
                _ => {}
            }
            let component = Component::parse(part)?;
            if component != Component::AnyDepth || components.last() != Some(&Component::AnyDepth) {
                components.push(component);
            }
        }
        if components.last() == Some(&Component::AnyDepth) {
            components.push(Component::parse("*")?);
        }
        if components.len() > MAX_COMPONENTS {
            return Err(format!(
                "has {} components; at most {MAX_COMPONENTS} are possible",
                components.len()
            ));
        }
        let Some(last) = components.pop() else { return Err("is empty; write a path or a name".into()) };
        let pattern = Self { text: text.to_owned(), directories: components.into(), last };
        if rules::target(&pattern).is_none() {
            return Err("has nothing the kernel could test, so every open on the machine would have to be \
                        looked at; begin or end the name with fixed characters (`*.key`) or name a \
                        directory (`/srv/secrets/**`)"
                .into());
        }
        Ok(pattern)
    }

    /// The pattern as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether `path` (absolute, normalised, any bytes) is watched by this pattern.
    pub fn matches(&self, path: &[u8]) -> bool {
        let (directory, name) = split_last(path);
        !name.is_empty() && self.last.matches(name) && self.matches_directory(directory)
    }

    /// Whether `directory` (without its trailing slash; empty for the root,
    /// `None` where there is no slash at all) is matched by all but the last component.
    ///
    /// From the end backwards up to the last `**`: one comparison refuses most
    /// paths, and only a `**` below something else needs the full run.
    fn matches_directory(&self, directory: Option<&[u8]>) -> bool {
        let (mut components, mut rest) = (&*self.directories, directory);
        while let Some((component, others)) = components.split_last() {
            if *component == Component::AnyDepth {
                return others.is_empty()
                    || directory.is_some_and(|whole| self.live(whole) & self.end() != 0);
            }
            match rest {
                None | Some(b"") => return false,
                Some(path) => {
                    let (above, name) = split_last(path);
                    if !component.matches(name) {
                        return false;
                    }
                    (components, rest) = (others, above);
                }
            }
        }
        rest == Some(b"")
    }

    /// Whether a file of which only the end of the path is known (`end`: relative, normalised,
    /// without a leading `..`) may be watched by this pattern: whether it is if it lies in the
    /// right directory. What the kernel side tests must be in `end`; `*` alone is no ground.
    pub fn may_match(&self, end: &[u8]) -> bool {
        let (directory, name) = split_last(end);
        let tested = || match rules::target(self) {
            Some((RuleKind::Parent, parent)) => {
                directory.is_some_and(|path| rules::whole(split_last(path).1) == parent)
            }
            Some((RuleKind::Directory, above)) => directory
                .is_some_and(|path| path.split(|byte| *byte == b'/').any(|name| rules::whole(name) == above)),
            _ => true,
        };
        !name.is_empty()
            && self.last.matches(name)
            && directory.map_or(self.anywhere(), |path| self.advance(self.anywhere(), path)) & self.end() != 0
            && tested()
    }

    /// The same of a directory and [`Self::concerns_directory`]: whether its name is one the
    /// pattern gives a directory.
    pub fn may_concern_directory(&self, end: &[u8]) -> bool {
        let (above, name) = split_last(end);
        let live = above.map_or(self.anywhere(), |path| self.advance(self.anywhere(), path));
        self.directories.iter().enumerate().any(|(position, component)| {
            live & 1 << position != 0 && matches!(component, Component::Literal(fixed) if **fixed == *name)
        })
    }

    /// Every position: what is possible behind a directory that is not known.
    fn anywhere(&self) -> u64 {
        (self.end() << 1) - 1
    }

    /// The position behind all directories.
    fn end(&self) -> u64 {
        1 << self.directories.len()
    }

    /// Whether a directory that comes into being at `path` (by rename or
    /// mount) can bring names with it that this pattern did not match before.
    ///
    /// A pattern that begins with `**` matches the same names wherever their
    /// directory lies, unless the directory's own name is part of the pattern.
    pub fn concerns_directory(&self, path: &[u8]) -> bool {
        let live = self.live(path.strip_suffix(b"/").unwrap_or(path));
        let idle = if self.directories.first() == Some(&Component::AnyDepth) { 0b11 } else { 0 };
        live & !idle != 0
    }

    /// The positions in the pattern that are possible after all of `directory`:
    /// bit n says that n components are used up.
    fn live(&self, directory: &[u8]) -> u64 {
        let live = self.skip_any_depth(1);
        match directory.strip_prefix(b"/") {
            Some(relative) => self.advance(live, relative),
            None if directory.is_empty() => live,
            // Only the end of the path is known (it could not be followed to
            // the root): an absolute pattern has no say.
            None if self.directories.first() == Some(&Component::AnyDepth) => self.advance(live, directory),
            None => 0,
        }
    }

    fn advance(&self, mut live: u64, relative: &[u8]) -> u64 {
        for name in relative.split(|byte| *byte == b'/') {
            let mut next = 0;
            let mut left = live & (self.end() - 1);
            while left != 0 {
                let position = left.trailing_zeros() as usize;
                left &= left - 1;
                match &self.directories[position] {
                    Component::AnyDepth => next |= 1 << position,
                    component if component.matches(name) => next |= 1 << (position + 1),
                    _ => {}
                }
            }
            live = self.skip_any_depth(next);
            if live == 0 {
                break;
            }
        }
        live
    }

    /// `**` also stands for nothing: whoever stands in front of one may stand behind it.
    fn skip_any_depth(&self, mut live: u64) -> u64 {
        let mut left = live;
        while left != 0 {
            let position = left.trailing_zeros() as usize;
            left &= left - 1;
            if self.directories.get(position) == Some(&Component::AnyDepth) {
                live |= 1 << (position + 1);
            }
        }
        live
    }
}

/// The directory (without its trailing slash, `None` where there is no slash at all) and the last component.
pub(super) fn split_last(path: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (Some(&path[..slash]), &path[slash + 1..]),
        None => (None, path),
    }
}

/// The components of `text` as one string that begins at the root, without the leading slash.
fn absolute(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("is empty; write a path or a name".into());
    }
    if text.len() > MAX_LENGTH {
        return Err(format!("is {} bytes long; at most {MAX_LENGTH} are possible", text.len()));
    }
    if text.contains('\0') {
        return Err("contains a NUL byte, which no path can".into());
    }
    if text.trim() != text {
        return Err(
            "begins or ends with white space; remove it, or write `[ ]` if the name really has it".into()
        );
    }
    if text.len() > 1 && text.ends_with('/') {
        return Err("ends with a slash; write `/**` there for everything below the directory".into());
    }
    if text == "/" {
        return Err("is the root directory; name a file or a directory below it".into());
    }
    if let Some(rest) = text.strip_prefix('/') {
        return Ok(rest.to_owned());
    }
    if let Some(rest) = text.strip_prefix("~/") {
        return Ok(format!("**/{rest}"));
    }
    if text == "~" || (text.starts_with('~') && text.contains('/')) {
        return Err("names one user's home; write `~/…` for every home, or the absolute path".into());
    }
    if !text.contains('/') {
        return Ok(format!("**/{text}"));
    }
    if text.starts_with("**/") {
        return Ok(text.to_owned());
    }
    Err(format!("is relative to nothing; write `/{text}` from the root, or `~/{text}` for any depth"))
}
