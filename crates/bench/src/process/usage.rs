//! CPU time and memory of processes, from `/proc`.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// The resource usage of a group of processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The CPU time of all live threads, user and kernel.
    pub cpu: Duration,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
    /// The number of processes in the group.
    pub processes: usize,
}

/// The usage of all processes in one group. All zero if none is left.
///
/// It reads `schedstat` in place of `stat`, because its run time is in nanoseconds and not in ticks of 10 ms. Threads
/// that have ended are missing, which does not matter for servers with a fixed set of threads.
#[must_use]
pub fn of_group(group: u32) -> Usage {
    let mut sum = Usage::default();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = entry.path();
        if group_of(&path) == Some(group) {
            add(&mut sum, &path);
        }
    }
    sum
}

/// The usage of this process.
#[must_use]
pub fn of_self() -> Usage {
    let mut sum = Usage::default();
    add(&mut sum, Path::new("/proc/self"));
    sum
}

fn add(sum: &mut Usage, process: &Path) {
    for task in fs::read_dir(process.join("task")).into_iter().flatten().flatten() {
        let schedstat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        sum.cpu += Duration::from_nanos(first_number(&schedstat));
    }
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    sum.rss_bytes += rss.map_or(0, first_number) * 1024;
    sum.processes += 1;
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// The process group from `/proc/PID/stat`: the third field after the closing bracket of the command.
fn group_of(process: &Path) -> Option<u32> {
    let is_process = process.file_name()?.as_encoded_bytes().first()?.is_ascii_digit();
    let stat = is_process.then(|| fs::read_to_string(process.join("stat")).ok()).flatten()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(2)?.parse().ok()
}
