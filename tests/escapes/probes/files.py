"""Attempts on files: to read what is private, to change what lies outside the workspace."""

import ctypes
import os
import shutil
import stat
import struct

from hands import LIBC, Absent, Escaped, all_ways, call, check, first_success, in_child, mount, word

AT_FDCWD = -100
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18


def append(path, text="echo limn was here\n"):
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)


def write_bashrc(ground):
    append(ground.home + "/.bashrc")


def create_autostart(ground):
    os.makedirs(ground.home + "/.config/autostart", exist_ok=True)
    append(ground.home + "/.config/autostart/limn.desktop", "[Desktop Entry]\nExec=true\n")


def read_ssh_key(ground):
    return ground.reads_secret(ground.home + "/.ssh/id_ed25519")


def read_history(ground):
    return ground.reads_secret(ground.home + "/.bash_history")


def moved_hidden(ground):
    """A hidden file where it was, and where the folder above it was moved by an earlier command."""
    return all_ways([
        (folder, lambda folder=folder: ground.reads_secret(
            "%s/%s/private/plan" % (ground.workspace, folder)))
        for folder in ["notes", "moved"]
    ])


def read_shadow(ground):
    """Passwords of the machine: whoever runs limn as root owns this file inside as well."""
    with open("/etc/shadow", "rb") as file:
        if file.read(65536).count(b":") > 8:
            raise Escaped("read /etc/shadow")
    return "/etc/shadow is there and says nothing"


def write_through_symlink(ground):
    file = os.path.join(ground.workspace, "link")
    folder = os.path.join(ground.workspace, "folder")
    os.symlink(ground.outside + "/file", file)
    os.symlink(ground.outside, folder)
    return all_ways([
        ("through a file", lambda: append(file)),
        ("through a folder", lambda: append(folder + "/new")),
        ("a dangling link", lambda: (os.symlink(ground.outside + "/made", file + "2"), append(file + "2"))),
    ])


def hardlink_in(ground):
    inside = os.path.join(ground.workspace, "hard")
    os.link(ground.outside + "/file", inside)
    append(inside)


def rename_out(ground):
    own = ground.in_workspace("own")
    other = ground.in_workspace("other")
    exchange = 2

    def swap():
        libc_call = LIBC.renameat2
        check(libc_call(AT_FDCWD, word(other), AT_FDCWD, word(ground.outside + "/file"), exchange))

    return all_ways([
        ("rename", lambda: os.rename(own, ground.outside + "/own")),
        ("link", lambda: os.link(other, ground.outside + "/linked")),
        ("exchange", swap),
    ])


def remount_rw(ground):
    """The folder outside is there to be read; a mount that is made writable would give it away."""
    target = ground.outside
    ways = [
        ("remount", lambda: mount(None, target, None, MS_REMOUNT | MS_BIND)),
        ("bind", lambda: mount(target, target, None, MS_BIND | MS_REC)),
        ("remount the bind", lambda: mount(None, target, None, MS_REMOUNT | MS_BIND)),
        ("remount the root", lambda: mount(None, "/", None, MS_REMOUNT | MS_BIND)),
        ("mount_setattr", lambda: call(
            "mount_setattr", AT_FDCWD, target, 0, struct.pack("QQQQ", 0, 1, 0, 0), 32)),
    ]
    said = all_ways(ways)
    append(target + "/file")
    return said


def mount_something(ground):
    """Mounts of our own, which would show what was hidden; and the calls that leave a root."""
    target = os.path.join(ground.workspace, "mountpoint")
    os.makedirs(target, exist_ok=True)

    def undo(work):
        work()
        LIBC.umount2(word(target), 2)

    return self_evident(first_success([
        ("tmpfs", lambda: undo(lambda: mount("none", target, "tmpfs", 0))),
        ("proc", lambda: undo(lambda: mount("none", target, "proc", 0))),
        ("bind of /", lambda: undo(lambda: mount("/", target, None, MS_BIND))),
        ("fsopen", lambda: os.close(call("fsopen", "tmpfs", 0))),
        ("open_tree", lambda: os.close(call("open_tree", AT_FDCWD, "/", 1))),
        ("umount of the home", lambda: umount_in_child(ground.home)),
        ("umount of /tmp", lambda: umount_in_child("/tmp")),
    ]))


def umount_in_child(path):
    call("umount2", path, 2)


def self_evident(how):
    raise Escaped(how)


def chroot_out(ground):
    """The oldest trick: a second root while the working folder stays outside it."""
    jail = os.path.join(ground.workspace, "jail")
    os.makedirs(jail, exist_ok=True)

    def climb():
        os.chroot(jail)
        for _ in range(64):
            os.chdir("..")
        os.chroot(".")
        with open(ground.home + "/.ssh/id_ed25519", "rb") as file:
            return 77 if ground.secret.encode() in file.read() else 0

    status = os.waitstatus_to_exitcode(in_child(climb))
    if status == 77:
        raise Escaped("read the secret from above a second root")
    if status >= 100:
        raise OSError(status - 100, os.strerror(status - 100))
    return "chroot worked and led nowhere"


def plant_local_bin(ground):
    os.makedirs(ground.home + "/.local/bin", exist_ok=True)
    path = ground.home + "/.local/bin/git"
    append(path, "#!/bin/sh\n")
    os.chmod(path, 0o755)


def setuid_exec(ground):
    """Programs that change their user keep the rights of the file's owner."""
    if ground.setuid is None:
        raise Absent("there is no program with the setuid bit here")
    terminal, theirs = os.openpty()
    child = os.fork()
    if child == 0:
        for number in range(3):
            os.dup2(theirs, number)
        try:
            os.execv(ground.setuid[0], ground.setuid)
        except OSError as error:
            os._exit(100 + error.errno)
    os.close(theirs)
    try:
        return who_it_became(child)
    finally:
        os.close(terminal)


def who_it_became(child):
    """Looks at a program that waits for its input until it has another user, or ends."""
    own = os.geteuid()
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        with open("/proc/%d/stat" % child, encoding="utf-8") as stat_file:
            name, _, rest = stat_file.read().partition("(")[2].rpartition(")")
        # Before it is the program, it may wait for that to be loaded. Who it is, is read after that.
        waits = rest.split()[0] == "S" and name not in ("python3", "try.py")
        with open("/proc/%d/status" % child, encoding="utf-8") as status:
            line = next(it for it in status if it.startswith("Uid:")).split()
        if int(line[2]) == own and not waits:
            continue
        os.kill(child, 9)
        os.waitpid(child, 0)
        if int(line[2]) != own:
            raise Escaped("became user %s" % line[2])
        raise PermissionError(1, "it ran, and ran as us")
    raise PermissionError(1, "it ran and ended, as us")


def host_tmp(ground):
    """Files of others in /tmp, and files of ours that others would find there."""
    def write():
        os.makedirs(ground.tmp, exist_ok=True)
        append(ground.tmp + "/planted")

    try:
        write()
    finally:
        if os.path.exists(ground.tmp + "/secret"):
            ground.reads_secret(ground.tmp + "/secret")
    return "wrote to /tmp"


def shared_memory_file(ground):
    """/dev/shm is a /tmp that one forgets."""
    if os.path.exists(ground.shm_file):
        ground.reads_secret(ground.shm_file)
    append(ground.shm_file)


def open_by_handle(ground):
    """A file by its number, whatever lies over its path."""
    handle = bytes.fromhex(ground.handle)
    at = os.open(ground.workspace, os.O_RDONLY)
    file = call("open_by_handle_at", at, ctypes.create_string_buffer(handle), os.O_RDONLY)
    ground.holds_secret(os.read(file, 65536), "a file that was opened by its handle")
    return "opened something else"


def chmod_setuid(ground):
    """Every call that can leave a setuid program behind in the workspace."""
    def own(name):
        return ground.in_workspace(name)

    def by_fchmod():
        with open(own("by-fchmod"), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o4755)

    def created(name, flags=os.O_CREAT | os.O_WRONLY):
        os.close(os.open(os.path.join(ground.workspace, name), flags, 0o4755))

    def by_openat2():
        how = struct.pack("QQQ", os.O_CREAT | os.O_WRONLY, 0o4755, 0)
        path = os.path.join(ground.workspace, "by-openat2")
        os.close(call("openat2", AT_FDCWD, path, how, len(how)))

    def unnamed():
        file = os.open(ground.workspace, os.O_TMPFILE | os.O_RDWR, 0o4755)
        path = os.path.join(ground.workspace, "by-tmpfile")
        # Only with a folder to start from does the call that follows links get made.
        folder = os.open("/proc/self/fd", os.O_RDONLY)
        os.link(str(file), path, src_dir_fd=folder, follow_symlinks=True)

    def by_fchmodat2():
        call("fchmodat2", AT_FDCWD, own("by-fchmodat2"), 0o4755, 0)

    os.umask(0)
    said = all_ways([
        ("chmod", lambda: os.chmod(own("by-chmod"), 0o4755)),
        ("chmod of the group", lambda: os.chmod(own("by-chmod-group"), 0o2755)),
        ("fchmod", by_fchmod),
        ("fchmodat2", by_fchmodat2),
        ("open", lambda: created("by-open")),
        ("openat2", by_openat2),
        ("mknod", lambda: os.mknod(ground.workspace + "/by-mknod", stat.S_IFREG | 0o4755)),
        ("O_TMPFILE", unnamed),
    ])
    made = []
    for name in sorted(os.listdir(ground.workspace)):
        mode = os.lstat(os.path.join(ground.workspace, name)).st_mode
        if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
            made.append(name)
    if made:
        raise Escaped("%d setuid programs in the workspace; %s" % (len(made), said))
    raise PermissionError(1, "no call left the bit")


def file_capability(ground):
    """Capabilities in a file do what the setuid bit does."""
    path = ground.in_workspace("capable")
    value = struct.pack("<5I", 0x02000001, 1 << 21, 1 << 21, 0, 0)
    os.setxattr(path, "security.capability", value)
    raise Escaped("gave a file a capability")


def device_node(ground):
    """A device of one's own is the disk, whatever is mounted over it."""
    device = os.stat(ground.base).st_dev
    ways = [
        ("block", lambda: os.mknod(ground.workspace + "/disk", stat.S_IFBLK | 0o600, device)),
        ("character", lambda: os.mknod(ground.workspace + "/mem", stat.S_IFCHR | 0o600, 0x101)),
    ]
    raise Escaped(first_success(ways))


def read_disk(ground):
    """Devices that are there: the disk under the files, memory, the kernel's log."""
    names = os.listdir("/dev")
    disks = ["/dev/" + it for it in names if it[:2] in ("vd", "sd", "nv", "xv", "mm", "dm")]
    ways = [
        (it, lambda it=it: os.close(os.open(it, os.O_RDONLY | os.O_NONBLOCK)))
        for it in [*disks, "/dev/mem", "/dev/kmem", "/dev/kmsg", "/proc/kcore", "/dev/fuse"]
    ]
    raise Escaped(first_success(ways))


def chmod_outside(ground):
    os.chmod(ground.outside + "/file", 0o777)


def touch_outside(ground):
    """What is neither reading nor writing: times, owners, attributes, lengths."""
    path = ground.outside + "/file"
    return all_ways([
        ("utime", lambda: os.utime(path, (1, 1))),
        ("setxattr", lambda: os.setxattr(path, "user.limn", b"here")),
        ("truncate", lambda: os.truncate(path, 1)),
        ("chown", lambda: os.chown(path, 12345, 12345)),
    ])


def reopen_for_writing(ground):
    """A descriptor that may read is opened again as one that may write."""
    file = os.open(ground.outside + "/file", os.O_RDONLY)
    os.lseek(file, 0, os.SEEK_SET)
    again = os.open("/proc/self/fd/%d" % file, os.O_WRONLY | os.O_APPEND)
    os.write(again, b"from inside\n")


def make_in_outside(ground):
    """Every kind of thing that can be made or removed in a folder."""
    path = ground.outside
    return all_ways([
        ("a folder", lambda: os.mkdir(path + "/made-folder")),
        ("a link", lambda: os.symlink("/", path + "/made-link")),
        ("a pipe", lambda: os.mkfifo(path + "/made-pipe")),
        ("a file without a name", lambda: os.close(os.open(path, os.O_TMPFILE | os.O_RDWR, 0o600))),
        ("remove", lambda: os.unlink(path + "/file")),
    ])


def watch_home(ground):
    """Watching files needs no more than their names."""
    LIBC.inotify_init1.restype = ctypes.c_int
    watcher = check(LIBC.inotify_init1(0))
    check(LIBC.inotify_add_watch(watcher, word(ground.home + "/.ssh"), 0xFFF))
    raise Escaped("watches the folder of the keys")


def data_folder(ground):
    """Limn's own recordings: by name, through other processes' roots, and from a new mount."""
    def through(root):
        return lambda: ground.reads_secret(root + ground.data + "/recording")

    ways = [("by name", through(""))]
    for pid in ["self", "1", str(os.getppid()), str(ground.decoy)]:
        ways.append(("/proc/%s/root" % pid, through("/proc/%s/root" % pid)))
        ways.append(("/proc/%s/cwd" % pid, through("/proc/%s/cwd/../../../../.." % pid)))
    ways.append(("write", lambda: append(ground.data + "/planted")))
    return first_success(ways)


def limn_folder(ground):
    """The workspace's own settings of limn, in place and by putting another folder there."""
    inside = ground.workspace + "/.limn"

    def replace():
        os.rename(inside, ground.workspace + "/.limn-was")
        os.makedirs(inside)
        append(inside + "/config.toml", "[sandbox]\nmode = 'off'\n")

    ways = [
        ("write", lambda: append(inside + "/config.toml", "[sandbox]\nmode = 'off'\n")),
        ("create", lambda: append(inside + "/hooks.toml")),
        ("replace the file", lambda: os.replace(ground.in_workspace("c"), inside + "/config.toml")),
        ("replace the folder", replace),
        ("remove the folder", lambda: shutil.rmtree(inside)),
    ]
    return all_ways(ways)


def new_limn_folder(ground):
    """The same folder in a workspace that had none."""
    os.makedirs(ground.workspace + "/.limn")
    append(ground.workspace + "/.limn/config.toml", "[sandbox]\nmode = 'off'\n")


def replace_workspace(ground):
    """The workspace itself as a name in a folder that is not ours."""
    return all_ways([
        ("rename", lambda: os.rename(ground.workspace, ground.workspace + "-was")),
        ("a neighbour", lambda: os.mkdir(ground.workspace + "-new")),
    ])


def overwrite_holder(ground):
    """The program that holds us, by its path and through every process that runs it."""
    def write(path):
        def work():
            os.close(os.open(path, os.O_WRONLY))
        return work

    ways = [("by its path", write(ground.limn))]
    for pid in [1, os.getppid()]:
        ways.append(("/proc/%d/exe" % pid, write("/proc/%d/exe" % pid)))
    said = first_success(ways)
    raise Escaped("%s can be written" % said)
