"""Attempts on other processes: the decoy on the host, and those that hold us."""

import ctypes
import fcntl
import os
import resource
import signal
import subprocess

from hands import LIBC, Absent, Escaped, all_ways, call, check, first_success, processes

PTRACE_SEIZE = 0x4206


def host_environ(ground):
    """The environment of every process that can be seen."""
    refused = None
    for pid in processes():
        try:
            with open("/proc/%d/environ" % pid, "rb") as file:
                ground.holds_secret(file.read(), "the environment of process %d" % pid)
        except OSError as error:
            refused = error
    if refused:
        raise refused
    raise PermissionError(3, "no process of the host can be seen")


def attach(pid):
    """Holds a process until we end."""
    call("ptrace", PTRACE_SEIZE, pid, 0, 0)


def trace(ground):
    attach(ground.decoy)
    raise Escaped("held a process of the host")


def trace_holder(ground):
    """Who holds us, from pid 1 of our world down to our parent."""
    own = [1, os.getppid()]
    raise Escaped(first_success([("process %d" % pid, lambda pid=pid: attach(pid)) for pid in own]))


def read_mem(ground):
    with open("/proc/%d/mem" % ground.decoy, "rb", buffering=0) as file:
        file.seek(ground.address)
        ground.holds_secret(file.read(64), "the memory of a process")


class Piece(ctypes.Structure):
    """An iovec."""

    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def read_vm(ground):
    buffer = ctypes.create_string_buffer(64)
    here = Piece(ctypes.addressof(buffer), 64)
    there = Piece(ground.address, 64)
    call("process_vm_readv", ground.decoy, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    ground.holds_secret(buffer.raw, "the memory of a process")


def signal_host(ground):
    os.kill(ground.decoy, signal.SIGUSR1)


def signal_sideways(ground):
    """The ways to a signal that are not kill: a descriptor, a thread, a queue, a file's owner."""
    def by_descriptor():
        pidfd = call("pidfd_open", ground.decoy, 0)
        call("pidfd_send_signal", pidfd, signal.SIGUSR1, None, 0)

    def by_owner():
        reader, writer = os.pipe()
        fcntl.fcntl(reader, fcntl.F_SETOWN, ground.decoy)
        fcntl.fcntl(reader, 10, signal.SIGUSR1)  # F_SETSIG
        flags = fcntl.fcntl(reader, fcntl.F_GETFL)
        fcntl.fcntl(reader, fcntl.F_SETFL, flags | os.O_ASYNC | os.O_NONBLOCK)
        os.write(writer, b"x")

    def by_queue():
        LIBC.sigqueue.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
        check(LIBC.sigqueue(ground.decoy, signal.SIGUSR1, None))

    return all_ways([
        ("pidfd_send_signal", by_descriptor),
        ("sigqueue", by_queue),
        ("F_SETOWN", by_owner),
    ])


def signal_holder(ground):
    """Kills whoever holds us. Where the host's processes are in sight, it only asks if it might."""
    try:
        os.kill(ground.decoy, 0)
    except OSError:
        pass
    else:
        os.kill(1, 0)
        raise Escaped("may signal process 1 of the host")
    for pid in [1, os.getppid()]:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    return "sent SIGKILL to process 1 and to the parent"


def steal_descriptor(ground):
    pidfd = call("pidfd_open", ground.decoy, 0)
    call("pidfd_getfd", pidfd, 1, 0)
    raise Escaped("took a descriptor out of a process of the host")


def tune_host(ground):
    """Limits and priorities of others, which no file or signal rule covers."""
    def limit():
        limits = resource.prlimit(ground.decoy, resource.RLIMIT_CORE)
        resource.prlimit(ground.decoy, resource.RLIMIT_CORE, limits)

    def affinity():
        os.sched_setaffinity(ground.decoy, os.sched_getaffinity(ground.decoy))

    def priority():
        os.setpriority(os.PRIO_PROCESS, ground.decoy, os.getpriority(os.PRIO_PROCESS, ground.decoy))

    raise Escaped(all_ways([("prlimit", limit), ("affinity", affinity), ("priority", priority)]))


def enter_namespaces(ground):
    """The namespaces of the host, by the files that stand for them."""
    def enter(pid, name):
        file = os.open("/proc/%d/ns/%s" % (pid, name), os.O_RDONLY)
        call("setns", file, 0)

    ways = []
    for pid in [ground.decoy, 1, os.getppid()]:
        for name in ["net", "ipc", "uts", "pid", "mnt", "user"]:
            ways.append(("%s of %d" % (name, pid), lambda pid=pid, name=name: enter(pid, name)))
    raise Escaped(first_success(ways))


def first_mem(ground):
    """The memory of process 1: of the host, or of what holds us."""
    with open("/proc/1/maps", encoding="utf-8") as maps:
        start = int(maps.readline().split("-")[0], 16)
    with open("/proc/1/mem", "rb", buffering=0) as memory:
        memory.seek(start)
        memory.read(16)
    raise Escaped("read the memory of process 1")


def first_root(ground):
    """The files as another process sees them."""
    path = ground.home + "/.ssh/id_ed25519"
    pids = [1, os.getppid(), ground.decoy]
    return first_success([
        ("process %d" % pid, lambda pid=pid: ground.reads_secret("/proc/%d/root%s" % (pid, path)))
        for pid in pids
    ])


def first_descriptors(ground):
    """The descriptors of process 1 and of our parents, which may be sockets to limn."""
    opened, refused = [], None
    for pid in [1, ground.decoy]:
        try:
            for name in os.listdir("/proc/%d/fd" % pid):
                opened.append(os.readlink("/proc/%d/fd/%s" % (pid, name)))
        except OSError as error:
            refused = error
    if opened:
        raise Escaped("looked at %s" % ", ".join(opened[:3]))
    if refused:
        raise refused
    raise PermissionError(1, "there is nothing to open")


def inherited_descriptors(ground):
    """What we hold without having opened it: the terminal three times, and no more."""
    beyond = []
    for number in range(3, 1024):
        try:
            beyond.append("%d: %s" % (number, os.readlink("/proc/self/fd/%d" % number)))
        except OSError:
            pass
    standard = [os.readlink("/proc/self/fd/%d" % number) for number in range(3)]
    strange = [it for it in standard if not it.startswith(("/dev/pts/", "/dev/console", "/dev/null"))]
    if beyond or strange:
        raise Escaped("was given %s" % ", ".join(beyond + strange))
    raise PermissionError(9, "three descriptors of the terminal and no more")


def terminal_master(ground):
    """The other end of our terminal, and of other people's, through whoever holds it."""
    found = []
    for pid in processes():
        try:
            for name in os.listdir("/proc/%d/fd" % pid):
                path = "/proc/%d/fd/%s" % (pid, name)
                if "ptmx" in os.readlink(path):
                    found.append(path)
        except OSError:
            pass
    if found:
        raise Escaped("sees the master of a terminal at %s" % found[0])
    raise PermissionError(3, "no process that can be seen holds one")


def shared_memory(ground):
    """System V shared memory of a process of the host."""
    if ground.shm is None:
        raise Absent("the kernel has no System V shared memory")
    LIBC.shmat.restype = ctypes.c_void_p
    LIBC.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
    identifier = check(LIBC.shmget(ground.shm, 64, 0))
    address = LIBC.shmat(identifier, None, 0o10000)
    if address in (None, ctypes.c_void_p(-1).value):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    ground.holds_secret(ctypes.string_at(address, 64), "shared memory")


def keyring(ground):
    """The user's keyring in the kernel."""
    if ground.key is None:
        raise Absent("the kernel has no keyrings")
    key = call("keyctl", 10, -4 & 0xFFFFFFFFFFFFFFFF, "user", ground.key, 0)
    buffer = ctypes.create_string_buffer(64)
    call("keyctl", 11, key, buffer, 64)
    ground.holds_secret(buffer.raw, "the user's keyring")


def nested_limn(ground):
    """Our own holder, asked to run something without a sandbox from inside of one."""
    environment = dict(os.environ, LIMN_SANDBOX="off", LIMN_HOME=ground.home)
    limn = ground.limn
    done = subprocess.run(
        [limn, "exec", "--sandbox", "off", "--help"], env=environment, capture_output=True, check=False
    )
    path = ground.home + "/.ssh/id_ed25519"
    for words in [["sandbox-exec"], ["sandbox-hold"], ["holder"]]:
        said = subprocess.run(
            [limn, *words, "--", "cat", path],
            env=environment, capture_output=True, check=False, stdin=subprocess.DEVNULL,
        )
        ground.holds_secret(said.stdout + said.stderr, "limn %s" % words[0])
    with open(path, "rb") as file:
        ground.holds_secret(file.read(), path)
    return "ran limn inside (%d), which led nowhere" % done.returncode


def memfd_program(ground):
    """A program without a file: it is as confined as any other."""
    file = os.memfd_create("limn")
    with open("/bin/cat", "rb") as program:
        os.write(file, program.read())
    said = subprocess.run(
        ["/proc/self/fd/%d" % file, ground.home + "/.ssh/id_ed25519"],
        pass_fds=[file], capture_output=True, check=False,
    )
    ground.holds_secret(said.stdout, "a program in memory")
    raise PermissionError(13, said.stderr.decode(errors="replace").strip() or "it read nothing")


def core_dump(ground):
    """A crash leaves a copy of memory, or runs the host's handler on it."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    os.chdir(ground.workspace)
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGSEGV)
        os._exit(1)
    status = os.waitpid(child, 0)[1]
    if os.WCOREDUMP(status):
        raise Escaped("the kernel wrote a core")
    raise PermissionError(27, "no core (limit %d)" % hard)


def daemon(ground):
    """Leaves a process behind that has left everything: session, terminal, parents."""
    script = (
        "exec 0<&- 1>&- 2>&-; cd /; trap '' HUP TERM INT; "
        "echo $$ > '%s/daemon'; while :; do sleep 1000; done" % ground.workspace
    )
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            os.environ.clear()
            os.execv("/bin/sh", ["limn-daemon-%s" % ground.secret, "-c", script])
        os._exit(0)
    os.wait()
    while not os.path.exists(ground.workspace + "/daemon"):
        subprocess.run(["true"], check=False)
    return "left a daemon"
