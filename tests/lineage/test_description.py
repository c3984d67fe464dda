"""A lineage in words."""

from lmcraft.lineage.description import describe_lineage, summarize_lineage
from lmcraft.lineage.document import NO_LINEAGE, Origin, make_lineage


def test_a_lineage_is_told_from_the_model_down_to_its_data() -> None:
    data = make_lineage(kind="dataset", files={"manifest.json": "0" * 64}, lmcraft="0.1.0")
    base = make_lineage(
        kind="pretrain",
        created="2026-11-30T04:00:00Z",
        lmcraft="0.1.0",
        data=(Origin("training data", "/data", sha256=data.sha256, lineage=data),),
    )
    origins = [Origin("base", address, sha256=base.sha256, lineage=base) for address in ("/base", "hf:a/b")]
    lineage = make_lineage(kind="finetune", lmcraft="0.1.0", parents=tuple(origins), source="hf:a/b@c")
    assert describe_lineage(lineage) == {
        "made": "fine-tuned with lmcraft 0.1.0",
        "first source": "hf:a/b@c",
        "base": "/base (pretrained with lmcraft 0.1.0 on 2026-11-30)",
        "  training data": "/data (prepared with lmcraft 0.1.0)",
        "base 2": "hf:a/b (pretrained with lmcraft 0.1.0 on 2026-11-30)",
        "lineage": lineage.sha256,
    }
    assert summarize_lineage(lineage)["parents"][0] == {
        "role": "base", "address": "/base", "kind": "pretrain", "sha256": base.sha256
    }  # fmt: skip
    assert describe_lineage(NO_LINEAGE) == {} == summarize_lineage(NO_LINEAGE)
