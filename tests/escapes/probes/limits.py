"""Attempts to use up the machine."""

import errno
import os
import signal
import time

from hands import Escaped


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
    """More memory than is allowed, every page of it touched."""
    blocks = []
    wanted = ground.memory_bytes_max * 2
    try:
        while len(blocks) << 24 < wanted:
            blocks.append(bytearray(b"\x01") * (1 << 24))
        time.sleep(MOMENT_S)
    except MemoryError:
        held = len(blocks) << 4
        blocks.clear()
        raise OSError(errno.ENOMEM, "after %d MiB" % held) from None
    raise Escaped("held %d MiB" % (len(blocks) << 4))

