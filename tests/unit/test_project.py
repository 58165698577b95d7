"""The project as a whole: its locks, its files, its public names."""

import importlib.metadata
import inspect
import re
import subprocess
from pathlib import Path

import pytest

import mapreduce

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def tracked_files() -> list[Path]:
    """Files that git tracks or would track; all files where there is no git tree (an unpacked sdist)."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def existing_paths(text: str, base: Path) -> list[str]:
    """Absolute paths below `base` that `text` names and that this machine has."""
    found = re.findall(rf"(?<![\w./:-]){re.escape(str(base))}/[\w.+-]+", text)
    return [path for path in found if Path(path.rstrip(".")).exists()]


def test_locks_are_there():
    compared = [f"bench-{name}.txt" for name in ("dask", "duckdb", "ray", "spark")]
    assert [lock.name for lock in LOCKS] == [*compared, "build.txt", "dev.txt", "runtime.txt", "system.txt"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_lock_pins_each_package_by_hash_and_names_no_host(lock):
    text = lock.read_text()
    assert "://" not in text
    # Options, an index address among them, belong to pip's configuration.
    assert not re.search(r"^\s*-(?!-hash=)", text, re.MULTILINE)
    logical = re.sub(r"\s*\\\n\s*", " ", text).splitlines()
    packages = [line for line in logical if line and not line.lstrip().startswith("#")]
    assert packages
    for package in packages:
        assert re.match(r"[a-z0-9-]+==[\w.+]+ .*--hash=sha256:[0-9a-f]{64}", package), package


def test_locks_agree_on_versions():
    """A package may have several versions, for several Pythons: the same ones in every lock."""
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        found: dict[str, set[str]] = {}
        for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(), re.MULTILINE):
            found.setdefault(name, set()).add(version)
        for name, pinned in found.items():
            assert versions.setdefault(name, pinned) == pinned, name


def test_no_file_names_a_path_of_this_machine():
    places = {ROOT.parent, Path.home()} - {Path("/")}
    named = {
        (path.relative_to(ROOT).as_posix(), found)
        for path in tracked_files()
        for place in places
        for found in existing_paths(path.read_text(errors="replace"), place)
    }
    assert not named


@pytest.mark.parametrize("name", mapreduce.__all__)
def test_public_name_is_there_and_documented(name):
    value = getattr(mapreduce, name)
    documented = value if callable(value) or inspect.ismodule(value) else type(value)
    doc = documented.__doc__ or ""
    # A dataclass without a docstring gets its own signature for one.
    assert doc.strip()
    assert not doc.startswith(f"{name}(")


def test_package_documents_itself_and_ships_its_types():
    assert mapreduce.__doc__
    assert (Path(mapreduce.__file__).parent / "py.typed").is_file()


def test_version_is_the_installed_one():
    assert mapreduce.__version__ == importlib.metadata.version("mapreduce")
