//! What the process may use: address space, processes, descriptors. Main thread, before anything is
//! opened.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// For listeners, logs, request bodies on disk and what the application opens.
const OTHER_DESCRIPTORS: u64 = 512;

/// `--limit-as`, `--limit-nproc`, `--max-fd`. What the system refuses is warned of, as in uWSGI.
pub fn apply(config: &Config) {
    let process = &config.process;
    if let Some(each) = process.limit_as_bytes {
        let workers = config.workers.processes;
        let all = each.saturating_mul(workers as u64);
        limit(config, Resource::As, "limit-as", all);
        if workers > 1 {
            tracing::info!(
                "--limit-as: the process may have {} MB of address space, {} MB for each of {workers} workers",
                all >> 20,
                each >> 20
            );
        }
    }
    if let Some(count) = process.limit_nproc {
        limit(config, Resource::Nproc, "limit-nproc", count);
    }
    match process.max_fd {
        Some(count) => {
            limit(config, Resource::Nofile, "max-fd", count);
            let wanted = config.limits.connections_max as u64 + OTHER_DESCRIPTORS;
            if count < wanted {
                tracing::warn!(
                    "--max-fd {count} is less than {} connections may need; raise it, or lower --max-connections",
                    config.limits.connections_max
                );
            }
        }
        None => raise_descriptors(config.limits.connections_max),
    }
}

/// Sets both the soft and the hard limit.
fn limit(config: &Config, resource: Resource, option: &'static str, wanted: u64) {
    let limits = Rlimit {
        current: Some(wanted),
        maximum: Some(wanted),
    };
    if let Err(error) = setrlimit(resource, limits) {
        let origin = config.origin(option).unwrap_or(option);
        tracing::warn!("{origin}: cannot set the limit to {wanted}: {error}");
    }
}

/// Each connection is a descriptor, and the usual soft limit of 1024 is meant for programs that use
/// select().
fn raise_descriptors(connections_max: usize) {
    let wanted = connections_max as u64 + OTHER_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    let Some(soft) = limit.current.filter(|soft| *soft < wanted) else {
        return;
    };
    let raised = limit.maximum.map_or(wanted, |hard| hard.min(wanted));
    let result = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(raised),
            maximum: limit.maximum,
        },
    );
    match result {
        Ok(()) if raised == wanted => {}
        Ok(()) => tracing::warn!(
            "{connections_max} connections need more descriptors than the {raised} that this process may have: raise the limit \
             (ulimit -Hn, LimitNOFILE=) or lower --max-connections"
        ),
        Err(error) => tracing::warn!(%error, "cannot raise the limit of {soft} descriptors"),
    }
}
