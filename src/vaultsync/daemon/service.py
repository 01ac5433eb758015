"""One profile, served: the engine kept running, and what views may ask of it."""

from __future__ import annotations

import logging
import signal
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from vaultsync.core.errors import (
    AnotherInstance,
    Blocked,
    MachineRefused,
    Retry,
    TimedOut,
    VaultsyncError,
)
from vaultsync.core.model import State, Status
from vaultsync.daemon import holding, notify
from vaultsync.daemon.binding import locked
from vaultsync.daemon.clock import GRACE, SystemClock
from vaultsync.daemon.home import home
from vaultsync.daemon.past import Past
from vaultsync.daemon.rules import SETTLING
from vaultsync.daemon.server import Server
from vaultsync.daemon.view import View
from vaultsync.state.connection import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from vaultsync.config import Profile
    from vaultsync.daemon.assembly import Assembly
    from vaultsync.daemon.home import Watch
    from vaultsync.paths import Places
    from vaultsync.sync.engine import Engine

log = logging.getLogger(__name__)

CONNECT_AGAIN = 2.0
"""Seconds between two tries to open the folder, and to find out whose vault this is."""
PATIENCE = 30.0
"""Seconds that a turn of the engine waits at most for something to do."""
OFFLINE_TRIES = 3
"""Failed tries to reach the cloud after which a run without a daemon gives up."""


def build(profile: Profile, places: Places) -> Service:
    """The service of a profile; nothing is opened or started yet."""
    return Service(profile, places)


class Service(View):
    """One profile's files and vault, kept the same. Implements `core.ports.Vault`.

    `run` or `run_once` owns the calling thread; the methods of `Vault` may be called from any.

    Attributes:
        past: History, trash and old versions.
    """

    def __init__(self, profile: Profile, places: Places) -> None:
        self._profile = profile
        self._places = places
        self._clock = SystemClock()
        self._stopping = threading.Event()
        self._turned = threading.Condition()
        self._assembly: Assembly | None = None
        self._watching: Watch | None = None
        self._home = home(profile, places, self._clock)
        self._trouble: VaultsyncError | None = None
        self._paused = False
        self._last = Status(State.STARTING)
        self._rules = self._home.rules
        self.past = Past(places.state_dir, profile.trash, self._clock, self._turned)

    # Running

    def run(self) -> None:
        """Serve until told to stop, by a signal or by `stop`.

        A missing sign-in, an unreachable cloud or a missing folder never end it.

        Raises:
            AnotherInstance: The profile or the folder is served already.
            MachineRefused: This machine or the folder's file system lacks what is needed.
        """
        with ExitStack() as stack:
            self._catch_signals(stack)
            self._hold(stack)
            server = Server(self, self._places.socket, self.stop)
            server.start()
            stack.callback(server.stop)
            stack.callback(notify.stopping)
            stack.callback(self._home.close)
            self._home.listen()
            notify.ready()
            while not self._stopping.is_set():
                try:
                    self._serve()
                except Damaged as error:
                    log.warning("%s It is moved aside; both sides are merged anew.", error)
                    self._home.give_up()
                except VaultsyncError:
                    raise
                except Exception:
                    log.exception("an error of vaultsync's own ends the daemon")
                    raise

    def run_once(self, timeout: float) -> None:
        """Sync to the point of rest, then return.

        Args:
            timeout: Seconds to try at most.

        Raises:
            SignIn, Retry, Fatal: The sides cannot be reached or used.
            TimedOut: There was still something to do; nothing is lost by ending there.
            GuardRefused: All is done but what a guard holds.
        """
        ends = time.monotonic() + timeout
        with ExitStack() as stack:
            self._catch_signals(stack)
            self._hold(stack)
            stack.callback(self._home.close)
            engine = self._open(stack, delete_quiet=0.0)
            ticket = engine.request_sync()
            while not (engine.at_rest and engine.served >= ticket):
                engine.turn(max(0.0, min(1.0, ends - time.monotonic())))
                self._keep()
                self._raise_trouble(engine)
                if self._stopping.is_set():
                    raise KeyboardInterrupt
                if time.monotonic() > ends:
                    raise TimedOut(
                        f"There is still something to do after {timeout:g} seconds.",
                        "Run it again: it goes on where it ended.",
                    )
            holding.refuse(engine.guards.held)

    def stop(self) -> None:
        """End `run` soon. Returns at once."""
        self._stopping.set()
        engine = self._engine
        if engine is not None:
            engine.wake()
        with self._turned:
            self._turned.notify_all()

    @contextmanager
    def opened(self) -> Iterator[Past]:
        """Folder and vault for one command without a daemon; nothing is synced.

        Raises:
            AnotherInstance: A daemon serves the profile or the folder.
            SignIn, Retry, Fatal: The sides cannot be reached or used.
        """
        with ExitStack() as stack:
            self._hold(stack)
            stack.callback(self._home.close)
            self._open(stack, delete_quiet=0.0)
            yield self.past
            self.past.keep()

    def _serve(self) -> None:
        """Run the engine until told to stop; or wait until folder and vault can be used."""
        with ExitStack() as stack:
            try:
                engine = self._open(stack, self._delete_quiet())
            except (AnotherInstance, MachineRefused, Damaged):
                raise
            except VaultsyncError as error:
                self._report(error)
                self._stopping.wait(CONNECT_AGAIN)
                return
            if self._paused:
                engine.pause()
            alive = notify.watchdog_interval() or PATIENCE
            watching = self._home.watch(engine.mark)
            stack.callback(watching.stop)
            self._watching = watching
            while not self._stopping.is_set():
                if self._rules.reload():
                    log.info("the ignore rules have changed")
                    watching.renew()
                    engine.request_sync()
                watching.keep()
                soon = SETTLING if self._rules.settling else PATIENCE
                engine.turn(min(soon, alive, watching.patience()))
                self._keep()
                notify.watchdog()
                self._tell(engine.status)
            self._wind_up(engine)

    def _open(self, stack: ExitStack, delete_quiet: float) -> Engine:
        """Open everything the engine stands on; `stack` closes it again, but not the home."""
        self._home.open()
        # A drive is open by now, and served while what speaks with the vault is imported.
        from vaultsync.daemon.assembly import assemble  # noqa: PLC0415

        opened = assemble(
            stack, self._profile, self._places, self._clock, self._home, self.past, delete_quiet
        )
        self._assembly, self._trouble = opened, None
        stack.callback(self._forget)
        return opened.engine

    def _keep(self) -> None:
        with suppress(Blocked):  # a full disk: the next turn tries again
            if self._assembly is not None:
                self._assembly.trust.keep()
                self._home.keep(self._assembly.store)
            self.past.keep()

    def _hold(self, stack: ExitStack) -> None:
        what = f"the profile '{self._profile.name}'"
        stack.enter_context(locked(self._places.lock, what))

    def _wind_up(self, engine: Engine) -> None:
        """Let what is under way come to its end, for a while."""
        engine.pause()
        ends = time.monotonic() + GRACE
        while engine.status.transfers and time.monotonic() < ends:
            engine.turn(0.2)
        self._keep()

    def _forget(self) -> None:
        self._last = replace(self.status(), transfers=())
        self._assembly = self._watching = None

    def _delete_quiet(self) -> float:
        """A short poll asks for short delays: the wait for a file to come back is at most 5 s."""
        return min(5.0, max(1.0, self._profile.folder.poll_seconds))

    def _report(self, error: VaultsyncError) -> None:
        if self._trouble is None or self._trouble.message != error.message:
            log.warning("%s %s", error.message, error.hint)
        self._trouble = error
        self._tell(self.status())
        notify.watchdog()

    def _tell(self, status: Status) -> None:
        """Let systemd and those who wait know."""
        notify.status(f"{status.state}: {status.reason}" if status.reason else str(status.state))
        with self._turned:
            self._turned.notify_all()

    def _catch_signals(self, stack: ExitStack) -> None:
        if threading.current_thread() is not threading.main_thread():
            return

        def end(_number: int, _frame: FrameType | None) -> None:
            self.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            stack.callback(signal.signal, number, signal.signal(number, end))

    @staticmethod
    def _raise_trouble(engine: Engine) -> None:
        trouble = engine.trouble
        if trouble is None:
            return
        error, tries = trouble
        if not isinstance(error, Retry) or tries >= OFFLINE_TRIES:
            raise error

    # core.ports.Vault, what acts; what tells is in `View`

    def sync(self) -> None:
        """Look at everything on both sides now."""
        opened = self._assembly
        if opened is not None:
            opened.session.wake()
            opened.engine.request_sync()

    def pause(self) -> None:
        """Start no new work until resumed."""
        self._set_paused(lambda engine: engine.pause(), paused=True)

    def resume(self) -> None:
        """Go on after a pause."""
        self._set_paused(lambda engine: engine.resume(), paused=False)

    def wait_at_rest(self, timeout: float) -> None:
        """Return once nothing is pending and both sides were observed after this call began.

        Raises:
            TimedOut: It did not come to that in `timeout` seconds.
            GuardRefused: It did, but for what a guard holds.
            SignIn: Nobody is signed in.
            Retry: The cloud could not be reached in that time.
            Fatal: Something that only a person can put right.
        """
        ends = time.monotonic() + timeout
        asked: tuple[Engine, int] | None = None
        while not self._stopping.is_set():
            engine = self._engine
            if self._rules.settling:
                asked = None  # everything has to be looked at once more, when they have settled
            elif engine is not None and (asked is None or asked[0] is not engine):
                asked = engine, engine.request_sync()
            if asked is not None and engine is asked[0]:
                if engine.at_rest and engine.served >= asked[1]:
                    holding.refuse(engine.guards.held)
                    return
                trouble = None if engine.trouble is None else engine.trouble[0]
            else:
                trouble = self._trouble
            if trouble is not None and not isinstance(trouble, Retry):
                raise trouble
            left = ends - time.monotonic()
            if left <= 0:
                raise trouble or TimedOut(
                    f"Still not at rest after {timeout:g} seconds.",
                    "See `vaultsync status --pending` for what is waiting, and why.",
                )
            with self._turned:
                self._turned.wait(min(left, 0.5))
        raise TimedOut("The daemon is stopping.", "Start it again with `vaultsync start`.")

    def _set_paused(self, tell: Callable[[Engine], None], *, paused: bool) -> None:
        self._paused = paused
        engine = self._engine
        if engine is not None:
            tell(engine)
