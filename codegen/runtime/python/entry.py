"""What Lambda calls: ``suture_runtime.entry.handler``."""

import os

from .handler import Function

handler = Function(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
