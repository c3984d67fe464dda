"""A dataset as Croissant 1.0 metadata (https://docs.mlcommons.org/croissant/docs/croissant-spec.html).

The shards are described as files. Their records are token ids of one array, for which Croissant has no fields, so there is
no record set.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lmcraft.folder import sha256_of
from lmcraft.preparation.contracts import JsonObject

SPDX = re.compile(r"[A-Za-z0-9.+-]+")
CONTEXT: JsonObject = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def describe_as_croissant(folder: Path, manifest: Mapping[str, Any]) -> JsonObject:
    """The metadata of a dataset folder.

    Args:
        folder: has the shards and the manifest.
        manifest: as in its file.
    """
    sources = [entry["source"] for entry in manifest["sources"]]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": "-".join(sources)[:100] or "dataset",
        "description": _describe(manifest),
        "version": "1.0.0",
        "license": _licenses(manifest) or ["unknown"],
        "inLanguage": [language for language in manifest["languages"] if language != "und"],
        "keywords": ["language modeling", "tokens", *sources],
        "distribution": list(_files(folder, manifest)),
        "rai:dataCollection": "; ".join(f"{entry['source']}: {', '.join(entry['paths'])}" for entry in manifest["sources"]),
        "rai:dataPreprocessingProtocol": [_describe_stage(stage) for stage in manifest["stages"]],
    }


def _describe(manifest: Mapping[str, Any]) -> str:
    splits = manifest["splits"]
    counts = [f"{split['documents']:,} documents and {split['tokens']:,} tokens in {name}" for name, split in splits.items()]
    sizes = ", ".join(counts)
    return f"Token ids ({manifest['dtype']}, vocabulary of {manifest['vocab_size']:,}) of {sizes}, prepared by lmcraft."


def _describe_stage(stage: Mapping[str, Any]) -> str:
    total = stage["total"]
    removed, documents = total["removed"]["documents"], total["in"]["documents"]
    return f"{stage['name']} ({stage['kind']}): removed {removed:,} of {documents:,} documents"


def _licenses(manifest: Mapping[str, Any]) -> list[str]:
    """Addresses of SPDX identifiers, and other licenses as they are."""
    names = [name for name in manifest["licenses"] if name]
    return [f"https://spdx.org/licenses/{name}.html" if SPDX.fullmatch(name) else name for name in names]


def _files(folder: Path, manifest: Mapping[str, Any]) -> Iterator[JsonObject]:
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            documents = Path(shard["file"]).with_suffix(".documents.npy").name
            yield _file(folder, shard["file"], "application/x-npy", shard["sha256"])
            yield _file(folder, documents, "application/x-npy", shard["documents_sha256"])
    yield _file(folder, "tokenizer.json", "application/json", manifest["tokenizer_sha256"])
    yield _file(folder, "manifest.json", "application/json", sha256_of(folder / "manifest.json"))


def _file(folder: Path, name: str, encoding: str, digest: str) -> JsonObject:
    size = (folder / name).stat().st_size
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{size} B",
        "encodingFormat": encoding,
        "sha256": digest,
    }
