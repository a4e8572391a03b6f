//! Names of environment variables that are worth a word at exec. Only names
//! are ever looked at here; a value never comes this far.

/// A pattern for names of variables may be this long, in bytes.
const MAX_LENGTH: usize = 128;

/// Whether any of `patterns` (`*` stands for any bytes, all else for itself)
/// matches the whole `name`. Case counts: variables differ by case.
pub fn env_matches(patterns: &[String], name: &[u8]) -> bool {
    patterns.iter().any(|pattern| star_matches(pattern.as_bytes(), name))
}

/// Checks one entry of `secret_env_patterns`.
///
/// # Errors
/// What is wrong and what would be right.
pub fn check_env_pattern(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty; write the name of a variable, such as `*TOKEN*`".into());
    }
    if text.len() > MAX_LENGTH {
        return Err(format!("is {} bytes long; at most {MAX_LENGTH} are possible", text.len()));
    }
    if text.bytes().all(|byte| byte == b'*') {
        return Err("matches every variable; name a part of it, such as `*TOKEN*`".into());
    }
    match text
        .chars()
        .find(|c| matches!(c, '=' | '?' | '[' | ']' | '\\') || c.is_control() || c.is_whitespace())
    {
        Some(bad) => {
            Err(format!("contains {bad:?}; only letters, digits, `_` and the wildcard `*` make sense here"))
        }
        None => Ok(()),
    }
}

/// Wildcard comparison by pieces between stars: the first must be in front,
/// the last at the end, the others anywhere between, in order.
fn star_matches(pattern: &[u8], name: &[u8]) -> bool {
    let mut pieces = pattern.split(|byte| *byte == b'*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        if piece.is_empty() {
            continue;
        }
        let Some(at) = rest.windows(piece.len()).position(|window| window == piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(pattern: &str, name: &str) -> bool {
        env_matches(&[pattern.to_owned()], name.as_bytes())
    }

    #[test]
    fn stars_stand_for_any_bytes_and_the_rest_for_itself() {
        for (pattern, name, wanted) in [
            ("*TOKEN*", "GITHUB_TOKEN", true),
            ("*TOKEN*", "TOKEN", true),
            ("*TOKEN*", "github_token", false),
            ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID", true),
            ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID2", false),
            ("A*B*C", "AxBxC", true),
            ("A*B*C", "ABC", true),
            ("A*B*C", "ACB", false),
            ("AB*BA", "ABA", false),
            ("*AB*AB", "AB", false),
            ("A**B", "AB", true),
            ("A*", "", false),
        ] {
            assert_eq!(one(pattern, name), wanted, "{pattern} {name}");
        }
        assert!(!env_matches(&[], b"TOKEN"));
    }

    #[test]
    fn a_pattern_that_means_something_else_is_refused() {
        for bad in ["", "*", "**", "A=B", "A?", "[A]", "A B", "A\n"] {
            assert!(check_env_pattern(bad).is_err(), "{bad}");
        }
        assert_eq!(check_env_pattern("*_TOKEN"), Ok(()));
    }
}
