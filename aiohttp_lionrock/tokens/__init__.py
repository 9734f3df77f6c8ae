"""One JWT, signed or judged, under the keys in use.

May not know cookies, sessions or storage.
"""
