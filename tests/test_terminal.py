"""The picture of a terminal: what a person saw, small, without a script and without this machine's names."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("pyte", reason="needs pyte")

from tests import terminal

BAR = r"""
for i in 1 2 3 4; do bar="$bar━"; printf "\r\033[32m$bar\033[0m $i of 4 <&>"; sleep 0.05; done
echo; pwd; ls $BENCH_DATA/*; stty size
test -t 1 && printf '\033[2mfaint\033[0m \033[1;31mbold\033[0m  \033[7mturned\033[0m\n'
"""
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[float, bytes]]:
    data = tmp_path_factory.mktemp("data")
    (data / "cifar").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_DATA", str(data))
        return terminal.record(["bash", "-c", BAR])


def test_the_picture_is_what_a_person_saw(pieces: list[tuple[float, bytes]]) -> None:
    found = terminal.chosen(terminal.screens(pieces), 48)
    text = terminal.svg(found, "A bar")
    root = ElementTree.fromstring(text)

    screens = [terminal.words(frame.shot) for frame in found]
    assert [re.findall(r"━ (\d) of 4 <&>", screen) for screen in screens if "━" in screen][-1] == ["4"]
    assert len(screens) > 3, "it moves"
    said = ["/home/newcomer/study", "/home/newcomer/data/cifar", "24 80", "faint bold  turned"]
    assert screens[-1].splitlines()[-4:] == said
    assert root.findtext(f"{SVG}desc") == screens[-1]
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "title", "desc", "style", "rect", "circle", "defs", "g", "use", "text"),
    }
    assert len(root.findall(f".//{SVG}g[@class='film']/{SVG}g")) == len(found)
    assert len(text.encode()) < 20_000


def test_letters_have_their_colours_and_their_cells(pieces: list[tuple[float, bytes]]) -> None:
    root = ElementTree.fromstring(terminal.svg(terminal.chosen(terminal.screens(pieces), 1), "A bar"))
    texts = {element.text: element.attrib for element in root.iter(f"{SVG}text")}

    assert texts["faint"]["fill"] == terminal.QUIET
    assert texts["bold"]["fill"] == terminal.COLOURS["red"]
    assert texts["bold"]["class"] == "b"
    assert texts["turned"]["fill"] == terminal.PAPER
    assert float(texts["turned"]["x"]) == pytest.approx(12 * terminal.WIDTH)
    assert float(texts["turned"]["textLength"]) == pytest.approx(6 * terminal.WIDTH)


def test_a_still_has_the_last_screen_and_long_waits_are_shortened() -> None:
    pieces = [(0.0, b"$ x\r\n"), (1.0, b"one\r\n"), (3600.0, b"two\r\n")]

    (last,) = terminal.chosen(terminal.screens(pieces), most=1)
    assert terminal.words(last.shot) == "$ x\none\ntwo"
    assert [frame.at for frame in terminal.chosen(terminal.screens(pieces), 48)] == [
        0.0,
        terminal.WAIT,
        2 * terminal.WAIT,
    ]


def test_a_bar_that_moves_for_long_leaves_time_for_what_is_said_before_and_after() -> None:
    bar = [(2 + n, f"\r{n} of 240 {n / 2.4:.0f} %".encode()) for n in range(241)]
    seen = terminal.screens([(0.0, b"the plan\r\n"), (1.0, b"starts\r\n"), *bar, (243.0, b"\r\ndone\r\n")])

    found = terminal.chosen(seen, 24)

    assert 12 < len(found) <= 24
    assert terminal.words(found[0].shot) == "the plan"
    assert terminal.words(found[-1].shot).endswith("240 of 240 100 %\ndone")
    assert found[1].at > 0.5
    assert found[-1].at <= terminal.SHOWN


@pytest.mark.parametrize(
    "text", [f"at {socket.gethostname()}", f"{terminal.ROOT}/bench", "x" * 78 + str(terminal.ROOT)]
)
def test_a_name_of_this_machine_is_not_published(text: str) -> None:
    found = terminal.screens([(0.0, text.encode())])

    assert terminal.leaks(found) != []
    assert terminal.leaks(terminal.screens([(0.0, b"at home")])) == []


def test_a_folder_that_comes_in_two_pieces_is_renamed_too() -> None:
    joined = terminal._whole([(0.0, b"in /tm"), (1.0, b"p/s12345678/a"), (2.0, b"b")], b"/tmp/s12345678")

    assert joined == [(0.0, b"in /tmp/s12345678/a"), (2.0, b"b")]


def test_a_command_that_fails_leaves_no_picture(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no such net\n*.*ended with 2: there is no picture"):
        terminal.main([str(tmp_path / "a.svg"), "--", "sh", "-c", "echo no such net; exit 2"])

    assert list(tmp_path.iterdir()) == []
