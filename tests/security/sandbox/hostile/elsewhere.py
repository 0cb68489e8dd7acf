"""Writes and links wherever nothing may be written. Arguments: further places to try."""

import os
import sys

places = ["/", "/usr", "/etc", "/dev", "/proc", "/var/tmp", "/bin", sys.prefix, os.path.dirname(os.__file__), "/run"]
for place in [*places, *sys.argv[1:]]:
    path = os.path.join(place, "trialbook-hostile")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        os.unlink(path)
        print("ESCAPED: wrote", path)
    except OSError as error:
        print("held:", path, error.strerror)
for path in ["inputs/secret.txt", sys.executable]:
    try:
        os.close(os.open(path, os.O_WRONLY))
        print("ESCAPED: opened for writing", path)
    except OSError as error:
        print("held:", path, error.strerror)
