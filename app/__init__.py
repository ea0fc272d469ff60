"""The workbench: jobs, plans, benchmarks, charts, and its faces: shell, pages, Gradio demo."""
