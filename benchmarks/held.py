"""The largest resident size of a command's own process, its children's not counted.

python -m benchmarks.held COMMAND…
"""

import json
import os
import subprocess
import sys


def main(command: list[str]) -> int:
    """Run a command, and print what it held as a line of JSON. Its exit code."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    print(json.dumps({"MB": usage.ru_maxrss * 1024 / 1e6}))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
