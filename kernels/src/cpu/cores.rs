//! How many cores this process may use.

use std::num::NonZeroUsize;

/// Physical cores among those that the process may run on, and no more than its share of time allows.
pub(super) fn physical() -> NonZeroUsize {
    let allowed = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let read = |path: &str| std::fs::read_to_string(path).ok();
    match count(&read).and_then(NonZeroUsize::new) {
        Some(cores) => cores.min(allowed),
        None => allowed,
    }
}

/// Count the cores of the processors that Linux lets this process use, by what `read` finds in files.
fn count(read: &impl Fn(&str) -> Option<String>) -> Option<usize> {
    let status = read("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut cores = Vec::new();
    for processor in processors(list)? {
        // All threads of a core name the same siblings.
        let path = format!("/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list");
        let siblings = read(&path)?;
        if !cores.contains(&siblings) {
            cores.push(siblings);
        }
    }
    Some(cores.len())
}

/// The numbers in a list such as `0-3,8`.
fn processors(list: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last >= first.checked_add(4096)? {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_one_core_count_once() {
        let read = |path: &str| match path {
            "/proc/self/status" => Some("Name:\tx\nCpus_allowed_list:\t0-2,6\n".to_string()),
            _ => {
                let processor: usize =
                    path["/sys/devices/system/cpu/cpu".len()..].split('/').next()?.parse().ok()?;
                Some(format!("{},{}\n", processor % 4, processor % 4 + 4))
            }
        };
        assert_eq!(count(&read), Some(3));
    }

    #[test]
    fn a_list_that_cannot_be_read_is_no_list() {
        assert_eq!(processors("0-1,4\n"), Some(vec![0, 1, 4]));
        assert_eq!(processors(""), None);
        assert_eq!(processors("0-18446744073709551615"), None);
    }
}
