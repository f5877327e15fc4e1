"""N1-N3: code that calls out, to the host, to the network, to its neighbours. Refused at once, not by a timeout."""

from __future__ import annotations

from genprm.execution.attacks.case import attack, prints

_REACH = """
import errno, os, socket, time
def reach(what, family, kind, protocol, address, data=None):
    start = time.monotonic()
    try:
        with socket.socket(family, kind, protocol) as s:
            s.settimeout(3)
            if data is None: s.connect(address)
            else: s.sendto(data, address); s.recv(1)
        print('BREACH: reached', what)
    except OSError: pass
    if time.monotonic() - start > 1: print('BREACH:', what, 'was refused only after', time.monotonic() - start, 's')
"""

_HOST = (
    _REACH
    + """
for host in '@ADDRESSES@'.split():
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    reach(f'{host} by TCP', family, socket.SOCK_STREAM, 0, (host, @PORT@))
    reach(f'{host} by UDP', family, socket.SOCK_DGRAM, 0, (host, @PORT@), b'knock')
print('tried')
"""
)

_SOCKETS = (
    _REACH
    + """
for path in ('@SOCKET@', '\\0@ABSTRACT@', '/var/run/docker.sock', '/run/docker.sock', '/run/containerd/containerd.sock',
             '/run/dbus/system_bus_socket', '/run/systemd/notify'):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        reach(repr(path), socket.AF_UNIX, kind, 0, path)
print('tried')
"""
)

_OUTSIDE = (
    _REACH
    + """
tcp, udp = socket.SOCK_STREAM, socket.SOCK_DGRAM
for host in ('169.254.169.254', '1.1.1.1', '10.0.0.1', '172.17.0.1', '192.168.0.1', '192.0.2.1'):
    for port in (22, 53, 80, 443, 6379, 8000, 8265): reach(f'{host}:{port}', socket.AF_INET, tcp, 0, (host, port))
    reach(f'{host} by UDP', socket.AF_INET, udp, 0, (host, 53), b'?')
reach('broadcast', socket.AF_INET, udp, 0, ('255.255.255.255', 9), b'?')
reach('ping', socket.AF_INET, socket.SOCK_RAW, 1, ('1.1.1.1', 0), b'\\x08\\0\\xf7\\xff\\0\\0\\0\\0')
reach('ping as a user', socket.AF_INET, udp, 1, ('1.1.1.1', 0), b'\\x08\\0\\xf7\\xff\\0\\0\\0\\0')
start = time.monotonic()
try: print('BREACH: resolved', socket.getaddrinfo('example.com', 80))
except OSError: pass
if time.monotonic() - start > 3: print('BREACH: names are refused slowly')
print('tried')
"""
)

_OTHER_FAMILIES = """
import socket
names = ('AF_VSOCK', 'AF_PACKET', 'AF_NETLINK', 'AF_ALG', 'AF_CAN', 'AF_TIPC', 'AF_BLUETOOTH', 'AF_RDS', 'AF_QIPCRTR')
for name in names:
    family = getattr(socket, name, None)
    if family is None: continue
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        try:
            socket.socket(family, kind).close()
            print('BREACH: opened', name)
        except OSError: pass
"""

_LOOPBACK = """
import socket, threading
try:
    server = socket.create_server(('127.0.0.1', 0))
    threading.Thread(target=lambda: server.accept()[0].sendall(b'hello'), daemon=True).start()
    client = socket.create_connection(server.getsockname(), 3)
    print('works' if client.recv(5) == b'hello' else 'broken')
except OSError:
    print('refused')
"""

_SIX = (
    _REACH
    + """
for host in ('::1', 'fe80::1', 'fd00::1', '2606:4700:4700::1111', '::ffff:1.1.1.1', '::ffff:127.0.0.1'):
    reach(f'{host} by TCP', socket.AF_INET6, socket.SOCK_STREAM, 0, (host, @PORT@))
    reach(f'{host} by UDP', socket.AF_INET6, socket.SOCK_DGRAM, 0, (host, @PORT@), b'knock')
print('tried')
"""
)

ATTACKS = (
    attack("N1-host", "ok", _HOST, needs="network", holds=prints("tried\n"), timeout_s=180.0),
    attack("N1-host-sockets", "ok", _SOCKETS, needs="network", holds=prints("tried\n"), timeout_s=180.0),
    attack("N1-outside", "ok", _OUTSIDE, needs="network", holds=prints("tried\n"), timeout_s=180.0),
    attack("N1-other-families", "ok", _OTHER_FAMILIES, needs="network privilege", holds=prints("")),
    attack(
        "N2-loopback",
        "ok",
        _LOOPBACK,
        holds=lambda result: result.stdout in ("works\n", "refused\n"),
        requires="a server of one's own works or is refused, and nothing waits",
    ),
    attack("N3-six", "ok", _SIX, needs="network", holds=prints("tried\n"), timeout_s=180.0),
)
