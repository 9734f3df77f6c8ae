"""What the user configures, frozen and checked whole at start-up.

May not know how tokens are signed, what a session is, or any web framework.
"""
