//! `bee-trace reload`: what changed, in words. Pure.

use std::fmt::Write as _;

use crate::control::protocol::Reload;
use crate::error::{Error, ExitStatus, Result};

/// What to print of a reload that was carried out.
///
/// # Errors
/// The configuration was refused: the daemon's words as they are, with the exit status.
pub fn text(reload: &Reload) -> Result<String> {
    if let Some(why) = &reload.error {
        let status = if reload.wrong_config { ExitStatus::Config } else { ExitStatus::Failure };
        return Err(Error::new(status, format!("the old configuration stays in force:\n{why}")));
    }
    let mut out = String::new();
    if reload.changed.is_empty() {
        out.push_str("nothing changed\n");
    }
    for change in &reload.changed {
        let when = if change.restart { "; takes effect with the next start" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}: {} → {}{when}", change.key, change.from, change.to);
    }
    if reload.rescan {
        out.push_str("the watch lists changed: watched files are looked for anew\n");
    }
    if !reload.restart.is_empty() {
        let _ = writeln!(
            out,
            "not in force before a restart (systemctl restart bee-traced): {}",
            reload.restart.join(", ")
        );
    }
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control::protocol::Change;

    #[test]
    fn a_reload_is_told_with_what_changed_and_what_waits() {
        assert_eq!(text(&Reload::default()).unwrap(), "nothing changed\n");
        let change =
            |key: &str, restart| Change { key: key.into(), from: "1".into(), to: "2".into(), restart };
        let reload = Reload {
            changed: vec![change("file.watch", false), change("limits.inodes", true)],
            rescan: true,
            restart: vec!["limits.inodes".into()],
            ..Reload::default()
        };
        assert_eq!(
            text(&reload).unwrap(),
            "file.watch: 1 → 2\nlimits.inodes: 1 → 2; takes effect with the next start\n\
             the watch lists changed: watched files are looked for anew\n\
             not in force before a restart (systemctl restart bee-traced): limits.inodes\n"
        );
    }

    #[test]
    fn a_refusal_is_an_error_with_the_daemons_words() {
        let reload =
            |wrong_config| Reload { error: Some("x.toml:1:2: no".into()), wrong_config, ..Reload::default() };
        let why = text(&reload(true)).unwrap_err();
        assert_eq!(why.status, ExitStatus::Config);
        assert!(why.to_string().ends_with(":\nx.toml:1:2: no"));
        assert_eq!(text(&reload(false)).unwrap_err().status, ExitStatus::Failure);
    }
}
