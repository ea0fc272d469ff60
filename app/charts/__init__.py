"""Every chart of the workbench: tables in, plotly figures out, one palette."""
