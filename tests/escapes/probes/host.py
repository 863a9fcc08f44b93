"""The host as an attempt finds it: secrets, services, and a process to meddle with.

Stays outside the sandbox. Prints where everything is, as one line of JSON; afterwards a line for
each thing that reached it. Takes orders on standard input, one a line, and answers `done ORDER`
once all that happened before has been told. Ends when its input does, and cleans up.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
BASE = sys.argv[1]
SECRET = os.environ["LIMN_DECOY"]
MEMORY = ctypes.create_string_buffer(SECRET.encode())
SERVERS = {}


def tell(event, **more):
    sys.stdout.write(json.dumps({"event": event, **more}) + "\n")
    sys.stdout.flush()


def serve(name, family, kind, address):
    """A socket that tells of whoever comes."""
    server = socket.socket(family, kind)
    server.setblocking(False)
    server.bind(address)
    if kind == socket.SOCK_STREAM:
        server.listen(16)
    SERVERS[server] = (name, kind)
    return server


def serve_unix(name, path, kind=socket.SOCK_STREAM):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    serve(name, socket.AF_UNIX, kind, path)
    os.chmod(path, 0o777)
    return path


def own_addresses():
    """The address by which others reach this machine, without asking anybody."""
    question = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        question.connect(("192.0.2.1", 9))
        return [question.getsockname()[0]]
    except OSError:
        return []
    finally:
        question.close()


def serve_network():
    tcp = serve("TCP", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)).getsockname()[1]
    udp = serve("UDP", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)).getsockname()[1]
    addresses = []
    for address in own_addresses():
        try:
            serve("TCP", socket.AF_INET, socket.SOCK_STREAM, (address, tcp))
            serve("UDP", socket.AF_INET, socket.SOCK_DGRAM, (address, udp))
            addresses.append(address)
        except OSError:
            pass
    free = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    links = [name for _, name in socket.if_nameindex() if name != "lo"]
    link = links[0] if links else None
    return {"tcp": tcp, "udp": udp, "addresses": addresses, "free_port": port, "link": link}


def serve_names():
    abstract, datagram = "limn-" + SECRET, "limn-datagram-" + SECRET
    serve("an abstract socket", socket.AF_UNIX, socket.SOCK_STREAM, "\0" + abstract)
    serve("an abstract datagram socket", socket.AF_UNIX, socket.SOCK_DGRAM, "\0" + datagram)
    return {
        "abstract": abstract,
        "abstract_datagram": datagram,
        "docker": serve_unix("docker.sock", BASE + "/outside/docker.sock"),
        "docker_home": serve_unix("docker.sock at home", BASE + "/home/.docker/run/docker.sock"),
        "datagram": serve_unix("a datagram socket", BASE + "/outside/log", socket.SOCK_DGRAM),
        "workspace_socket": serve_unix("a socket in the workspace", os.path.join(BASE, "work", "agent.sock")),
        "late_socket": os.path.join(BASE, "work", "late.sock"),
    }


def shared_memory():
    LIBC.shmat.restype = ctypes.c_void_p
    key = struct.unpack("i", os.urandom(4))[0] | 1
    identifier = LIBC.shmget(key, 4096, 0o1600)
    if identifier < 0:
        return None, None
    ctypes.memmove(LIBC.shmat(identifier, None, 0), MEMORY, len(MEMORY))
    return key, identifier


def keyring():
    """The numbers are those of x86-64; elsewhere the attempt finds nothing to try."""
    if os.uname().machine != "x86_64":
        return None, None
    name = "limn-" + SECRET
    key = LIBC.syscall(248, b"user", name.encode(), MEMORY, len(SECRET), -4)
    return (name, key) if key > 0 else (None, None)


def file_handle(path):
    """How the kernel names a file without its path."""
    if os.uname().machine != "x86_64":
        return ""
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 136)
    mount = ctypes.c_int()
    if LIBC.syscall(303, -100, path.encode(), handle, ctypes.byref(mount), 0) != 0:
        return ""
    return handle.raw[: 8 + struct.unpack("I", handle.raw[:4])[0]].hex()


def setuid_program():
    """A program that becomes somebody else and then waits."""
    if os.geteuid() == 0:
        path = BASE + "/outside/become"
        shutil.copy("/bin/cat", path)
        os.chown(path, 65534, 65534)
        os.chmod(path, 0o4755)
        return [path]
    path = shutil.which("su", path="/usr/bin:/bin")
    return [path, "root"] if path and os.stat(path).st_mode & 0o4000 else None


def listen():
    """Tells of everything that waits, and returns."""
    while ready := select.select([*SERVERS, TERMINAL], [], [], 0)[0]:
        for it in ready:
            if it == TERMINAL:
                tell("terminal", text=os.read(TERMINAL, 1024).decode(errors="replace"))
                continue
            name, kind = SERVERS[it]
            if kind == socket.SOCK_STREAM:
                connection, _ = it.accept()
                connection.close()
            else:
                it.recv(1024)
            tell(name)


def connect_inside(port):
    """Waits until an attempt listens, and looks whether that is to be found here."""
    while not os.path.exists(os.path.join(BASE, "work", "listening")):
        if select.select([sys.stdin], [], [], 0.01)[0]:
            return
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(b"from the host")
    except OSError:
        pass
    with open(os.path.join(BASE, "work", "host-tried"), "w", encoding="utf-8") as file:
        file.write("yes")


def obey(order, where):
    listen()
    word, _, argument = order.partition(" ")
    if word == "socket" and not os.path.exists(argument):
        serve_unix("a late socket in the workspace", argument)
    tell("done " + word)
    if word == "connect":
        connect_inside(where["free_port"])


TERMINAL, SLAVE = os.openpty()


def main():
    signal.signal(signal.SIGUSR1, lambda *_: tell("a signal"))
    shm, identifier = shared_memory()
    key, number = keyring()
    where = {
        "decoy": os.getpid(),
        "address": ctypes.addressof(MEMORY),
        "secret": SECRET,
        "terminal": os.ttyname(SLAVE),
        "shm": shm,
        "key": key,
        "handle": file_handle(BASE + "/home/.ssh/id_ed25519"),
        "setuid": setuid_program(),
        **serve_network(),
        **serve_names(),
    }
    print(json.dumps(where), flush=True)
    for line in sys.stdin:
        obey(line.strip(), where)
    if identifier is not None:
        LIBC.shmctl(identifier, 0, None)
    if number is not None:
        LIBC.syscall(250, 21, number)


main()
