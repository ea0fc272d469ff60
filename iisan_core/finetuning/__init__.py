"""What the cached side networks replace: fine-tuning inside the backbones, and IISAN without a cache."""
