"""The life of a session, from the cookies that come in to the cookies that go out.

May not know any web framework, nor the query language of a storage.
"""
