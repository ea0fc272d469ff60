"""The faces of the workbench: shell, and (in pages to come) browser and demo."""
