"""Attempts to use up the machine."""

import errno
import mmap
import os
import signal
import time

from hands import Escaped, in_child


# Who counts processes and memory now and then needs a moment to act.
MOMENT_S = 10


def fork_bomb(ground):
    """Children that wait, until the system gives no more, kills us, or leaves 5,000 alone."""
    wanted = 5000
    reader, writer = os.pipe()
    children = []
    try:
        while len(children) < wanted:
            child = os.fork()
            if child == 0:
                os.close(writer)
                os.read(reader, 1)
                os._exit(0)
            children.append(child)
        time.sleep(MOMENT_S)
    except OSError as error:
        raise OSError(error.errno, "after %d children" % len(children)) from error
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
    raise Escaped("had %d children at a time" % wanted)


def fill(path, bytes_wanted):
    block = bytes(1 << 20)
    written = 0
    try:
        with open(path, "wb", buffering=0) as file:
            while written < bytes_wanted:
                written += file.write(block)
    except OSError as error:
        raise OSError(error.errno, "after %d MiB" % (written >> 20)) from error
    finally:
        os.unlink(path)
    raise Escaped("wrote %d MiB" % (written >> 20))


def fill_tmp(ground):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    fill(os.environ.get("TMPDIR", "/tmp") + "/fill", ground.tmp_bytes_max * 2)


def fill_shm(ground):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    fill("/dev/shm/limn-fill", ground.tmp_bytes_max * 2)


def hog_memory(ground):
    """More memory than is allowed, every page of it touched: of one's own, shared, and of a file
    that has no name."""
    size = 1 << 24
    wanted = ground.memory_bytes_max * 2

    def touched(block):
        for page in range(0, size, mmap.PAGESIZE):
            block[page] = 1
        return block

    def shared():
        return touched(mmap.mmap(-1, size))

    def nameless():
        file = os.memfd_create("limn-hog")
        os.ftruncate(file, size)
        block = mmap.mmap(file, size)
        os.close(file)
        return touched(block)

    def hold(one):
        blocks = []
        while len(blocks) * size < wanted:
            blocks.append(one())
        time.sleep(MOMENT_S)

    ways = [
        ("its own", lambda: bytearray(b"\x01") * size),
        ("shared", shared),
        ("without a name", nameless),
    ]
    ends = [(name, in_child(lambda one=one: hold(one))) for name, one in ways]
    held = [name for name, status in ends if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0]
    if held:
        raise Escaped("held %d MiB: %s" % (wanted >> 20, ", ".join(held)))
    raise OSError(errno.ENOMEM, ", ".join("%s: ended with %d" % it for it in ends))
