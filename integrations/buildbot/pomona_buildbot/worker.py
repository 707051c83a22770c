"""A latent worker that is one job of a Pomona fleet for each time it is needed."""

import secrets as randomness

from buildbot import config
from buildbot.interfaces import (
    LatentWorkerCannotSubstantiate,
    LatentWorkerFailedToSubstantiate,
)
from buildbot.worker.latent import AbstractLatentWorker, States
from twisted.internet import defer, task
from twisted.python import log

from pomona_buildbot.client import PomonaClient, PomonaProblem, PomonaUnreachable

LOOK_SECONDS = 0.25
SLOWEST_LOOK_SECONDS = 5
UNREACHABLE_SECONDS = 120
STOP_SECONDS = 120

# What runs in the fresh machine. The password is in the process's environment until the worker has it, and
# no build sees it. Without its master the worker ends, and with it the machine.
START_WORKER = """
set -eu
mkdir -p info
cat > buildbot.tac <<'END'
import os
from buildbot_worker.bot import Worker
from twisted.application import service
host, _, port = os.environ.pop('BUILDBOT_MASTER').rpartition(':')
name, password = os.environ.pop('BUILDBOT_WORKER'), os.environ.pop('BUILDBOT_PASSWORD')
application = service.Application('buildbot-worker')
worker = Worker(host, int(port), name, password, os.getcwd(), keepalive=60, umask=None, maxdelay=10, maxRetries=6)
worker.setServiceParent(application)
END
exec "$1" --nodaemon --pidfile= --logfile=- --no_save -y buildbot.tac
"""


class PomonaLatentWorker(AbstractLatentWorker):
    """
    Each build gets a fresh machine: a job of the fleet that runs a Buildbot worker, which takes one build.

    - `url`, `token_file`: the controller, and a file with an API token of the role `submitter`
    - `master`: `HOST:PORT` at which machines reach this master's port for workers
    - `pool`, `labels`: which machines; may be renderables, so that they hang on the build
    - `priority`: of its jobs in Pomona's queue
    - `twistd`: program of the machine that starts the worker
    - `max_build_seconds`: a machine that is in use for longer is given up
    - `max_builds`: builds at a time in one machine: 1
    - `build_wait_timeout`: 0, a fresh machine for each build; more keeps one for builds that follow
    """

    def checkConfig(
        self,
        name,
        url,
        token_file,
        master,
        pool=None,
        labels=(),
        priority=0,
        twistd="twistd",
        max_build_seconds=24 * 3600,
        build_wait_timeout=0,
        max_builds=1,
        **kwargs,
    ):
        if not str(url).startswith(("http://", "https://")):
            config.error(f"worker {name}: url expects http://HOST:PORT or https://..., not {url}")
        if ":" not in str(master):
            config.error(f"worker {name}: master expects HOST:PORT, not {master}")
        try:
            _read_token(token_file)
        except OSError as error:
            config.error(f"worker {name}: token_file cannot be read: {error}")
        super().checkConfig(
            name, None, build_wait_timeout=build_wait_timeout, max_builds=max_builds, **kwargs
        )

    @defer.inlineCallbacks
    def reconfigService(
        self,
        name,
        url,
        token_file,
        master,
        pool=None,
        labels=(),
        priority=0,
        twistd="twistd",
        max_build_seconds=24 * 3600,
        build_wait_timeout=0,
        max_builds=1,
        **kwargs,
    ):
        yield super().reconfigService(
            name,
            self.getRandomPass(),
            build_wait_timeout=build_wait_timeout,
            max_builds=max_builds,
            **kwargs,
        )
        self._client = PomonaClient(self.master.reactor, url, lambda: _read_token(token_file))
        self._address = master
        self._pool = pool
        self._labels = labels
        self._priority = priority
        self._twistd = twistd
        self._max_build_seconds = max_build_seconds

    _job = None
    _looked_for_leftovers = False
    # Fires when the machine's worker connects: a short build is over, and its worker gone again,
    # before the next look.
    _arrival = None

    @defer.inlineCallbacks
    def start_instance(self, build):
        if self._job is not None:
            raise ValueError(f"{self.name} has the job {self._job} already")
        pool, labels = yield defer.gatherResults(
            [build.render(self._pool), build.render(list(self._labels))]
        )
        job = {
            "command": ["sh", "-c", START_WORKER, "pomona", self._twistd],
            "env": {
                "BUILDBOT_MASTER": self._address,
                "BUILDBOT_WORKER": self.name,
                "BUILDBOT_PASSWORD": self.password,
            },
            "labels": labels,
            "priority": self._priority,
            "timeoutMs": int(self._max_build_seconds * 1000),
            # It would be another machine than the one that the master waits for.
            "retries": 0,
            "title": self._title,
            **({} if pool is None else {"pool": pool}),
        }
        try:
            yield self._end_leftovers()
            key = f"buildbot-{randomness.token_hex(12)}"
            submitted = yield self._patiently(lambda: self._client.submit(job, key))
        except PomonaProblem as problem:
            raise LatentWorkerCannotSubstantiate(str(problem)) from problem
        except PomonaUnreachable as error:
            raise LatentWorkerFailedToSubstantiate(self.name, str(error)) from error
        self._job = submitted["id"]
        self._arrival = defer.Deferred()
        log.msg(f"worker {self.name} is job {self._job} of Pomona")
        yield self._until_attached()
        return True

    def attached(self, conn):
        if self._arrival is not None and not self._arrival.called:
            self._arrival.callback(None)
        return super().attached(conn)

    @defer.inlineCallbacks
    def stop_instance(self, fast=False):
        job, self._job = self._job, None
        if job is None:
            return
        deadline = self.master.reactor.seconds() + STOP_SECONDS
        while self.master.reactor.seconds() < deadline:
            try:
                now = yield self._client.cancel(job)
                if fast or now["state"] == "finished":
                    return
            except PomonaProblem as problem:
                log.msg(f"job {job} of worker {self.name} cannot be cancelled: {problem}")
                return
            except PomonaUnreachable as error:
                log.msg(f"job {job} of worker {self.name} is not cancelled yet: {error}")
                self._looked_for_leftovers = False
            yield self._sleep(LOOK_SECONDS)

    @property
    def _title(self):
        return f"buildbot {self.master.name} {self.name}"[:512]

    @defer.inlineCallbacks
    def _until_attached(self):
        """Waits for the worker's connection, as long as Buildbot does; fails with the machine."""
        pause = LOOK_SECONDS
        while not self._arrival.called and self.state == States.SUBSTANTIATING_STARTING:
            waited = self._sleep(pause)
            yield defer.DeferredList([waited, self._arrival], fireOnOneCallback=True)
            if self._arrival.called:
                waited.addErrback(lambda error: error.trap(defer.CancelledError))
                waited.cancel()
                return
            pause = min(pause * 1.5, SLOWEST_LOOK_SECONDS)
            try:
                job = yield self._client.job(self._job)
            except PomonaUnreachable:
                continue
            except PomonaProblem as problem:
                job = {"state": "finished", "outcome": "lost", "reason": str(problem)}
            if job["state"] != "finished":
                continue
            ended, self._job = self._job, None
            reason = job.get("reason") or f"exit code {job.get('exitCode')}"
            raise LatentWorkerFailedToSubstantiate(
                self.name, f"its machine, job {ended}, {job.get('outcome')}: {reason}"
            )
        if self._job is not None:
            # Buildbot gave up; what the machine waited for is worth knowing.
            try:
                told = yield self._client.why(self._job)
                log.msg(f"job {self._job} of worker {self.name} still waits: {told['summary']}")
            except (PomonaProblem, PomonaUnreachable):
                pass

    @defer.inlineCallbacks
    def _end_leftovers(self):
        """Machines that a master which is gone had for this worker."""
        if self._looked_for_leftovers:
            return
        jobs = yield self._patiently(self._client.unfinished)
        for job in jobs:
            if job.get("title") == self._title:
                yield self._patiently(lambda job=job: self._client.cancel(job["id"]))
        self._looked_for_leftovers = True

    @defer.inlineCallbacks
    def _patiently(self, ask):
        """A controller that restarts costs a delay, not a build."""
        deadline = self.master.reactor.seconds() + UNREACHABLE_SECONDS
        pause = LOOK_SECONDS
        while True:
            try:
                answer = yield ask()
                return answer
            except PomonaUnreachable:
                waits = self.state == States.SUBSTANTIATING_STARTING
                if not waits or self.master.reactor.seconds() > deadline:
                    raise
            yield self._sleep(pause)
            pause = min(pause * 2, SLOWEST_LOOK_SECONDS)

    def _sleep(self, seconds):
        return task.deferLater(self.master.reactor, seconds, lambda: None)


def _read_token(path):
    with open(path, encoding="utf8") as file:
        return file.read().strip()
