//! Context a kernel record does not carry: processes, cgroups, users.

pub mod cgroup;
pub mod proc_scan;
pub mod users;
