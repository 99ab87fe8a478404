"""What the coordinator's screens show and what their buttons do, as HTML and without Gradio."""
