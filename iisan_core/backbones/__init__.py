"""Frozen foundation models: which layers, how pooled, from where.

Names are loaded when first used, so that listing the registry does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
