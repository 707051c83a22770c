"""Buildbot workers that are fresh machines of a Pomona fleet."""

from pomona_buildbot.client import PomonaClient, PomonaProblem
from pomona_buildbot.worker import PomonaLatentWorker

__all__ = ["PomonaClient", "PomonaLatentWorker", "PomonaProblem"]
