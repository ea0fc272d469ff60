"""Errors that reach the user as one sentence: what was found, what is allowed, what to do."""

from __future__ import annotations


class IisanError(Exception):
    """Work that was asked for correctly and failed. The shell prints the sentence and exits with 1."""

    exit_code = 1


class RefusedError(IisanError):
    """Input that cannot be worked with, refused before anything was done. The shell exits with 2."""

    exit_code = 2
