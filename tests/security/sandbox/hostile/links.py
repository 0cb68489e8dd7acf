"""Leaves traps for whoever collects its files. Argument: a file outside that must not be handed out."""

import os
import socket
import sys

secret = sys.argv[1]
os.symlink(secret, "result.txt")
os.symlink(os.path.dirname(secret), "outside")
os.symlink("..", "up")
os.symlink("/proc/self/environ", "environ.txt")
os.symlink("loop", "loop")
os.mkfifo("pipe.txt")
trap = socket.socketpair()
os.mkdir("deep")
place = "deep"
for _ in range(200):
    place = os.path.join(place, "d")
    os.mkdir(place)
try:
    os.link("inputs/secret.txt", "hard.txt")
    print("held: linked a link" if os.path.islink("hard.txt") else "ESCAPED: linked an input")
except OSError as error:
    print("held: link", error.strerror)
with open("honest.txt", "w") as file:
    file.write("honest")
with open(b"name-\xff.txt", "w") as file:
    file.write("odd name")
