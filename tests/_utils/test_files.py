"""Files are written completely or not at all, and checked before the work that fills them."""

import os
import threading
import time

import pytest

from fer_sklearn._utils import files
from fer_sklearn._utils.files import atomic_replace_dir, atomic_write, check_writable, locked


def fail_halfway(target, write):
    with target as opened:
        write(opened)
        raise OSError("no space left")


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="no space"):
        fail_halfway(atomic_write(path), lambda file: file.write(b"half of the n"))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("sync", [True, False])
def test_a_complete_write_replaces_the_file(tmp_path, sync):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(str(path), encoding="utf-8", sync=sync) as file:
        file.write("é\n")
        assert path.read_text() == "old"
    assert path.read_bytes() == "é\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_keeps_pointing_to_its_file(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_device_is_written_to_and_not_replaced():
    before = os.stat(os.devnull)
    with atomic_write(os.devnull) as file:
        file.write(b"x")
    assert os.stat(os.devnull).st_rdev == before.st_rdev


def test_what_is_open_already_is_continued(tmp_path):
    """As by `fer-sklearn … --output /dev/stdout > a.txt`."""
    path = tmp_path / "a.txt"
    with open(path, "wb", buffering=0) as file:
        for name in (f"/dev/fd/{file.fileno()}", f"/proc/self/fd/{file.fileno()}"):
            if not os.path.exists(name):
                pytest.skip("no such names on this system")
            file.write(b"before ")
            with locked(name), atomic_write(check_writable(name, overwrite=False)) as output:
                output.write(b"written ")
        file.write(b"after")
    assert path.read_bytes() == b"before written before written after"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    path, received = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()), daemon=True)
    reader.start()
    with locked(path), atomic_write(check_writable(path, overwrite=False)) as file:
        file.write(b"rows")
    reader.join()
    assert received == [b"rows"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_a_folder_without_permission_is_written_to(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("a longer old text")
    before = path.stat().st_ino
    monkeypatch.setattr(files.os, "access", lambda name, mode: str(name) != str(tmp_path))
    with atomic_write(check_writable(path), encoding="utf-8") as file:
        file.write("new")
    assert path.read_text() == "new"
    assert path.stat().st_ino == before


def test_a_folder_is_replaced_once_it_is_complete(tmp_path):
    target = tmp_path / "folder"
    for content in ("first", "second"):
        with atomic_replace_dir(target) as written:
            (written / f"{content}.txt").write_text(content)
    with pytest.raises(OSError, match="no space"):
        fail_halfway(
            atomic_replace_dir(target), lambda written: (written / "third.txt").write_text("third")
        )
    assert [path.name for path in target.iterdir()] == ["second.txt"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_cannot_be_replaced_is_kept(tmp_path, monkeypatch):
    """As on Windows, where a program may have a file of the new one open."""
    target, replace = tmp_path / "folder", os.replace
    target.mkdir()
    (target / "old.txt").touch()

    def refuse(source, destination):
        if source.name == "folder" and source != target:
            raise PermissionError(13, "Permission denied")
        replace(source, destination)

    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(PermissionError), atomic_replace_dir(target) as written:
        (written / "new.txt").touch()
    assert [path.name for path in target.iterdir()] == ["old.txt"]
    assert list(tmp_path.iterdir()) == [target]


def test_named_files_are_moved_next_to_each_other(tmp_path):
    target = tmp_path / "m.bin"
    with atomic_replace_dir(target, names=["m.bin.json", "m.bin"]) as written:
        written.write_bytes(b"1")
        written.with_name("m.bin.json").write_text("{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.bin", "m.bin.json"]


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("a.txt", {"suffixes": (".csv", ".json")}, ValueError, r"ends in '\.txt'; expected one of"),
        (".", {}, IsADirectoryError, r"path=.* is a folder; name a file in it"),
        ("no/a.csv", {}, FileNotFoundError, r"does not exist, '.*no'\. Create it first"),
        ("old.csv", {"overwrite": False}, FileExistsError, r"Choose another file, or pass overwr"),
        (
            "old.csv",
            {"overwrite": False, "name": "--output", "remedy": "add --force"},
            FileExistsError,
            r"^--output='.*old\.csv' exists already\. Choose another file, or add --force\.$",
        ),
    ],
)
def test_a_file_that_cannot_be_written_is_refused(tmp_path, name, options, error, message):
    (tmp_path / "old.csv").touch()
    with pytest.raises(error, match=message):
        check_writable(tmp_path / name, **options)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="permission denied"):
        check_writable(tmp_path / "a.csv")


def test_a_file_that_can_be_written_is_returned_as_a_path(tmp_path):
    path = tmp_path / "a.CSV"
    assert check_writable(str(path), suffixes=(".csv",)) == path
    path.touch()
    assert check_writable(path) == path


def test_a_device_is_not_locked():
    with locked(os.devnull), locked(os.devnull):
        assert not os.path.exists("/dev/.null.lock")


def test_an_error_names_the_owner_of_a_new_lock(tmp_path, monkeypatch):
    path, taken = tmp_path / "a.csv", threading.Event()
    write = os.write

    def write_late(descriptor, data):
        taken.set()
        time.sleep(0.2)
        return write(descriptor, data)

    def hold():
        with locked(path):
            time.sleep(0.3)

    monkeypatch.setattr(files.os, "write", write_late)
    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()
    with pytest.raises(BlockingIOError, match=rf"written by process {os.getpid()}\."), locked(path):
        pass
    holder.join()
    with locked(path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("other_has_it", [False, True])
def test_a_lock_needs_a_folder_that_can_be_written(tmp_path, monkeypatch, other_has_it):
    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    lock = tmp_path / ".a.csv.lock"
    if other_has_it:  # another user
        lock.touch()
    monkeypatch.setattr(files.os, "open", refuse)
    if other_has_it:
        with pytest.raises(PermissionError), locked(tmp_path / "a.csv"):
            pass
    else:
        with locked(tmp_path / "a.csv"), locked(tmp_path / "a.csv"):
            assert not lock.exists()


@pytest.mark.skipif(os.name == "nt", reason="locks another way")
def test_the_lock_of_another_user_who_was_killed_is_taken_over(tmp_path, monkeypatch):
    path, name = tmp_path / "a.csv", tmp_path / ".a.csv.lock"
    name.write_text("1")
    opened = os.open

    def refuse(path, flags, *mode):
        if flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *mode)

    monkeypatch.setattr(files.os, "open", refuse)
    with locked(path), pytest.raises(BlockingIOError), locked(path):
        pass
    assert list(tmp_path.iterdir()) == []
