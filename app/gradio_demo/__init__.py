"""The parts of the Gradio demo: catalogue and cards, answers, uploads, and the tabs that show them."""
