"""A sandbox for uploaded and generated programs: walls, limits, and a verdict that names the cause."""

from trialbook_runner.sandbox.sandbox import Sandbox as Sandbox
from trialbook_runner.sandbox.types import Check as Check
from trialbook_runner.sandbox.types import Limits as Limits
from trialbook_runner.sandbox.types import OnOutput as OnOutput
from trialbook_runner.sandbox.types import Places as Places
from trialbook_runner.sandbox.types import SandboxUnavailable as SandboxUnavailable
from trialbook_runner.sandbox.types import Stream as Stream
from trialbook_runner.sandbox.types import Verdict as Verdict
from trialbook_runner.sandbox.types import Wall as Wall
from trialbook_runner.sandbox.types import Walls as Walls
