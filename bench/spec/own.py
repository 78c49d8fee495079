"""Code of the user's own that a declaration names, as in "my_nets.py:build": one file, known by its SHA-256.

What a run does must not change when the file does. So a declaration has the digest, a run's folder has a copy, and the
code is looked up by the digest alone: under what name and where it lies does not matter.
"""

from __future__ import annotations

import ast
import hashlib
import linecache
import re
import symtable
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from bench.spec.advice import nearest, shown
from bench.spec.words import SpecError

T = TypeVar("T")
CODE = re.compile(r"(?s)(.+\.py):([A-Za-z_]\w*)")
SHA256 = re.compile(r"[0-9a-f]{64}")
CODE_FOLDER = "code"  # of copies beside a copy of the sweep file
_beside: ContextVar[Path] = ContextVar("_beside", default=Path())
_files: dict[str, Path] = {}  # by SHA-256, each read when it is asked for
_contents: dict[str, bytes] = {}


class OwnCodeError(SpecError):
    """Code of the user's that is not there, or does not do what it must; names its file, and its line if it has one."""


@contextmanager
def beside(folder: Path) -> Iterator[None]:
    """Inside, the files that declarations name are looked for in `folder` first: that of the sweep file."""
    token = _beside.set(folder)
    try:
        yield
    finally:
        _beside.reset(token)


def declared_code(code: str, what: str) -> tuple[str, str]:
    """The code as "my_nets.py:build" and its file's SHA-256; the file lies beside the sweep file or in this folder.

    what: that names it, for errors. Raises OwnCodeError for a file that is not there, is no Python, does not define
    the name, or imports another file beside it.
    """
    match = CODE.fullmatch(code) if isinstance(code, str) else None
    if not match:
        raise OwnCodeError(f"{what} {shown(code)} must be FILE.py:NAME, such as 'my_nets.py:build'")
    given, name = Path(match[1]), match[2]
    places = [_beside.get() / given, Path(given), _beside.get() / CODE_FOLDER / given.name]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        there = sorted(p.name for p in _beside.get().glob("*.py"))[:9]
        raise OwnCodeError(f"{what}: there is no file {given} beside the sweep file or here; there are: "
                           f"{', '.join(there) or 'no files of Python'}")  # fmt: skip
    try:
        content = path.read_bytes()
        tree = ast.parse(content, path.name)
    except OSError as error:
        raise OwnCodeError(f"{what}: {path} cannot be read ({error.strerror})") from None
    except (SyntaxError, ValueError) as error:
        raise OwnCodeError(f"{path}, line {getattr(error, 'lineno', None) or 1}: no Python: {error}") from None
    symbols = symtable.symtable(content, path.name, "exec").get_symbols()  # type: ignore[arg-type]  # it takes bytes
    _check(path, tree, name, sorted(one.get_name() for one in symbols if one.is_assigned() or one.is_imported()))
    return f"{path.name}:{name}", keep(content)


def _check(path: Path, tree: ast.Module, name: str, defined: list[str]) -> None:
    """Raises OwnCodeError where the file has no such name, or is not all of the code."""
    if name not in defined:
        near = nearest(name, defined)
        names = f"did you mean {path.name}:{near}?" if near else f"it defines: {', '.join(defined) or 'nothing'}"
        raise OwnCodeError(f"{path} defines no {name}; {names}")
    for node in (n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)):
        relative = isinstance(node, ast.ImportFrom) and node.level
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or "a file"]
        for module in (one.partition(".")[0] for one in modules):
            here = path.parent / module
            if relative or here.with_suffix(".py").is_file() or (here / "__init__.py").is_file():
                raise OwnCodeError(
                    f"{path}, line {node.lineno}: it imports {module} from its own folder, whose changes no run's id "
                    f"would tell: put all of it into {path.name}"
                )


def keep(content: bytes) -> str:
    """Keeps the content of a file of code for this process; returns its SHA-256."""
    sha256 = hashlib.sha256(content).hexdigest()
    _contents[sha256] = content
    return sha256


def keep_file(sha256: str, path: Path) -> None:
    """Says where a file of code lies, read once somebody asks for it."""
    _files.setdefault(sha256, path)


def copy_name(code: str, sha256: str) -> str:
    """The name of a copy among others of one file: `my_nets-3fa1b2c4.py`."""
    return f"{code.rpartition('.py:')[0]}-{sha256[:8]}.py"


def content_of(code: str, sha256: str) -> bytes:
    """The content of a declaration's file. Raises OwnCodeError where nobody has kept it, or the copy was changed."""
    if sha256 not in _contents and (path := _files.get(sha256)) is not None:
        try:
            found = keep(path.read_bytes())
        except OSError as error:
            raise OwnCodeError(f"{path}, the copy of {code}, cannot be read ({error.strerror})") from None
        if found != sha256:
            raise OwnCodeError(
                f"{path} was changed: its SHA-256 is {found[:12]}…, and the run was declared with {sha256[:12]}…: take "
                "the copy back from another run of its net, or declare the changed code as runs of their own"
            )
    if sha256 not in _contents:
        raise OwnCodeError(f"the code {code} (SHA-256 {sha256[:12]}…) is not here: start with the sweep file it is of")
    return _contents[sha256]


def load(code: str, sha256: str) -> Any:
    """What the code defines under its name, run once a process. Raises OwnCodeError for whatever goes wrong in it."""
    file, _, name = code.rpartition(":")
    module = f"own_{sha256[:16]}"
    if module not in sys.modules:
        content = content_of(code, sha256)
        text = content.decode(errors="replace")
        made = ModuleType(module)
        made.__file__ = shown_file = f"<{file}>"
        linecache.cache[shown_file] = (len(text), None, text.splitlines(keepends=True), shown_file)
        sys.modules[module] = made  # dataclasses and pickles look for their module there
        try:
            guarded(file, lambda: exec(compile(content, shown_file, "exec"), made.__dict__))
        except OwnCodeError:
            del sys.modules[module]
            raise
    found = getattr(sys.modules[module], name, None)
    if not callable(found):
        raise OwnCodeError(f"{file}: {name} is {shown(found)}, where a function or class belongs")
    return found


def guarded(file: str, work: Callable[[], T]) -> T:
    """`work()`; whatever is raised becomes an OwnCodeError with the line of the file at which it was."""
    try:
        return work()
    except OwnCodeError:
        raise
    except (Exception, SystemExit) as error:  # the user's code may raise anything, and must not end the command quietly
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == f"<{file}>"]
        line = f", line {frames[-1].lineno}" if frames else ""
        said = " ".join(str(error).split())[:300]
        raise OwnCodeError(f"{file}{line}: {type(error).__name__}: {said}") from error
