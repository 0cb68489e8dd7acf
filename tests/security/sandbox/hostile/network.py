"""Reaches for listeners on this machine. Arguments: TCP port, UDP port, path of a socket, name of an abstract one."""

import os
import socket
import sys

tcp, udp, path, abstract = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]


def attempt(what, action):
    try:
        action()
        print("ESCAPED:", what)
    except OSError as error:
        print("held:", what, error.strerror or error)


def connect(family, kind, address):
    with socket.socket(family, kind) as sock:
        sock.settimeout(2)
        sock.connect(address)
        sock.send(b"GET / HTTP/1.0\r\n\r\n")


question = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04test\x00\x00\x01\x00\x01"
attempt("TCP", lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", tcp)))
attempt("TCP6", lambda: connect(socket.AF_INET6, socket.SOCK_STREAM, ("::1", tcp)))
attempt("UDP", lambda: connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", udp)))
attempt("DNS", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(question, ("127.0.0.1", udp)))
attempt("unix", lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, path))
attempt("abstract", lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + abstract))
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close())
attempt("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close())
attempt("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close())
attempt("vsock", lambda: socket.socket(getattr(socket, "AF_VSOCK", 40), socket.SOCK_STREAM).close())
attempt("kernel crypto", lambda: socket.socket(getattr(socket, "AF_ALG", 38), socket.SOCK_SEQPACKET).close())
one, other = socket.socketpair()  # what a program may have: a line to itself
one.send(b"x")
assert other.recv(1) == b"x", os.getpid()
