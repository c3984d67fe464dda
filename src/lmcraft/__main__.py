"""`python -m lmcraft` is the `lmcraft` command."""

import sys

from lmcraft.cli import main

sys.exit(main())
