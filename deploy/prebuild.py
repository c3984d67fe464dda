"""Compiles lmcraft's C++ for machines without a compiler: `python deploy/prebuild.py FOLDER`, then LMCRAFT_PREBUILT=FOLDER.

FOLDER gets a library for each source and each instruction set of this architecture; lmcraft chooses the fastest that its
processor can run. Other versions of lmcraft need a folder of their own.
"""

import sys
from pathlib import Path

from lmcraft.cpp.library import Source, prebuild
from lmcraft.cpp.targets import machine_targets
from lmcraft.data.native.library import SOURCE as WORDS
from lmcraft.inference.native.build import SOURCE as DECODE_STEP
from lmcraft.model.kernels.library import SOURCE as TRAINING
from lmcraft.moderation.lexicon.native.library import SOURCE as LISTED_WORDS
from lmcraft.moderation.normalization.native.library import SOURCE as DISGUISED_WORDS
from lmcraft.tokenizer.native.encoder import SOURCE as TOKENIZER

SOURCES: list[Source] = [DECODE_STEP, TRAINING, TOKENIZER, WORDS, LISTED_WORDS, DISGUISED_WORDS]


def main(folder: Path) -> None:
    """Fill the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for target in machine_targets():
        for source in SOURCES:
            print(prebuild(source, folder, target))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
