//! How many files the system lets this process open: a connection is one.

use lacuna_console::output::say;

/// Files that the server opens for other things than connections.
const OTHERS: u64 = 64;

/// Asks the system for as many files as `connections` need. Gives how many connections it allows, and says so if these are fewer.
#[cfg(unix)]
pub(super) fn grant(connections: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let needed = connections as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return connections;
    }
    let wanted = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    // A refusal leaves the limit as it is, which is read next.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(needed);
    if allowed >= needed {
        return connections;
    }
    let granted = allowed.saturating_sub(OTHERS).max(1) as usize;
    say(format_args!(
        "warning: at most {granted} connections, not --max-connections {connections}: the system lets this process open {allowed} files"
    ));
    granted
}

/// The system's limit is not known here.
#[cfg(not(unix))]
pub(super) fn grant(connections: usize) -> usize {
    connections
}
