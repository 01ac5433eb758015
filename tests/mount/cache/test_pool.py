"""Threads for what is waited for and for what is not."""

from __future__ import annotations

import threading

from vaultsync.mount.cache.pool import Pool


def test_what_is_fetched_ahead_leaves_threads_for_those_who_wait() -> None:
    pool = Pool(4)
    stop, began, done = threading.Event(), threading.Semaphore(0), threading.Event()

    def hang() -> None:
        began.release()
        stop.wait()

    for _ in range(8):
        pool.submit(hang, urgent=False)
    for _ in range(3):
        assert began.acquire(timeout=20)
    pool.submit(done.set, urgent=True)
    assert done.wait(20)
    stop.set()
    pool.close(20)
    assert not pool.submit(done.set, urgent=True)


def test_a_failure_does_not_end_a_thread() -> None:
    pool = Pool(1)
    done = threading.Event()

    def fail() -> None:
        raise ValueError

    pool.submit(fail, urgent=True)
    pool.submit(done.set, urgent=True)
    assert done.wait(20)
    pool.close(20)
