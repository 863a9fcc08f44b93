"""Attempts to reach somebody over a socket: the host, its services, the world."""

import array
import errno
import os
import socket
import struct
import urllib.error
import urllib.parse
import urllib.request

from hands import Absent, Escaped, all_ways, first_success


def talk(connection, text=b"from inside\n"):
    connection.sendall(text)
    connection.close()


def host_addresses(ground):
    return ["127.0.0.1", *ground.addresses]


def tcp(ground):
    """Services of the host on its loopback, by each of its addresses."""
    ways = [
        (address, lambda address=address: talk(socket.create_connection((address, ground.tcp), 5)))
        for address in host_addresses(ground)
    ]
    return all_ways(ways)


def tcp_without_connect(ground):
    """Connections that no connect call makes, and protocols that no TCP rule covers."""
    def fast_open():
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.sendto(b"from inside\n", 0x20000000, ("127.0.0.1", ground.tcp))
        connection.close()

    def multipath():
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
        connection.connect(("127.0.0.1", ground.tcp))
        talk(connection)

    def mapped():
        connection = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        connection.connect(("::ffff:127.0.0.1", ground.tcp))
        talk(connection)

    return all_ways([
        ("fast open", fast_open),
        ("multipath TCP", multipath),
        ("an IPv4 address in IPv6", mapped),
    ])


def udp(ground):
    def send(address):
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"from inside\n", (address, ground.udp))

    def connected():
        connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        connection.connect(("127.0.0.1", ground.udp))
        connection.send(b"from inside\n")

    ways = [(address, lambda address=address: send(address)) for address in host_addresses(ground)]
    return all_ways([*ways, ("connected", connected)])


def listens_for_host(ground):
    """A server of ours that the host's own programs would find on its loopback."""
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.bind(("127.0.0.1", ground.free_port))
    server.listen()
    with open(ground.workspace + "/listening", "w", encoding="utf-8") as file:
        file.write("yes")
    server.settimeout(0.02)
    while True:
        # Looked for before the last wait: a connection that came between the two is not missed.
        tried = os.path.exists(ground.workspace + "/host-tried")
        try:
            connection, _ = server.accept()
        except TimeoutError:
            if tried:
                break
            continue
        if connection.recv(100) == b"from the host":
            raise Escaped("the host connected to a server inside")
    raise PermissionError(errno.ECONNREFUSED, "the host found nobody there")


def opens(family, kind, protocol=0):
    socket.socket(family, kind, protocol).close()
    raise Escaped("opened such a socket")


def packet(ground):
    """Raw frames: everybody's traffic."""
    raise Escaped(first_success([
        ("AF_PACKET", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0300).close()),
        ("raw IP", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()),
        ("AF_PACKET datagrams", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0).close()),
    ]))


def virtual_machine(ground):
    """The hypervisor, which no network namespace separates."""
    opens(socket.AF_VSOCK, socket.SOCK_STREAM)


def crypto(ground):
    """The kernel's ciphers, and their history of holes."""
    opens(socket.AF_ALG, socket.SOCK_SEQPACKET)


def unix(path):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(10)
    connection.connect(path)
    talk(connection)


def docker(ground):
    """A service that gives away the machine, in a home and in a folder that everybody may read."""
    return all_ways([
        ("in the home", lambda: unix(ground.docker_home)),
        ("in a folder to be read", lambda: unix(ground.docker)),
    ])


def abstract(ground):
    unix("\0" + ground.abstract)


def workspace_socket(ground):
    """A socket of the host in the one folder that is ours as well."""
    unix(ground.workspace_socket)


def late_workspace_socket(ground):
    """A socket that a program of the host makes in the workspace while we run."""
    unix(ground.late_socket)


def datagrams(ground):
    """Sockets of the host that take messages from whoever sends, without a connection."""
    def pair():
        ours, _theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.sendto(b"from inside\n", ground.datagram)

    def alone():
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"from inside\n", ground.datagram)

    def abstract_name():
        ours, _theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.sendto(b"from inside\n", "\0" + ground.abstract_datagram)

    def ancillary():
        ours, _theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        file = os.open("/dev/null", os.O_RDONLY)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file]))]
        ours.sendmsg([b"with a descriptor\n"], rights, 0, ground.datagram)

    return all_ways([
        ("unconnected", alone),
        ("from a pair", pair),
        ("to an abstract name", abstract_name),
        ("with a descriptor", ancillary),
    ])


def all_unix_sockets(ground):
    """Every name that the kernel lists."""
    refused = PermissionError(errno.ENOENT, "no other socket has a name")
    reached = []
    with open("/proc/net/unix", encoding="utf-8") as table:
        names = {line.split()[7] for line in table.readlines()[1:] if len(line.split()) > 7}
    for name in names:
        path = "\0" + name[1:] if name.startswith("@") else name
        # Only the decoys: what else the host has is not ours to disturb.
        if ground.secret in name:
            try:
                unix(path)
                reached.append(name)
            except OSError as error:
                refused = error
    if reached:
        return "reached %s" % ", ".join(reached)
    raise refused


def netlink(ground):
    """Routes, audit and the events of processes, from a socket that programs do need."""
    def bind(protocol, groups):
        connection = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, protocol)
        connection.bind((0, groups))
        connection.close()

    def host_links():
        connection = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        connection.send(struct.pack("=IHHIIBxHiII", 32, 18, 0x301, 1, 0, 0, 0, 0, 0, 0))
        said = connection.recv(65536)
        if ground.link and ground.link.encode() in said:
            return "sees the host's %s" % ground.link
        raise PermissionError(errno.EPERM, "sees only its own links")

    raise Escaped(first_success([
        ("process events", lambda: bind(11, 1)),
        ("audit", lambda: bind(9, 1)),
        ("links", host_links),
    ]))


def name_service(ground):
    """Names as a way out: whatever is asked, somebody outside sees the question."""
    with open("/etc/resolv.conf", encoding="utf-8") as file:
        servers = [line.split()[1] for line in file if line.startswith("nameserver")]
    if not servers:
        raise Absent("the machine has no name server")
    question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04limn\x07invalid\x00\x00\x01\x00\x01"
    connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    connection.settimeout(3)
    try:
        connection.sendto(question, (servers[0], 53))
        connection.recv(512)
    except TimeoutError as error:
        raise PermissionError(errno.ETIMEDOUT, "nobody answers") from error
    raise Escaped("a name server answered")


def fetch(url, proxy):
    handler = urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else {})
    opener = urllib.request.build_opener(handler)
    try:
        with opener.open(url, timeout=10) as answer:
            return answer.read(4096)
    except urllib.error.HTTPError as error:
        raise PermissionError(errno.EACCES, "%d %s" % (error.code, error.reason)) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, OSError) and error.reason.errno:
            raise error.reason
        raise PermissionError(errno.EACCES, str(error.reason)) from error


def proxy_address():
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        if os.environ.get(name, "").startswith("http://"):
            return os.environ[name]
    return None


def connect(proxy):
    address = urllib.parse.urlsplit(proxy)
    return socket.create_connection((address.hostname, address.port), 10)


def tunnel(proxy, target):
    """A CONNECT, and what is said through it."""
    connection = connect(proxy)
    connection.sendall(("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, target)).encode())
    said = connection.recv(4096)
    if b" 200" not in said.split(b"\r\n")[0]:
        raise PermissionError(errno.EACCES, said.split(b"\r\n")[0].decode(errors="replace"))
    talk(connection)


def through_proxy(ground):
    """Past a list of allowed hosts: plain HTTP, bare addresses, no proxy at all, a tunnel that is
    passed on, names that lead home, and the address where clouds keep their keys."""
    proxy = proxy_address()
    home = "127.0.0.1:%d" % ground.tcp
    ways = [
        ("no proxy at all", lambda: fetch("http://%s/" % home, None)),
    ]
    if proxy:
        allowed = ground.allowed_host
        ways += [
            ("plain HTTP", lambda: fetch("http://%s/" % home, proxy)),
            ("plain HTTP to localhost", lambda: fetch("http://localhost:%d/" % ground.tcp, proxy)),
            ("CONNECT to an address", lambda: tunnel(proxy, home)),
            ("CONNECT to localhost", lambda: tunnel(proxy, "localhost:%d" % ground.tcp)),
            ("CONNECT to a mapped address", lambda: tunnel(proxy, "[::ffff:127.0.0.1]:%d" % ground.tcp)),
            ("CONNECT to a number", lambda: tunnel(proxy, "2130706433:%d" % ground.tcp)),
            ("CONNECT to an octal", lambda: tunnel(proxy, "0177.0.0.1:%d" % ground.tcp)),
            ("CONNECT to zero", lambda: tunnel(proxy, "0.0.0.0:%d" % ground.tcp)),
            ("CONNECT to the host", lambda: tunnel(proxy, "%s:%d" % (ground.addresses[0], ground.tcp))
             if ground.addresses else unreachable()),
            ("the clouds' keys", lambda: tunnel(proxy, "169.254.169.254:80")),
            ("the clouds' keys by HTTP", lambda: fetch("http://169.254.169.254/latest/", proxy)),
            ("another name at the end", lambda: tunnel(proxy, "%s.invalid:443" % allowed)),
            ("another name before it", lambda: tunnel(proxy, "evil%s:443" % allowed)),
            ("a user before the name", lambda: tunnel(proxy, "%s@127.0.0.1:%d" % (allowed, ground.tcp))),
            ("a host header", lambda: host_header(proxy, ground)),
        ]
    raise Escaped(all_ways(ways))


def unreachable():
    raise PermissionError(errno.ENETUNREACH, "the machine has no other address")


def host_header(proxy, ground):
    """One host in the request line, an allowed one in the header."""
    connection = connect(proxy)
    request = "GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
    connection.sendall((request % (ground.tcp, ground.allowed_host)).encode())
    said = connection.recv(4096).split(b"\r\n")[0]
    if b" 200" not in said:
        raise PermissionError(errno.EACCES, said.decode(errors="replace"))
