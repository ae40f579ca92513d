//! What else the machine did while the load ran: CPU time that its host took away, and that others on it used.

use std::fs::read_to_string;

use super::child::Usage;

/// From this share on, the host took so much that figures are as much its as the broker's.
pub(super) const STEAL_SHARE_MAX: f64 = 0.02;

/// Kernel clock ticks a second in `/proc/stat`: fixed in the kernel's interface.
const TICKS_PER_S: f64 = 100.0;

/// CPU time since the machine started, all CPUs together, and of this process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    cpus: Cpus,
    own_seconds: f64,
}

/// The first line of `/proc/stat`, seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Cpus {
    /// Somebody ran.
    busy: f64,
    /// Nobody did.
    idle: f64,
    /// Somebody would have run, but the host gave the CPU to another machine.
    stolen: f64,
}

/// Shares of all CPU time of the window, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Others {
    /// Taken by the host.
    pub(super) steal: f64,
    /// Used neither by broker nor generator: other programs, and the kernel's own threads.
    pub(super) others: f64,
}

impl Look {
    /// Looks now; `None` where the kernel does not tell.
    pub(super) fn now() -> Option<Look> {
        let cpus = cpus(&read_to_string("/proc/stat").ok()?)?;
        Some(Look { cpus, own_seconds: Usage::of(std::process::id()).cpu_seconds })
    }

    /// What happened since `start`, of which the broker used `broker_seconds`.
    pub(super) fn since(&self, start: &Look, broker_seconds: f64) -> Option<Others> {
        let since = |of: fn(&Cpus) -> f64| (of(&self.cpus) - of(&start.cpus)).max(0.0);
        let (busy, stolen) = (since(|c| c.busy), since(|c| c.stolen));
        let all = busy + stolen + since(|c| c.idle);
        let known = self.own_seconds - start.own_seconds + broker_seconds;
        (all > 0.0).then(|| Others { steal: stolen / all, others: ((busy - known) / all).max(0.0) })
    }
}

/// user, nice, system, idle, iowait, irq, softirq, steal; what a guest used is part of user.
fn cpus(stat: &str) -> Option<Cpus> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = line.split_ascii_whitespace().map_while(|n| n.parse().ok()).collect();
    let &[user, nice, system, idle, iowait, irq, softirq, steal, ..] = &ticks[..] else { return None };
    Some(Cpus {
        busy: (user + nice + system + irq + softirq) / TICKS_PER_S,
        idle: (idle + iowait) / TICKS_PER_S,
        stolen: steal / TICKS_PER_S,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(stat: &str, own_seconds: f64) -> Look {
        Look { cpus: cpus(stat).expect("a line"), own_seconds }
    }

    #[test]
    fn what_neither_broker_nor_generator_used_is_others() {
        let start = look("cpu  100 0 100 1000 0 0 0 0 0 0\ncpu0 1 2 3\n", 1.0);
        let end = look("cpu  500 0 300 1300 0 50 50 100 0 0\n", 4.0);
        // Of 11 s of CPU 7 were busy: 3 of the generator's, 2 of the broker's. The host took 1.
        let others = end.since(&start, 2.0).expect("time passed");
        assert!((others.steal - 1.0 / 11.0).abs() < 1e-9, "{others:?}");
        assert!((others.others - 2.0 / 11.0).abs() < 1e-9, "{others:?}");
        assert_eq!(start.since(&start, 0.0), None, "no time, no share");
        assert_eq!(cpus("cpu  1 2 3\n"), None);
    }
}
