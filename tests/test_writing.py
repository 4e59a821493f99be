"""What is written where: whole or not at all, over files alone, and never over what isn't ours."""

from __future__ import annotations

import json
import os
import stat
import threading

import pytest
from helpers import invoke, refused

import scalesearch as ss
from scalesearch import files
from scalesearch.errors import InputError
from scalesearch.files import save_text

SPACE = {
    "name": "s",
    "resolution": 16,
    "classes": 4,
    "stem": [{"conv": {"width": 8}}],
    "stages": [{"conv": {"width": {"range": [8, 32], "step": 8}}}],
    "head": {"classifier": {}},
}


@pytest.mark.parametrize(
    "content",
    [
        '{"my": "results", "best": [1, 2, 3]}',
        "line one\nline two, no newline at the end",
        "a,b\n1,2\n3",
        "\x00\x01",
        '{"log": 2, "of": "mine"}',
        '{"log": 2, "of": {}, "more": 1}\n{"cut',
        "[1,\n2]",
        '{"step": "x"}\nrest',
    ],
)
def test_a_file_that_is_no_log_is_refused_and_stays_as_it_was(content, tmp_path):
    path = tmp_path / "mine"
    path.write_text(content)
    with pytest.raises(InputError):
        ss.search(ss.space_from_dict(SPACE), lambda arch: 1.0, trials=1, log=path)
    assert path.read_text() == content


@pytest.mark.parametrize("kind", ["folder", "pipe", "below a file"])
def test_a_log_is_a_file(kind, tmp_path):
    path = tmp_path / "log"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("x")
        path = path / "log"
    with pytest.raises(InputError, match="log"):
        ss.search(ss.space_from_dict(SPACE), lambda arch: 1.0, trials=1, log=path)


def export(target) -> tuple[str, ...]:
    return "export", "squeezenet1_1", "--to", "py", "-o", str(target)


def test_a_link_stays_one_and_its_target_is_written(tmp_path):
    (tmp_path / "deeper").mkdir()
    target, link, further = tmp_path / "deeper" / "target.py", tmp_path / "link.py", tmp_path / "further.py"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    further.symlink_to(link)
    for name in (link, further):
        assert invoke(*export(name)).exit_code == 0
        assert name.is_symlink()
        assert "class" in target.read_text()
        assert stat.S_IMODE(target.stat().st_mode) == 0o640
        target.write_text("old")
        target.chmod(0o640)
    dangling = tmp_path / "dangling.py"
    dangling.symlink_to(tmp_path / "new.py")
    assert invoke(*export(dangling)).exit_code == 0
    assert dangling.is_symlink()
    assert "class" in (tmp_path / "new.py").read_text()
    assert "is no folder" in refused(*export(tmp_path / "nowhere" / "x.py"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dangling.py", "deeper", "further.py", "link.py", "new.py"]


def test_a_pipe_is_written_into_and_stays_one(tmp_path, monkeypatch):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    assert invoke(*export(pipe)).exit_code == 0
    reader.join(10)
    assert "class" in read[0]
    assert pipe.is_fifo()
    monkeypatch.setattr(files, "PIPE_TIMEOUT", 0.1)
    assert "pipe: cannot be written (nobody reads from it)" in refused(*export(pipe))
    assert pipe.is_fifo()


def test_a_device_is_written_into_and_stays_one(tmp_path):
    before = os.stat("/dev/null").st_rdev
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    save_text("text", link)
    assert os.stat("/dev/null").st_rdev == before
    assert link.is_symlink()
    assert stat.S_ISCHR(link.stat().st_mode)


def test_what_cannot_be_written_is_a_line(tmp_path):
    assert "/proc/x.py: cannot be written" in refused(*export("/proc/x.py"))
    assert invoke(*export(tmp_path / ("x" * 252))).exit_code == 0
    assert "ile name too long" in refused(*export(tmp_path / ("x" * 300)))
    loop = tmp_path / "loop.py"
    loop.symlink_to(loop)
    assert "cannot be written" in refused(*export(loop))


def test_a_fault_in_an_architectures_shapes_has_its_file_and_line(tmp_path):
    """Of every command that takes a MODEL, as `check` tells those of a study."""
    path = tmp_path / "a.yaml"
    path.write_text(
        "resolution: 32\nclasses: 4\nstages:\n  - conv: {width: 16}\n"
        "  - regnet: {width: 40, group_width: 16}\nhead: {classifier: {}}\n"
    )
    out = tmp_path / "x.py"
    for command in (("cost", str(path)), ("show", str(path)), ("scale", str(path), "--by", "2"), export(out)):
        message = refused(*(str(path) if word == "squeezenet1_1" else word for word in command))
        assert "a.yaml:5: stages[1]: " in message
        assert "groups of 16" in message
    (tmp_path / "b.cfg").write_text(
        "[net]\nwidth=8\nheight=8\n[convolutional]\nfilters=4\nsize=1\nstride=8\n"
        "[avgpool]\n[convolutional]\nfilters=4\nactivation=linear\n[softmax]\n"
    )
    assert "b.cfg: " in refused("cost", str(tmp_path / "b.cfg"), "--resolution", "4")


def test_json_has_no_word_that_json_has_not(tmp_path):
    (tmp_path / "a.yaml").write_text(
        json.dumps({k: v for k, v in SPACE.items() if k != "stages"} | {"stages": [{"conv": {"width": 8}}]})
    )

    def refuse(word):
        return pytest.fail(f"{word} is no JSON")

    json.loads(invoke("cost", str(tmp_path / "a.yaml"), "--json").stdout, parse_constant=refuse)
    json.loads(invoke("zoo", "--json").stdout, parse_constant=refuse)
