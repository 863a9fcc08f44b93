"""What every attempt needs: the ground it stands on, raw system calls, and ways to end."""

import ctypes
import errno
import json
import os
import platform

LIBC = ctypes.CDLL(None, use_errno=True)

# Numbers of system calls: x86-64, then aarch64. None where the machine has no such call.
NUMBERS = {
    "acct": (163, 89),
    "bpf": (321, 280),
    "clone3": (435, 435),
    "fchmodat2": (452, 452),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "openat2": (437, 437),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "ptrace": (101, 117),
    "reboot": (169, 142),
    "setns": (308, 268),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000


class Escaped(Exception):
    """The attempt got out, and this is the proof."""


class Absent(Exception):
    """There is nothing to try on this machine."""


class Ground:
    """Where everything is that one might want to reach."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.__dict__.update(json.load(file))

    def in_workspace(self, name, text="from inside\n"):
        """A file of our own."""
        path = os.path.join(self.workspace, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def reads_secret(self, path):
        """Reads a file and holds up what it finds."""
        with open(path, "rb") as file:
            self.holds_secret(file.read(65536), path)
        return "read %s, and the secret was not in it" % path

    def holds_secret(self, content, where):
        if self.secret.encode() in content:
            raise Escaped("read the secret from %s" % where)


def name_of(error):
    return "%s (%s)" % (errno.errorcode.get(error.errno, error.errno), error.strerror)


def word(value):
    """An argument of a system call as the machine takes it."""
    if isinstance(value, int):
        return ctypes.c_ulong(value & 0xFFFFFFFFFFFFFFFF)
    if isinstance(value, str):
        return ctypes.c_char_p(os.fsencode(value))
    if isinstance(value, bytes):
        return ctypes.c_char_p(value)
    if value is None:
        return ctypes.c_void_p(None)
    return value


def check(result):
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def call(name, *arguments):
    """A raw system call; an OSError when it fails."""
    column = {"x86_64": 0, "aarch64": 1}.get(platform.machine())
    if column is None:
        raise Absent("no table of system calls for %s" % platform.machine())
    return call_number(NUMBERS[name][column], *arguments)


def call_number(number, *arguments):
    LIBC.syscall.restype = ctypes.c_long
    return check(LIBC.syscall(ctypes.c_long(number), *[word(it) for it in arguments]))


def mount(source, target, kind, flags, data=None):
    return check(LIBC.mount(word(source), word(target), word(kind), word(flags), word(data)))


def first_success(attempts):
    """Tries several ways; the first that works is the result, else the last refusal counts."""
    refusals = []
    for name, attempt in attempts:
        try:
            how = attempt()
        except OSError as error:
            refusals.append((name, error))
            continue
        return "%s: %s" % (name, how or "nothing said no")
    said = ", ".join("%s: %s" % (name, errno.errorcode.get(it.errno)) for name, it in refusals)
    raise OSError(refusals[-1][1].errno, said)


def all_ways(attempts):
    """Tries every way, so that the host sees whichever worked."""
    worked, refusals = [], []
    for name, attempt in attempts:
        try:
            attempt()
            worked.append(name)
        except OSError as error:
            refusals.append((name, error))
    if worked:
        return "these worked: %s" % ", ".join(worked)
    said = ", ".join("%s: %s" % (name, errno.errorcode.get(it.errno)) for name, it in refusals)
    raise OSError(refusals[-1][1].errno, said)


def processes():
    """The processes that can be seen, save this one."""
    return [int(it) for it in os.listdir("/proc") if it.isdigit() and int(it) != os.getpid()]


def in_child(work):
    """Does something that may kill whoever does it; its exit status, as wait gives it."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(work() or 0)
        except Escaped:
            os._exit(77)
        except OSError as error:
            os._exit(100 + min(error.errno, 100))
        finally:
            os._exit(99)
    return os.waitpid(child, 0)[1]
