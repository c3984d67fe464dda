"""The pictures of the learning path, drawn with the charts of lmcraft's reports. `scripts/learn-pictures` writes them.

chart        a chart as a file of its own
foundations  pictures of the pages 1 to 6
practice     pictures of the pages 7 to 12
"""

from scripts.learn_pictures.chart import Picture, as_file
from scripts.learn_pictures.foundations import FOUNDATIONS
from scripts.learn_pictures.practice import PRACTICE

PICTURES: dict[str, Picture] = FOUNDATIONS | PRACTICE

__all__ = ["PICTURES", "Picture", "as_file"]
