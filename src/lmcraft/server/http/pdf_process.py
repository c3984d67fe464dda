"""The program that reads a PDF from standard input and writes its text to standard output, in a process of its own.

PDF files come from anywhere, and a hostile one can take any time and memory. `pdf_text.py` runs this file, which imports
nothing of lmcraft.
"""

import io
import logging
import sys

MAX_MEMORY_BYTES = 2**30
MAX_PROCESSOR_SECONDS = 20
MAX_CHARACTERS = 1_000_000


def main() -> None:
    """Limit this process, then write the text of each page, with an empty line between two."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_PROCESSOR_SECONDS, MAX_PROCESSOR_SECONDS))
    from pypdf import PdfReader

    logging.disable()  # its remarks on damaged files
    count = 0
    for page in PdfReader(io.BytesIO(sys.stdin.buffer.read())).pages:
        text = page.extract_text().strip() + "\n\n"
        count += len(text)
        if count > MAX_CHARACTERS:
            break
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))


if __name__ == "__main__":
    main()
