"""What all tests share: how hard hypothesis tries, a folder of one's own, and input.

HYPOTHESIS_PROFILE: `dev` (the default), `ci` (more examples) or `thorough` (as many as a night takes).
A failure prints the blob that replays it, and `--hypothesis-seed=N` replays a whole run.
MAPREDUCE_REAL_LOGS: a folder with logs of real servers; tests that read them are skipped without it.
MAPREDUCE_NO_SKIPS=1: a skipped test fails, unless tests/skips.toml gives its reason.
"""

import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from skips import pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]  # hooks

COMMON = settings(
    deadline=None,
    print_blob=True,
    derandomize=False,
    # A job is much to draw, and a loaded machine draws slowly: neither says anything about the code.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("dev", COMMON, max_examples=50)
settings.register_profile("ci", COMMON, max_examples=120)
settings.register_profile("thorough", COMMON, max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test stands in an empty folder, so that relative paths and stray files are its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def calm_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel ends no process for want of memory: a test that runs beside this one may make it do so."""
    from mapreduce.executors import memory

    monkeypatch.setattr(memory, "_counters", list)


@pytest.fixture(scope="session")
def access_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 200 kB of an access log. Shared by all tests: not to be changed."""
    from mapreduce.testing.logs import write_access_log

    path = tmp_path_factory.mktemp("logs") / "access.log"
    write_access_log(path, 200_000)
    return path


@pytest.fixture(scope="session")
def real_logs() -> Path:
    """The folder with logs of real servers."""
    folder = os.environ.get("MAPREDUCE_REAL_LOGS")
    if not folder:
        pytest.skip("MAPREDUCE_REAL_LOGS names no folder with real logs")
    return Path(folder)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Chance whose seed is printed with a failure; MAPREDUCE_SEED replays it."""
    seed = int(os.environ.get("MAPREDUCE_SEED", "") or random.SystemRandom().randrange(2**32))
    print(f"MAPREDUCE_SEED={seed}")
    return random.Random(seed)
