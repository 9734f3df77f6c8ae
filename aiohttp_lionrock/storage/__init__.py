"""The seam between sessions and databases: records with an id and an expiry, the ABC over them, and its registry.

May not know cookies, tokens, requests or the settings of a session.
"""

from ..faults import Faults
from ..jsontext import is_storable_text
from .coalescer import Coalescer
from .contract import MAX_METADATA_BYTES, MAX_NUMBER, MAX_TEXT, Clock, JtiRecord, JtiStorage
from .options import Option, UrlOptions, flag, number, one_of, text, whole
from .patience import Patience

__all__ = [
    "MAX_METADATA_BYTES",
    "MAX_NUMBER",
    "MAX_TEXT",
    "Clock",
    "Coalescer",
    "Faults",
    "JtiRecord",
    "JtiStorage",
    "Option",
    "Patience",
    "UrlOptions",
    "flag",
    "is_storable_text",
    "number",
    "one_of",
    "text",
    "whole",
]
