"""Looks for a word it must not find: in files of others, in environments, in the tables of processes.

Arguments: the word reversed, the runner's process id, paths to try.
"""

import os
import sys

SHADOW = os.path.join("/root", "etc/shadow")  # as seen through a link of /proc
word, runner = sys.argv[1][::-1], sys.argv[2]
paths = [*sys.argv[3:], "/etc/shadow", "/proc/1/environ", f"/proc/{runner}/environ", f"/proc/{runner}/cmdline"]
paths += [f"/proc/{runner}/cwd", f"/proc/{runner}{SHADOW}", f"/proc/self{SHADOW}", "/proc/kcore"]
paths += [f"/proc/{os.getppid()}/environ", f"/proc/{os.getppid()}{SHADOW}", "/proc/self/cwd/../etc/shadow"]
try:
    paths += [f"/proc/{name}/environ" for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
except OSError as error:
    print("held: /proc", error.strerror)
if word in str(os.environ):
    print("ESCAPED: the word is in my environment")
for path in paths:
    try:
        with open(path, "rb") as file:
            content = file.read(1 << 20)
        print("ESCAPED:" if word.encode() in content or b"root:" in content else "held: nothing in", path)
    except OSError as error:
        print("held:", path, error.strerror)
for directory in {os.path.dirname(path) for path in sys.argv[3:]}:
    try:
        print("ESCAPED: listed", directory, os.listdir(directory))
    except OSError as error:
        print("held:", directory, error.strerror)
try:
    os.kill(int(runner), 0)
    print("ESCAPED: signalled the runner")
except OSError as error:
    print("held: signal", error.strerror)
for number in range(3, 64):
    try:
        print("ESCAPED: inherited descriptor", number, os.fstat(number))
    except OSError:
        continue
