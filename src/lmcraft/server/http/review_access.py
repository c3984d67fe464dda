"""Who may call the review endpoints: the role of a request's API key, and the store that the server has."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from lmcraft.annotation.store import ReviewStore
from lmcraft.server.errors import ApiError
from lmcraft.server.http.keys import ROLES, Role
from lmcraft.server.http.state import server_state
from lmcraft.server.privacy.key_data import OPEN_SERVER_NAME


@dataclass(frozen=True)
class Person:
    """Whoever sends a request to a review endpoint."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether the person may do what a role may."""
        return ROLES.index(self.role) >= ROLES.index(role)


def _person(role: Role) -> Callable[[Request], Person]:
    def check(request: Request) -> Person:
        name = str(request.state.owner)
        own_role = server_state(request).keys.role_of(name)
        if own_role is None:
            message = f"the key '{name}' has no role in reviews; ask the server's owner to give it one in the file of keys"
            raise ApiError(403, message, code="no_role")
        person = Person(name or OPEN_SERVER_NAME, own_role)
        if not person.may(role):
            message = f"the role of the key '{name}' is {own_role}, and this needs {role}; use another key"
            raise ApiError(403, message, code="role_needed", values={"role": role})
        return person

    return check


def _store(request: Request) -> ReviewStore:
    store: ReviewStore | None = request.app.state.reviews
    if store is None:
        raise ApiError(404, "this server has no reviews; start it with --reviews reviews.sqlite", code="no_reviews")
    return store


Reviewer = Annotated[Person, Depends(_person("reviewer"))]
Adjudicator = Annotated[Person, Depends(_person("adjudicator"))]
Owner = Annotated[Person, Depends(_person("owner"))]
Reviews = Annotated[ReviewStore, Depends(_store)]
"""The store; declared after the person, so that a key without the role does not learn whether there is one."""
