"""The command line: data on stdout, progress and logs on stderr.

Exit codes: 0 done, 1 error, 2 usage, 3 some items failed, 4 nothing matched, 5 credentials missing,
130 interrupted.
"""

from stac_lake.cli.main import main

__all__ = ["main"]
