"""The HTTP service: predictions for the faces in photos that clients send.

Needs ``pip install 'fer_sklearn[serve]'``.
"""

from .._utils.compat import import_optional

for _module in ("fastapi", "python_multipart", "prometheus_client"):
    import_optional(_module, extra="serve", purpose="The service")

from ._app import TOKEN_VARIABLE, create_app, read_token  # noqa: E402
from ._operation import run_app  # noqa: E402

__all__ = ["TOKEN_VARIABLE", "create_app", "read_token", "run_app"]
