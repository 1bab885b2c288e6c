"""The Gradio front end: draws forms from specs and pages from rows and run folders; it never computes."""
