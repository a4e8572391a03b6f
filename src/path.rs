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

/// Writes what a symbolic link at `link` leads to, where `target` is relative.
pub fn resolve_link(link: &[u8], target: &[u8], out: &mut Vec<u8>) {
    if !target.starts_with(b"/") {
        let directory = link.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        out.extend_from_slice(&link[..directory]);
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
}
