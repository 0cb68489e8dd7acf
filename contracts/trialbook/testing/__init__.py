"""For tests, ours and our users': given/when/then for deciders, the laws of the ports, a real nats-server in a
folder.
"""

from trialbook.testing.specification import Specification, given

__all__ = ["Specification", "given"]
