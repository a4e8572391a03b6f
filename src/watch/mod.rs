//! Which names are watched: the pattern language, its exact meaning in user
//! space, and its translation to what the kernel side can test. Pure; no I/O.
//!
//! The kernel's answer is a superset ("could be"), [`Pattern::matches`] is the
//! decision. `tests/watch.rs` holds that the first never misses the second.

mod env;
mod glob;
mod pattern;
mod rules;
mod set;

pub use env::{check_env_pattern, env_matches};
pub use pattern::{MAX_COMPONENTS, MAX_LENGTH, Pattern};
pub use rules::{ANCHOR, KernelRules, Rule, RuleKind, candidate, compile, cost_class, fnv1a, moved};
pub use set::PatternSet;
