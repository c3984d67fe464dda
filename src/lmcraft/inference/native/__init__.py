"""The decode step as one native operation: built once for this machine, loaded with ctypes."""

from lmcraft.inference.native.decoder import NativeDecoder, reason_against

__all__ = ["NativeDecoder", "reason_against"]
