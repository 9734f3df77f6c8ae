"""What a configuration must keep. The values may be of any type until they were judged here."""

from dataclasses import fields
from typing import Any

from ..faults import LONGEST, Faults, is_number, nearest, shown
from ..jsontext import is_storable_text
from ..storage.contract import JtiStorage
from .names import RESERVED
from .secrets import ALGORITHMS
from .tables import CookieConfig

__all__ = ["ELSEWHERE", "check_jti", "check_session"]

# Names that people try, in lower case without underscores, and where that is set instead.
ELSEWHERE = {
    **{
        f.name.replace("_", ""): f'it is an attribute of the cookies: cookie={{"{f.name}": ...}}'
        for f in fields(CookieConfig)
    },
    "cookiename": "it is called name",
    "remember": "a handler says it of one login: session.expire_in(seconds), or session.expire_at_close()",
    "reuseleeway": 'it is a setting of jti: jti={"reuse_leeway": ...}',
    "rotate": 'it is a setting of the refresh token: refresh_token={"rotate": ...}',
    "secretkey": "it is called secret",
    "storageurl": "it is called storage",
    "timeout": "did you mean expires, or storage_timeout?",
}
ELSEWHERE["rememberme"] = ELSEWHERE["remember"]

# in seconds, None where there is no such limit
TIMES = ("max_lifetime", "idle_timeout", "touch_interval", "anonymous_lifetime", "seen_interval", "purge_interval")
LARGEST_SKEW = 300  # seconds
# https://www.w3.org/TR/clear-site-data/ and what browsers have added since
DIRECTIVES = ("cache", "clientHints", "cookies", "executionContexts", "prefetchCache", "prerenderCache", "storage", "*")


def check_jti(jti: Any, has_storage: bool, has_refresh: bool, faults: Faults) -> None:
    """Judges the jti table, None where jti is off."""
    if jti is None:
        return
    for name in ("generate", "persist", "verify"):
        callback = getattr(jti, name)
        if callback is not None and not callable(callback):
            faults.add(f"jti.{name} must be callable, not {shown(callback)}")
    if jti.token_use not in (None, "access", "refresh", "both"):
        faults.add("jti.token_use must be access, refresh or both")
    faults.flag("jti.require", jti.require)
    faults.seconds("jti.reuse_leeway", jti.reuse_leeway, zero=True)
    faults.seconds("jti.max_clock_skew", jti.max_clock_skew, zero=True, most=LARGEST_SKEW)
    faults.seconds("jti.cache_ttl", jti.cache_ttl, zero=True)
    if jti.token_use == "refresh" and not has_refresh:  # noqa: S105
        faults.add("jti.token_use is refresh, but refresh tokens are off: no token would be covered")
    if has_storage:
        _check_jti_beside_storage(jti, faults)


def _check_jti_beside_storage(jti: Any, faults: Faults) -> None:
    if jti.persist or jti.verify:
        faults.add("jti.persist and jti.verify do what the storage does: give the storage or the callbacks")
    if jti.require is False:
        faults.add("jti.require=False together with a storage would revive what was revoked: remove one of the two")


def check_session(config: Any, faults: Faults) -> bool:
    """Judges all settings that are no tables; returns whether the secrets among them can be read."""
    if config.issuer is not None:
        faults.text("issuer", config.issuer)
    _check_audience(config.audience, faults)
    faults.seconds("clock_tolerance", config.clock_tolerance, zero=True)
    faults.count("max_token_length", config.max_token_length)
    faults.count("max_cookies_length", config.max_cookies_length)
    faults.flag("save_uninitialized", config.save_uninitialized)
    faults.flag("resave", config.resave)
    _check_clear_site_data(config.clear_site_data, faults)
    _check_subject_key(config.subject_key, faults)
    _check_storage(config, faults)
    for name in TIMES:
        if getattr(config, name) is not None:
            faults.seconds(name, getattr(config, name))
    _check_touch(config, faults)
    _check_cap(config, faults)
    of_secrets = Faults()
    _check_secrets(config, of_secrets)
    faults.found.extend(of_secrets.found)
    return not of_secrets.found


def _check_touch(config: Any, faults: Faults) -> None:
    touch, idle = config.touch_interval, config.idle_timeout
    if touch is not None and idle is None:
        faults.add("touch_interval is given without idle_timeout: nothing would use it")
    elif is_number(touch) and is_number(idle) and touch >= idle:
        faults.add("touch_interval must be shorter than idle_timeout: a session in use would end")


def _check_cap(config: Any, faults: Faults) -> None:
    if config.when_full not in ("oldest", "refuse"):
        faults.add("when_full must be oldest or refuse")
    if config.max_sessions is not None:
        faults.count("max_sessions", config.max_sessions)


def _check_audience(audience: object, faults: Faults) -> None:
    if audience is None:
        return
    listed = audience if isinstance(audience, list | tuple) else (audience,)
    if not listed or not all(name and is_storable_text(name) for name in listed):
        faults.add("audience must be non-empty text in valid Unicode, or a list of such texts")


def _check_clear_site_data(directives: object, faults: Faults) -> None:
    if directives is False:
        return
    if not isinstance(directives, list | tuple) or not directives:
        faults.add(
            f'clear_site_data must be False or a list, for example ("cache", "storage"), not {shown(directives)}'
        )
        return
    for directive in directives:
        if directive not in DIRECTIVES:
            near = nearest(directive, DIRECTIVES) if isinstance(directive, str) else None
            hint = f"did you mean {near}?" if near else f"known are {', '.join(DIRECTIVES)}"
            faults.add(f"clear_site_data has a directive that does not exist; {hint}")


def _check_subject_key(key: object, faults: Faults) -> None:
    if callable(key):
        return
    if not is_storable_text(key) or not key:
        faults.add(f"subject_key must be a key of the session or a function of its data, not {shown(key)}")
    elif key in RESERVED:
        faults.add(f"subject_key cannot be {key}: that is a name of the token itself, and no session data has it")


def _check_storage(config: Any, faults: Faults) -> None:
    if not is_number(config.storage_timeout) or not 0 < config.storage_timeout <= LONGEST:
        faults.add(f"storage_timeout must be a positive number of seconds, not {shown(config.storage_timeout)}")
    if config.storage is not None and not isinstance(config.storage, str | JtiStorage):
        faults.add(f"storage must be a URL or a JtiStorage, not {shown(config.storage)}")


def _check_secrets(config: Any, faults: Faults) -> None:
    if not isinstance(config.algorithm, str) or config.algorithm not in ALGORITHMS:
        written = f"{config.algorithm:.20}" if isinstance(config.algorithm, str) else shown(config.algorithm)
        faults.add(f"unsupported algorithm {written}: use HS256, HS384 or HS512")
    if config.minimum_secret_length is not None:
        faults.count("minimum_secret_length", config.minimum_secret_length)
    if not isinstance(config.secret, str | None):
        faults.add("secret must be text; secrets takes a list, the first of which signs")
    for name in ("secrets", "previous_secret", "previous_secrets"):
        value = getattr(config, name)
        if isinstance(value, str | None):
            continue
        if not isinstance(value, list | tuple) or not all(isinstance(secret, str) for secret in value):
            faults.add(f"{name} must be text or a list of texts")
