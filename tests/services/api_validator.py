"""Runs stac-api-validator with schemas from files: `python api_validator.py MAP.json ARGUMENT…`.

It is run by the judge's own Python, which has nothing of ours. MAP is {URL: path}. What is asked
of any other host but loopback is refused, and written to standard error as `refused URL`, so that
nobody takes what could not be looked at for checked.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import stac_api_validator.__main__ as validator
from requests.adapters import BaseAdapter, HTTPAdapter
from stac_api_validator.validations import QueryConfig

FILES: dict[str, str] = json.loads(Path(sys.argv[1]).read_text())
ASKED: set[str] = set()


class Recorded(BaseAdapter):
    """Answers with the recorded files; loopback is asked for real."""

    def __init__(self) -> None:
        super().__init__()
        self.loopback = HTTPAdapter()

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        url = str(request.url).partition("#")[0]
        if urlsplit(url).hostname == "127.0.0.1":
            return self.loopback.send(request, **options)
        if url not in FILES:
            print(f"refused {url}", file=sys.stderr)
            raise requests.ConnectionError(f"{url} is not recorded", request=request)
        if url not in ASKED:
            ASKED.add(url)
            print(f"schema {url}", file=sys.stderr)
        response = requests.Response()
        response.status_code = 200
        response._content = Path(FILES[url]).read_bytes()
        response.headers["content-type"] = "application/json"
        response.url = url
        response.request = request
        return response

    def close(self) -> None:
        self.loopback.close()


ADAPTER = Recorded()
requests.Session.get_adapter = lambda self, url: ADAPTER  # type: ignore[method-assign]


def _typed(text: str | None) -> float | str | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


# Its command line would send numbers as texts, and no cloud cover equals a text. Those of `in`, the
# last, are lists in a text.
validator.QueryConfig = lambda *texts: QueryConfig(*map(_typed, texts[:-1]), texts[-1])

if __name__ == "__main__":
    validator.main(sys.argv[2:], prog_name="stac-api-validator")
