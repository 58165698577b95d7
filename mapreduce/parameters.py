"""Values from outside for a job file: `params["NAME"]`, filled by `--set NAME=VALUE`."""

from __future__ import annotations

from mapreduce.errors import JobError


class Params(dict[str, str]):
    """A dict of strings whose missing names tell how to give them."""

    def __missing__(self, name: str) -> str:
        raise JobError(
            f"The job asks for params[{name!r}], and nobody gave it.",
            hint=f"Add --set {name}=VALUE, or write params.get({name!r}, default) in the job file.",
        )


params = Params()
