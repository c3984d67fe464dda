"""Without a terminal, a line of text takes the place of the download bar."""

import pytest

from lmcraft.hub.download_progress import byte_bar


def test_a_line_is_printed_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with byte_bar("model.safetensors", 100) as show:
        show(50)
    captured = capsys.readouterr()
    assert (captured.out, captured.err.strip()) == ("", "model.safetensors: 100 bytes")
