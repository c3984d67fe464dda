"""`/api/feedback`: what users said about answers, and the files of it that `lmcraft finetune` reads."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from lmcraft.errors import UserError
from lmcraft.server.conversations import feedback
from lmcraft.server.conversations.exporter import export_examples
from lmcraft.server.errors import ApiError
from lmcraft.server.http.routes.conversations import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, Owner, StoreOfServer

Json = dict[str, Any]
FileName = Literal["sft.jsonl", "preferences.jsonl", "judgments.jsonl", "labels.csv"]
MAX_OFFSET = 100_000
router = APIRouter(prefix="/api/feedback", tags=["conversations"])


@router.get("")
def list_feedback(
    store: StoreOfServer,
    owner: Owner,
    kind: Literal["", "rating", "pick", "edit"] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = DEFAULT_PAGE_SIZE,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
) -> Json:
    """Ratings, picks and edits, newest first."""
    items, has_more = feedback.list_feedback(store, owner, kind=kind, limit=limit, offset=offset)
    return {"data": items, "has_more": has_more}


@router.get("/summary")
def summary(store: StoreOfServer, owner: Owner) -> Json:
    """The number of ratings, picks and edits, and the tally of picks of each two models."""
    return feedback.count_feedback(store, owner)


@router.get("/files/{name}")
def training_file(store: StoreOfServer, owner: Owner, name: FileName) -> Response:
    """A file of examples made from the feedback, as `lmcraft prepare --from-store` writes it."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "examples"
        try:
            export_examples(store, out, [owner])
            content = (out / name).read_bytes()
        except (UserError, FileNotFoundError) as error:
            raise ApiError(
                404, f"there is no feedback for {name} yet: rate or pick some answers first", code="no_feedback"
            ) from error
    kind = "text/csv" if name.endswith(".csv") else "application/jsonl"
    return Response(content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
