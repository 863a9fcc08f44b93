//! Unix systems that offer no way to find the descendants of a process: the process group is all
//! that is ended.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process_group};

use super::{Leaders, Remains};

#[derive(Debug)]
pub(super) struct Watch;

impl Watch {
    pub(super) fn new(_: Pid) -> Self {
        Self
    }

    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[derive(Debug)]
pub(super) struct Members {
    leader: Pid,
}

impl Members {
    pub(super) fn new(leader: Pid, _: String) -> Self {
        Self { leader }
    }

    pub(super) fn at_terminal(&mut self, _: Pid) -> Vec<i32> {
        Vec::new()
    }

    /// Nobody knows: what is left of the group is ended with the command.
    pub(super) fn remains(&mut self) -> Remains {
        Remains::default()
    }

    pub(super) fn terminate(&mut self) {
        let _ = kill_process_group(self.leader, Signal::TERM);
    }

    pub(super) fn kill(&mut self) {
        let _ = kill_process_group(self.leader, Signal::KILL);
    }
}

pub(super) fn kill_all(leaders: Option<&Leaders>, _: Instant) {
    for leader in leaders.into_iter().flat_map(|leaders| &leaders.pids) {
        let _ = kill_process_group(*leader, Signal::KILL);
    }
}

pub(super) fn kill_strays(_: &Leaders) {}

pub(super) fn adopt_orphans() {}

pub(super) fn started(_: Pid) -> u64 {
    0
}
