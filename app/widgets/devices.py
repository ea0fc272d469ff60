"""What there is to compute on, without waking CUDA."""

from __future__ import annotations

import platform

import psutil
import streamlit as st

from app.jobs.devices import Gpu, gpus
from app.widgets.faults import guarded
from app.widgets.page import workspace
from app.widgets.text import plain, size

EVERY = 5
"""Seconds between two looks."""
psutil.cpu_percent()  # the first answer is about nothing; the later ones are about the time since the one before


@st.fragment(run_every=EVERY)
def draw_devices() -> None:
    """The processor, the memory and every GPU, each with how busy it is."""
    with guarded(workspace().root), st.container(border=True):
        memory = psutil.virtual_memory()
        st.markdown(f":material/memory: **Processor** · {psutil.cpu_count()} cores, {plain(platform.machine())}")
        load = psutil.cpu_percent()
        st.progress(min(load / 100, 1.0), text=f"load {load:.0f} %")
        used = memory.total - memory.available
        st.progress(used / memory.total, text=f"memory {size(used)} of {size(memory.total)}")
        found = gpus()
        for gpu in found:
            _draw_gpu(gpu)
        if not found:
            st.caption("No GPU: everything runs on the processor, only smaller.")


def _draw_gpu(gpu: Gpu) -> None:
    st.markdown(f":material/developer_board: **GPU {gpu.index}** · {plain(gpu.name)}")
    st.progress(gpu.load_percent / 100, text=f"load {gpu.load_percent} %")
    st.progress(
        min(gpu.used_bytes / gpu.total_bytes, 1.0), text=f"memory {size(gpu.used_bytes)} of {size(gpu.total_bytes)}"
    )
