"""Attempts on terminals: to type for the user, to write on somebody else's screen."""

import errno
import fcntl
import os
import struct
import sys

from hands import Escaped, all_ways, call

TIOCSTI, TIOCCONS, TIOCLINUX, TIOCSETD = 0x5412, 0x541D, 0x541C, 0x5423


def controlling():
    return os.open("/dev/tty", os.O_RDWR)


def type_for_user(ground):
    """Bytes into the input of the terminal, as if typed; also with bits that the kernel ignores."""
    terminal = controlling()
    raise Escaped(all_ways([
        ("TIOCSTI", lambda: call("ioctl", terminal, TIOCSTI, b"\n")),
        ("with high bits", lambda: call("ioctl", terminal, TIOCSTI | 1 << 32, b"\n")),
        ("with all high bits", lambda: call("ioctl", terminal, TIOCSTI | 0xFFFFFFFF << 32, b"\n")),
    ]))


def take_console(ground):
    """The console's output, a selection pasted, a line discipline loaded into the kernel."""
    terminal = controlling()
    discipline = struct.pack("i", 15)
    raise Escaped(all_ways([
        ("TIOCLINUX", lambda: call("ioctl", terminal, TIOCLINUX, b"\x03")),
        ("TIOCLINUX with high bits", lambda: call("ioctl", terminal, TIOCLINUX | 1 << 32, b"\x03")),
        ("TIOCCONS", lambda: call("ioctl", terminal, TIOCCONS, None)),
        ("TIOCSETD", lambda: fcntl.ioctl(terminal, TIOCSETD, discipline)),
    ]))


def other_terminal(ground):
    """The screen of a user who has nothing to do with us."""
    terminal = os.open(ground.terminal, os.O_RDWR | os.O_NOCTTY)
    if not os.isatty(terminal):
        raise PermissionError(errno.ENOTTY, "it is no terminal here")
    os.write(terminal, b"from inside\n")


def escape_sequences(ground):
    """What a terminal would take as orders: the clipboard, the title, a report of the cursor."""
    sys.stdout.write("\x1b]52;c;bGltbg==\x07\x1b]0;limn-escape-title\x07\x1b]2;limn-escape-title\x1b\\")
    sys.stdout.write("\x1bP+q544e\x1b\\\x1b[6n\x1b[21t")
    sys.stdout.flush()
    return "printed orders to a terminal"
