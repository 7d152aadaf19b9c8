"""How artifacts reach the disk: whole or not at all.

In: bytes, text, JSON values, or a block of code that fills a folder. Out: the file or folder under its final name,
or a NoriaError that says why not, with nothing half-written left under that name.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from noria.errors import ArtifactError, NoriaError

MIB = 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits; memory does not grow with the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, data: bytes | str | Iterator[bytes]) -> None:
    """Write a file so that a reader, or a crash, sees either what was there before or all of `data`.

    Args:
        data: text is written as UTF-8; what an iterator yields is never in memory as a whole.

    Raises:
        NoriaError: the disk is full, there is no permission, or the folder is missing.
    """
    data = data.encode() if isinstance(data, str) else data
    pieces = iter((data,)) if isinstance(data, bytes) else data
    partial = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.partial")
    with _explained(path):
        try:
            with partial.open("xb") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


@contextmanager
def folder_being_written(path: Path, *, replace: bool = False, marker: str | None = None) -> Iterator[Path]:
    """Give an empty folder to fill; it gets its final name `path` when the block ends without an error.

    Args:
        path: the final name. Until then the folder is called `.NAME.partial`, beside it.
        replace: take the place of a folder that is there already; at every moment `path` is the old or the new one.
        marker: with `replace`, only a folder that is empty or holds a file of this name is replaced, so that a
            mistyped path never deletes somebody's photos.

    Raises:
        ArtifactError: `path` is there and may not be replaced, or another process is writing it now.
        NoriaError: the disk is full, or there is no permission.
    """
    refuse_existing(path, replace=replace, marker=marker)
    partial = path.with_name(f".{path.name}.partial")
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        locks = [_fresh_folder(partial)]
    try:
        with _explained(path, only=_FULL):  # other errors of the block are its own, not about this folder
            yield partial
        refuse_existing(path, replace=replace, marker=marker)
        with _explained(path):
            _sync_tree(partial)
            if path.exists():
                locks.append(_lock(path))  # after the swap the old folder is ours to delete, under the name `partial`
            _take_the_name(partial, path)
            _sync_folder(path.parent)
    finally:
        # The unfinished folder, or the old one after a swap; never what the next writer has begun under that name.
        if any(_is_named(lock, partial) for lock in locks):
            shutil.rmtree(partial, ignore_errors=True)
        for lock in locks:
            os.close(lock)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON with sorted keys, whole or not at all."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
    write_atomic(path, orjson.dumps(value, option=options))


def read_json(path: Path, *, limit: int = 64 * MIB) -> Any:
    """Read a JSON file of at most `limit` bytes.

    Raises:
        ArtifactError: it is missing, too large or damaged.
    """
    content = read_limited(path, limit=limit)
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ArtifactError(
            f"{path} is damaged: it is not valid JSON ({error}). Make it again, or restore it from a copy."
        ) from error


def read_limited(path: Path, *, limit: int) -> bytes:
    """Read a file of at most `limit` bytes.

    Raises:
        ArtifactError: it is missing, unreadable or larger.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing. Expected a file that Noria wrote; was the folder moved?") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(content) > limit:
        raise ArtifactError(
            f"{path} is larger than {limit / MIB:.0f} MiB, the most that is read. It is damaged or of another kind."
        )
    return content


@contextmanager
def _explained(path: Path, *, only: tuple[int, ...] | None = None) -> Iterator[None]:
    """Turn what the operating system says about writing into a message for a person."""
    try:
        yield
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        raise NoriaError(_explanation(path, error)) from error


def _explanation(path: Path, error: OSError) -> str:
    if error.errno in _FULL:
        return (
            f"No room to write {path}: {error.strerror}. Nothing was left under that name. "
            "Free some space and give the same command again, or choose another place with --out."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"No permission to write {path}: {error.strerror}. Choose a folder that you may write to."
    if error.errno in (errno.ENOENT, errno.ENOTDIR) and not path.parent.is_dir():
        return f"Could not write {path}: {error.strerror}: {path.parent}. Make that folder first, or choose another."
    return f"Could not write {path}: {error.strerror or error}."


def refuse_existing(path: Path, *, replace: bool, marker: str | None) -> None:
    """Raise ArtifactError where a folder may not be written at `path`; arguments as in `folder_being_written`."""
    if not os.path.lexists(path):
        return
    if not replace:
        raise ArtifactError(f"{path} is there already. Choose another name, or remove it first.")
    if path.is_symlink() or not path.is_dir():
        raise ArtifactError(f"{path} is there already and is not a folder, so it is not replaced. Choose another name.")
    if marker is not None and not (path / marker).exists() and any(path.iterdir()):
        raise ArtifactError(
            f"{path} is there already and holds no {marker}: it is not Noria's, so it is not replaced. "
            "Choose another name, or an empty folder."
        )


def _fresh_folder(partial: Path) -> int:
    """Make the folder, empty of what a killed process left, and return a lock on it."""
    while True:
        with suppress(FileExistsError):  # not exist_ok, which looks again and may find nothing
            partial.mkdir()
        try:
            lock = _lock(partial)  # raises where its writer is alive
        except FileNotFoundError:
            continue
        # Between opening and locking its writer may have finished: what is locked then has another name, or none.
        if _is_named(lock, partial):
            break
        os.close(lock)
    _empty(partial)
    return lock


def _lock(folder: Path) -> int:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ArtifactError(
            f"{folder} is being written by another process. Wait for it, or choose another name."
        ) from None
    return handle


def _is_named(handle: int, path: Path) -> bool:
    """Whether an open folder is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _take_the_name(partial: Path, path: Path) -> None:
    if not path.exists():
        partial.rename(path)
    elif not _exchange(partial, path):
        # A file system without the atomic exchange: two renames, undone if the second fails.
        old = path.with_name(f".{path.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
        try:
            partial.rename(path)
        except OSError:
            old.rename(path)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names in one step with Linux's renameat2(RENAME_EXCHANGE); False where there is no such call."""
    at_fdcwd, rename_exchange = -100, 2
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return bool(renameat2(at_fdcwd, os.fsencode(first), at_fdcwd, os.fsencode(second), rename_exchange) == 0)


def _sync_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            with (Path(parent) / name).open("rb") as file:
                os.fsync(file.fileno())
        _sync_folder(Path(parent))


def _sync_folder(folder: Path) -> None:
    """Make a rename durable. Some network file systems refuse it; the rename itself has been done by then."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
