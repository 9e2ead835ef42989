"""Loading a class that a user names by file or by module.

**Loading a file runs it**, with the rights of the process that loads the file: name only files
whose content you trust. The folder of the file is not put on Python's path, so that no other file
in that folder is run. A part of several files is installed as a package and named `module:Class`.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from typing_extensions import get_protocol_members, is_protocol

T = TypeVar("T")


class PluginError(ValueError):
    """A user's class cannot be loaded; the message names the file, the line and the remedy."""


def is_reference(text: str) -> bool:
    """Whether `text` names a class by file or module rather than by a registered name."""
    return ":" in text or text.endswith(".py")


def absolute(reference: str) -> str:
    """The same reference with an absolute path, for a process that starts in another folder."""
    location, colon, class_name = reference.rpartition(":")
    if colon and _is_file(location):
        return f"{Path(location).expanduser().resolve()}:{class_name}"
    return reference


def load_class(
    reference: str,
    base: type[T],
    what: str,
    error: Callable[[str], Exception] = PluginError,
) -> type[T]:
    """The class that `path/to/file.py:Class` or `package.module:Class` names. Runs the file.

    `base` is the class from which it must derive, or a protocol whose members it must have. `what`
    is the kind of part in messages, for instance "topology". An unchanged file is run once per
    process. Raises what `error` makes of a one-line message.
    """
    location, colon, class_name = reference.rpartition(":")
    if not colon:
        raise error(f"{what} {reference!r}: name the class too, {reference}:ClassName")
    if not location or not class_name.isidentifier():
        raise error(f"{what} {reference!r}: write path/to/file.py:ClassName or module:ClassName")
    if _is_file(location):
        label = f"{what} file {location}"
        module = _run_file(Path(location).expanduser(), label, error)
    else:
        label = f"{what} module {location}"
        module = _import(location, label, error)
    found = getattr(module, class_name, None)
    if found is None:
        raise error(f"{label}: no class {class_name!r}; {_own_classes(module, base)}")
    breach = _breach(found, base)
    if breach:
        raise error(f"{label}: {class_name} {breach}")
    assert isinstance(found, type)
    return found


def place(error: BaseException, file: str) -> str:
    """Where in a user's `file` the error arose, as `file:12`; the file alone if no line is to
    blame.
    """
    if isinstance(error, SyntaxError):
        return f"{error.filename or file}:{error.lineno}"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == file
    ]
    return f"{file}:{lines[-1]}" if lines else file


def _is_file(location: str) -> bool:
    return location.endswith(".py") or "/" in location


def _run_file(path: Path, label: str, error: Callable[[str], Exception]) -> ModuleType:
    if not path.is_file():
        raise error(f"{label}: no such file")
    if path.suffix != ".py":
        raise error(f"{label}: not a Python file; its name must end in .py")
    try:
        text = path.read_bytes()
    except OSError as problem:
        raise error(f"{label}: cannot be read: {problem.strerror}") from None
    # The content is part of the name, so that a changed file is run again.
    digest = hashlib.sha256(str(path.resolve()).encode() + b"\0" + text).hexdigest()[:12]
    name = f"tbtest_plugin_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(path.resolve())
    # Dataclasses, pydantic and typing look the module of a class up.
    sys.modules[name] = module
    try:
        # Compiled here, not by the import system, which would leave a __pycache__ behind.
        exec(compile(text, str(path), "exec"), vars(module))  # noqa: S102
    except (Exception, SystemExit) as problem:
        del sys.modules[name]
        raise error(_one_line(label.removesuffix(str(path)), problem, str(path))) from problem
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import(name: str, label: str, error: Callable[[str], Exception]) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name and (name == problem.name or name.startswith(f"{problem.name}.")):
            raise error(
                f"{label}: no such module; a file is named like path/to/file.py:ClassName"
            ) from None
        raise error(f"{label}: {problem}") from problem
    except (Exception, SystemExit) as problem:
        raise error(f"{label}: {type(problem).__name__}: {_first_line(problem)}") from problem


def _one_line(label: str, problem: BaseException, file: str) -> str:
    text = f"{label}{place(problem, file)}: {type(problem).__name__}: {_first_line(problem)}"
    if isinstance(problem, ModuleNotFoundError):
        return f"{text}; install the module, or put its folder into PYTHONPATH"
    return text


def _first_line(problem: BaseException) -> str:
    if isinstance(problem, SyntaxError):
        return problem.msg
    return next(iter(str(problem).splitlines()), "")


def _own_classes(module: ModuleType, base: type[Any]) -> str:
    own = [
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__
    ]
    fitting = [name for name in own if not _breach(getattr(module, name), base)]
    return f"those that fit: {', '.join(fitting) or 'none'}" + (
        "" if fitting or not own else f" (its classes: {', '.join(own)})"
    )


def _breach(found: object, base: type[Any]) -> str:
    """In words, what keeps `found` from being a `base`; "" if nothing does."""
    if not inspect.isclass(found):
        return f"is no class; it is of type {type(found).__name__}"
    if not is_protocol(base):
        if not issubclass(found, base) or found is base:
            return f"must derive from {base.__module__.partition('.')[0]}.{base.__name__}"
    else:
        missing = sorted(
            member for member in get_protocol_members(base) if not _has(found, member, base)
        )
        if missing:
            return f"has no {', '.join(missing)}; {base.__name__} asks for it"
    if inspect.isabstract(found):
        missing = sorted(getattr(found, "__abstractmethods__", ()))
        return f"does not define {', '.join(missing)}"
    return ""


def _has(found: type, member: str, base: type[Any]) -> bool:
    """Whether the class has a member of its protocol: a method to call, or a declared attribute."""
    value = getattr(found, member, None)
    if callable(getattr(base, member, None)):
        return callable(value)
    annotated = any(member in vars(each).get("__annotations__", {}) for each in found.__mro__)
    return value is not None or hasattr(found, member) or annotated
