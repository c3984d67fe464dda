"""The text of a PDF file."""

import asyncio
import sys
from importlib.util import find_spec
from pathlib import Path

from lmcraft.extras import install_command
from lmcraft.server.errors import ApiError

PROGRAM = Path(__file__).with_name("pdf_process.py")
TIMEOUT_SECONDS = 30.0
_one_at_a_time = asyncio.Semaphore(1)


async def extract_text(content: bytes) -> str:
    """The text of the pages, at most a million characters; images and their text are left out.

    Raises:
        ApiError: pypdf is not installed (501), or cannot read the file within its limits of time and memory (400).
    """
    if find_spec("pypdf") is None:
        raise ApiError(501, f"reading PDF files needs the package 'pypdf': {install_command('pdf')}", code="no_pypdf")
    async with _one_at_a_time:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", str(PROGRAM), stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            text, _ = await asyncio.wait_for(process.communicate(content), TIMEOUT_SECONDS)
        except TimeoutError:
            text = b""
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode:
        raise ApiError(400, "the PDF file cannot be read; it may be damaged, encrypted or too large", code="unreadable_pdf")
    if not text.strip():
        raise ApiError(
            400, "the PDF file has no text; scanned pages need a program for text recognition", code="pdf_without_text"
        )
    return text.decode().strip()
