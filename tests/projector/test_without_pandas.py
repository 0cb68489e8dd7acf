"""The projector's process has no pandas, whatever pyarrow would like to ask it."""

import subprocess
import sys

PROGRAM = """
import sys
from trialbook_projector import without_pandas
without_pandas.install()
import pyarrow
pyarrow.array([1, 2])
print("pandas" in sys.modules)
"""


def test_pyarrow_does_without() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
