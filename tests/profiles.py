"""How many examples Hypothesis tries: `HYPOTHESIS_PROFILE=nightly`, or `ci` where `CI` is set."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

SLOW_MACHINES = (HealthCheck.too_slow,)

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci",
    max_examples=1_000,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=SLOW_MACHINES,
)
settings.register_profile(
    "nightly", max_examples=20_000, deadline=None, suppress_health_check=SLOW_MACHINES
)
DEFAULT = "ci" if os.environ.get("CI") else "dev"
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", DEFAULT))


def at_most(examples: int) -> settings:
    """The current profile, with fewer examples where one of them costs a process or a file."""
    return settings(max_examples=min(settings().max_examples, examples))
