"""The method: frozen backbones → hidden-state cache → side-adapted model → training → runs → recommendations.

What `__all__` lists is the public interface; `__init__.pyi` says where each name lives. Names are loaded when first
used, so that reading a dataset does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
