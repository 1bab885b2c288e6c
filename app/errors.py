"""The app's border: what goes wrong in a handler becomes one sentence on the page, and a traceback in the console."""

import functools
import logging
import secrets
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import gradio as gr

from fastvideo_engine.errors import EngineError

_Values = ParamSpec("_Values")
_Shown = TypeVar("_Shown")
_log = logging.getLogger(__name__)


def readable(handler: Callable[_Values, _Shown]) -> Callable[_Values, _Shown]:
    """Wrap a handler so that its errors reach the user as a sentence without a traceback."""

    @functools.wraps(handler)
    def guarded(*values: _Values.args, **named: _Values.kwargs) -> _Shown:
        try:
            return handler(*values, **named)
        except gr.Error:
            raise
        except EngineError as error:
            raise gr.Error(str(error), title="That did not work", print_exception=False) from None
        except Exception:
            reference = secrets.token_hex(2).upper()
            _log.exception("Reference %s", reference)
            told = (
                f"Something unexpected went wrong; the console of the studio has the details (reference {reference})."
            )
            raise gr.Error(told, title="That did not work", print_exception=False) from None

    return guarded
