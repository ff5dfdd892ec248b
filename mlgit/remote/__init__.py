"""Stores somewhere else: backends over fsspec, which addresses are allowed, and what their failures mean.

`open_backend` is the way in. Importing this package costs nothing: fsspec is loaded when a remote that needs it is
opened, and never for a plain folder.
"""

from mlgit.remote.address import open_backend, stored_url

__all__ = ["open_backend", "stored_url"]
