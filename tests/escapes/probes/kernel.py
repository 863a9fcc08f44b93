"""Attempts on the kernel: calls that no command of a workspace needs."""

import ctypes
import errno
import mmap
import os
import platform
import socket
import struct

from hands import (
    CLONE_NEWNS,
    CLONE_NEWUSER,
    Absent,
    Escaped,
    all_ways,
    call,
    call_number,
    first_success,
    in_child,
)


def io_uring(ground):
    os.close(call("io_uring_setup", 4, ctypes.create_string_buffer(120)))
    raise Escaped("has a ring, whose calls no filter sees")


def worked_in_child(work, what):
    """For calls that would change this very process."""
    status = in_child(lambda: (work(), 77)[1])
    if os.WIFSIGNALED(status):
        raise PermissionError(errno.EPERM, "killed by signal %d" % os.WTERMSIG(status))
    code = os.waitstatus_to_exitcode(status)
    if code == 77:
        raise Escaped(what)
    raise OSError(code - 100, os.strerror(code - 100))


def new_user_namespace(ground):
    worked_in_child(lambda: call("unshare", CLONE_NEWUSER), "has a user namespace of its own")


def new_mount_namespace(ground):
    worked_in_child(lambda: call("unshare", CLONE_NEWNS), "has a mount namespace of its own")


def clone3_namespaces(ground):
    """The flags of clone3 lie behind a pointer, where no filter looks."""
    def work():
        arguments = struct.pack("8Q", CLONE_NEWUSER, 0, 0, 0, 17, 0, 0, 0)
        pid = call("clone3", arguments, len(arguments))
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    worked_in_child(work, "cloned into a user namespace of its own")


def clone_namespaces(ground):
    """The old clone with the same flags, by its raw number."""
    number = {"x86_64": 56, "aarch64": 220}.get(platform.machine())
    if number is None:
        raise Absent("no number for %s" % platform.machine())

    def work():
        pid = call_number(number, CLONE_NEWUSER | 17, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    worked_in_child(work, "cloned into a user namespace of its own")


def tracing(ground):
    """Programs in the kernel, counters of it, and faults that hold it up."""
    attribute = struct.pack("II", 1, 120) + bytes(112)
    ways = [
        ("bpf", lambda: os.close(call("bpf", 0, struct.pack("5I", 2, 4, 4, 1, 0) + bytes(100), 120))),
        ("perf", lambda: os.close(call("perf_event_open", attribute, 0, -1, -1, 0))),
        ("userfaultfd", lambda: os.close(call("userfaultfd", 1))),
    ]
    raise Escaped(all_ways(ways))


def machine_code(code):
    """Runs bytes as a function without arguments."""
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)()


def old_system_calls(ground):
    """int 0x80: the same kernel by the numbers of 1995, which a filter for today's misreads."""
    if platform.machine() != "x86_64":
        raise Absent("only x86-64 has this door")
    own = os.getpid()

    def work():
        # push rbx; mov eax, 20 (getpid); int 0x80; pop rbx; ret
        result = machine_code(b"\x53\xb8\x14\x00\x00\x00\xcd\x80\x5b\xc3")
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        if result == own:
            raise Absent("unexpected")

    worked_in_child(work, "getpid answered through int 0x80")


def x32_system_calls(ground):
    if platform.machine() != "x86_64":
        raise Absent("only x86-64 has this door")

    def work():
        call_number(0x40000000 + 39)

    worked_in_child(work, "getpid answered by its x32 number")


def write_back(path):
    """Writes what is there already, so that getting out does no harm."""
    with open(path, encoding="utf-8") as file:
        now = file.read()
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, now.encode())
    finally:
        os.close(file)


def core_pattern(ground):
    """The host runs what stands here, as root, at the next crash."""
    write_back("/proc/sys/kernel/core_pattern")
    raise Escaped("wrote the pattern of cores")


def kernel_settings(ground):
    """Other settings by which the host runs programs or changes its mind."""
    names = [
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/domainname",
        "/proc/sys/kernel/randomize_va_space",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/fs/suid_dumpable",
        "/sys/kernel/uevent_helper",
        "/sys/kernel/mm/ksm/run",
    ]
    raise Escaped(all_ways([(name, lambda name=name: write_back(name)) for name in names]))


def system_request(ground):
    """The key that reboots; the letter h only prints a help text into the kernel's log."""
    file = os.open("/proc/sysrq-trigger", os.O_WRONLY)
    os.write(file, b"h")
    raise Escaped("pressed the system request key")


def own_world(ground):
    """The identity of our user namespace, and limits that belong to it."""
    names = ["uid_map", "gid_map", "setgroups"]

    def write(name):
        file = os.open("/proc/self/" + name, os.O_WRONLY)
        try:
            os.write(file, b"allow" if name == "setgroups" else b"0 0 1")
        finally:
            os.close(file)

    raise Escaped(all_ways([(name, lambda name=name: write(name)) for name in names]))


def control_groups(ground):
    """Out of one's own limits."""
    base = "/sys/fs/cgroup"
    if not os.path.isdir(base) or not os.listdir(base):
        raise PermissionError(errno.ENOENT, "no control groups can be seen")
    folders = [base] + [os.path.join(base, it) for it in os.listdir(base)]
    folders = [it for it in folders if os.path.isdir(it)]

    def make(folder):
        path = os.path.join(folder, "limn-escape")
        os.mkdir(path)
        os.rmdir(path)

    def move(folder):
        file = os.open(os.path.join(folder, "cgroup.procs"), os.O_WRONLY)
        os.close(file)

    ways = []
    for folder in folders:
        ways.append(("new group in %s" % folder, lambda folder=folder: make(folder)))
        ways.append(("move into %s" % folder, lambda folder=folder: move(folder)))
    raise Escaped(first_success(ways))


def privileged_calls(ground):
    """Calls that only the system's owner has, with arguments that would do nothing."""
    nothing = ctypes.create_string_buffer(16)

    def reached(work, *beyond):
        """Errors that come only once the caller was found to be allowed."""
        def attempt():
            try:
                work()
            except OSError as error:
                if error.errno in beyond:
                    return "allowed, and then: %s" % errno.errorcode[error.errno]
                raise
            return "done"
        return attempt

    raise Escaped(first_success([
        ("init_module", reached(lambda: call("init_module", nothing, 16, ""), errno.ENOEXEC)),
        ("kexec_load", reached(lambda: call("kexec_load", 0, 99, nothing, 0), errno.EINVAL)),
        ("reboot", reached(lambda: call("reboot", 1, 1, 1, None), errno.EINVAL)),
        ("acct", reached(lambda: call("acct", "/no/such/file"), errno.ENOENT)),
        ("swapon", reached(lambda: call("swapon", "/no/such/file", 0), errno.ENOENT)),
        ("pivot_root", reached(lambda: call("pivot_root", "/no", "/no"), errno.ENOENT)),
    ]))


def kernel_log(ground):
    """Addresses and secrets of the kernel, and what other programs crashed with."""
    buffer = ctypes.create_string_buffer(256)
    if call("syslog", 3, buffer, 256) > 0:
        raise Escaped("read the kernel's log")
    return "an empty log"


def strange_sockets(ground):
    """Every family of sockets but those that programs use."""
    usual = {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}
    opened = []
    for family in range(1, 46):
        if family in usual:
            continue
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try:
                socket.socket(family, kind, 0).close()
                opened.append("%d/%d" % (family, kind))
            except OSError:
                pass
    if opened:
        raise Escaped("opened sockets of families/kinds %s" % ", ".join(opened))
    raise PermissionError(errno.EAFNOSUPPORT, "none opens")
