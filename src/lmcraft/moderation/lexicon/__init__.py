"""Lists of words: the first tier.

- `lexicon.py`: the tier; `passages.py`: which of several matches stand
- `term.py`: an entry of a list; `word_list.py`, `word_file.py`: reading lists; `lists/`: those of lmcraft
- `matcher.py`, `characters.py`: finding words in texts; `native/`: the same in C++; `opener.py`: which of them
- `vocabulary.py`: the words as they stand in each view of a text; masked words; Chinese by sound
"""

from lmcraft.moderation.lexicon.lexicon import Lexicon, Match
from lmcraft.moderation.lexicon.term import Term
from lmcraft.moderation.lexicon.word_list import read_list
from lmcraft.moderation.policy import Policy

__all__ = ["Lexicon", "Match", "Term", "open_lexicons", "read_list"]


def open_lexicons(policy: Policy) -> Lexicon:
    """The tier of a policy's lists.

    Raises:
        UserError: a list does not exist, or an entry in it cannot be used.
        RunError: a file that a list names cannot be downloaded.
    """
    return Lexicon(term for name in policy.tiers.lexicons for term in read_list(name, policy.folder))
