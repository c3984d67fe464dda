"""Model folders and dataset folders."""

from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, ModelFolder, write_json


def test_a_folder_that_is_not_a_dataset_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is an empty folder, not a dataset folder: make one with `lmcraft prepare TEXT"):
        DatasetFolder(tmp_path).manifest()
    write_json(tmp_path / "manifest.json", {"examples": 3})
    with pytest.raises(UserError, match=r"has no tokens, only examples; pass its files to `lmcraft finetune`"):
        DatasetFolder(tmp_path).token_manifest()


def test_a_notebook_shows_the_report_of_a_run(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    assert folder._repr_html_() is None
    folder.run.mkdir()
    folder.report.write_text('<h1 class="a">5 < 6</h1>')
    assert 'srcdoc="&lt;h1 class=&quot;a&quot;&gt;5 &lt; 6&lt;/h1&gt;"' in str(folder._repr_html_())
