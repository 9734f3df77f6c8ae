"""Hints: what to write in place of an attribute that other libraries' sessions have."""

__all__ = ["instead_of_reading", "instead_of_setting"]

_READ = {
    "cookie": "the settings cookie and cookie_max_age say what the cookie is like",
    "csrf_token": "use cross_origin_middleware(), which needs no token",
    "created": "read session.created_at, or the records of manager.sessions(subject)",
    "empty": "ask len(session)",
    "fresh": "call await check_fresh(request)",
    "has_key": "ask key in session",
    "identity": "read session.sid",
    "is_empty": "ask len(session)",
    "is_fresh": "call await check_fresh(request)",
    "last_accessed": "read seen_at of the records of manager.sessions(subject)",
    "new": "read session.is_new",
    "session_id": "read session.sid",
    "session_key": "read session.sid",
}

_SET = {
    "id": "it is given at the first write",
    "is_new": "read session.is_new",
    "max_age": "call session.expire_in(seconds), or set cookie_max_age in the configuration",
    "modified": "call session.changed()",
    "new": "read session.is_new",
    "permanent": "call session.expire_in(seconds), or set cookie_max_age in the configuration",
    "sid": "call session.renew() for a new one",
    "subject": "set session['sub'], or the key that subject_key names",
}

_CALL = {
    "cycle_key": "call session.renew()",
    "delete": "call session.invalidate(), or del session[key] for one key",
    "destroy": "call session.invalidate()",
    "flash": "call await flash(request, text)",
    "flush": "call session.invalidate()",
    "get_expiry_age": "read session.expires_at",
    "get_expiry_date": "read session.expires_at",
    "regenerate": "call session.renew(), which keeps the data, or await new_session(request)",
    "regenerate_id": "call session.renew()",
    "reload": "it is loaded with the request",
    "renew_token": "call session.renew()",
    "reset": "call session.invalidate()",
    "save": "it is saved with the response",
    "set_expiry": "call session.expire_in(seconds)",
    "set_new_identity": "call session.renew()",
    "touch": "set idle_timeout, or call session.changed() where a session is there",
}


def instead_of_reading(name: str) -> str:
    """The way out for who reads an attribute that is not there."""
    return {**_SET, **_READ, **_CALL}.get(name, f"keys are read as in session[{name!r}]")


def instead_of_setting(name: str) -> str:
    """The way out for who sets one."""
    return _SET.get(name, f"keys are set as in session[{name!r}] = value")
