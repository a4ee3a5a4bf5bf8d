"""Models that refuse what they do not know, and how they are read from YAML."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from stac_lake.errors import ConfigError


class Strict(BaseModel):
    """Frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=Strict)


def load_yaml(path: Path, model: type[Model]) -> Model:
    """Read and check one YAML file.

    Raises:
        ConfigError: the file is missing, is no YAML, or a key or value is not allowed; the message
            names the file, the key and the allowed keys.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    try:
        loaded = model.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{path}: " + "; ".join(_explain(model, error))) from error
    identifier = getattr(loaded, "id", path.stem)
    if identifier != path.stem:
        raise ConfigError(f"{path}: id is {identifier!r}, but the file is called {path.stem!r}")
    return loaded


def _explain(model: type[Strict], error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            allowed = sorted(_fields_at(model, problem["loc"][:-1]))
            lines.append(f"unknown key {where!r}; allowed: {', '.join(allowed)}")
        else:
            lines.append(f"{where}: {problem['msg']}")
    return lines


def _fields_at(model: type[Strict], path: tuple[int | str, ...]) -> set[str]:
    """Names of the fields of the model that a location of a validation error points into."""
    found: list[type[Strict]] = [model]
    for part in path:
        if isinstance(part, int):
            continue
        deeper = [
            inner
            for candidate in found
            if part in candidate.model_fields
            for inner in _models_in(candidate.model_fields[part].annotation)
        ]
        by_operator = [
            inner
            for inner in found
            if "operator" in inner.model_fields
            and part in str(inner.model_fields["operator"].annotation)
        ]
        found = deeper or by_operator or found
    return {name for candidate in found for name in candidate.model_fields}


def _models_in(annotation: Any) -> list[type[Strict]]:
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return [annotation]
    return [m for inner in getattr(annotation, "__args__", ()) for m in _models_in(inner)]


Thing = TypeVar("Thing")


def known(name: str, things: Mapping[str, Thing], kind: str) -> Thing:
    """Look a name up, or raise ConfigError that suggests the nearest one and lists all."""
    if name in things:
        return things[name]
    near = difflib.get_close_matches(name, things, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(f"unknown {kind} {name!r}: {hint}known are {', '.join(sorted(things))}")
