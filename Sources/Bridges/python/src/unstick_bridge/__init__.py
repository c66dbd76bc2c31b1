"""The application's half of Unstick: reports session changes to the proxy and takes sessions from it.

`unstick_bridge.django` and `unstick_bridge.flask` are what applications install. The other modules hold the
bridge contract once, free of any framework, for whoever writes the next adapter.
"""

from ._version import __version__

__all__ = ["__version__"]
