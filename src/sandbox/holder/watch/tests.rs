use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::process::getpid;

use super::{anonymous_bytes, memory_bytes, resident_bytes};

const BLOCK_BYTES: usize = 64 << 20;

/// Counts of the kernel are this far behind.
const SLACK_BYTES: u64 = 2 << 20;

/// What is counted of this process while it holds memory of a kind, every page of it touched.
fn counted(flags: libc::c_int, file: Option<&OwnedFd>) -> (u64, u64) {
    let file = file.map_or(-1, AsRawFd::as_raw_fd);
    let access = libc::PROT_READ | libc::PROT_WRITE;
    #[allow(unsafe_code, reason = "no library hands out memory of a given kind")]
    // SAFETY: a new mapping at a place that the kernel chooses, of the length that is touched, and
    // nothing points into it once it is gone.
    unsafe {
        let block = libc::mmap(ptr::null_mut(), BLOCK_BYTES, access, flags, file, 0);
        assert_ne!(block, libc::MAP_FAILED);
        for offset in (0..BLOCK_BYTES).step_by(rustix::param::page_size()) {
            block.cast::<u8>().add(offset).write_volatile(1);
        }
        let seen = (memory_bytes(getpid()), resident_bytes(getpid()));
        libc::munmap(block, BLOCK_BYTES);
        seen
    }
}

#[test]
fn memory_of_every_kind_that_lies_on_no_disk_counts() {
    let nameless = memfd_create("test", MemfdFlags::CLOEXEC).expect("a file in memory");
    ftruncate(&nameless, BLOCK_BYTES as u64).expect("room");
    for (counted, resident) in [
        counted(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, None),
        counted(libc::MAP_SHARED | libc::MAP_ANONYMOUS, None),
        counted(libc::MAP_SHARED, Some(&nameless)),
    ] {
        assert!(counted >= BLOCK_BYTES as u64, "{counted}");
        // What costs less to ask is never less than what counts, or the bound would be missed.
        assert!(resident + SLACK_BYTES >= counted, "{resident} and {counted}");
    }
}

#[test]
fn files_on_a_disk_do_not_count() {
    let rollup = "55d0-7ffd ---p 00000000 00:00 0  [rollup]\nRss: 9000 kB\nPss: 8000 kB\n\
                  Pss_Anon: 12 kB\nPss_File: 7000 kB\nPss_Shmem: 30 kB\nAnonHugePages: 500 kB\n";
    assert_eq!(anonymous_bytes(rollup), 42 * 1_024);
    assert_eq!(anonymous_bytes("Pss_Anon: many kB\nPss_Shmem: 99999999999999999999 kB\n"), 0);
    let own = fs::read_to_string("/proc/self/smaps_rollup").expect("read");
    assert!(anonymous_bytes(&own) > 0, "the kernel writes it as it is read here: {own}");
}
