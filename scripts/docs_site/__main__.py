"""`python -m scripts.docs_site [build|serve]`."""

import argparse
import sys
from pathlib import Path

from scripts.docs_site.build import build, llms, write
from scripts.docs_site.pages import ROOT, DocsError
from scripts.docs_site.serve import serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/docs", description="Build the documentation in English and Chinese.")
    parser.add_argument("action", nargs="?", default="build", choices=["build", "serve"])
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="folder of the site (default: site/)")
    parser.add_argument("--port", type=int, default=8001, help="of `serve` (default: 8001)")
    arguments = parser.parse_args()
    if arguments.action == "serve":
        serve(arguments.out, arguments.port)
        return 0
    try:
        write(ROOT / "llms.txt", llms())
        build(arguments.out)
    except DocsError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"open {arguments.out / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
