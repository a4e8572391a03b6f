//! Paths from what the kernel side gives: a walked directory and a name in it.

use crate::decode::Walk;

/// Writes the path of `name` as given by a caller whose base directory is
/// `base`: joined and normalised by text alone (`//`, `.`, `..`). The base of an
/// absolute name is the caller's root, which is empty outside a chroot.
pub fn join(base: Walk<'_>, name: &[u8], out: &mut Vec<u8>) {
    base.write(out);
    for component in name.split(|byte| *byte == b'/') {
        push(component, out);
    }
    if out.is_empty() {
        out.push(b'/');
    }
}

/// The same where it is not known what `base` is, which is empty then: a relative name stays
/// one, without a slash in front. What lies behind procfs's own links is told by what they lead
/// to: `/proc/self/root/etc/shadow` is `/etc/shadow`, `/proc/self/cwd/x` the relative `x`.
pub fn alone(base: Walk<'_>, name: &[u8], out: &mut Vec<u8>) {
    if !name.starts_with(b"/") {
        relative(name, out);
        return;
    }
    join(base, name, out);
    if let Some((link, rest)) = process_link(out) {
        let (link, rest) = (link == b"cwd", out.len() - rest.len());
        out.drain(..rest);
        match (link, out.is_empty()) {
            (true, false) => drop(out.remove(0)),
            (false, true) => out.push(b'/'),
            _ => {}
        }
    }
}

/// Of `/proc/PID/root/…` and `/proc/PID/cwd/…`, the link and what follows.
fn process_link(path: &[u8]) -> Option<(&[u8], &[u8])> {
    fn first(path: &[u8]) -> Option<(&[u8], &[u8])> {
        let path = path.strip_prefix(b"/")?;
        Some(path.split_at(path.iter().position(|byte| *byte == b'/').unwrap_or(path.len())))
    }
    let number = |name: &[u8]| !name.is_empty() && name.iter().all(u8::is_ascii_digit);
    let (process, mut rest) = first(path.strip_prefix(b"/proc")?)?;
    if !(number(process) || process == b"self" || process == b"thread-self") {
        return None;
    }
    if let Some(thread) = rest.strip_prefix(b"/task") {
        let (thread, behind) = first(thread)?;
        if !number(thread) {
            return None;
        }
        rest = behind;
    }
    first(rest).filter(|(link, _)| [&b"root"[..], b"cwd"].contains(link))
}

/// Writes a relative name, normalised by text; a `..` that leads out of it stays in front.
fn relative(name: &[u8], out: &mut Vec<u8>) {
    for component in name.split(|byte| *byte == b'/') {
        let last = out.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        match component {
            b"" | b"." => {}
            b".." if !out.is_empty() && &out[last..] != b".." => out.truncate(last.saturating_sub(1)),
            name => {
                if !out.is_empty() {
                    out.push(b'/');
                }
                out.extend_from_slice(name);
            }
        }
    }
}

/// Writes what a symbolic link at `link` leads to, where `target` is relative.
pub fn resolve_link(link: &[u8], target: &[u8], out: &mut Vec<u8>) {
    if !target.starts_with(b"/") {
        let directory = link.iter().rposition(|byte| *byte == b'/');
        if !link.starts_with(b"/") {
            let whole = [&link[..directory.unwrap_or(0)], b"/", target].concat();
            return relative(&whole, out);
        }
        out.extend_from_slice(&link[..directory.unwrap_or(0)]);
    }
    for component in target.split(|byte| *byte == b'/') {
        push(component, out);
    }
    if out.is_empty() {
        out.push(b'/');
    }
}

fn push(component: &[u8], out: &mut Vec<u8>) {
    match component {
        b"" | b"." => {}
        b".." => out.truncate(out.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
        name => {
            out.push(b'/');
            out.extend_from_slice(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(walk: &[u8], name: &[u8]) -> String {
        let mut out = Vec::new();
        join(Walk(walk), name, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_name_is_joined_to_its_directory() {
        assert_eq!(joined(b"etc\0", b"shadow"), "/etc/shadow");
        assert_eq!(joined(b"b\0a\0", b"../c/./d//e"), "/a/c/d/e");
        assert_eq!(joined(b"", b"/etc//x/../shadow"), "/etc/shadow");
        assert_eq!(joined(b"jail\0srv\0", b"/etc/shadow"), "/srv/jail/etc/shadow");
        assert_eq!(joined(b"", b"/../../.."), "/");
    }

    #[test]
    fn a_link_is_resolved_from_where_it_lies() {
        let mut out = Vec::new();
        resolve_link(b"/tmp/x/l", b"../../etc/shadow", &mut out);
        assert_eq!(out, b"/etc/shadow");
        out.clear();
        resolve_link(b"/tmp/x/l", b"/root/key", &mut out);
        assert_eq!(out, b"/root/key");
    }

    #[test]
    fn a_name_without_its_directory_stays_relative() {
        let alone = |name: &str| {
            let mut out = Vec::new();
            alone(Walk(b""), name.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        for (given, shown) in [
            ("shadow", "shadow"),
            (".//./a//b/", "a/b"),
            ("a/../b", "b"),
            ("../a/../../b", "../../b"),
            ("a/..", ""),
            ("", ""),
            ("/etc/../etc//shadow", "/etc/shadow"),
            ("/", "/"),
            ("/proc/self/root/etc/shadow", "/etc/shadow"),
            ("/proc/12/task/13/root/etc/shadow", "/etc/shadow"),
            ("/proc/thread-self/root", "/"),
            ("/proc/self/cwd/x/y", "x/y"),
            ("/proc/self/cwd", ""),
            ("/proc/self/rooty/x", "/proc/self/rooty/x"),
            ("/proc/selfish/root/x", "/proc/selfish/root/x"),
            ("/proc/self/task/x/root/y", "/proc/self/task/x/root/y"),
            ("/proc/self", "/proc/self"),
            ("/processes/self/root/x", "/processes/self/root/x"),
        ] {
            assert_eq!(alone(given), shown, "{given}");
        }
    }

    #[test]
    fn a_link_without_its_directory_leads_to_a_relative_name() {
        let resolved = |link: &[u8], target: &[u8]| {
            let mut out = Vec::new();
            resolve_link(link, target, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(resolved(b"l", b"key"), "key");
        assert_eq!(resolved(b"x/l", b"../key"), "key");
        assert_eq!(resolved(b"x/l", b"../../key"), "../key");
        assert_eq!(resolved(b"x/l", b"/key"), "/key");
    }
}
