"""A name server for deploy/image/test, on 127.0.0.1: knows the names of its arguments, all with that address."""

import socket
import sys

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
print("ready", flush=True)
while True:
    question, asker = server.recvfrom(512)
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += 1 + question[at]
    known = ".".join(labels).lower() in sys.argv[1:]
    # Of an IPv6 address it knows nothing, which is another answer than that there is no such name.
    address = known and question[at + 1 : at + 3] == b"\x00\x01"
    answer = b"\xc0\x0c\x00\x01\x00\x01" + bytes([0, 0, 0, 60, 0, 4]) + socket.inet_aton("127.0.0.1") if address else b""
    head = question[:2] + (b"\x81\x80" if known else b"\x81\x83") + bytes([0, 1, 0, int(address), 0, 0, 0, 0])
    server.sendto(head + question[12 : at + 5] + answer, asker)
