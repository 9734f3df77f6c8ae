"""Sealing: what becomes of changes that come when the cookies have left, or that were never saved."""

from ..log import logger
from .session import Session, life_of

__all__ = ["give_up", "seal", "warn_if_changed"]


def seal(session: Session) -> None:
    """From now on a change raises SessionSealed: it could not be kept."""
    life_of(session).is_sealed = True


def give_up(session: Session) -> None:
    """Seals what is not saved. Of what was changed up to now, whoever it concerns is told by another error."""
    life = life_of(session)
    life.is_sealed = True
    if life.data.is_touched:
        life.unsaved = life.data.changes()


def warn_if_changed(session: Session) -> None:
    """Logs the keys of values that were changed in place after the cookies had left, and so are lost."""
    life = life_of(session)
    if life.data.has_own_parts and (lost := [key for key in life.data.changed_parts() if key not in life.unsaved]):
        logger.warning("session values changed after the response had left are lost: %s", ", ".join(map(repr, lost)))
