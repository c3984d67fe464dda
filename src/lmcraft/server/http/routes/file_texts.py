"""`POST /api/text`: the text of a file that the chat page cannot read itself."""

from fastapi import APIRouter, Request

from lmcraft.server.http.pdf_text import extract_text

router = APIRouter(prefix="/api")


@router.post("/text")
async def text_of_pdf(request: Request) -> dict[str, str]:
    """The text of a PDF file, which is the body of the request."""
    return {"text": await extract_text(await request.body())}
