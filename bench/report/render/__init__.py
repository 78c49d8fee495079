"""Pages as HTML, LaTeX and SVG, and the figures' style."""
